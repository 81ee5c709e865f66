"""Entities of a batch as flat arrays, and back."""

from __future__ import annotations

import numpy as np

from conjoin.decoding.spans import Spans
from conjoin.document import Entity

ANN, BOB, ROME = Entity("Peop", 0, 1), Entity("Peop", 2, 4), Entity("Loc", 5, 6)
TYPES = ("Loc", "Peop")


def test_spans_are_flat_row_by_row() -> None:
    spans = Spans.of([[ANN, ROME], [], [BOB]], TYPES)
    assert len(spans) == 3
    assert [spans.rows.tolist(), spans.starts.tolist(), spans.ends.tolist(), spans.types.tolist(), spans.counts.tolist()] \
        == [[0, 0, 2], [0, 5, 2], [1, 6, 4], [1, 0, 1], [2, 0, 1]]


def test_entities_come_back_with_their_scores() -> None:
    rows = [[ANN, ROME], [], [BOB]]
    spans = Spans.of(rows, TYPES)
    assert spans.entities(TYPES) == rows
    assert [entity.score for row in spans.entities(TYPES) for entity in row] == [None] * 3
    scored = Spans(spans.rows, spans.starts, spans.ends, spans.types, spans.batch, np.array([0.5, 0.25, 1.0]))
    assert scored.entities(TYPES) == rows
    assert [entity.score for row in scored.entities(TYPES) for entity in row] == [0.5, 0.25, 1.0]


def test_nothing() -> None:
    assert Spans.of([], TYPES).entities(TYPES) == []
    assert Spans.of([[], []], TYPES).counts.tolist() == [0, 0]
