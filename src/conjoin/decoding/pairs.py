"""Relations from scores of pairs: candidate pairs, pair features, constraints, decisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from conjoin.config.options import Decision
from conjoin.decoding.spans import Flags, Floats, Numbers, Spans
from conjoin.document import Entity, Relation
from conjoin.schema import Schema, canonical

DISTANCES = (1, 2, 3, 4, 5, 7, 9, 12, 16, 24, 40)  # upper edges of the buckets, in words between two entities
DISTANCE_BUCKETS = 2 * (len(DISTANCES) + 1)
PAIRS_AT_ONCE = 8192  # scored together: bounds memory when a text holds very many entities


@dataclass(frozen=True, slots=True)
class RelationDecoder:
    """Candidates, constraints and decisions of a relation head.

    Every ordered pair of entities of a text is a candidate. `softmax` adds the class NEG (index 0) and predicts the best
    class of a pair (Giorgi et al. 2019, eq. 8), or with a `threshold` the best relation type if its probability is above
    it; `sigmoid` predicts every type above the threshold (0.5), so a pair may have several (Crone 2020, eq. 6). Types
    that the constraints exclude are never predicted, a symmetric type only for the pair whose head comes first.
    """

    schema: Schema
    allowed: Flags  # [entity type of head, entity type of tail, relation type]
    decision: Decision
    threshold: float | None = None
    labels: Numbers | None = None  # [entity type, 2] rows of the label embedding of entities of one word and of several

    @classmethod
    def of(
        cls, schema: Schema, *, constrain: bool, decision: Decision, threshold: float | None, labels: Numbers | None
    ) -> RelationDecoder:
        """A decoder with the constraints of the schema, or with `constrain=False` none."""
        types = schema.entity_types
        allowed = [
            [[not constrain or schema.allows(type, head, tail) for type in schema.relation_types] for tail in types]
            for head in types
        ]
        shape = (len(types), len(types), len(schema.relation_types))
        return cls(schema, np.array(allowed, dtype=bool).reshape(shape), decision, threshold, labels)

    @property
    def min_score(self) -> float | None:
        """The minimum probability of a relation, or None where the best class of a pair wins."""
        return 0.5 if self.threshold is None and self.decision == "sigmoid" else self.threshold

    def candidates(self, entities: Sequence[Sequence[Entity]]) -> tuple[Spans, Numbers]:
        """The entities of a batch, with their labels, and the ordered pairs [2, pair] of them that may hold a relation; the
        head varies slowest."""
        spans = Spans.of(entities, self.schema.entity_types)
        if self.labels is not None:
            several = (spans.ends - spans.starts > 1).astype(np.int64)
            spans = replace(spans, labels=self.labels[spans.types, several])
        pairs = ordered_pairs(spans.counts)
        return spans, pairs[:, self.possible(spans, pairs).any(1)]

    def possible(self, spans: Spans, pairs: Numbers) -> Flags:
        """The relation types that each pair may have [pair, relation]."""
        head, tail = pairs
        possible: Flags = self.allowed[spans.types[head], spans.types[tail]]
        if self.schema.symmetric:
            symmetric = np.array([type in self.schema.symmetric for type in self.schema.relation_types])
            possible = possible & ~(symmetric & self._backwards(spans, pairs)[:, None])
        return possible

    def _backwards(self, spans: Spans, pairs: Numbers) -> Flags:
        """True for pairs whose tail comes before the head in canonical order: start, end, name of the type [pair]."""
        by_name = sorted(self.schema.entity_types)
        ranks = np.array([by_name.index(type) for type in self.schema.entity_types], dtype=np.int64)
        head, tail = pairs
        backwards = np.zeros(len(head), dtype=bool)
        for values in (ranks[spans.types], spans.ends, spans.starts):  # the last one decides first
            backwards = (values[head] > values[tail]) | ((values[head] == values[tail]) & backwards)
        return backwards

    def targets(
        self, spans: Spans, pairs: Numbers, entities: Sequence[Sequence[Entity]], relations: Sequence[Sequence[Relation]]
    ) -> Numbers:
        """0/1 indicators of the gold relations of each row on the candidates [pair, relation]."""
        index = {type: number for number, type in enumerate(self.schema.relation_types)}
        flat = [(row, entity) for row, row_entities in enumerate(entities) for entity in row_entities]
        numbers = {key: number for number, key in enumerate(flat)}
        cells = []  # (head, tail, relation type) of every gold relation between entities of the batch
        for row, row_relations in enumerate(relations):
            for relation in row_relations:
                ordered = canonical(relation, self.schema.symmetric)
                head, tail = numbers.get((row, ordered.head)), numbers.get((row, ordered.tail))
                if head is not None and tail is not None:
                    cells.append((head, tail, index[relation.type]))
        targets = np.zeros((pairs.shape[1], len(index)), dtype=np.int64)
        if cells and len(targets):
            heads, tails, types = np.array(cells).T
            keys = heads * len(spans) + tails
            order = pairs[0] * len(spans) + pairs[1]  # ascending, since the head varies slowest
            places = np.searchsorted(order, keys).clip(max=len(order) - 1)
            hits = order[places] == keys
            targets[places[hits], types[hits]] = 1
        return targets

    def decode(
        self, scores: Floats, spans: Spans, pairs: Numbers, entities: Sequence[Sequence[Entity]]
    ) -> list[list[Relation]]:
        """The relations of each row, with their probabilities.

        scores: [pair, relation], with NEG at index 0 under softmax; spans, pairs: from `candidates(entities)`.
        """
        probabilities, predicted = self._decide(scores, self.possible(spans, pairs))
        flat = [entity for row in entities for entity in row]
        result: list[list[Relation]] = [[] for _ in entities]
        numbers, types = predicted.nonzero()
        heads, tails = pairs[:, numbers]
        columns = (spans.rows[heads], heads, tails, types, probabilities[numbers, types])
        for row, head, tail, type, score in zip(*(column.tolist() for column in columns), strict=True):
            result[row].append(Relation(self.schema.relation_types[type], flat[head], flat[tail], score))
        return result

    def uncertainty(self, scores: Floats, spans: Spans, pairs: Numbers) -> NDArray[np.float64]:
        """The expected number of wrong decisions of each row [batch]: one a pair, under sigmoid one a pair and type."""
        possible = self.possible(spans, pairs)
        probabilities, predicted = self._decide(scores, possible)
        if self.decision == "sigmoid":
            wrong = (np.where(predicted, 1 - probabilities, probabilities) * possible).sum(1)
        else:
            none = 1 - probabilities.sum(1)
            wrong = 1 - np.where(predicted.any(1), (probabilities * predicted).sum(1), none)
        return np.bincount(spans.rows[pairs[0]], weights=wrong, minlength=spans.batch).astype(np.float64)

    def _decide(self, scores: Floats, possible: Flags) -> tuple[Floats, Flags]:
        """Probabilities and predictions, both [pair, relation] without NEG."""
        if self.decision == "sigmoid":
            with np.errstate(over="ignore"):
                probabilities = possible / (1 + np.exp(-scores))
            return probabilities, probabilities > self.min_score
        possible = np.concatenate([np.ones_like(possible[:, :1]), possible], axis=1)
        scores = np.where(possible, scores, -np.inf)
        weights = np.exp(scores - scores.max(1, keepdims=True))
        none, probabilities = np.split(weights / weights.sum(1, keepdims=True), [1], axis=1)
        best = probabilities.argmax(1)[:, None] == np.arange(probabilities.shape[1])
        return probabilities, best & (probabilities > (none if self.threshold is None else self.threshold))


def ordered_pairs(counts: Numbers) -> Numbers:
    """All ordered pairs of spans of the same row, without self pairs [2, pair]; the head varies slowest.

    counts: [batch] spans of each row, which lie row by row.
    """
    per_span = np.repeat(counts, counts)  # [span]: spans of its row
    firsts = np.repeat(np.cumsum(counts) - counts, counts)  # [span]: first span of its row
    heads = np.repeat(np.arange(len(per_span)), per_span)
    within = np.arange(len(heads)) - np.repeat(np.cumsum(per_span) - per_span, per_span)
    tails = np.repeat(firsts, per_span) + within
    pairs: Numbers = np.stack([heads, tails])[:, heads != tails]
    return pairs


def between(spans: Spans, pairs: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """Start and end (exclusive) of the words between the two entities of each pair, and the row of the distance embedding,
    which is signed by the order of the two; all [pair]."""
    head, tail = pairs
    start = np.minimum(spans.ends[head], spans.ends[tail])
    length = np.maximum(np.maximum(spans.starts[head], spans.starts[tail]) - start, 0)
    bucket = np.searchsorted(np.array(DISTANCES), length)
    forwards = spans.starts[head] < spans.starts[tail]
    return start, start + length, bucket + forwards * (len(DISTANCES) + 1)
