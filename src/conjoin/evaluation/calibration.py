"""Scores that mean what they say, and the least score of each type: fitted on annotated documents, applied to what a model
finds.

A score p becomes sigmoid(logit(p) / T), with one temperature T for entities and one for relations (Guo et al. 2017, §4.2,
on the score of what was found rather than on all classes). Least scores are those with the best F1 of each type.
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
MIN_FOUND = 20  # with fewer found a task keeps temperature 1
MIN_GOLD = 10  # with fewer annotated a type keeps its least score
_EDGE = 1e-6
_HOTTEST = 4.0  # temperatures lie between exp(-4) and exp(4)


class Found(NamedTuple):
    """One thing that was found: its type, its score, and whether it is annotated so."""

    type: str
    score: float
    correct: bool


@dataclass(frozen=True, slots=True)
class Calibration:
    """Temperatures by task, and least scores by task and type, which hold for scores after the temperature.

    `candidates` is the score from which on the model itself is to give relations, or None for its own rule.
    """

    temperatures: Mapping[str, float]
    thresholds: Mapping[str, Mapping[str, float]]
    candidates: float | None = None

    def apply(self, document: Document) -> Document:
        """The document with calibrated scores and without what scores too low. What has no score stays as it is."""
        entities: dict[Entity, Entity] = {}
        for entity in document.entities:
            score = self.score("entities", entity.score)
            if at_least(score, self.thresholds["entities"].get(entity.type, 0.0)):
                entities[entity] = replace(entity, score=score)
        relations = []
        for relation in document.relations:
            score = self.score("relations", relation.score)
            there = relation.head in entities and relation.tail in entities
            if there and at_least(score, self.thresholds["relations"].get(relation.type, 0.0)):
                relations.append(Relation(relation.type, entities[relation.head], entities[relation.tail], score))
        return document.annotated(entities.values(), relations)

    def score(self, task: str, score: float | None) -> float | None:
        """A score of a task after its temperature."""
        return None if score is None else cooled(score, self.temperatures[task])

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {"temperatures": dict(self.temperatures), "candidates": self.candidates,
                "thresholds": {task: dict(types) for task, types in self.thresholds.items()}}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Calibration:
        """The calibration that `to_json` gave. Raises `LookupError`, `TypeError` or `ValueError` for anything else."""
        temperatures = {task: float(value["temperatures"][task]) for task in TASKS}
        thresholds = {
            task: {str(type): float(least) for type, least in value["thresholds"][task].items()} for task in TASKS
        }
        least = value["candidates"]
        numbers = [*temperatures.values(), *(number for types in thresholds.values() for number in types.values())]
        if not all(map(math.isfinite, numbers)) or min(temperatures.values()) <= 0:
            raise ValueError("temperatures and least scores must be numbers, temperatures above 0")
        return cls(temperatures, thresholds, None if least is None else float(least))


def cooled(score: float, temperature: float) -> float:
    """sigmoid(logit(score) / temperature)."""
    if temperature == 1:
        return score
    inner = min(max(score, _EDGE), 1 - _EDGE)
    return 1 / (1 + math.exp(-math.log(inner / (1 - inner)) / temperature))


def fit(
    gold: Sequence[Document],
    predicted: Sequence[Document],
    *,
    relation_types: Iterable[str],
    symmetric: frozenset[str] = frozenset(),
    least: float | None = None,
    candidates: float | None = None,
) -> tuple[Calibration, dict[str, Any]]:
    """Fit temperatures and least scores; returns what was fitted, and what it does on these documents.

    `predicted` are uncalibrated, with all relations from `candidates` on; `least` is the model's own least score, which
    types with too few annotations keep. The report has for each task `found`, `temperature`, `ece` before and after,
    and `bins` before and after: rows of (count, mean score, share of correct).
    """
    found = {"entities": _entities(gold, predicted), "relations": _relations(gold, predicted, symmetric)}
    temperatures = {task: fit_temperature(some) for task, some in found.items()}
    told = {task: _told(some, temperatures[task]) for task, some in found.items()}
    of_entities = _thresholds(_cooled(found["entities"], temperatures["entities"]),
                              Counter(entity.type for document in gold for entity in document.entities))
    calibration = Calibration(temperatures, {"entities": of_entities, "relations": {}})
    left = [calibration.apply(document) for document in predicted]  # relations whose entities stay
    of_relations = _thresholds(_relations(gold, left, symmetric),
                               Counter(relation.type for document in gold for relation in document.relations))
    if least is not None:
        of_relations = dict.fromkeys(relation_types, cooled(least, temperatures["relations"])) | of_relations
    thresholds = {"entities": of_entities, "relations": of_relations}
    return Calibration(temperatures, thresholds, None if least is None else candidates), told


def _entities(gold: Sequence[Document], predicted: Sequence[Document]) -> list[Found]:
    return [
        Found(entity.type, entity.score, entity in known)
        for known, document in zip((set(document.entities) for document in gold), predicted, strict=True)
        for entity in document.entities if entity.score is not None
    ]


def _relations(gold: Sequence[Document], predicted: Sequence[Document], symmetric: frozenset[str]) -> list[Found]:
    links = ({canonical(relation, symmetric) for relation in document.relations} for document in gold)
    return [
        Found(relation.type, relation.score, canonical(relation, symmetric) in known)
        for known, document in zip(links, predicted, strict=True)
        for relation in document.relations if relation.score is not None
    ]


def _cooled(found: Sequence[Found], temperature: float) -> list[Found]:
    return [one._replace(score=cooled(one.score, temperature)) for one in found]


def fit_temperature(found: Sequence[Found]) -> float:
    """The temperature under which what was found is most likely correct or not as it is; 1 for too few, and where that
    temperature would raise the error of calibration, which a likelihood alone does not rule out."""
    if len(found) < MIN_FOUND:
        return 1.0
    likeliest = _likeliest(found)
    before, after = (expected_calibration_error(some) for some in (found, _cooled(found, likeliest)))
    return likeliest if after < before else 1.0


def _likeliest(found: Sequence[Found]) -> float:
    low, high = -_HOTTEST, _HOTTEST
    golden = (math.sqrt(5) - 1) / 2
    for _ in range(60):  # the loss is convex in 1/T, so it has one valley in log T
        left, right = high - golden * (high - low), low + golden * (high - low)
        if _surprise(found, math.exp(left)) <= _surprise(found, math.exp(right)):
            high = right
        else:
            low = left
    return math.exp((low + high) / 2)


def _surprise(found: Sequence[Found], temperature: float) -> float:
    """The sum of negative logarithms of the probabilities that were given to what is."""
    total = 0.0
    for _, score, correct in found:
        inner = min(max(score, _EDGE), 1 - _EDGE)
        logit = math.log(inner / (1 - inner)) / temperature
        total += math.log1p(math.exp(-abs(logit))) + max(0.0, -logit if correct else logit)
    return total


def _thresholds(found: Sequence[Found], annotated: Mapping[str, int]) -> dict[str, float]:
    """For each type that is annotated often enough and found at all, the least score with the best F1, half way to the
    next lower score."""
    result = {}
    for type in sorted(annotated):
        scores = sorted(((one.score, one.correct) for one in found if one.type == type), reverse=True)
        if annotated[type] >= MIN_GOLD and any(correct for _, correct in scores):
            result[type] = best_threshold(scores, annotated[type])
    return result


def best_threshold(scores: Sequence[tuple[float, bool]], annotated: int) -> float:
    """The least score with the best F1 on (score, correct), highest first, of a type with so many annotated; of equals the
    lowest, and 0 when everything is best kept."""
    best, place, correct = -1.0, 0, 0
    for number, (score, right) in enumerate(scores, start=1):
        correct += right
        if number < len(scores) and scores[number][0] == score:
            continue  # what scores the same stands or falls together
        f1 = 2 * correct / (number + annotated)
        if f1 >= best:
            best, place = f1, number
    return 0.0 if place == len(scores) else (scores[place - 1][0] + scores[place][0]) / 2


def expected_calibration_error(found: Sequence[Found]) -> float:
    """The mean distance of score and share of correct over bins, by count (Naeini et al. 2015; Guo et al. 2017, eq. 3)."""
    return sum(count * abs(mean - share) for count, mean, share in reliability(found)) / max(1, len(found))


def reliability(found: Sequence[Found]) -> list[tuple[int, float, float]]:
    """(count, mean score, share of correct) of each of ten bins of scores; zeros for an empty one."""
    bins: list[list[Found]] = [[] for _ in range(BINS)]
    for one in found:
        bins[min(int(one.score * BINS), BINS - 1)].append(one)
    return [
        (len(held), sum(one.score for one in held) / len(held), sum(one.correct for one in held) / len(held))
        if held else (0, 0.0, 0.0)
        for held in bins
    ]


def _told(found: Sequence[Found], temperature: float) -> dict[str, Any]:
    both = {"before": found, "after": _cooled(found, temperature)}
    return {
        "found": len(found),
        "temperature": round(temperature, 4),
        "ece": {when: round(expected_calibration_error(some), 4) for when, some in both.items()},
        "bins": {when: _rows(some) for when, some in both.items()},
    }


def _rows(found: Sequence[Found]) -> list[list[float]]:
    return [[count, round(mean, 4), round(share, 4)] for count, mean, share in reliability(found)]
