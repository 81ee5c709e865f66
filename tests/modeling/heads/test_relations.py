"""Losses of the relation head, the features of its pairs, and its label embedding."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from conjoin.decoding.pairs import DISTANCES, RelationDecoder, ordered_pairs
from conjoin.decoding.spans import Numbers, Spans
from conjoin.decoding.tags import TagDecoder
from conjoin.document import Entity
from conjoin.modeling.heads.relations import PairFeatures, PairInputs, Projections, RelationHead
from conjoin.modeling.nn.layers import SpanPooling
from conjoin.modeling.nn.pairs import Biaffine
from conjoin.schema import Schema

CPU = torch.device("cpu")
ANN, BOB, ROME = Entity("Peop", 0, 1), Entity("Peop", 2, 4), Entity("Loc", 5, 6)
TYPES = ("Loc", "Peop")
SCHEMA = Schema(TYPES, ("Live_In", "Married", "Work_In"), frozenset({"Married"}))
NONE = PairFeatures(4, context=False, distance=0, dropout=0.0)


def head(**changes: Any) -> RelationHead:
    settings: dict[str, Any] = {
        "pooling": SpanPooling(4, how="last"),
        "labels": None,
        "projections": Projections(nn.Identity(), nn.Identity(), 4),
        "features": NONE,
        "scorer": Biaffine(4, 3 + (changes.get("decision", "softmax") == "softmax")),
        "decision": "softmax",
        "dropout": 0.0,
    }
    return RelationHead(**(settings | changes))


def inputs_of(*rows: list[Entity], pairs: list[list[int]] | None = None) -> PairInputs:
    """Of some pairs, or of all ordered pairs."""
    spans = Spans.of(rows, TYPES)
    numbers: Numbers = ordered_pairs(spans.counts) if pairs is None else np.array(pairs)
    return PairInputs.of(spans, numbers, CPU)


def features_of(features: PairFeatures, states: Tensor, inputs: PairInputs) -> Any:
    return features(states, inputs.rows[inputs.pairs[0]], inputs.between, inputs.buckets)


def test_inputs_hold_spans_and_pairs() -> None:
    inputs = inputs_of([ANN, ROME], [], [BOB])
    assert [inputs.rows.tolist(), inputs.starts.tolist(), inputs.ends.tolist()] == [[0, 0, 2], [0, 5, 2], [1, 6, 4]]
    assert inputs.labels is None
    assert inputs.pairs.tolist() == [[0, 1], [1, 0]]
    assert inputs.between.tolist() == [[1, 1], [5, 5]]


def test_entity_vectors_are_dropped_out_in_training_only() -> None:
    """Crone 2020, §3.4; no other dropout is on here."""
    tagger = head(dropout=0.5)
    inputs, states = inputs_of([ANN, BOB, ROME]), torch.randn(1, 6, 4)
    assert not torch.equal(tagger(states, inputs), tagger(states, inputs))
    tagger.eval()
    assert torch.equal(tagger(states, inputs), tagger(states, inputs))


def test_softmax_loss_by_hand() -> None:
    # Pair 0 holds relation 1 (class 2 after NEG), pair 1 none (class 0):
    # logits (0, 0, ln 2, 0): p(class 2) = 2/5; logits (ln 3, 0, 0, 0): p(NEG) = 3/6.
    scores = torch.tensor([[0, 0, math.log(2), 0], [math.log(3), 0, 0, 0]])
    targets = torch.tensor([[0, 1, 0], [0, 0, 0]])
    assert head().loss(scores, targets).mean.item() == pytest.approx(-(math.log(2 / 5) + math.log(1 / 2)) / 2)
    assert head().loss(scores, targets).size.item() == 2


def test_softmax_loss_takes_the_first_of_several_types() -> None:
    scores = torch.tensor([[0, math.log(2), 0, 0]])
    assert head().loss(scores, torch.tensor([[1, 0, 1]])).mean.item() == pytest.approx(-math.log(2 / 5))


def test_sigmoid_loss_by_hand() -> None:
    # Probabilities 3/4 and 1/2 of cells that hold and do not hold, 1/5 of one that holds, 1/2 three times.
    scores = torch.tensor([[math.log(3), 0.0, -math.log(4)], [0.0, 0.0, 0.0]])
    targets = torch.tensor([[1, 0, 1], [1, 0, 0]])
    expected = -(math.log(3 / 4) + math.log(1 / 2) + math.log(1 / 5) + 3 * math.log(1 / 2)) / 6
    loss = head(decision="sigmoid").loss(scores, targets)
    assert (loss.mean.item(), loss.size.item()) == (pytest.approx(expected), 6)


@pytest.mark.parametrize("decision", ["softmax", "sigmoid"])
@pytest.mark.parametrize("rows", [[[]], [[ANN]], [[ANN], [BOB], []]])
@pytest.mark.parametrize("context", [False, True])
def test_no_candidates_give_loss_zero_with_a_gradient(decision: str, rows: list[list[Entity]], context: bool) -> None:
    features = PairFeatures(4, context=context, distance=2 * context, dropout=0.0)
    outputs = 3 + (decision == "softmax")
    tagger = head(decision=decision, features=features, scorer=Biaffine(4, outputs, features=features.width))
    scores = tagger(torch.randn(len(rows), 6, 4), inputs_of(*rows))
    assert scores.shape == (0, outputs)
    loss = tagger.loss(scores, torch.zeros(0, 3, dtype=torch.long)).mean
    assert loss.item() == 0
    loss.backward()
    assert tagger.scorer.head.weight.grad is not None


def test_many_candidates_are_scored_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    features = PairFeatures(4, context=True, distance=3, dropout=0.0)
    tagger = head(features=features, scorer=Biaffine(4, 4, features=features.width))
    inputs, states = inputs_of([Entity("Loc", word, word + 1) for word in range(6)]), torch.randn(1, 6, 4)
    whole = tagger(states, inputs)
    monkeypatch.setattr("conjoin.modeling.heads.relations.PAIRS_AT_ONCE", 7)
    torch.testing.assert_close(tagger(states, inputs), whole)


def test_distance_is_signed_and_grows_with_the_words_between() -> None:
    features = PairFeatures(4, context=False, distance=1, dropout=0.0)
    assert features.distance is not None
    with torch.no_grad():
        features.distance.weight.copy_(torch.arange(2 * (len(DISTANCES) + 1)).unsqueeze(1))
    backwards, forwards = 0, len(DISTANCES) + 1
    # Words between: Ann (0-1) and Bob (2-4): 1; Ann and the Loc at 6: 5; a nested pair: 0; a pair 60 words apart: 59.
    far, inner = Entity("Loc", 60, 61), Entity("Loc", 3, 4)
    inputs = inputs_of([ANN, BOB, Entity("Loc", 6, 7), far, inner],
                       pairs=[[0, 1, 0, 2, 1, 4, 0], [1, 0, 2, 0, 4, 1, 3]])
    vectors = features_of(features, torch.zeros(1, 61, 4), inputs)
    bucket_of_five = DISTANCES.index(5)
    assert vectors.squeeze(1).tolist() == [
        forwards, backwards, forwards + bucket_of_five, backwards + bucket_of_five, forwards, backwards,
        forwards + len(DISTANCES),
    ]


def test_context_is_the_maximum_over_the_words_strictly_between() -> None:
    features = PairFeatures(2, context=True, distance=0, dropout=0.0)
    states = torch.tensor([[[9.0, 9], [1, 4], [3, 2], [8, 8], [7, 7]], [[0.0, 0], [-1, -2], [0, 0], [0, 0], [0, 0]]])
    inputs = inputs_of([Entity("Loc", 0, 1), Entity("Loc", 3, 5)],
                       [Entity("Loc", 0, 1), Entity("Loc", 2, 3), Entity("Loc", 2, 4)], pairs=[[0, 1, 2, 3], [1, 0, 3, 4]])
    # Row 0, words 1 and 2, both ways; row 1, word 1; two overlapping entities have nothing between them.
    assert features_of(features, states, inputs).tolist() == [[3, 4], [3, 4], [-1, -2], [0, 0]]


def test_features_are_joined_and_may_be_absent() -> None:
    inputs = inputs_of([ANN, BOB], pairs=[[0], [1]])
    assert features_of(NONE, torch.zeros(1, 6, 4), inputs) is None
    features = PairFeatures(4, context=True, distance=3, dropout=0.0)
    assert features_of(features, torch.zeros(1, 6, 4), inputs).shape == (1, 7) == (1, features.width)


# --- label embedding ---------------------------------------------------------------------------------------------


def labelled(labels: nn.Linear) -> RelationHead:
    return head(labels=labels, projections=Projections(nn.Identity(), nn.Identity(), 4 + labels.out_features))


def test_labels_are_rows_of_an_embedding_table() -> None:
    """Giorgi et al. 2019, eq. 3: what the RE module joins to a word is a row of an embedding table."""
    tags = TagDecoder(TYPES, "bioes")
    labels = nn.Linear(len(tags.tags), 7, bias=False)
    table = nn.Embedding.from_pretrained(labels.weight.T)
    decoder = RelationDecoder.of(SCHEMA, constrain=False, decision="softmax", threshold=None, labels=tags.last_tags())
    spans, pairs = decoder.candidates([[Entity("Peop", 0, 3), Entity("Loc", 3, 4)]])
    inputs, vectors = PairInputs.of(spans, pairs, CPU), torch.randn(2, 4)
    rows = torch.tensor([tags.tags.index("E-Peop"), tags.tags.index("S-Loc")])
    for vector in labelled(labels).ends(vectors, inputs.labels):
        torch.testing.assert_close(vector, torch.cat([vectors, table(rows)], dim=1))


def test_an_entity_without_a_label_has_zeros() -> None:
    labels = nn.Linear(2, 3, bias=False)
    vectors = torch.randn(3, 4)
    heads, _ = labelled(labels).ends(vectors, torch.tensor([1, -1, 0]))
    expected = torch.stack([labels.weight[:, 1], torch.zeros(3), labels.weight[:, 0]])
    torch.testing.assert_close(heads, torch.cat([vectors, expected], dim=1))
