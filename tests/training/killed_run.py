"""A training run in a process of its own, to be killed: `python killed_run.py ENCODER FOLDER STEP`.

It prints the step it has resumed from, and after step STEP it waits to be killed.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from conjoin.config.presets import load_config
from conjoin.config.settings import Config
from conjoin.document import Document, Entity, Relation
from conjoin.extractor import Extractor
from conjoin.modeling.build import build_model
from conjoin.modeling.joint import JointModel
from conjoin.schema import Schema
from conjoin.training import DevSet, Event, Started, StepDone, training_events

NAMES = ["maria", "ortiz", "lee", "oswald", "kennedy"]


def documents() -> list[Document]:
    """Ten sentences of unequal length."""
    result = []
    for number in range(10):
        words = [NAMES[number % 5], "shot", NAMES[(number * 2 + 1) % 5], "in", "dallas", *["and"] * (number % 3), "."]
        head, tail = Entity("Peop", 0, 1), Entity("Peop", 2, 3)
        result.append(Document.from_words(
            words, [head, tail, Entity("Loc", 4, 5)], [Relation("Kill", head, tail)], id=str(number)
        ))
    return result


def config(encoder: str, *overrides: str) -> Config:
    """Everything that holds state: dropout, masking, averaging, accumulation, schedule and ramp, best on dev. Four steps
    an epoch (eight documents for training), twelve in all, a checkpoint after every third and after every epoch."""
    return load_config("conjoin-base", [
        f"encoder.name={encoder}", "encoder.masking=0.1", "relations.size=16", "relations.label_size=8",
        "training.epochs=3", "training.batch_size=1", "training.accumulation=2", "training.averaging=0.9",
        "training.checkpoint_steps=3", "training.learning_rate=1e-3", *overrides,
    ])


def model_for(settings: Config) -> JointModel:
    torch.manual_seed(settings.training.seed)
    return build_model(settings, Schema.from_documents(documents()))


def events(model: JointModel, settings: Config, folder: Path | None) -> Iterator[Event]:
    every = documents()
    dev = DevSet(every[8:], Extractor.from_model(model, settings).annotate)
    return training_events(model, every[:8], settings=settings.training, dev=dev, folder=folder)


def main() -> None:
    torch.set_num_threads(1)
    settings = config(sys.argv[1])
    for event in events(model_for(settings), settings, Path(sys.argv[2])):
        if isinstance(event, Started):
            sys.stdout.write(f"{event.resumed}\n")
        if isinstance(event, StepDone) and event.step == int(sys.argv[3]):
            sys.stdout.write("waiting\n")
            sys.stdout.flush()
            signal.pause()


if __name__ == "__main__":
    main()
