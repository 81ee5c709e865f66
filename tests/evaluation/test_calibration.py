"""Temperatures, least scores and reliability: by hand, against a search, and on documents."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conjoin import Extractor
from conjoin.document import Document, Entity, Relation
from conjoin.errors import DataError
from conjoin.evaluation.calibration import (
    MIN_PREDICTIONS,
    Calibration,
    ScoredPrediction,
    _most_likely,
    best_threshold,
    calibrate,
    expected_calibration_error,
    fit,
    fit_temperature,
    reliability,
)

SCORED = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=12)


@given(SCORED, st.integers(0, 5))
@settings(deadline=None)
def test_the_least_score_is_the_best_of_all_cuts(scores: list[tuple[float, bool]], missed: int) -> None:
    scores = sorted(scores, reverse=True)
    annotated = sum(correct for _, correct in scores) + missed

    def f1(least: float) -> float:
        kept = [correct for score, correct in scores if score >= least]
        return 2 * sum(kept) / (len(kept) + annotated) if kept or annotated else 0.0

    found = best_threshold(scores, annotated)
    assert f1(found) == pytest.approx(max(f1(least) for least in (0.0, *(score for score, _ in scores))))


def test_the_least_score_by_hand() -> None:
    scores = [(0.9, True), (0.8, True), (0.4, False), (0.2, False)]
    assert best_threshold(scores, 2) == pytest.approx(0.6)  # 2·2/(2+2) = 1
    assert best_threshold([(0.9, True), (0.4, True)], 2) == 0.0
    assert best_threshold([(5e-324, True), (0.0, False)], 1) == 5e-324, "the smallest numbers have no middle"


def test_cooling_keeps_the_order_and_the_middle() -> None:
    assert calibrate(0.5, 3.0) == pytest.approx(0.5)
    assert calibrate(0.9, 2.0) == pytest.approx(0.75)  # odds 9 → √9 = 3
    assert calibrate(0.9, 0.5) == pytest.approx(81 / 82)
    assert 0 < calibrate(0.0, 2.0) < calibrate(0.1, 2.0) < calibrate(1.0, 2.0) < 1


def test_the_temperature_that_made_scores_too_sure_is_found() -> None:
    chance = random.Random(0)
    found = []
    for _ in range(20_000):
        truth = chance.uniform(0.02, 0.98)
        found.append(ScoredPrediction("A", calibrate(truth, 1 / 2.5), chance.random() < truth))
    assert fit_temperature(found) == pytest.approx(2.5, rel=0.05)
    after = [one._replace(score=calibrate(one.score, 2.5)) for one in found]
    assert expected_calibration_error(found) > 0.08 > 0.02 > expected_calibration_error(after)


def test_too_few_keep_their_scores() -> None:
    assert fit_temperature([ScoredPrediction("A", 0.9, False)] * (MIN_PREDICTIONS - 1)) == 1.0
    assert fit_temperature([ScoredPrediction("A", 0.9, False)] * MIN_PREDICTIONS) == pytest.approx(math.exp(4.0), rel=0.01)


def test_a_temperature_that_would_raise_the_error_of_calibration_is_not_taken() -> None:
    sure = [ScoredPrediction("A", 0.99, True)] * 95 + [ScoredPrediction("A", 0.99, False)] * 5
    unsure = [ScoredPrediction("A", 0.7, True)] * 70 + [ScoredPrediction("A", 0.7, False)] * 30  # right as they are
    likeliest = _most_likely([*sure, *unsure])
    after = [one._replace(score=calibrate(one.score, likeliest)) for one in (*sure, *unsure)]
    assert expected_calibration_error(after) > expected_calibration_error([*sure, *unsure])
    assert likeliest != 1.0 == fit_temperature([*sure, *unsure])


def test_reliability_by_hand() -> None:
    found = [ScoredPrediction("A", 0.95, True), ScoredPrediction("A", 1.0, False), ScoredPrediction("B", 0.32, True)]
    rows = reliability(found)
    assert rows[9] == (2, 0.975, 0.5)
    assert rows[3] == (1, 0.32, 1.0)
    assert sum(count for count, _, _ in rows) == 3
    assert expected_calibration_error(found) == pytest.approx((2 * 0.475 + 0.68) / 3)
    assert expected_calibration_error([]) == 0.0


def documents(sure: bool) -> tuple[list[Document], list[Document]]:
    """Gold and predicted: entities A at 0.9, right; B at 0.6, every other one wrong; relations r at 0.3, right."""
    gold, predicted = [], []
    for number in range(30):
        words = ["a", "b", "c", "d"]
        right = [Entity("A", 0, 1), Entity("A", 1, 2)] + ([Entity("B", 2, 3)] if number % 2 else [])
        gold.append(Document.from_words(words, right, [Relation("r", right[1], right[0])]))
        found = [Entity("A", 0, 1, 0.9), Entity("A", 1, 2, 0.9), Entity("B", 2, 3, 0.6 if number % 2 else 0.4)]
        relations = [Relation("r", found[0], found[1], 0.3), Relation("r", found[0], found[2], 0.1)]
        predicted.append(Document.from_words(words, found, relations))
    return gold, predicted


def test_fitting_on_documents() -> None:
    gold, predicted = documents(True)
    fitted, told = fit(gold, predicted, relation_types=["r", "s"], symmetric=frozenset({"r"}), threshold=0.5,
                       candidates=0.05)
    assert fitted.candidates == 0.05
    least = fitted.thresholds["entities"]
    assert least["A"] == 0.0
    assert fitted.score("entities", 0.4) < least["B"] < fitted.score("entities", 0.6)  # type: ignore[operator]
    of_relations = fitted.thresholds["relations"]
    assert of_relations["s"] == pytest.approx(0.5), "not annotated: as the model has it"
    assert of_relations["r"] < fitted.score("relations", 0.3)  # type: ignore[operator]
    assert [fitted.apply(document) for document in predicted] == [
        document.annotated(document.entities, [Relation("r", document.entities[0], document.entities[1])])
        for document in gold
    ]
    assert told["entities"]["found"] == 90
    assert told["entities"]["ece"]["after"] < told["entities"]["ece"]["before"]
    assert Calibration.from_json(fitted.to_json()) == fitted


def test_what_has_no_score_stays() -> None:
    document = Document.from_words(["a", "b"], [Entity("A", 0, 1), Entity("A", 1, 2)])
    strict = Calibration({"entities": 2.0, "relations": 1.0}, {"entities": {"A": 0.99}, "relations": {}})
    assert strict.apply(document) == document


def test_an_entity_that_falls_takes_its_relations_along() -> None:
    entities = [Entity("A", 0, 1, 0.9), Entity("B", 1, 2, 0.5)]
    document = Document.from_words(["a", "b"], entities, [Relation("r", *entities, 0.9)])
    strict = Calibration({"entities": 1.0, "relations": 1.0}, {"entities": {"B": 0.6}, "relations": {}})
    found = strict.apply(document)
    assert [entity.type for entity in found.entities] == ["A"] and not found.relations


def test_a_type_that_is_never_found_right_keeps_the_least_score_of_the_model() -> None:
    entities = [Entity("A", 0, 1, 0.9), Entity("A", 1, 2, 0.9)]
    one = Document.from_words(["a", "b", "c"], entities, [Relation("r", *entities)])
    wrong = one.annotated(entities, [Relation("r", entities[1], entities[0], 0.2)])
    fitted, _ = fit([one] * 30, [wrong] * 30, relation_types=["r"], threshold=0.5, candidates=0.05)
    assert fitted.thresholds["relations"]["r"] == pytest.approx(fitted.score("relations", 0.5))


def test_nothing_to_fit_on_is_an_error_and_changes_nothing(trained_run: Path) -> None:
    extractor = Extractor.load(trained_run)
    before = extractor.annotator
    with pytest.raises(DataError, match="no documents to calibrate on"):
        extractor.calibrate([])
    with pytest.raises(DataError, match="for none holds an entity"):
        extractor.calibrate([Document.from_words(["Oslo"])])
    assert extractor.annotator is before


@pytest.mark.parametrize("change", [{"temperatures": {"entities": 0.0, "relations": 1.0}}, {"thresholds": {}}])
def test_what_is_no_calibration(change: dict[str, object]) -> None:
    good = Calibration({"entities": 1.0, "relations": 1.0}, {"entities": {}, "relations": {}}).to_json()
    with pytest.raises((LookupError, TypeError, ValueError)):
        Calibration.from_json(good | change)
