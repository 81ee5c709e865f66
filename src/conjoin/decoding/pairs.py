"""Pairs of entities: which are candidates, what stands between them, and which relations their scores say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from conjoin.config.options import DISTANCES, Decision
from conjoin.document import Entity, Relation

Floats = NDArray[np.float32]
Numbers = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class FlatSpans:
    """The entities of a batch, row by row: rows, starts, ends, types [span] and counts [batch]."""

    rows: Numbers
    starts: Numbers
    ends: Numbers
    types: Numbers
    counts: Numbers

    @classmethod
    def of(cls, entities: Sequence[Sequence[Entity]], types: Sequence[str]) -> FlatSpans:
        """The spans of one list of entities per row."""
        index = {type: number for number, type in enumerate(types)}
        flat = [
            (row, entity.start, entity.end, index[entity.type]) for row, found in enumerate(entities) for entity in found
        ]
        rows, starts, ends, kinds = np.array(flat, dtype=np.int64).reshape(-1, 4).T
        return cls(rows, starts, ends, kinds, np.array([len(found) for found in entities], dtype=np.int64))


def min_score(decision: Decision, threshold: float | None) -> float | None:
    """The least probability of a relation, or None where the most probable type wins."""
    return 0.5 if threshold is None and decision == "sigmoid" else threshold


@dataclass(frozen=True, slots=True)
class Rules:
    """Which relation types pairs may have, and how their scores decide.

    allowed: [entity type of head, of tail, relation type]; symmetric: [relation type]; ranks: [entity type], the places of
    their names in order. Decision and threshold are as for `RelationHead`.
    """

    types: tuple[str, ...]
    allowed: Flags
    symmetric: Flags
    ranks: Numbers
    decision: Decision
    threshold: float | None

    def candidates(self, spans: FlatSpans) -> Numbers:
        """The ordered pairs of spans of one row that may hold a relation at all [2, pair], head varies slowest."""
        offsets = np.cumsum(spans.counts) - spans.counts
        blocks = []
        for offset, count in zip(offsets.tolist(), spans.counts.tolist(), strict=True):
            if count > 1:
                heads, tails = np.divmod(np.arange(count * count), count)
                different = heads != tails
                blocks.append(np.stack([heads[different], tails[different]]) + offset)
        pairs = np.concatenate(blocks, axis=1) if blocks else np.zeros((2, 0), dtype=np.int64)
        kept: Numbers = pairs[:, self.possible(spans, pairs).any(1)]
        return kept

    def possible(self, spans: FlatSpans, pairs: Numbers) -> Flags:
        """Which relation types each pair may have [pair, relation]."""
        head, tail = pairs
        backwards = np.zeros(len(head), dtype=bool)  # the tail comes before the head in canonical order
        for places in (self.ranks[spans.types], spans.ends, spans.starts):  # what counts most comes last
            backwards = (places[head] > places[tail]) | ((places[head] == places[tail]) & backwards)
        possible: Flags = self.allowed[spans.types[head], spans.types[tail]] & ~(self.symmetric & backwards[:, None])
        return possible

    def decide(self, scores: Floats, possible: Flags) -> tuple[Floats, Flags]:
        """Probabilities and which are predicted, both [pair, relation], from scores (with NEG first under softmax)."""
        if self.decision == "sigmoid":
            probabilities = possible / (1 + np.exp(-scores))
            return probabilities, probabilities > (0.5 if self.threshold is None else self.threshold)
        possible = np.concatenate([np.ones_like(possible[:, :1]), possible], axis=1)
        scores = np.where(possible, scores, -np.inf)
        weights = np.exp(scores - scores.max(1, keepdims=True))
        none, probabilities = np.split(weights / weights.sum(1, keepdims=True), [1], axis=1)
        best = probabilities.argmax(1)[:, None] == np.arange(probabilities.shape[1])
        return probabilities, best & (probabilities > (none if self.threshold is None else self.threshold))

    def relations(
        self, scores: Floats, spans: FlatSpans, pairs: Numbers, entities: Sequence[Sequence[Entity]]
    ) -> list[list[Relation]]:
        """The relations of each row, with their probabilities."""
        probabilities, chosen = self.decide(scores, self.possible(spans, pairs))
        flat = [entity for found in entities for entity in found]
        result: list[list[Relation]] = [[] for _ in entities]
        for pair, type in zip(*(places.tolist() for places in chosen.nonzero()), strict=True):
            head, tail = pairs[:, pair].tolist()
            result[spans.rows[head]].append(
                Relation(self.types[type], flat[head], flat[tail], float(probabilities[pair, type]))
            )
        return result


def between(spans: FlatSpans, pairs: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """The words between the two entities of each pair, start and end (end exclusive), and the number of the distance
    embedding, which also tells which of the two comes first; all [pair]."""
    head, tail = pairs
    start = np.minimum(spans.ends[head], spans.ends[tail])
    length = np.maximum(np.maximum(spans.starts[head], spans.starts[tail]) - start, 0)
    bucket = np.searchsorted(np.array(DISTANCES), length)
    forwards = spans.starts[head] < spans.starts[tail]
    return start, start + length, bucket + forwards * (len(DISTANCES) + 1)


def pooled(states: Floats, spans: FlatSpans, how: str) -> Floats:
    """One vector per entity from the states of its words, as `nn.layers.SpanPooling`: [span, width]."""
    if how == "max":
        return largest(states, spans.rows, spans.starts, spans.ends)
    last: Floats = states[spans.rows, spans.ends - 1]
    return last if how == "last" else np.concatenate([states[spans.rows, spans.starts], last], axis=1)


def largest(states: Floats, rows: Numbers, starts: Numbers, ends: Numbers) -> Floats:
    """Element-wise maximum over ranges of words, as `nn.layers.RangeMax`: [range, width], zeros for an empty one."""
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
        chosen = (levels == level).nonzero()[0]
        if len(chosen):
            first, last = starts[chosen], ends[chosen] - 2**level
            result[chosen] = np.maximum(table[rows[chosen], first], table[rows[chosen], last])
        level += 1
    return result


def marks(spans: FlatSpans, labels: str, tags: Sequence[str], types: Sequence[str], scheme: str) -> Floats | None:
    """0/1 indicators of the label of each span [span, mark], as `TaggerHead.marks` of its last word's tag."""
    if labels == "none":
        return None
    if labels == "type":
        return np.eye(len(types), dtype=np.float32)[spans.types]
    names: Mapping[bool, str] = {False: "S", True: "E"} if scheme == "bioes" else {False: "B", True: "I"}
    index = {tag: number for number, tag in enumerate(tags)}
    several = spans.ends - spans.starts > 1
    numbers = [index[f"{names[bool(s)]}-{types[t]}"] for s, t in zip(several, spans.types, strict=True)]
    return np.eye(len(tags), dtype=np.float32)[np.array(numbers, dtype=np.int64)]
