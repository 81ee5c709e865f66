"""Settings reach what they are for, and symmetric types the scores on dev."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import nn

from conjoin.config.settings import TrainingSettings
from conjoin.document import Document, Entity, Relation
from conjoin.modeling.nn.term import Term
from conjoin.training import DevSet, EpochDone, loop, step, training_events

HEAD, TAIL = Entity("Peop", 0, 1), Entity("Peop", 1, 2)
DOCUMENTS = [Document.from_words(["Ann", "Bob"], [HEAD, TAIL], [Relation("Married", TAIL, HEAD)], id=str(number))
             for number in range(4)]


class Model(nn.Module):
    """One weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def sizes(self, documents: Sequence[Document]) -> list[int]:
        return [len(document.tokens) for document in documents]

    def collate(self, documents: Sequence[Document]) -> list[Document]:
        return list(documents)

    def forward(self, batch: Sequence[Document]) -> dict[str, Term]:
        return {"entities": Term(len(batch) * self.weight.sum(), torch.tensor(len(batch)))}


def the_other_way_round(documents: Sequence[Document]) -> list[Document]:
    return [document.annotated(document.entities, [Relation("Married", HEAD, TAIL)]) for document in documents]


class Spy:
    """Calls a function and keeps its arguments."""

    def __init__(self, called: Any) -> None:
        self.called = called
        self.positional: list[tuple[Any, ...]] = []
        self.named: list[dict[str, Any]] = []

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        self.positional.append(arguments)
        self.named.append(named)
        return self.called(*arguments, **named)


@pytest.mark.parametrize("values", [
    {"batch_size": 3, "batch_pieces": 77, "bucket_batches": 5, "seed": 9, "optimizer": "nadam", "learning_rate": 0.02,
     "head_learning_rate": 0.03, "layer_decay": 0.7, "weight_decay": 0.04},
    {"batch_size": 2, "batch_pieces": 88, "bucket_batches": 1, "seed": 8, "optimizer": "adamw", "learning_rate": 0.05,
     "head_learning_rate": None, "layer_decay": 1.0, "weight_decay": 0.0},
])
def test_batches_and_optimizer_are_made_as_set(values: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    batches, optimizer = Spy(loop.shuffled_batches), Spy(step.build_optimizer)
    monkeypatch.setattr(loop, "shuffled_batches", batches)
    monkeypatch.setattr(step, "build_optimizer", optimizer)
    list(training_events(Model(), DOCUMENTS, settings=TrainingSettings.model_validate({"epochs": 2, **values})))
    assert {call["epoch"] for call in batches.named} == {0, 1}
    for call in batches.named:
        assert (call["documents"], call["pieces"]) == (values["batch_size"], values["batch_pieces"])
        assert (call["bucket_batches"], call["seed"]) == (values["bucket_batches"], values["seed"])
    ((_, settings),) = optimizer.positional
    names = ("optimizer", "learning_rate", "head_learning_rate", "layer_decay", "weight_decay")
    assert {name: getattr(settings, name) for name in names} == {name: values[name] for name in names}


@pytest.mark.parametrize(("symmetric", "f1"), [(frozenset({"Married"}), 1.0), (frozenset[str](), 0.0)])
def test_symmetric_types_are_scored_both_ways_on_dev(symmetric: frozenset[str], f1: float) -> None:
    settings = TrainingSettings.model_validate({"epochs": 1})
    dev = DevSet(DOCUMENTS, the_other_way_round, symmetric)
    events = training_events(Model(), DOCUMENTS, settings=settings, dev=dev)
    (done,) = [event for event in events if isinstance(event, EpochDone)]
    assert done.report is not None
    assert done.report.relations["strict"].micro.f1 == f1
