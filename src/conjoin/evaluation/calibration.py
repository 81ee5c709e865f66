"""Calibration of scores by temperature, and a threshold for each type, fitted on annotated documents.

A score p becomes sigmoid(logit(p) / T), with one temperature T for entities and one for relations (Guo et al. 2017, §4.2,
on the scores of predictions rather than of all classes). The threshold of a type is the one with the best F1.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from conjoin.document import Document, Entity, Relation, at_least
from conjoin.schema import canonical

TASKS = ("entities", "relations")
BINS = 10  # of the reliability table, of equal width
MIN_PREDICTIONS = 20  # a task with fewer keeps temperature 1
MIN_GOLD = 10  # a type with fewer gold annotations keeps its threshold
_EDGE = 1e-6
_HOTTEST = 4.0  # temperatures lie between exp(-4) and exp(4)


class ScoredPrediction(NamedTuple):
    """A predicted entity or relation; `correct` when it is annotated too."""

    type: str
    score: float
    correct: bool


@dataclass(frozen=True, slots=True)
class Calibration:
    """Temperatures and thresholds.

    Args:
        temperatures: Task (`entities`, `relations`) → temperature.
        thresholds: Task → type → minimum of the calibrated score.
        candidates: The threshold of the decoder while this calibration is in use; None leaves the decoder its own rule.
    """

    temperatures: Mapping[str, float]
    thresholds: Mapping[str, Mapping[str, float]]
    candidates: float | None = None

    def apply(self, document: Document) -> Document:
        """The document with calibrated scores, without annotations below their threshold; those without a score stay."""
        entities: dict[Entity, Entity] = {}
        for entity in document.entities:
            score = self.score("entities", entity.score)
            if at_least(score, self.thresholds["entities"].get(entity.type, 0.0)):
                entities[entity] = replace(entity, score=score)
        relations = []
        for relation in document.relations:
            score = self.score("relations", relation.score)
            complete = relation.head in entities and relation.tail in entities
            if complete and at_least(score, self.thresholds["relations"].get(relation.type, 0.0)):
                relations.append(Relation(relation.type, entities[relation.head], entities[relation.tail], score))
        return document.annotated(entities.values(), relations)

    def score(self, task: str, score: float | None) -> float | None:
        """The calibrated score."""
        return None if score is None else calibrate(score, self.temperatures[task])

    def to_json(self) -> dict[str, Any]:
        """The calibration as JSON values."""
        return {"temperatures": dict(self.temperatures), "candidates": self.candidates,
                "thresholds": {task: dict(types) for task, types in self.thresholds.items()}}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Calibration:
        """The inverse of `to_json`. Raises `LookupError`, `TypeError` or `ValueError` for anything else."""
        temperatures = {task: float(value["temperatures"][task]) for task in TASKS}
        thresholds = {task: {str(type): float(threshold) for type, threshold in value["thresholds"][task].items()}
                      for task in TASKS}
        candidates = value["candidates"]
        numbers = [*temperatures.values(), *(number for types in thresholds.values() for number in types.values())]
        if not all(map(math.isfinite, numbers)) or min(temperatures.values()) <= 0:
            raise ValueError("temperatures and thresholds must be numbers, temperatures above 0")
        return cls(temperatures, thresholds, None if candidates is None else float(candidates))


def calibrate(score: float, temperature: float) -> float:
    """sigmoid(logit(score) / temperature)."""
    if temperature == 1:
        return score
    inner = min(max(score, _EDGE), 1 - _EDGE)
    return 1 / (1 + math.exp(-math.log(inner / (1 - inner)) / temperature))


def fit(gold: Sequence[Document], predicted: Sequence[Document], *, relation_types: Iterable[str],
        symmetric: frozenset[str] = frozenset(), threshold: float | None = None,
        candidates: float | None = None) -> tuple[Calibration, dict[str, Any]]:
    """Fit temperatures and thresholds.

    Args:
        gold: Annotated documents.
        predicted: The same documents with uncalibrated predictions, all relations from the score `candidates` on.
        relation_types: The relation types of the model.
        symmetric: Those that hold both ways.
        threshold: The model's own threshold of relations, which types with few annotations keep.
        candidates: The minimum score of relations in `predicted`.

    Returns:
        The calibration, and for each task `found` (the number of predictions), `temperature`, and `ece` and `bins` before
        and after calibration; bins are rows of (count, mean score, share of correct predictions).
    """
    predictions = {"entities": _entities(gold, predicted), "relations": _relations(gold, predicted, symmetric)}
    temperatures = {task: fit_temperature(items) for task, items in predictions.items()}
    report = {task: _report(items, temperatures[task]) for task, items in predictions.items()}
    of_entities = _thresholds(_calibrate(predictions["entities"], temperatures["entities"]),
                              Counter(entity.type for document in gold for entity in document.entities))
    calibration = Calibration(temperatures, {"entities": of_entities, "relations": {}})
    calibrated = [calibration.apply(document) for document in predicted]  # with relations whose entities stay
    of_relations = _thresholds(_relations(gold, calibrated, symmetric),
                               Counter(relation.type for document in gold for relation in document.relations))
    if threshold is not None:
        of_relations = dict.fromkeys(relation_types, calibrate(threshold, temperatures["relations"])) | of_relations
    thresholds = {"entities": of_entities, "relations": of_relations}
    return Calibration(temperatures, thresholds, None if threshold is None else candidates), report


def _entities(gold: Sequence[Document], predicted: Sequence[Document]) -> list[ScoredPrediction]:
    known = (set(document.entities) for document in gold)
    return [ScoredPrediction(entity.type, entity.score, entity in entities)
            for entities, document in zip(known, predicted, strict=True)
            for entity in document.entities if entity.score is not None]


def _relations(gold: Sequence[Document], predicted: Sequence[Document],
               symmetric: frozenset[str]) -> list[ScoredPrediction]:
    known = ({canonical(relation, symmetric) for relation in document.relations} for document in gold)
    return [ScoredPrediction(relation.type, relation.score, canonical(relation, symmetric) in relations)
            for relations, document in zip(known, predicted, strict=True)
            for relation in document.relations if relation.score is not None]


def _calibrate(predictions: Sequence[ScoredPrediction], temperature: float) -> list[ScoredPrediction]:
    return [prediction._replace(score=calibrate(prediction.score, temperature)) for prediction in predictions]


def fit_temperature(predictions: Sequence[ScoredPrediction]) -> float:
    """The temperature with the highest likelihood of which predictions are correct.

    It is 1 for fewer than `MIN_PREDICTIONS`, and where the fitted one does not lower the expected calibration error.
    """
    if len(predictions) < MIN_PREDICTIONS:
        return 1.0
    temperature = _most_likely(predictions)
    before, after = map(expected_calibration_error, (predictions, _calibrate(predictions, temperature)))
    return temperature if after < before else 1.0


def _most_likely(predictions: Sequence[ScoredPrediction]) -> float:
    low, high = -_HOTTEST, _HOTTEST
    golden = (math.sqrt(5) - 1) / 2
    for _ in range(60):  # the loss is convex in 1/T, so it has one valley in log T
        left, right = high - golden * (high - low), low + golden * (high - low)
        if _loss(predictions, math.exp(left)) <= _loss(predictions, math.exp(right)):
            high = right
        else:
            low = left
    return math.exp((low + high) / 2)


def _loss(predictions: Sequence[ScoredPrediction], temperature: float) -> float:
    """The negative log-likelihood of which predictions are correct."""
    total = 0.0
    for _, score, correct in predictions:
        inner = min(max(score, _EDGE), 1 - _EDGE)
        logit = math.log(inner / (1 - inner)) / temperature
        total += math.log1p(math.exp(-abs(logit))) + max(0.0, -logit if correct else logit)
    return total


def _thresholds(predictions: Sequence[ScoredPrediction], gold_counts: Mapping[str, int]) -> dict[str, float]:
    """Type → threshold with the best F1, for types with enough gold annotations and a correct prediction."""
    thresholds = {}
    for type in sorted(gold_counts):
        scores = sorted(((score, correct) for name, score, correct in predictions if name == type), reverse=True)
        if gold_counts[type] >= MIN_GOLD and any(correct for _, correct in scores):
            thresholds[type] = best_threshold(scores, gold_counts[type])
    return thresholds


def best_threshold(scores: Sequence[tuple[float, bool]], gold_count: int) -> float:
    """The threshold with the best F1, half way between two scores; 0 when all predictions together are best.

    `scores` has score and correctness of each prediction of a type, highest score first.
    """
    best, place, correct = -1.0, 0, 0
    for number, (score, right) in enumerate(scores, start=1):
        correct += right
        if number < len(scores) and scores[number][0] == score:
            continue  # equal scores are kept or dropped together
        f1 = 2 * correct / (number + gold_count)
        if f1 >= best:
            best, place = f1, number
    if place == len(scores):
        return 0.0
    upper, lower = scores[place - 1][0], scores[place][0]
    return middle if (middle := (upper + lower) / 2) > lower else upper  # the smallest numbers have no middle


def expected_calibration_error(predictions: Sequence[ScoredPrediction]) -> float:
    """The mean distance of score and share of correct over bins, by count (Naeini et al. 2015; Guo et al. 2017, eq. 3)."""
    return sum(count * abs(mean - share) for count, mean, share in reliability(predictions)) / max(1, len(predictions))


def reliability(predictions: Sequence[ScoredPrediction]) -> list[tuple[int, float, float]]:
    """(count, mean score, share of correct predictions) of each of ten bins of scores; zeros for an empty one."""
    bins: list[list[ScoredPrediction]] = [[] for _ in range(BINS)]
    for prediction in predictions:
        bins[min(int(prediction.score * BINS), BINS - 1)].append(prediction)
    return [(len(items), _mean(item.score for item in items), _mean(item.correct for item in items)) for items in bins]


def _mean(values: Iterable[float]) -> float:
    numbers = list(values)
    return sum(numbers) / len(numbers) if numbers else 0.0


def _report(predictions: Sequence[ScoredPrediction], temperature: float) -> dict[str, Any]:
    both = {"before": predictions, "after": _calibrate(predictions, temperature)}
    return {"found": len(predictions),
            "temperature": round(temperature, 4),
            "ece": {when: round(expected_calibration_error(items), 4) for when, items in both.items()},
            "bins": {when: [[count, round(mean, 4), round(share, 4)] for count, mean, share in reliability(items)]
                     for when, items in both.items()}}
