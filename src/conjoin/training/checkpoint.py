"""Checkpoints: everything a run needs to continue exactly where it was, written whole or not at all, without pickle."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from conjoin.errors import ModelError
from conjoin.storage.atomic import atomic_folder
from conjoin.training.distributed import set_random_state
from conjoin.training.step import Stepper
from conjoin.training.trainable import NamedParameters

PREFIX = "step-"


@dataclass(frozen=True, slots=True)
class Position:
    """How far a run has come: `step` steps, `epoch` whole epochs, `batch` batches of the next one.

    `best_epoch` is the last one with the best score, `improved_epoch` the first: from there patience counts. `sums` are
    of the losses of this epoch by term, `plan` is a digest of settings and data.
    """

    step: int
    epoch: int
    batch: int
    best_epoch: int
    improved_epoch: int
    best_score: float | None
    sums: Mapping[str, float]
    plan: str


def trainable_state(model: NamedParameters) -> dict[str, Tensor]:
    """Copies of the parameters that training changes, by name, on the CPU: on a GPU the weights of a recurrent layer are
    views of one block, which cannot be written. Frozen ones come from where they were first loaded."""
    return {name: _copied(value) for name, value in model.named_parameters() if value.requires_grad}


def _copied(value: Tensor) -> Tensor:
    return value.detach().to("cpu", copy=True).contiguous()


def load_trainable(model: NamedParameters, state: Mapping[str, Tensor]) -> None:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                parameter.copy_(state[name])


def save_checkpoint(
    folder: Path, position: Position, stepper: Stepper[Any], random: Sequence[Mapping[str, Tensor]]
) -> None:
    """Write a checkpoint and then remove the older ones. `random` holds the random state of each process."""
    averaged, scaler = stepper.averaged, stepper.accelerator.scaler
    tensors = {f"model.{name}": value for name, value in trainable_state(stepper.model).items()}
    for number, entries in stepper.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{name}": value for name, value in entries.items()}
    if averaged:
        tensors |= {f"average.{number}": value for number, value in enumerate(averaged.values)}
    for rank, generators in enumerate(random):
        tensors |= {f"random.{rank}.{name}": value for name, value in generators.items()}
    values = {
        "processes": len(random),
        "position": asdict(position),
        "updates": averaged.updates if averaged else 0,
        "scaler": scaler.state_dict() if scaler is not None else None,
    }
    with atomic_folder(folder / f"{PREFIX}{position.step:09d}") as temporary:
        save_file({name: _copied(value) for name, value in tensors.items()}, temporary / "tensors.safetensors")
        (temporary / "state.json").write_text(json.dumps(values), encoding="utf-8")
    for old in _checkpoints(folder)[:-1]:
        shutil.rmtree(old)


def load_checkpoint(folder: Path, stepper: Stepper[Any], *, plan: str) -> Position | None:
    """Restore the newest checkpoint of a folder; None when there is none.

    Raises:
        ModelError: It cannot be read, or is of a run with other settings or data (another `plan`), or with another number
            of processes, which have other batches and random states.
    """
    processes, checkpoints = stepper.processes, _checkpoints(folder)
    if not checkpoints:
        return None
    path = checkpoints[-1]
    try:
        values = json.loads((path / "state.json").read_text(encoding="utf-8"))
        position, count = Position(**values["position"]), int(values["processes"])
        tensors = load_file(path / "tensors.safetensors")
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise ModelError(f"{path}: unreadable checkpoint ({error}); remove the folder to start anew") from error
    if position.plan != plan:
        raise ModelError(f"{path}: this checkpoint is of a run with other settings or data; give another --output "
                         "or --overwrite")
    if count != processes.count:
        raise ModelError(f"{path}: this checkpoint is of a run in {_counted(count)}, and this one has "
                         f"{processes.count}; start as many, or give another --output or --overwrite")
    load_trainable(stepper.model, _under("model.", tensors))
    _restore_optimizer(stepper.optimizer, _under("optimizer.", tensors))
    if stepper.averaged:
        stepper.averaged.updates = values["updates"]
        for number, value in enumerate(stepper.averaged.values):
            value.copy_(tensors[f"average.{number}"])
    if stepper.accelerator.scaler is not None and values["scaler"]:
        stepper.accelerator.scaler.load_state_dict(values["scaler"])
    set_random_state(_under(f"random.{processes.rank}.", tensors))
    return position


def _counted(processes: int) -> str:
    return "one process" if processes == 1 else f"{processes} processes"


def _restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    entries: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        number, _, key = name.partition(".")
        entries.setdefault(int(number), {})[key] = value
    optimizer.load_state_dict({"state": entries, "param_groups": optimizer.state_dict()["param_groups"]})


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"{PREFIX}*"))
