"""Entities by tagging words: a feed-forward network and softmax (Giorgi et al. 2019, eq. 1 and 2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from conjoin import tagging
from conjoin.document import Entity
from conjoin.heads.spans import Spans
from conjoin.nn.crf import viterbi
from conjoin.nn.layers import Activation, FeedForward

Decoding = Literal["argmax", "legal"]
Labels = Literal["none", "tag", "type"]
IGNORED = -100
OUTSIDE_PRIOR = 3.0  # the first bias of O: an untrained tagger proposes few entities, so few useless pairs are scored


class TaggerHead(nn.Module):
    """One tag per word.

    Giorgi et al. 2019 take the best tag of each word on its own (`argmax`); `legal` takes the best string of tags that
    the scheme allows, which for a softmax tagger is Viterbi decoding with free legal and forbidden illegal transitions.
    `layers` counts the linear layers, the last of which gives the emissions: 1 in the paper (A.2).
    """

    allowed_start: Tensor
    allowed_end: Tensor
    allowed: Tensor

    def __init__(
        self,
        width: int,
        types: Sequence[str],
        *,
        scheme: tagging.Scheme,
        layers: int,
        size: int,
        activation: Activation,
        dropout: float,
        decoding: Decoding,
    ) -> None:
        super().__init__()
        self.types = tuple(types)
        self.scheme: tagging.Scheme = scheme
        self.decoding = decoding
        self.tags = tagging.tag_set(types, scheme)
        self.tag_index = {tag: number for number, tag in enumerate(self.tags)}
        self.dropout = nn.Dropout(dropout)
        self.inner = FeedForward(width, size, layers=layers - 1, activation=activation, dropout=dropout)
        self.output = nn.Linear(self.inner.width, len(self.tags))
        nn.init.constant_(self.output.bias[:1].detach(), OUTSIDE_PRIOR)
        self._forbid_illegal_steps()

    def _forbid_illegal_steps(self) -> None:
        def cost(previous: str | None, tag: str | None) -> float:
            return 0.0 if tagging.may_follow(previous, tag, self.scheme) else float("-inf")

        self.register_buffer("allowed_start", torch.tensor([cost(None, tag) for tag in self.tags]), persistent=False)
        self.register_buffer("allowed_end", torch.tensor([cost(tag, None) for tag in self.tags]), persistent=False)
        steps = torch.tensor([[cost(previous, tag) for tag in self.tags] for previous in self.tags])
        self.register_buffer("allowed", steps, persistent=False)

    def targets(self, entities: Sequence[Sequence[Entity]], lengths: Sequence[int]) -> Tensor:
        """Gold tags [batch, word] of one list of entities per row, `IGNORED` beyond a row's words."""
        longest = max(lengths, default=0)
        rows = []
        for row_entities, length in zip(entities, lengths, strict=True):
            tags = tagging.encode(row_entities, length, self.scheme)
            rows.append([self.tag_index[tag] for tag in tags] + [IGNORED] * (longest - length))
        return torch.tensor(rows, dtype=torch.long).reshape(len(rows), longest)

    def forward(self, states: Tensor) -> Tensor:
        """states: [batch, word, width] → emissions [batch, word, tag]."""
        emissions: Tensor = self.output(self.inner(self.dropout(states)))
        return emissions

    def loss(self, emissions: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy, mean over words, 0 without any. emissions: [batch, word, tag]; targets: [batch, word] → scalar."""
        scores = emissions.flatten(0, 1).float()
        total = functional.cross_entropy(scores, targets.flatten(), ignore_index=IGNORED, reduction="sum")
        return total / (targets != IGNORED).sum().clamp(min=1)

    @torch.no_grad()
    def decode(self, emissions: Tensor, lengths: Tensor) -> list[list[Entity]]:
        """The entities of each row, with scores: the probability that all tags of the entity are right, were the words
        independent. emissions: [batch, word, tag]; lengths: [batch]."""
        if emissions.shape[1] == 0:
            return [[] for _ in range(len(lengths))]
        scores = emissions.float().log_softmax(-1)
        if self.decoding == "legal":
            steps = viterbi(scores, lengths.clamp(min=1), self.allowed_start, self.allowed, self.allowed_end)
        else:
            steps = scores.argmax(-1)
        chosen = scores.gather(2, steps.unsqueeze(2)).squeeze(2).cpu().tolist()
        result = []
        for tags, words, length in zip(steps.tolist(), chosen, lengths.tolist(), strict=True):
            found = tagging.decode([self.tags[tag] for tag in tags[:length]]) if any(tags[:length]) else []
            result.append([
                Entity(entity.type, entity.start, entity.end, score=_probability(words[entity.start : entity.end]))
                for entity in found
            ])
        return result

    def marks_width(self, labels: Labels) -> int:
        """The width of `marks`."""
        return {"none": 0, "tag": len(self.tags), "type": len(self.types)}[labels]

    def marks(self, spans: Spans, labels: Labels) -> Tensor:
        """0/1 indicators of each span's label [span, mark]: the tag of its last word, or its entity type.

        A bias-free linear layer on them is the label embedding of eq. 3. They belong to spans rather than to words, so
        that a word inside two nested entities lends each of them its own label.
        """
        if labels == "type":
            return functional.one_hot(spans.types, len(self.types)).float()
        ends = {1: "S", 2: "E"} if self.scheme == "bioes" else {1: "B", 2: "I"}
        table = torch.tensor([[self.tag_index[f"{ends[n]}-{type}"] for n in (1, 2)] for type in self.types])
        several = (spans.ends - spans.starts > 1).long()
        return functional.one_hot(table.to(spans.types.device)[spans.types, several], len(self.tags)).float()


def _probability(log_probabilities: Sequence[float]) -> float:
    return float(torch.tensor(log_probabilities).sum().exp())
