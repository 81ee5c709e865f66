"""Experiment trackers as listeners of training: TensorBoard, MLflow, Weights & Biases.

Each logs the settings once, losses and learning rate after every step, mean losses and scores on dev after every epoch.
TensorBoard writes into the run's folder; the others follow their own environment variables (`MLFLOW_TRACKING_URI`,
`MLFLOW_EXPERIMENT_NAME`, `WANDB_PROJECT`, `WANDB_MODE`, …).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from conjoin.errors import SettingError, require_extra, unknown_name
from conjoin.training import EpochDone, Event, Started, StepDone

Log = Callable[[Mapping[str, float], int], None]  # values by name, step
Listener = Callable[[Event], None]
PROJECT = "conjoin"


@contextmanager
def with_trackers(names: list[str], *, folder: Path, settings: Mapping[str, Any]) -> Iterator[Listener]:
    """Yield a listener that logs the events of training to trackers.

    The trackers, of `TRACKERS`, show the folder's name and are closed at the end of the block.
    An unknown tracker is a `SettingError` before anything is written, a missing package a `MissingExtraError`.
    """
    for name in names:
        if name not in TRACKERS:
            raise SettingError(unknown_name("tracker", name, TRACKERS))
    with ExitStack() as stack:
        logs = [stack.enter_context(TRACKERS[name](folder, flatten(settings))) for name in names]
        yield _listener(logs)


def _listener(logs: list[Log]) -> Listener:
    step = stage = 0

    def log_event(event: Event) -> None:
        nonlocal step, stage
        if isinstance(event, Started):
            stage += 1
            step = event.resumed
        elif isinstance(event, StepDone):
            step = event.step
        prefix = "train and dev/" if stage > 1 else ""
        values = {prefix + name: value for name, value in scalars(event).items()}
        if values:
            for log in logs:
                log(values, step)

    return log_event


def scalars(event: Event) -> dict[str, float]:
    """The numbers of an event by name: `step/…` of a step, `epoch/…` and `dev/TASK/METRIC` of an epoch."""
    if isinstance(event, StepDone):
        terms = {f"step/loss/{name}": value for name, value in event.terms.items()}
        return {"step/loss": event.loss, "step/learning_rate": event.learning_rate, **terms}
    if not isinstance(event, EpochDone):
        return {}
    values = {f"epoch/loss/{name}": value for name, value in event.terms.items()} | {"epoch/seconds": event.seconds}
    if event.report is not None:
        for task in ("entities", "relations"):
            scores = getattr(event.report, task)["strict"].micro
            values |= {f"dev/{task}/{name}": getattr(scores, name) for name in ("precision", "recall", "f1")}
    return values


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted key, such as `training.learning_rate`; those that are None are left out."""
    result: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            result |= flatten(value, f"{prefix}{name}.")
        elif value is not None:
            result[prefix + name] = value
    return result


def _import(module: str, *, extra: str, package: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise require_extra(extra, package) from error


@contextmanager
def _tensorboard(folder: Path, settings: Mapping[str, Any]) -> Iterator[Log]:
    tensorboard = _import("torch.utils.tensorboard", extra="tensorboard", package="tensorboard")
    with tensorboard.SummaryWriter(str(folder / "tensorboard")) as writer:
        writer.add_text("settings", "\n".join(f"    {name} = {value!r}" for name, value in settings.items()))

        def log(values: Mapping[str, float], step: int) -> None:
            for name, value in values.items():
                writer.add_scalar(name, value, step)

        yield log


@contextmanager
def _mlflow(folder: Path, settings: Mapping[str, Any]) -> Iterator[Log]:
    mlflow = _import("mlflow", extra="mlflow", package="mlflow-skinny")
    with mlflow.start_run(run_name=folder.name):
        mlflow.log_params({name: str(value)[:500] for name, value in settings.items()})
        yield lambda values, step: mlflow.log_metrics(dict(values), step=step)


@contextmanager
def _wandb(folder: Path, settings: Mapping[str, Any]) -> Iterator[Log]:
    wandb = _import("wandb", extra="wandb", package="wandb")
    folder.mkdir(parents=True, exist_ok=True)
    with wandb.init(project=os.environ.get("WANDB_PROJECT", PROJECT), name=folder.name, config=dict(settings),
                    dir=str(folder)) as run:
        # wandb takes each of its own steps once, and an epoch ends at the step already logged: log the step as a value.
        yield lambda values, step: run.log({**values, "step": step})


TRACKERS = {"tensorboard": _tensorboard, "mlflow": _mlflow, "wandb": _wandb}
