"""Entities by tagging words: a feed-forward network, then softmax (Giorgi et al. 2019) or a CRF (Crone 2020)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from conjoin import tagging
from conjoin.config.options import OUTSIDE_PRIOR, Activation, Decoding, LabelEmbedding, Output, Reduction
from conjoin.document import Entity
from conjoin.modeling.heads.spans import Spans
from conjoin.modeling.nn.crf import ChainCRF, viterbi
from conjoin.modeling.nn.layers import FeedForward
from conjoin.modeling.nn.term import Term

IGNORED = -100


class TaggerHead(nn.Module):
    """One tag per word.

    `softmax` (Giorgi et al. 2019, eq. 1 and 2) rates each word on its own. The paper takes the best tag of each
    (`argmax`); `legal` takes the best string of tags that the scheme allows, which is Viterbi decoding with free legal
    and forbidden illegal steps. `crf` (Crone 2020, eq. 2) learns the weight of each legal step and always decodes so.
    `layers` counts the linear layers, the last of which gives the emissions. `reduction` says what the loss is a mean
    over: words, or sentences, whose losses are then sums over their words. `outside_prior` is the bias of O to begin with.
    """

    legal_starts: Tensor
    legal: Tensor
    legal_ends: Tensor

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
        output: Output = "softmax",
        reduction: Reduction = "words",
        outside_prior: float = OUTSIDE_PRIOR,
    ) -> None:
        super().__init__()
        self.types = tuple(types)
        self.scheme: tagging.Scheme = scheme
        self.decoding = decoding
        self.reduction = reduction
        self.tags = tagging.tag_set(types, scheme)
        self.tag_index = {tag: number for number, tag in enumerate(self.tags)}
        self.dropout = nn.Dropout(dropout)
        self.inner = FeedForward(width, size, layers=layers - 1, activation=activation, dropout=dropout)
        self.output = nn.Linear(self.inner.width, len(self.tags))
        if outside_prior:
            nn.init.constant_(self.output.bias[:1].detach(), outside_prior)
        starts, steps, ends = legal_steps(self.tags, scheme)
        self.crf = ChainCRF(starts, steps, ends) if output == "crf" else None
        if self.crf is None:
            for name, allowed in (("legal_starts", starts), ("legal", steps), ("legal_ends", ends)):
                costs = torch.zeros(allowed.shape).masked_fill(~allowed, float("-inf"))
                self.register_buffer(name, costs, persistent=False)

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

    def loss(self, emissions: Tensor, targets: Tensor) -> Term:
        """Cross-entropy, or the negative log-likelihood of the CRF; 0 without any words.

        emissions: [batch, word, tag]; targets: [batch, word].
        """
        lengths = (targets != IGNORED).sum(1)
        if self.crf is None:
            scores = emissions.flatten(0, 1).float()
            total = functional.cross_entropy(scores, targets.flatten(), ignore_index=IGNORED, reduction="sum")
        elif not (kept := lengths > 0).any():
            total = 0.0 * emissions.float().sum()  # with a gradient, as of any loss
        else:
            total = -self.crf.log_likelihood(emissions[kept].float(), targets[kept], lengths[kept]).sum()
        count = (lengths > 0).sum() if self.reduction == "sentences" else lengths.sum()
        return Term(total / count.clamp(min=1), count)

    def _decode(self, emissions: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Tags, and what the probabilities of stretches of them are made of, as from `ChainCRF.chosen`: all
        [batch, word]."""
        if self.crf is not None:
            tags = self.crf.decode(emissions, lengths)
            return tags, *self.crf.chosen(emissions, lengths, tags)
        scores = emissions.log_softmax(-1)
        if self.decoding == "legal":
            tags = viterbi(scores, lengths, self.legal_starts, self.legal, self.legal_ends)
        else:
            tags = scores.argmax(-1)
        chosen = scores.gather(2, tags.unsqueeze(2)).squeeze(2)
        return tags, chosen, chosen

    @torch.no_grad()
    def decode(self, emissions: Tensor, lengths: Tensor) -> list[list[Entity]]:
        """The entities of each row, with scores: the probability that all tags of the entity are right (under softmax,
        were the words independent). emissions: [batch, word, tag]; lengths: [batch]."""
        if emissions.shape[1] == 0:
            return [[] for _ in range(len(lengths))]
        steps, firsts, later = self._decode(emissions.float(), lengths.clamp(min=1))
        result = []
        rows = zip(steps.tolist(), firsts.tolist(), later.tolist(), lengths.tolist(), strict=True)
        for tags, first, after, length in rows:
            kept = tags[:length]
            result.append(tagging.scored([self.tags[tag] for tag in kept], first, after) if any(kept) else [])
        return result

    @torch.no_grad()
    def doubts(self, emissions: Tensor, lengths: Tensor) -> Tensor:
        """The expected number of wrong tags of each row [batch]. emissions: [batch, word, tag]; lengths: [batch]."""
        if emissions.shape[1] == 0:
            return emissions.new_zeros(len(lengths))
        _, chosen, _ = self._decode(emissions.float(), lengths.clamp(min=1))
        there = torch.arange(emissions.shape[1], device=lengths.device) < lengths.unsqueeze(1)
        return ((1 - chosen.exp()) * there).sum(1)

    def marks_width(self, labels: LabelEmbedding) -> int:
        """The width of `marks`."""
        return {"none": 0, "tag": len(self.tags), "type": len(self.types)}[labels]

    def last_tags(self, spans: Spans) -> Tensor:
        """The tag of each span's last word [span]."""
        ends = {1: "S", 2: "E"} if self.scheme == "bioes" else {1: "B", 2: "I"}
        table = torch.tensor([[self.tag_index[f"{ends[n]}-{type}"] for n in (1, 2)] for type in self.types])
        several = (spans.ends - spans.starts > 1).long()
        return table.to(spans.types.device)[spans.types, several]

    def marks(self, tags: Tensor, labels: LabelEmbedding) -> Tensor:
        """0/1 indicators of the label of each span, given the tag of its last word [span]: that tag, or its entity type
        (nothing for O) → [span, mark].

        A bias-free linear layer on them is the label embedding (Giorgi et al. 2019, eq. 3; Crone 2020, eq. 3). They belong
        to spans rather than to words, so that a word inside two nested entities lends each of them its own label.
        """
        if labels == "tag":
            return functional.one_hot(tags, len(self.tags)).float()
        of_type = torch.tensor([[tag.partition("-")[2] == type for type in self.types] for tag in self.tags])
        return of_type.to(tags.device)[tags].float()


def legal_steps(tags: Sequence[str], scheme: tagging.Scheme) -> tuple[Tensor, Tensor, Tensor]:
    """Which tags may begin a text [tag], follow one another [tag before, tag after] and end a text [tag]."""
    starts = torch.tensor([tagging.may_follow(None, tag, scheme) for tag in tags])
    steps = torch.tensor([[tagging.may_follow(before, tag, scheme) for tag in tags] for before in tags])
    ends = torch.tensor([tagging.may_follow(tag, None, scheme) for tag in tags])
    return starts, steps, ends
