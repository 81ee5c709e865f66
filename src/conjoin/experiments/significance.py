"""Significance of a difference between two systems that were tested on the same documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy
from numpy.typing import NDArray

from conjoin.errors import DataError, SettingError
from conjoin.experiments.summary import Results, Task

Counts = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Strict micro F1 of two systems on the same test documents, as fractions of 1.

    `difference` is the first's F1 minus the second's; 95 % of the resampled differences lie between `low` and `high`.
    `p_value` is the two-sided probability of a difference as large between systems that are equally good.
    """

    task: str
    first: float
    second: float
    difference: float
    low: float
    high: float
    p_value: float
    documents: int
    samples: int

    def __str__(self) -> str:
        return (f"{self.task}: {100 * self.first:.2f} against {100 * self.second:.2f}, difference "
                f"{100 * self.difference:+.2f} (95 % of {self.samples:,} resamples of {self.documents:,} documents between "
                f"{100 * self.low:+.2f} and {100 * self.high:+.2f}), p = {self.p_value:.4f}")


def compare(first: Results, second: Results, task: Task, *, samples: int = 10_000, seed: int = 0) -> Comparison:
    """Paired bootstrap over the test documents of all parts; the counts of several seeds are added.

    Raises:
        DataError: The two were not tested on the same documents.
    """
    ours, theirs = _by_document(first, task), _by_document(second, task)
    if ours.keys() != theirs.keys():
        only = sorted(map(str, ours.keys() ^ theirs.keys()))
        raise DataError(f"the two experiments were tested on different parts ({', '.join(only)} in one only); compare "
                        "experiments with the same folds")
    for part in ours:
        gold = ours[part][:, 0] * _seeds(second), theirs[part][:, 0] * _seeds(first)
        if len(gold[0]) != len(gold[1]) or (gold[0] != gold[1]).any():
            raise DataError(f"the two experiments were tested on different documents in {part}; compare experiments with "
                            "the same data and folds")
    return paired_bootstrap(
        numpy.concatenate([ours[part] for part in ours]).tolist(),
        numpy.concatenate([theirs[part] for part in ours]).tolist(), task=task, samples=samples, seed=seed,
    )


def paired_bootstrap(
    first: Sequence[Sequence[int]], second: Sequence[Sequence[int]], *, task: str, samples: int = 10_000, seed: int = 0
) -> Comparison:
    """Resample documents with replacement (Efron & Tibshirani 1993, §16.2; Berg-Kirkpatrick et al. 2012).

    The p-value is the share of differences, the observed one and those of the resamples, that are at least as far from
    the observed one as that is from 0: (e + 1) / (samples + 1).

    first, second: gold, predicted and correct items of each document [document, 3].
    """
    if samples < 1:
        raise SettingError(f"samples = {samples}: give at least 1")
    ours, theirs = numpy.array(first, dtype=numpy.int64), numpy.array(second, dtype=numpy.int64)
    if len(ours) == 0 or ours.shape != theirs.shape:
        raise DataError(f"{len(ours)} and {len(theirs)} documents cannot be paired; compare on the same, at least one")
    observed = float(_f1(ours.sum(0)) - _f1(theirs.sum(0)))
    generator = numpy.random.default_rng(seed)
    chunk = max(1, 4_000_000 // len(ours))
    differences = []
    for start in range(0, samples, chunk):
        drawn = generator.multinomial(len(ours), numpy.full(len(ours), 1 / len(ours)), size=min(chunk, samples - start))
        differences.append(_f1(drawn @ ours) - _f1(drawn @ theirs))
    resampled = numpy.concatenate(differences)
    extreme = int((numpy.abs(resampled - observed) >= abs(observed) - 1e-12).sum())
    low, high = numpy.quantile(resampled, [0.025, 0.975])
    return Comparison(task, float(_f1(ours.sum(0))), float(_f1(theirs.sum(0))), observed, float(low), float(high),
                      (extreme + 1) / (samples + 1), len(ours), samples)


def _by_document(results: Results, task: Task) -> dict[str, Counts]:
    """Gold, predicted and correct items [document, 3] of each part, added over seeds."""
    sums: dict[str, Counts] = {}
    for (part, _), counts in results.counts(task).items():
        rows = numpy.array(counts, dtype=numpy.int64).reshape(-1, 3)
        sums[part] = rows if part not in sums else sums[part] + rows
    return sums


def _seeds(results: Results) -> int:
    return len({run["seed"] for run in results.runs})


def _f1(counts: Counts) -> Counts:
    """counts: [..., 3] gold, predicted, correct → [...]; 0 without any."""
    both = counts[..., 0] + counts[..., 1]
    return numpy.where(both > 0, 2 * counts[..., 2] / numpy.maximum(both, 1), 0.0)
