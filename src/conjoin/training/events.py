"""What training tells whoever listens: progress bars, logs, trackers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from conjoin.evaluation.metrics import Report


@dataclass(frozen=True, slots=True)
class Started:
    """Before the first step. Parameters are counts of numbers; `resumed` is the step a checkpoint was taken at, in `epoch`
    (from 1). `select` tells which epoch counts: the best on dev or the last. `word_vectors`: how many distinct words of the
    training data have a word vector, and how many there are; None for a model without such vectors."""

    steps: int
    epochs: int
    trainable: int
    parameters: int
    resumed: int
    epoch: int = 1
    select: Literal["best", "last"] = "best"
    word_vectors: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class StepDone:
    """After each optimizer step. `terms` are the unweighted losses, means over all documents of the step: of every
    process and every accumulated batch."""

    step: int
    epoch: int
    loss: float
    terms: Mapping[str, float]
    learning_rate: float


@dataclass(frozen=True, slots=True)
class EpochDone:
    """After each epoch (from 1). `terms` are means over its steps; `report` and `score` are of dev, when there is one."""

    epoch: int
    terms: Mapping[str, float]
    seconds: float
    report: Report | None
    score: float | None
    best: bool


@dataclass(frozen=True, slots=True)
class Finished:
    """At the end: the model now holds the weights of `epoch`."""

    epoch: int
    epochs: int
    score: float | None
    seconds: float


Event = Started | StepDone | EpochDone | Finished
