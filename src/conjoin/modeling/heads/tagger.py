"""Scores of tags: a feed-forward network, then softmax (Giorgi et al. 2019) or a CRF (Crone 2020)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from conjoin.config.options import Activation, Output, Reduction
from conjoin.decoding.tags import IGNORED, TagDecoder, TagScores, Transitions
from conjoin.modeling.nn.crf import ChainCRF
from conjoin.modeling.nn.layers import FeedForward
from conjoin.modeling.nn.term import Term


class TaggerHead(nn.Module):
    """One score per word and tag.

    `softmax` scores each word independently (Giorgi et al. 2019, eq. 1 and 2); `crf` also learns a weight of each legal
    step between tags (Crone 2020, eq. 2).

    Args:
        width: Size of the states.
        decoder: Its tags and legal steps.
        layers: Number of linear layers, including the output layer.
        size: Width of the hidden layers.
        reduction: The loss is the mean over words, or over sentences of sums over words.
        outside_prior: Initial bias of O.
    """

    def __init__(
        self,
        width: int,
        decoder: TagDecoder,
        *,
        layers: int,
        size: int,
        activation: Activation,
        dropout: float,
        output: Output,
        reduction: Reduction,
        outside_prior: float,
    ) -> None:
        super().__init__()
        self.reduction = reduction
        self.dropout = nn.Dropout(dropout)
        self.inner = FeedForward(width, size, layers=layers - 1, activation=activation, dropout=dropout)
        self.output = nn.Linear(self.inner.width, len(decoder.tags))
        if outside_prior:
            nn.init.constant_(self.output.bias[:1].detach(), outside_prior)
        rules = decoder.constraints
        legal = [torch.from_numpy(np.isfinite(costs)) for costs in (rules.starts, rules.steps, rules.ends)]
        self.crf = ChainCRF(*legal) if output == "crf" else None

    def forward(self, states: Tensor) -> Tensor:
        """states: [batch, word, width] → emissions [batch, word, tag]."""
        emissions: Tensor = self.output(self.inner(self.dropout(states)))
        return emissions

    def loss(self, emissions: Tensor, targets: Tensor) -> Term:
        """Cross-entropy, or the negative log-likelihood of the CRF; 0 without any words.

        emissions: [batch, word, tag]; targets: [batch, word], `IGNORED` for padding.
        """
        lengths = (targets != IGNORED).sum(1)
        present = lengths > 0
        if self.crf is None:
            scores = emissions.flatten(0, 1).float()
            total = functional.cross_entropy(scores, targets.flatten(), ignore_index=IGNORED, reduction="sum")
        elif not present.any():
            total = 0.0 * emissions.float().sum()  # zero with a gradient
        else:
            total = -self.crf.log_likelihood(emissions[present].float(), targets[present], lengths[present]).sum()
        count = present.sum() if self.reduction == "sentences" else lengths.sum()
        return Term(total / count.clamp(min=1), count)

    def scores(self, emissions: Tensor, lengths: Tensor) -> TagScores:
        """The scores of a batch for decoding. emissions: [batch, word, tag]; lengths: [batch]."""
        transitions = None if self.crf is None else Transitions(*(w.detach().cpu().numpy() for w in self.crf.weights()))
        return TagScores(emissions.detach().float().cpu().numpy(), lengths.cpu().numpy(), transitions)
