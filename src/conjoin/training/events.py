"""The events of training, for progress bars, logs and trackers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from conjoin.evaluation.metrics import Report
from conjoin.features.vector_table import WordCoverage


@dataclass(frozen=True, slots=True)
class Started:
    """Before the first step.

    `parameters` and `trainable` count numbers; `resumed` is the step of the checkpoint that the run continues from, in
    `epoch` (from 1), or 0. `select` is the epoch that counts: the best on dev or the last. `word_vectors` is None for a
    model without word vectors.
    """

    steps: int
    epochs: int
    trainable: int
    parameters: int
    resumed: int
    epoch: int = 1
    select: Literal["best", "last"] = "best"
    word_vectors: WordCoverage | None = None


@dataclass(frozen=True, slots=True)
class StepDone:
    """After each optimizer step.

    `terms` are the losses by term without their weights, means over all documents of the step, of every process and
    accumulated batch; `loss` is their weighted sum.
    """

    step: int
    epoch: int
    loss: float
    terms: Mapping[str, float]
    learning_rate: float


@dataclass(frozen=True, slots=True)
class EpochDone:
    """After each epoch (from 1).

    `terms` are means over its steps. `report` and `score`, by which the best epoch is found, are those on dev, or None
    without dev; `best` means no earlier epoch scored higher.
    """

    epoch: int
    terms: Mapping[str, float]
    seconds: float
    report: Report | None
    score: float | None
    best: bool


@dataclass(frozen=True, slots=True)
class Finished:
    """At the end, when the model holds the weights of `epoch`, one of `epochs`, which scored `score` on dev."""

    epoch: int
    epochs: int
    score: float | None
    seconds: float


Event = Started | StepDone | EpochDone | Finished
