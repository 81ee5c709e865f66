"""Candidates, targets and decisions on relations, by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conjoin.decoding.pairs import DISTANCES, RelationDecoder, between, ordered_pairs
from conjoin.decoding.spans import Floats, Numbers, Spans
from conjoin.document import Entity, Relation
from conjoin.schema import Schema

ANN, BOB, ROME = Entity("Peop", 0, 1), Entity("Peop", 2, 4), Entity("Loc", 5, 6)
SCHEMA = Schema(
    ("Loc", "Peop"),
    ("Live_In", "Married", "Work_In"),
    frozenset({"Married"}),
    {"Live_In": frozenset({("Peop", "Loc")}), "Married": frozenset({("Peop", "Peop")}),
     "Work_In": frozenset({("Peop", "Loc")})},
)
Pair = tuple[Entity, Entity]


def decoder_of(**changes: Any) -> RelationDecoder:
    settings: dict[str, Any] = {"constrain": False, "decision": "softmax", "threshold": None, "labels": None}
    return RelationDecoder.of(SCHEMA, **(settings | changes))


def named(rows: list[list[Entity]], pairs: Numbers) -> list[Pair]:
    flat = [entity for row in rows for entity in row]
    return [(flat[head], flat[tail]) for head, tail in pairs.T.tolist()]


def candidates(decoder: RelationDecoder, *rows: list[Entity]) -> list[Pair]:
    return named(list(rows), decoder.candidates(rows)[1])


# --- candidates --------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 6), max_size=6))
@settings(deadline=None)
def test_ordered_pairs_are_the_permutations_of_each_row(counts: list[int]) -> None:
    expected, offset = [], 0
    for count in counts:
        expected += list(permutations(range(offset, offset + count), 2))
        offset += count
    pairs = ordered_pairs(np.array(counts, dtype=np.int64))
    assert pairs.shape[0] == 2
    assert list(zip(*pairs.tolist(), strict=True)) == expected


def test_rows_with_no_one_and_three_spans() -> None:
    # Span 0 stands alone in row 1; spans 1, 2, 3 share row 2.
    assert ordered_pairs(np.array([0, 1, 3])).tolist() == [[1, 1, 2, 2, 3, 3], [2, 3, 1, 3, 1, 2]]
    assert ordered_pairs(np.array([0, 1, 0])).shape == (2, 0)


def test_without_constraints_all_ordered_pairs_are_candidates() -> None:
    assert len(candidates(decoder_of(), [ANN, BOB, ROME])) == 6


def test_with_constraints_only_pairs_that_some_type_allows() -> None:
    # Married is symmetric: Ann → Bob only; nothing starts at a Loc.
    assert candidates(decoder_of(constrain=True), [ANN, BOB, ROME]) == [(ANN, BOB), (ANN, ROME), (BOB, ROME)]


def test_candidates_never_cross_rows() -> None:
    assert candidates(decoder_of(), [ANN], [], [BOB, ROME]) == [(BOB, ROME), (ROME, BOB)]


def test_labels_go_by_type_and_by_the_number_of_words() -> None:
    spans, _ = decoder_of(labels=np.array([[10, 11], [20, 21]])).candidates([[ANN, BOB], [ROME]])
    assert spans.labels is not None and spans.labels.tolist() == [20, 21, 10]
    assert decoder_of().candidates([[ANN]])[0].labels is None


# --- targets -----------------------------------------------------------------------------------------------------


def targets_of(decoder: RelationDecoder, rows: list[list[Entity]], relations: list[list[Relation]]) -> Numbers:
    return decoder.targets(*decoder.candidates(rows), rows, relations)


def cells_of(decoder: RelationDecoder, rows: list[list[Entity]], targets: Numbers) -> set[tuple[Pair, str]]:
    pairs = candidates(decoder, *rows)
    return {(pairs[pair], SCHEMA.relation_types[type]) for pair, type in zip(*targets.nonzero(), strict=True)}


def test_targets() -> None:
    rows = [[ROME], [ANN, BOB, ROME]]
    live, work = Relation("Live_In", ANN, ROME), Relation("Work_In", ANN, ROME)
    married = Relation("Married", BOB, ANN)  # not in canonical order
    targets = targets_of(decoder_of(), rows, [[], [live, live, work, married]])
    assert cells_of(decoder_of(), rows, targets) == {
        ((ANN, ROME), "Live_In"), ((ANN, ROME), "Work_In"), ((ANN, BOB), "Married")
    }
    assert targets.max() == 1


def test_targets_of_relations_whose_entities_were_not_proposed() -> None:
    """They are no rows of the loss (the metrics count them as missed), whether one argument is gone or has another type
    or other words."""
    wrong_type, wrong_words = Entity("Loc", 0, 1), Entity("Peop", 3, 4)
    gold = [[Relation("Live_In", ANN, ROME), Relation("Live_In", BOB, ROME), Relation("Married", ANN, BOB)]]
    assert not targets_of(decoder_of(), [[wrong_type, wrong_words, ROME]], gold).any()


def test_targets_never_cross_rows() -> None:
    decoder, rows = decoder_of(), [[ANN, ROME], [ANN, ROME]]
    spans, pairs = decoder.candidates(rows)
    targets = decoder.targets(spans, pairs, rows, [[], [Relation("Live_In", ANN, ROME)]])
    assert spans.rows[pairs[0]][targets.any(1)].tolist() == [1]


def test_targets_of_a_relation_that_no_signature_allows() -> None:
    assert not targets_of(decoder_of(constrain=True), [[ANN, ROME]], [[Relation("Live_In", ROME, ANN)]]).any()


def test_targets_when_an_entity_is_proposed_twice() -> None:
    rows = [[ANN, ANN, ROME, BOB]]
    targets = targets_of(decoder_of(), rows, [[Relation("Live_In", BOB, ROME)]])
    assert [pair for pair, row in zip(candidates(decoder_of(), *rows), targets, strict=True) if row.any()] == [(BOB, ROME)]


def test_targets_without_candidates_or_relations() -> None:
    assert targets_of(decoder_of(), [[ANN], []], [[], []]).shape == (0, 3)
    assert targets_of(decoder_of(), [[ANN], []], [[Relation("Live_In", ANN, ROME)], []]).shape == (0, 3)
    assert not targets_of(decoder_of(), [[ANN, BOB]], [[]]).any()


# --- decisions ---------------------------------------------------------------------------------------------------


def decode(
    decoder: RelationDecoder, rows: list[list[Entity]], scores: dict[Pair, list[float]]
) -> list[list[Relation]]:
    spans, pairs = decoder.candidates(rows)
    return decoder.decode(all_scores(decoder, rows, scores), spans, pairs, rows)


def all_scores(decoder: RelationDecoder, rows: list[list[Entity]], scores: dict[Pair, list[float]]) -> Floats:
    """Scores of all candidates: as given, or a sure NEG (softmax), a sure no (sigmoid)."""
    sure = [9.0, 0, 0, 0] if decoder.decision == "softmax" else [-9.0] * 3
    values = [scores.get(pair, sure) for pair in candidates(decoder, *rows)]
    return np.array(values, dtype=np.float32).reshape(-1, len(sure))


def test_softmax_takes_the_best_class_or_the_best_type_above_a_threshold() -> None:
    decoder, rows = decoder_of(), [[], [ANN, ROME]]
    # p(Live_In) = 3/6 beats NEG; p(Work_In) = 1.5/3.5 too, for Married is symmetric and out of the question backwards.
    scores = {(ANN, ROME): [0, math.log(3), 0, 0], (ROME, ANN): [0, 0, 5, math.log(1.5)]}
    relations = decode(decoder, rows, scores)
    assert relations == [[], [Relation("Live_In", ANN, ROME), Relation("Work_In", ROME, ANN)]]
    assert [relation.score for relation in relations[1]] == pytest.approx([0.5, 1.5 / 3.5])
    assert decode(replace(decoder, threshold=0.45), rows, scores) == [[], [Relation("Live_In", ANN, ROME)]]
    assert decode(replace(decoder, threshold=0.51), rows, scores) == [[], []]


def test_a_threshold_below_that_of_neg_finds_more() -> None:
    """p(NEG) = 4/8 is the best class, p(Live_In) = 2/8 the best type: predicted above a threshold of 0.2 only."""
    rows, scores = [[ANN, ROME]], {(ANN, ROME): [math.log(4), math.log(2), 0, 0]}
    assert decode(decoder_of(), rows, scores) == [[]]
    assert decode(decoder_of(threshold=0.2), rows, scores) == [[Relation("Live_In", ANN, ROME)]]
    assert decode(decoder_of(threshold=0.3), rows, scores) == [[]]


def test_sigmoid_decides_at_one_half_without_a_threshold() -> None:
    decoder = decoder_of(decision="sigmoid")
    assert (decoder.min_score, decoder_of().min_score, decoder_of(threshold=0.3).min_score) == (0.5, None, 0.3)
    assert decode(decoder, [[ANN, ROME]], {(ANN, ROME): [0.1, -0.1, 0.0]}) == [[Relation("Live_In", ANN, ROME)]]


def test_sigmoid_gives_every_type_above_the_threshold() -> None:
    decoder = decoder_of(decision="sigmoid", threshold=0.6)
    relations = decode(decoder, [[ANN, ROME]], {(ANN, ROME): [math.log(3), math.log(1.4), math.log(4)]})
    assert relations == [[Relation("Live_In", ANN, ROME), Relation("Work_In", ANN, ROME)]]
    assert [relation.score for relation in relations[0]] == pytest.approx([0.75, 0.8])


@pytest.mark.parametrize("decision", ["softmax", "sigmoid"])
def test_types_that_the_signatures_forbid_are_never_predicted(decision: str) -> None:
    """The best class of Ann → Rome is Married, which no signature allows: the best allowed one stands in."""
    scores = [1.0, 9.0, -1.0] if decision == "sigmoid" else [0.0, 1.0, 9.0, 0.5]
    relations = decode(decoder_of(decision=decision, constrain=True), [[ANN, ROME]], {(ANN, ROME): scores})
    assert Relation("Live_In", ANN, ROME) in relations[0]
    assert all(relation.type != "Married" for relation in relations[0])
    if decision == "softmax":  # the probability is among what is allowed: e / (1 + e + √e)
        assert relations[0][0].score == pytest.approx(math.e / (1 + math.e + math.exp(0.5)))


@pytest.mark.parametrize("decision", ["softmax", "sigmoid"])
def test_symmetric_types_are_predicted_forwards_only(decision: str) -> None:
    sure = [-9.0, 9, -9] if decision == "sigmoid" else [0.0, 0, 9, 0]
    relations = decode(decoder_of(decision=decision), [[BOB, ANN]], {(ANN, BOB): sure, (BOB, ANN): sure})
    assert relations == [[Relation("Married", ANN, BOB)]]


def test_symmetric_order_of_two_entities_on_the_same_words() -> None:
    """The union of gold and predicted entities may hold one span twice; the canonical order then goes by type name."""
    peop, loc = Entity("Peop", 0, 1), Entity("Loc", 0, 1)
    scores = {(peop, loc): [-9.0, 9, -9], (loc, peop): [-9.0, 9, -9]}
    assert decode(decoder_of(decision="sigmoid"), [[peop, loc]], scores) == [[Relation("Married", loc, peop)]]


def test_symmetric_order_goes_by_the_name_of_a_type_not_by_its_place() -> None:
    schema = Schema(("Peop", "Loc"), ("Near",), symmetric=frozenset({"Near"}))
    decoder = RelationDecoder.of(schema, constrain=False, decision="sigmoid", threshold=None, labels=None)
    peop, loc, longer = Entity("Peop", 0, 1), Entity("Loc", 0, 1), Entity("Loc", 0, 2)
    assert candidates(decoder, [peop, loc]) == [(loc, peop)]
    assert candidates(decoder, [longer, peop]) == [(peop, longer)], "the end comes before the name"


@pytest.mark.parametrize("decision", ["softmax", "sigmoid"])
def test_no_candidates(decision: str) -> None:
    decoder = decoder_of(decision=decision)
    for rows in ([[]], [[ANN]], [[ANN], [BOB], []]):
        assert decode(decoder, rows, {}) == [[] for _ in rows]
        assert decoder.uncertainty(all_scores(decoder, rows, {}), *decoder.candidates(rows)).tolist() == [0] * len(rows)


def test_scores_of_any_size() -> None:
    """No overflow, no warning."""
    scores = [-1e4, 1e4, 0.0]
    [relations] = decode(decoder_of(decision="sigmoid"), [[ANN, BOB]], {(ANN, BOB): scores})
    assert [(relation.type, relation.score) for relation in relations] == [("Married", 1.0)]
    [relations] = decode(decoder_of(), [[ANN, BOB]], {(ANN, BOB): [-1e4, *scores]})
    assert [(relation.type, relation.score) for relation in relations] == [("Married", 1.0)]


# --- uncertainty -------------------------------------------------------------------------------------------------


def uncertainty(decoder: RelationDecoder, rows: list[list[Entity]], scores: dict[Pair, list[float]]) -> list[float]:
    return decoder.uncertainty(all_scores(decoder, rows, scores), *decoder.candidates(rows)).tolist()


def test_uncertainty_under_softmax_is_one_decision_a_pair() -> None:
    rows = [[], [ANN, ROME], [ANN, BOB]]
    # Ann → Rome: Live_In 3 against NEG 1 and Work_In 1, so 2/5 to be wrong; Ann → Bob: NEG 4 against Married 1, so 1/5.
    scores = {(ANN, ROME): [0, math.log(3), 9, 0], (ANN, BOB): [math.log(4), 9, 0, 9]}
    assert uncertainty(decoder_of(constrain=True), rows, scores) == pytest.approx([0, 2 / 5, 1 / 5])


def test_uncertainty_under_sigmoid_is_one_decision_a_pair_and_type() -> None:
    decoder = decoder_of(decision="sigmoid", threshold=0.6)
    # 3/4 predicted: 1/4; 1/2 not predicted: 1/2; 1/5 not predicted: 1/5; what is not possible counts nothing.
    scores = {(ANN, BOB): [math.log(3), 0.0, -math.log(4)], (BOB, ANN): [-99.0, 0.0, -99.0]}
    assert uncertainty(decoder, [[ANN, BOB]], scores) == pytest.approx([1 / 4 + 1 / 2 + 1 / 5])


@pytest.mark.parametrize("decision", ["softmax", "sigmoid"])
def test_uncertainty_of_scores_of_zero(decision: str) -> None:
    """As likely as NEG, or one half each."""
    decoder, rows = decoder_of(decision=decision, constrain=True), [[ANN, ROME]]  # Live_In or Work_In
    expected = 1 - 1 / 3 if decision == "softmax" else 0.5 * 2
    scores = {(ANN, ROME): [0.0] * (4 if decision == "softmax" else 3)}
    assert uncertainty(decoder, rows, scores) == pytest.approx([expected])


# --- words between -----------------------------------------------------------------------------------------------


def test_distance_is_signed_and_grows_with_the_words_between() -> None:
    backwards, forwards = 0, len(DISTANCES) + 1
    # Words between: Ann (0-1) and Bob (2-4): 1; Ann and the Loc at 6: 5; a nested pair: 0; a pair 60 words apart: 59.
    far, inner = Entity("Loc", 60, 61), Entity("Loc", 3, 4)
    spans = Spans.of([[ANN, BOB, Entity("Loc", 6, 7), far, inner]], SCHEMA.entity_types)
    starts, ends, buckets = between(spans, np.array([[0, 1, 0, 2, 1, 4, 0], [1, 0, 2, 0, 4, 1, 3]]))
    bucket_of_five = DISTANCES.index(5)
    assert buckets.tolist() == [
        forwards, backwards, forwards + bucket_of_five, backwards + bucket_of_five, forwards, backwards,
        forwards + len(DISTANCES),
    ]
    assert (ends - starts).tolist() == [1, 1, 5, 5, 0, 0, 59]
    assert starts[:4].tolist() == [1, 1, 1, 1]
