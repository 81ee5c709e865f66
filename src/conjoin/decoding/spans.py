"""Entities of a batch as flat arrays, and arithmetic on ranges of words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from conjoin.document import Entity

Floats = NDArray[np.float32]
Numbers = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Spans:
    """The entities of a batch, row by row."""

    rows: Numbers  # [span] row of the batch
    starts: Numbers  # [span] first word
    ends: Numbers  # [span] last word, exclusive
    types: Numbers  # [span] index of the entity type
    batch: int  # number of rows
    scores: NDArray[np.float64] | None = None  # [span] probabilities
    labels: Numbers | None = None  # [span] rows of the label embedding; None where the model has none

    @classmethod
    def of(cls, entities: Sequence[Sequence[Entity]], types: Sequence[str]) -> Spans:
        """The spans of one list of entities per row; every type must be one of `types`."""
        index = {type: number for number, type in enumerate(types)}
        flat = [(row, e.start, e.end, index[e.type]) for row, row_entities in enumerate(entities) for e in row_entities]
        rows, starts, ends, numbers = np.array(flat, dtype=np.int64).reshape(-1, 4).T
        return cls(rows, starts, ends, numbers, len(entities))

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def counts(self) -> Numbers:
        """[batch]: number of spans in each row."""
        return np.bincount(self.rows, minlength=self.batch)

    def entities(self, types: Sequence[str]) -> list[list[Entity]]:
        """The entities of each row, with their scores."""
        scores = [None] * len(self) if self.scores is None else self.scores.tolist()
        columns = (self.rows.tolist(), self.types.tolist(), self.starts.tolist(), self.ends.tolist(), scores)
        result: list[list[Entity]] = [[] for _ in range(self.batch)]
        for row, type, start, end, score in zip(*columns, strict=True):
            result[row].append(Entity(types[type], start, end, score))
        return result


def range_max(states: Floats, rows: Numbers, starts: Numbers, ends: Numbers) -> Floats:
    """Element-wise maximum over ranges of words, as `modeling.nn.layers.RangeMax`.

    states: [batch, word, width]; rows, starts, ends: [range] → [range, width]; zeros for an empty range.
    """
    lengths = ends - starts
    result = np.zeros((len(lengths), states.shape[-1]), dtype=states.dtype)
    if not len(lengths):
        return result
    table, level = states, 0
    levels = np.where(lengths > 0, np.frexp(np.maximum(lengths, 1))[1] - 1, -1)  # floor(log2(length))
    while (levels >= level).any():
        if level:
            half = 2 ** (level - 1)
            table = np.maximum(table[:, :-half], table[:, half:])
        members = (levels == level).nonzero()[0]
        if len(members):
            first, last = starts[members], ends[members] - 2**level
            result[members] = np.maximum(table[rows[members], first], table[rows[members], last])
        level += 1
    return result


def pool_spans(states: Floats, spans: Spans, how: str) -> Floats:
    """One vector per entity from the states of its words, as `modeling.nn.layers.SpanPooling`: [span, width]."""
    if how == "max":
        return range_max(states, spans.rows, spans.starts, spans.ends)
    last: Floats = states[spans.rows, spans.ends - 1]
    return last if how == "last" else np.concatenate([states[spans.rows, spans.starts], last], axis=1)
