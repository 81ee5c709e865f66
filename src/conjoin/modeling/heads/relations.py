"""Relations between entities: candidates, entity vectors, pair features, pair scorer, loss and decisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from conjoin.config.options import DISTANCES, PAIRS_AT_ONCE, Decision
from conjoin.document import Relation
from conjoin.modeling.heads.spans import Spans
from conjoin.modeling.nn.layers import RangeMax, SpanPooling
from conjoin.modeling.nn.pairs import candidate_pairs
from conjoin.modeling.nn.term import Term
from conjoin.schema import Schema, canonical


class PairFeatures(nn.Module):
    """Vectors of a pair beside its two entities: the words between them, max-pooled, and their distance.

    The words between are what SpERT (Eberts & Ulges 2020) classifies; the distance embedding is signed, so that it also
    tells which of the two comes first.
    """

    edges: Tensor

    def __init__(self, width: int, *, context: bool, distance: int, dropout: float) -> None:
        super().__init__()
        self.context = RangeMax() if context else None
        self.distance = nn.Embedding(2 * (len(DISTANCES) + 1), distance) if distance else None
        self.dropout = nn.Dropout(dropout)
        self.width = width * context + distance
        self.register_buffer("edges", torch.tensor(DISTANCES), persistent=False)

    def forward(self, states: Tensor, spans: Spans, pairs: Tensor) -> Tensor | None:
        """states: [batch, word, width]; pairs: [2, pair] → [pair, f], or None when nothing is asked for."""
        if not self.width:
            return None
        head, tail = pairs
        between_start = torch.minimum(spans.ends[head], spans.ends[tail])
        between_end = torch.maximum(spans.starts[head], spans.starts[tail])
        length = (between_end - between_start).clamp(min=0)
        parts = []
        if self.context is not None:
            rows = spans.rows[head]
            parts.append(self.dropout(self.context(states, rows, between_start, between_start + length)))
        if self.distance is not None:
            bucket = torch.bucketize(length, self.edges)
            forwards = (spans.starts[head] < spans.starts[tail]).long()
            parts.append(self.distance(bucket + forwards * (len(DISTANCES) + 1)))
        return torch.cat(parts, dim=-1)


@dataclass(frozen=True, slots=True)
class Projections:
    """How an entity's vector becomes its head and its tail vector (Giorgi et al. 2019, eq. 4 and 5).

    The same module twice is ablation c of their Table 2; the identity twice is ablation d.
    """

    head: nn.Module
    tail: nn.Module
    width: int


class RelationHead(nn.Module):
    """Every ordered pair of entities of a text is a candidate; the pair scorer rates the relation types.

    `softmax` adds the class NEG (index 0) and takes the best one per pair (eq. 8), or with a `threshold` the best
    relation type whose probability is above it; `sigmoid` takes every type above the threshold (0.5), so a pair may have
    several. With `constrain`, pairs and types that the schema's signatures do not allow are never predicted. Symmetric
    types are scored for the pair whose head stands first only.
    """

    allowed: Tensor
    symmetric: Tensor
    type_ranks: Tensor

    def __init__(
        self,
        schema: Schema,
        *,
        pooling: SpanPooling,
        labels: nn.Module | None,
        projections: Projections,
        features: PairFeatures,
        scorer: nn.Module,
        decision: Decision,
        threshold: float | None,
        dropout: float,
        constrain: bool,
    ) -> None:
        super().__init__()
        self.types = schema.relation_types
        self.pooling = pooling
        self.labels = labels
        self.head, self.tail = projections.head, projections.tail
        self.features = features
        self.scorer = scorer
        self.decision = decision
        self.threshold = threshold
        self.dropout = nn.Dropout(dropout)
        allowed = [
            [[not constrain or schema.allows(type, head, tail) for type in self.types] for tail in schema.entity_types]
            for head in schema.entity_types
        ]
        shape = (len(schema.entity_types), len(schema.entity_types), len(self.types))
        self.register_buffer("allowed", torch.tensor(allowed, dtype=torch.bool).reshape(shape), persistent=False)
        symmetric = torch.tensor([type in schema.symmetric for type in self.types], dtype=torch.bool)
        self.register_buffer("symmetric", symmetric, persistent=False)
        by_name = sorted(schema.entity_types)
        ranks = torch.tensor([by_name.index(type) for type in schema.entity_types], dtype=torch.long)
        self.register_buffer("type_ranks", ranks, persistent=False)
        self._symmetric_types = schema.symmetric

    def candidates(self, spans: Spans) -> Tensor:
        """The pairs of spans that may hold a relation at all [2, pair]."""
        pairs = candidate_pairs(spans.counts)
        return pairs[:, self._possible(spans, pairs).any(1)]

    def _possible(self, spans: Spans, pairs: Tensor) -> Tensor:
        """Which relation types each pair may have [pair, relation]."""
        head, tail = pairs
        possible = self.allowed[spans.types[head], spans.types[tail]]
        return possible & ~(self.symmetric & self._backwards(spans, pairs).unsqueeze(1))

    def _backwards(self, spans: Spans, pairs: Tensor) -> Tensor:
        """Whether a pair's tail comes before its head in canonical order: start, end, name of the type [pair]."""
        backwards = torch.zeros_like(pairs[0], dtype=torch.bool)
        for places in (self.type_ranks[spans.types], spans.ends, spans.starts):  # what counts most comes last
            head, tail = places[pairs[0]], places[pairs[1]]
            backwards = (head > tail) | ((head == tail) & backwards)
        return backwards

    def forward(self, states: Tensor, spans: Spans, marks: Tensor | None, pairs: Tensor) -> Tensor:
        """states: [batch, word, width]; marks: [span, mark]; pairs: [2, pair] → scores [pair, relation], with NEG at
        index 0 under softmax."""
        heads, tails = self.ends(self.pooling(states, spans.rows, spans.starts, spans.ends), marks)
        blocks = [
            self.scorer(heads, tails, block, self.features(states, spans, block))
            for block in torch.split(pairs, PAIRS_AT_ONCE, dim=1)
        ]
        return torch.cat(blocks).float()

    def ends(self, vectors: Tensor, marks: Tensor | None) -> tuple[Tensor, Tensor]:
        """Pooled vectors [span, width] and marks [span, mark] → the entities as heads and as tails, both [span, d]."""
        if self.labels is not None and marks is not None:
            vectors = torch.cat([vectors, self.labels(marks).to(vectors.dtype)], dim=-1)
        vectors = self.dropout(vectors)
        return self.head(vectors), self.tail(vectors)

    def targets(self, spans: Spans, pairs: Tensor, relations: Sequence[Sequence[Relation]]) -> Tensor:
        """0/1 indicators of the gold relations on the candidates [pair, relation]."""
        index = {type: number for number, type in enumerate(self.types)}
        proposed = [(row, entity) for row, entities in enumerate(spans.entities) for entity in entities]
        places = {place: number for number, place in enumerate(proposed)}
        cells = []  # (head · span + tail, relation type) of every gold relation between proposed entities
        for row, row_relations in enumerate(relations):
            for relation in row_relations:
                ordered = canonical(relation, self._symmetric_types)
                head, tail = places.get((row, ordered.head)), places.get((row, ordered.tail))
                if head is not None and tail is not None:
                    cells.append((head * len(spans) + tail, index[relation.type]))
        targets = torch.zeros(pairs.shape[1], len(self.types), dtype=torch.long, device=pairs.device)
        if not cells or not pairs.shape[1]:
            return targets
        keys, types = torch.tensor(cells, device=pairs.device).T.contiguous()
        order = pairs[0] * len(spans) + pairs[1]  # ascending: candidates come head by head
        found = torch.searchsorted(order, keys).clamp(max=len(order) - 1)
        hit = order[found] == keys
        targets[found[hit], types[hit]] = 1
        return targets

    def loss(self, scores: Tensor, targets: Tensor) -> Term:
        """Cross-entropy, mean over candidates (eq. 8), or binary cross-entropy, mean over candidates and types.

        scores: [pair, relation] (with NEG under softmax); targets: [pair, relation] → 0 without candidates.
        """
        count = scores.new_tensor(targets.numel() if self.decision == "sigmoid" else len(scores), dtype=torch.long)
        if len(scores) == 0:
            return Term(scores.sum(), count)
        if self.decision == "sigmoid":
            return Term(functional.binary_cross_entropy_with_logits(scores, targets.float()), count)
        none = (targets.sum(1, keepdim=True) == 0).long()
        return Term(functional.cross_entropy(scores, torch.cat([none, targets], dim=1).argmax(1)), count)

    def _decide(self, scores: Tensor, possible: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities and which are predicted, both [pair, relation] without NEG."""
        if self.decision == "sigmoid":
            probabilities = scores.sigmoid() * possible
            return probabilities, probabilities > (0.5 if self.threshold is None else self.threshold)
        possible = torch.cat([torch.ones_like(possible[:, :1]), possible], dim=1)
        probabilities = scores.masked_fill(~possible, float("-inf")).softmax(1)
        none, probabilities = probabilities[:, :1], probabilities[:, 1:]
        best = functional.one_hot(probabilities.argmax(1), probabilities.shape[1]).bool()
        return probabilities, best & (probabilities > (none if self.threshold is None else self.threshold))

    @torch.no_grad()
    def doubts(self, scores: Tensor, spans: Spans, pairs: Tensor) -> Tensor:
        """The expected number of wrong decisions on each pair [pair]: one a pair, under sigmoid one a pair and type."""
        possible = self._possible(spans, pairs)
        probabilities, chosen = self._decide(scores, possible)
        if self.decision == "sigmoid":
            wrong: Tensor = (torch.where(chosen, 1 - probabilities, probabilities) * possible).sum(1)
            return wrong
        none = 1 - probabilities.sum(1)
        return 1 - torch.where(chosen.any(1), (probabilities * chosen).sum(1), none)

    @torch.no_grad()
    def decode(self, scores: Tensor, spans: Spans, pairs: Tensor) -> list[list[Relation]]:
        """The relations of each row, with their probabilities. scores as from `forward`."""
        probabilities, chosen = self._decide(scores, self._possible(spans, pairs))
        flat = [entity for entities in spans.entities for entity in entities]
        rows = spans.rows.tolist()
        result: list[list[Relation]] = [[] for _ in spans.entities]
        picked = chosen.nonzero()
        values = probabilities[picked[:, 0], picked[:, 1]].tolist()
        ends = pairs[:, picked[:, 0]].T.tolist()
        for (head, tail), type, score in zip(ends, picked[:, 1].tolist(), values, strict=True):
            result[rows[head]].append(Relation(self.types[type], flat[head], flat[tail], score))
        return result
