"""Training runs in one of several processes: `python distributed_run.py JOBS`, with the variables that torchrun sets.

JOBS is a JSON object of runs by name: `encoder`, `family`, `overrides`, `documents` (how many to train on), and `folder` of
checkpoints or none. A job ends early after the step that `stop` names, and after that of `pause` the second process waits.
Each process writes its documents, losses and weights beside JOBS.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from killed_run import NAMES
from killed_run import documents as full_documents
from safetensors.torch import save_file
from torch import Tensor

from conjoin.config.presets import load_config
from conjoin.document import Document, Entity
from conjoin.extractor import Extractor
from conjoin.modeling.build import build_model
from conjoin.parallel.launcher import launched_rank
from conjoin.schema import Schema
from conjoin.training import DevSet, EpochDone, Finished, Started, StepDone, step, training_events
from conjoin.training.distributed import leave_processes

STILL = ("encoder.masking=0", "encoder.dropout=0", "entities.dropout=0", "relations.dropout=0", "stack.dropout=0",
         "characters.masking=0")
FAMILIES: dict[str, tuple[str, tuple[str, ...]]] = {
    "base": ("conjoin-base", ("relations.size=16", "relations.label_size=8", "training.averaging=0.9",
                              "training.precision=no")),
    "crone": ("crone2020-conll04-minilm", ("stack.size=8", "characters.size=4", "relations.scorer_size=8",
                                           "entities.size=8", "training.optimizer=adamw")),
}


def documents() -> list[Document]:
    """Ten sentences, and three with one entity, without any, and with three that have no relation."""
    few = [
        Document.from_words([NAMES[0], "slept"], [Entity("Peop", 0, 1)], id="one"),
        Document.from_words(["nobody", "slept", "in", "the", "end"], id="none"),
        Document.from_words(
            [NAMES[1], NAMES[2], "dallas"], [Entity("Peop", 0, 1), Entity("Peop", 1, 2), Entity("Loc", 2, 3)], id="three"
        ),
    ]
    return [*few, *full_documents()]


def run(job: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The events and documents of a run, and its last weights."""
    preset, own = FAMILIES[job["family"]]
    config = load_config(preset, [f"encoder.name={job['encoder']}", *own, "training.epochs=2", *job["overrides"]])
    every = documents()
    torch.manual_seed(config.training.seed)
    model = build_model(config, Schema.from_documents(every), documents=every)
    seen: list[list[str]] = []
    shares = step.step_shares

    def record_shares(members: Sequence[Document], *arguments: Any) -> list[Sequence[Document]]:
        parts = shares(members, *arguments)
        seen.append([document.id for part in parts for document in part])
        return parts

    step.step_shares = record_shares  # type: ignore[assignment]
    outcome: dict[str, Any] = {"losses": [], "terms": [], "epochs": [], "seen": seen}
    folder = Path(job["folder"]) if job.get("folder") else None
    try:
        dev = DevSet(every[8:], Extractor.from_model(model, config).annotate)
        members = every[: job["documents"]]
        for event in training_events(model, members, settings=config.training, dev=dev, folder=folder):
            note(outcome, event)
            if isinstance(event, StepDone) and event.step == job.get("stop"):
                break
            if isinstance(event, StepDone) and event.step == job.get("pause") and launched_rank() == 1:
                sys.stdout.write("waiting\n")
                sys.stdout.flush()
                signal.pause()
    finally:
        step.step_shares = shares
    return outcome, {name: value.detach().clone() for name, value in model.state_dict().items()}


def note(outcome: dict[str, Any], event: Any) -> None:
    if isinstance(event, Started):
        outcome["resumed"], outcome["steps"] = event.resumed, event.steps
    elif isinstance(event, StepDone):
        outcome["losses"].append(event.loss)
        outcome["terms"].append(dict(event.terms))
    elif isinstance(event, EpochDone):
        outcome["epochs"].append([event.score, event.best, dict(event.terms)])
    elif isinstance(event, Finished):
        outcome["finished"] = [event.epoch, event.epochs, event.score]


def main() -> None:
    torch.set_num_threads(1)
    path = Path(sys.argv[1])
    for name, job in json.loads(path.read_text()).items():
        outcome, weights = run(job)
        save_file(weights, path.parent / f"{name}.{launched_rank()}.safetensors")
        (path.parent / f"{name}.{launched_rank()}.json").write_text(json.dumps(outcome))
    leave_processes()


if __name__ == "__main__":
    main()
