"""Scores of relations: entity vectors, pair features, pair scorer and loss."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from conjoin.config.options import Decision
from conjoin.decoding.pairs import DISTANCE_BUCKETS, PAIRS_AT_ONCE, between
from conjoin.decoding.spans import Numbers, Spans
from conjoin.modeling.nn.layers import RangeMax, SpanPooling
from conjoin.modeling.nn.term import Term


@dataclass(frozen=True, slots=True)
class PairInputs:
    """Entities and pairs of a batch as tensors."""

    rows: Tensor  # [span] row of the batch
    starts: Tensor  # [span] first word
    ends: Tensor  # [span] last word, exclusive
    labels: Tensor | None  # [span] rows of the label embedding, -1 for none; None where the head has none
    pairs: Tensor  # [2, pair] indices of spans
    between: Tensor  # [2, pair] first and last (exclusive) of the words between
    buckets: Tensor  # [pair] rows of the distance embedding

    @classmethod
    def of(cls, spans: Spans, pairs: Numbers, device: torch.device) -> PairInputs:
        labels = spans.starts if spans.labels is None else spans.labels
        of_spans = torch.from_numpy(np.stack([spans.rows, spans.starts, spans.ends, labels])).to(device)
        of_pairs = torch.from_numpy(np.concatenate([pairs, np.stack(between(spans, pairs))])).to(device)
        rows, starts, ends, labels_or_starts = of_spans
        return cls(rows, starts, ends, None if spans.labels is None else labels_or_starts, of_pairs[:2], of_pairs[2:4],
                   of_pairs[4])


class PairFeatures(nn.Module):
    """Features of a pair: the max-pooled words between its entities (SpERT, Eberts & Ulges 2020) and their distance.

    The distance is signed, so that its embedding depends on the order of the two.
    """

    def __init__(self, width: int, *, context: bool, distance: int, dropout: float) -> None:
        super().__init__()
        self.context = RangeMax() if context else None
        self.distance = nn.Embedding(DISTANCE_BUCKETS, distance) if distance else None
        self.dropout = nn.Dropout(dropout)
        self.width = width * context + distance

    def forward(self, states: Tensor, rows: Tensor, between: Tensor, buckets: Tensor) -> Tensor | None:
        """states: [batch, word, width]; rows, buckets: [pair]; between: [2, pair] → [pair, f], or None without features."""
        parts = []
        if self.context is not None:
            parts.append(self.dropout(self.context(states, rows, *between)))
        if self.distance is not None:
            parts.append(self.distance(buckets))
        return torch.cat(parts, dim=-1) if parts else None


@dataclass(frozen=True, slots=True)
class Projections:
    """The networks from entity vectors to head and tail vectors (Giorgi et al. 2019, eq. 4 and 5).

    The same network for both is ablation c of their Table 2, the identity for both ablation d.
    """

    head: nn.Module
    tail: nn.Module
    width: int


class RelationHead(nn.Module):
    """Scores of relation types for ordered pairs of entities, with NEG at index 0 under softmax."""

    def __init__(
        self, *, pooling: SpanPooling, labels: nn.Linear | None, projections: Projections, features: PairFeatures,
        scorer: nn.Module, decision: Decision, dropout: float,
    ) -> None:
        super().__init__()
        self.pooling = pooling
        self.labels = labels
        self.head, self.tail = projections.head, projections.tail
        self.features = features
        self.scorer = scorer
        self.decision = decision
        self.dropout = nn.Dropout(dropout)

    def forward(self, states: Tensor, inputs: PairInputs) -> Tensor:
        """states: [batch, word, width] → scores [pair, relation]."""
        heads, tails = self.ends(self.pooling(states, inputs.rows, inputs.starts, inputs.ends), inputs.labels)
        rows = inputs.rows[inputs.pairs[0]]
        blocks = [
            self.scorer(heads, tails, inputs.pairs[:, block], self.features(
                states, rows[block], inputs.between[:, block], inputs.buckets[block]))
            for block in (slice(start, start + PAIRS_AT_ONCE) for start in range(0, max(1, len(rows)), PAIRS_AT_ONCE))
        ]
        return torch.cat(blocks).float()

    def ends(self, vectors: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor]:
        """The entities as heads and as tails, both [span, d].

        vectors: [span, width]; labels: [span] rows of the label embedding, -1 for none (Giorgi et al. 2019, eq. 3;
        Crone 2020, eq. 3).
        """
        if self.labels is not None and labels is not None:
            indicators = functional.one_hot(labels + 1, self.labels.in_features + 1)[:, 1:].float()
            vectors = torch.cat([vectors, self.labels(indicators).to(vectors.dtype)], dim=-1)
        vectors = self.dropout(vectors)
        return self.head(vectors), self.tail(vectors)

    def loss(self, scores: Tensor, targets: Tensor) -> Term:
        """Cross-entropy, mean over pairs (eq. 8), or binary cross-entropy, mean over pairs and types.

        scores: [pair, relation]; targets: [pair, relation] 0/1 without NEG.
        """
        count = scores.new_tensor(targets.numel() if self.decision == "sigmoid" else len(scores), dtype=torch.long)
        if len(scores) == 0:
            return Term(scores.sum(), count)
        if self.decision == "sigmoid":
            return Term(functional.binary_cross_entropy_with_logits(scores, targets.float()), count)
        none = (targets.sum(1, keepdim=True) == 0).long()
        return Term(functional.cross_entropy(scores, torch.cat([none, targets], dim=1).argmax(1)), count)
