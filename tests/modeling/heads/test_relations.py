from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from conjoin.modeling.heads.spans import Spans
from torch import nn

from conjoin.document import Entity, Relation
from conjoin.modeling.heads.relations import DISTANCES, PairFeatures, Projections, RelationHead
from conjoin.modeling.nn.layers import SpanPooling
from conjoin.modeling.nn.pairs import Biaffine
from conjoin.schema import Schema

CPU = torch.device("cpu")
ANN, BOB, ROME = Entity("Peop", 0, 1), Entity("Peop", 2, 4), Entity("Loc", 5, 6)
SCHEMA = Schema(
    ("Loc", "Peop"),
    ("Live_In", "Married", "Work_In"),
    frozenset({"Married"}),
    {"Live_In": frozenset({("Peop", "Loc")}), "Married": frozenset({("Peop", "Peop")}),
     "Work_In": frozenset({("Peop", "Loc")})},
)
NONE = PairFeatures(4, context=False, distance=0, dropout=0.0)


def spans_of(*rows: list[Entity]) -> Spans:
    return Spans.of(rows, SCHEMA.entity_types, CPU)


def head(schema: Schema = SCHEMA, **changes: Any) -> RelationHead:
    decision = changes.get("decision", "softmax")
    settings: dict[str, Any] = {
        "pooling": SpanPooling(4, how="last"),
        "labels": None,
        "projections": Projections(nn.Identity(), nn.Identity(), 4),
        "features": NONE,
        "scorer": Biaffine(4, len(schema.relation_types) + (decision == "softmax")),
        "decision": "softmax",
        "threshold": None,
        "dropout": 0.0,
        "constrain": False,
    }
    return RelationHead(schema, **(settings | changes))


def named(spans: Spans, pairs: torch.Tensor) -> list[tuple[Entity, Entity]]:
    flat = [entity for row in spans.entities for entity in row]
    return [(flat[head], flat[tail]) for head, tail in pairs.T.tolist()]


def test_spans_are_flat_row_by_row() -> None:
    spans = spans_of([ANN, ROME], [], [BOB])
    assert len(spans) == 3
    assert [spans.rows.tolist(), spans.starts.tolist(), spans.ends.tolist(), spans.types.tolist(), spans.counts.tolist()] \
        == [[0, 0, 2], [0, 5, 2], [1, 6, 4], [1, 0, 1], [2, 0, 1]]


def test_without_constraints_all_ordered_pairs_are_candidates() -> None:
    spans = spans_of([ANN, BOB, ROME])
    assert len(named(spans, head().candidates(spans))) == 6


def test_with_constraints_only_pairs_that_some_type_allows() -> None:
    spans = spans_of([ANN, BOB, ROME])
    # Married is symmetric: Ann → Bob only; nothing starts at a Loc.
    assert named(spans, head(constrain=True).candidates(spans)) == [(ANN, BOB), (ANN, ROME), (BOB, ROME)]


def test_entity_vectors_are_dropped_out_in_training_only() -> None:
    """Crone 2020, §3.4; no other dropout is on here."""
    tagger = head(dropout=0.5)
    spans = spans_of([ANN, BOB, ROME])
    pairs, states = tagger.candidates(spans), torch.randn(1, 6, 4)
    assert not torch.equal(tagger(states, spans, None, pairs), tagger(states, spans, None, pairs))
    tagger.eval()
    assert torch.equal(tagger(states, spans, None, pairs), tagger(states, spans, None, pairs))


def test_targets() -> None:
    tagger = head()
    spans = spans_of([ROME], [ANN, BOB, ROME])
    pairs = tagger.candidates(spans)
    live, work = Relation("Live_In", ANN, ROME), Relation("Work_In", ANN, ROME)
    married = Relation("Married", BOB, ANN)  # not in canonical order
    targets = tagger.targets(spans, pairs, [[], [live, live, work, married]])
    cells = {(pair, SCHEMA.relation_types[column])
             for pair, row in zip(named(spans, pairs), targets.tolist(), strict=True)
             for column, value in enumerate(row) if value}
    assert cells == {((ANN, ROME), "Live_In"), ((ANN, ROME), "Work_In"), ((ANN, BOB), "Married")}
    assert targets.max() == 1


def test_targets_of_relations_whose_entities_were_not_proposed() -> None:
    """They are no rows of the loss (the metrics count them as missed), whether one argument is gone or has another type
    or other words."""
    tagger = head()
    wrong_type, wrong_words = Entity("Loc", 0, 1), Entity("Peop", 3, 4)
    spans = spans_of([wrong_type, wrong_words, ROME])
    gold = [[Relation("Live_In", ANN, ROME), Relation("Live_In", BOB, ROME), Relation("Married", ANN, BOB)]]
    assert not tagger.targets(spans, tagger.candidates(spans), gold).any()


def test_targets_never_cross_rows() -> None:
    tagger = head()
    spans = spans_of([ANN, ROME], [ANN, ROME])
    pairs = tagger.candidates(spans)
    targets = tagger.targets(spans, pairs, [[], [Relation("Live_In", ANN, ROME)]])
    row = spans.rows[pairs[0]][targets.any(1)]
    assert row.tolist() == [1]


def test_targets_of_a_relation_that_no_signature_allows() -> None:
    tagger = head(constrain=True)
    spans = spans_of([ANN, ROME])
    pairs = tagger.candidates(spans)
    assert not tagger.targets(spans, pairs, [[Relation("Live_In", ROME, ANN)]]).any()


def test_targets_when_an_entity_is_proposed_twice() -> None:
    tagger = head()
    spans = spans_of([ANN, ANN, ROME, BOB])
    pairs = tagger.candidates(spans)
    targets = tagger.targets(spans, pairs, [[Relation("Live_In", BOB, ROME)]])
    assert [pair for pair, row in zip(named(spans, pairs), targets, strict=True) if row.any()] == [(BOB, ROME)]


def test_targets_without_candidates_or_relations() -> None:
    tagger = head()
    alone = spans_of([ANN], [])
    pairs = tagger.candidates(alone)
    assert tagger.targets(alone, pairs, [[], []]).shape == (0, 3)
    both = spans_of([ANN, BOB])
    assert not tagger.targets(both, tagger.candidates(both), [[]]).any()


def test_softmax_loss_by_hand() -> None:
    # Pair 0 holds relation 1 (class 2 after NEG), pair 1 none (class 0):
    # logits (0, 0, ln 2, 0): p(class 2) = 2/5; logits (ln 3, 0, 0, 0): p(NEG) = 3/6.
    scores = torch.tensor([[0, 0, math.log(2), 0], [math.log(3), 0, 0, 0]])
    targets = torch.tensor([[0, 1, 0], [0, 0, 0]])
    assert head().loss(scores, targets).mean.item() == pytest.approx(-(math.log(2 / 5) + math.log(1 / 2)) / 2)


def test_softmax_loss_takes_the_first_of_several_types() -> None:
    scores = torch.tensor([[0, math.log(2), 0, 0]])
    assert head().loss(scores, torch.tensor([[1, 0, 1]])).mean.item() == pytest.approx(-math.log(2 / 5))


def test_sigmoid_loss_by_hand() -> None:
    # Probabilities 3/4 and 1/2 of cells that hold and do not hold, 1/5 of one that holds, 1/2 three times.
    scores = torch.tensor([[math.log(3), 0.0, -math.log(4)], [0.0, 0.0, 0.0]])
    targets = torch.tensor([[1, 0, 1], [1, 0, 0]])
    expected = -(math.log(3 / 4) + math.log(1 / 2) + math.log(1 / 5) + 3 * math.log(1 / 2)) / 6
    assert head(decision="sigmoid").loss(scores, targets).mean.item() == pytest.approx(expected)


@pytest.mark.parametrize("decision", ["softmax", "sigmoid"])
@pytest.mark.parametrize("rows", [[[]], [[ANN]], [[ANN], [BOB], []]])
@pytest.mark.parametrize("context", [False, True])
def test_no_candidates_give_loss_zero_with_a_gradient(decision: str, rows: list[list[Entity]], context: bool) -> None:
    features = PairFeatures(4, context=context, distance=2 * context, dropout=0.0)
    outputs = 3 + (decision == "softmax")
    tagger = head(decision=decision, features=features, scorer=Biaffine(4, outputs, features=features.width))
    spans = spans_of(*rows)
    pairs = tagger.candidates(spans)
    scores = tagger(torch.randn(len(rows), 6, 4), spans, None, pairs)
    assert scores.shape == (0, outputs)
    loss = tagger.loss(scores, tagger.targets(spans, pairs, [[] for _ in rows])).mean
    assert loss.item() == 0
    loss.backward()
    assert tagger.scorer.head.weight.grad is not None
    assert tagger.decode(scores, spans, pairs) == [[] for _ in rows]


def scores_for(tagger: RelationHead, spans: Spans, wanted: dict[tuple[Entity, Entity], list[float]]) -> Any:
    """Candidates and scores: as wanted, or a sure NEG (softmax), a sure no (sigmoid)."""
    pairs = tagger.candidates(spans)
    sure = [9.0, 0, 0, 0] if tagger.decision == "softmax" else [-9.0] * 3
    return torch.tensor([wanted.get(pair, sure) for pair in named(spans, pairs)]), pairs


def test_softmax_decode_takes_the_best_class_or_the_best_type_above_a_threshold() -> None:
    tagger = head()
    spans = spans_of([], [ANN, ROME])
    # p(Live_In) = 3/6 beats NEG; p(Work_In) = 1.5/3.5 too, for Married is symmetric and out of the question backwards.
    scores, pairs = scores_for(tagger, spans, {(ANN, ROME): [0, math.log(3), 0, 0], (ROME, ANN): [0, 0, 5, math.log(1.5)]})
    found = tagger.decode(scores, spans, pairs)
    assert found == [[], [Relation("Live_In", ANN, ROME), Relation("Work_In", ROME, ANN)]]
    assert [relation.score for relation in found[1]] == pytest.approx([0.5, 1.5 / 3.5])
    tagger.threshold = 0.45
    assert tagger.decode(scores, spans, pairs) == [[], [Relation("Live_In", ANN, ROME)]]
    tagger.threshold = 0.51
    assert tagger.decode(scores, spans, pairs) == [[], []]


def test_a_threshold_below_that_of_neg_finds_more() -> None:
    """p(NEG) = 4/8 is the best class, p(Live_In) = 2/8 the best type: predicted above a threshold of 0.2 only."""
    tagger = head()
    spans = spans_of([ANN, ROME])
    scores, pairs = scores_for(tagger, spans, {(ANN, ROME): [math.log(4), math.log(2), 0, 0]})
    assert tagger.decode(scores, spans, pairs) == [[]]
    tagger.threshold = 0.2
    assert tagger.decode(scores, spans, pairs) == [[Relation("Live_In", ANN, ROME)]]
    tagger.threshold = 0.3
    assert tagger.decode(scores, spans, pairs) == [[]]


def test_sigmoid_decides_at_one_half_unless_told() -> None:
    tagger = head(decision="sigmoid")
    spans = spans_of([ANN, ROME])
    scores, pairs = scores_for(tagger, spans, {(ANN, ROME): [0.1, -0.1, 0.0]})
    assert tagger.decode(scores, spans, pairs) == [[Relation("Live_In", ANN, ROME)]]


def test_sigmoid_decode_gives_every_type_above_the_threshold() -> None:
    tagger = head(decision="sigmoid", threshold=0.6)
    spans = spans_of([ANN, ROME])
    scores, pairs = scores_for(tagger, spans, {(ANN, ROME): [math.log(3), math.log(1.4), math.log(4)]})
    found = tagger.decode(scores, spans, pairs)
    assert found == [[Relation("Live_In", ANN, ROME), Relation("Work_In", ANN, ROME)]]
    assert [relation.score for relation in found[0]] == pytest.approx([0.75, 0.8])


@pytest.mark.parametrize("decision", ["softmax", "sigmoid"])
def test_decode_masks_what_the_signatures_forbid(decision: str) -> None:
    """The best class of Ann → Rome is Married, which no signature allows: the best allowed one stands in."""
    tagger = head(decision=decision, constrain=True)
    spans = spans_of([ANN, ROME])
    wanted = [1.0, 9.0, -1.0] if decision == "sigmoid" else [0.0, 1.0, 9.0, 0.5]
    scores, pairs = scores_for(tagger, spans, {(ANN, ROME): wanted})
    found = tagger.decode(scores, spans, pairs)
    assert Relation("Live_In", ANN, ROME) in found[0]
    assert all(relation.type != "Married" for relation in found[0])
    if decision == "softmax":  # the probability is among what is allowed: e / (1 + e + √e)
        assert found[0][0].score == pytest.approx(math.e / (1 + math.e + math.exp(0.5)))


@pytest.mark.parametrize("decision", ["softmax", "sigmoid"])
def test_symmetric_types_are_predicted_forwards_only(decision: str) -> None:
    tagger = head(decision=decision)
    spans = spans_of([BOB, ANN])
    sure = [-9.0, 9, -9] if decision == "sigmoid" else [0.0, 0, 9, 0]
    scores, pairs = scores_for(tagger, spans, {(ANN, BOB): sure, (BOB, ANN): sure})
    assert tagger.decode(scores, spans, pairs) == [[Relation("Married", ANN, BOB)]]


def test_symmetric_order_of_two_entities_on_the_same_words() -> None:
    """The union of gold and predicted entities may hold one span twice; the canonical order then goes by type name."""
    peop, loc = Entity("Peop", 0, 1), Entity("Loc", 0, 1)
    tagger = head(decision="sigmoid")
    spans = spans_of([peop, loc])
    scores, pairs = scores_for(tagger, spans, {(peop, loc): [-9.0, 9, -9], (loc, peop): [-9.0, 9, -9]})
    assert tagger.decode(scores, spans, pairs) == [[Relation("Married", loc, peop)]]


def test_many_candidates_are_scored_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    features = PairFeatures(4, context=True, distance=3, dropout=0.0)
    tagger = head(features=features, scorer=Biaffine(4, 4, features=features.width))
    spans = spans_of([Entity("Loc", word, word + 1) for word in range(6)])
    states, pairs = torch.randn(1, 6, 4), tagger.candidates(spans)
    whole = tagger(states, spans, None, pairs)
    monkeypatch.setattr("conjoin.modeling.heads.relations.PAIRS_AT_ONCE", 7)
    torch.testing.assert_close(tagger(states, spans, None, pairs), whole)


def test_distance_is_signed_and_grows_with_the_words_between() -> None:
    features = PairFeatures(4, context=False, distance=1, dropout=0.0)
    assert features.distance is not None
    with torch.no_grad():
        features.distance.weight.copy_(torch.arange(2 * (len(DISTANCES) + 1)).unsqueeze(1))
    backwards, forwards = 0, len(DISTANCES) + 1
    # Words between: Ann (0-1) and Bob (2-4): 1; Ann and the Loc at 6: 5; a nested pair: 0; a pair 60 words apart: 59.
    far, inner = Entity("Loc", 60, 61), Entity("Loc", 3, 4)
    spans = spans_of([ANN, BOB, Entity("Loc", 6, 7), far, inner])
    pairs = torch.tensor([[0, 1, 0, 2, 1, 4, 0], [1, 0, 2, 0, 4, 1, 3]])
    found = features(torch.zeros(1, 61, 4), spans, pairs)
    bucket_of_five = DISTANCES.index(5)
    assert found.squeeze(1).tolist() == [
        forwards, backwards, forwards + bucket_of_five, backwards + bucket_of_five, forwards, backwards,
        forwards + len(DISTANCES),
    ]


def test_context_is_the_maximum_over_the_words_strictly_between() -> None:
    features = PairFeatures(2, context=True, distance=0, dropout=0.0)
    states = torch.tensor([[[9.0, 9], [1, 4], [3, 2], [8, 8], [7, 7]], [[0.0, 0], [-1, -2], [0, 0], [0, 0], [0, 0]]])
    spans = spans_of([Entity("Loc", 0, 1), Entity("Loc", 3, 5)], [Entity("Loc", 0, 1), Entity("Loc", 2, 3),
                                                                  Entity("Loc", 2, 4)])
    pairs = torch.tensor([[0, 1, 2, 3], [1, 0, 3, 4]])
    # Row 0, words 1 and 2, both ways; row 1, word 1; two overlapping entities have nothing between them.
    assert features(states, spans, pairs).tolist() == [[3, 4], [3, 4], [-1, -2], [0, 0]]


def test_features_are_joined_and_may_be_absent() -> None:
    spans = spans_of([ANN, BOB])
    pairs = torch.tensor([[0], [1]])
    assert NONE(torch.zeros(1, 6, 4), spans, pairs) is None
    features = PairFeatures(4, context=True, distance=3, dropout=0.0)
    assert features(torch.zeros(1, 6, 4), spans, pairs).shape == (1, 7) == (1, features.width)
