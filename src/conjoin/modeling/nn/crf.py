"""Linear-chain conditional random field: partition function and likelihood with gradients."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def forward_backward(
    emissions: Tensor, lengths: Tensor, starts: Tensor, transitions: Tensor, ends: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Log-sums over all tag sequences. The backward pass is the forward pass over reversed rows, so one loop does both.

    emissions: [batch, word, tag]; lengths: [batch], at least 1; starts, ends: [tag]; transitions: [tag before, tag after],
    minus infinity for a forbidden step → forward sums up to and including the word [batch, word, tag], backward sums of
    all words after it [batch, word, tag], and the log partition [batch].
    """
    words, tags = emissions.shape[1:]
    positions = torch.arange(words, device=lengths.device)
    mirror = (lengths.unsqueeze(1) - 1 - positions).clamp(min=0)  # [batch, word]
    index = mirror.unsqueeze(2).expand(-1, -1, tags)
    both = torch.stack([emissions, emissions.gather(1, index)])  # [way, batch, word, tag]
    into = torch.stack([transitions.T, transitions]).unsqueeze(1)  # [way, 1, tag after, tag before]
    sums = both[:, :, 0] + torch.stack([starts, ends]).unsqueeze(1)  # [way, batch, tag]
    table = [sums]
    for word in range(1, words):
        sums = (sums.unsqueeze(2) + into).logsumexp(3) + both[:, :, word]
        table.append(sums)
    forwards, mirrored = torch.stack(table, dim=2).unbind(0)
    backwards = mirrored.gather(1, index) - emissions  # the word itself is in the forward sums
    last = forwards.gather(1, (lengths - 1)[:, None, None].expand(-1, 1, tags)).squeeze(1)
    return forwards, backwards, (last + ends).logsumexp(1)


class _LogPartition(torch.autograd.Function):
    """log Z of every row. Its gradient is the marginals, from one forward-backward pass without autograd."""

    @staticmethod
    def forward(
        context: Any, emissions: Tensor, lengths: Tensor, starts: Tensor, transitions: Tensor, ends: Tensor
    ) -> Tensor:
        forwards, backwards, partition = forward_backward(emissions, lengths, starts, transitions, ends)
        context.save_for_backward(emissions, lengths, transitions, forwards, backwards, partition)
        return partition

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        emissions, lengths, transitions, forwards, backwards, partition = context.saved_tensors
        (gradient,) = gradients  # [batch]
        words = emissions.shape[1]
        alive = torch.arange(words, device=lengths.device) < lengths.unsqueeze(1)  # [batch, word]
        padding = ~alive.unsqueeze(2)  # of any size, so that exp() could overflow
        rows = gradient[:, None, None]
        before = forwards - partition[:, None, None]
        unary = (before + backwards).masked_fill(padding, float("-inf")).exp() * rows  # [batch, word, tag]
        after = (backwards + emissions).masked_fill(padding, float("-inf"))[:, 1:]
        steps = before[:, :-1, :, None] + transitions + after.unsqueeze(2)  # [batch, word, tag before, tag after]
        pairwise = (steps.exp() * rows.unsqueeze(3)).sum((0, 1))
        last = torch.zeros_like(alive).scatter_(1, (lengths - 1).unsqueeze(1), True).unsqueeze(2)
        return unary, None, unary[:, 0].sum(0), pairwise, (unary * last).sum((0, 1))


class ChainCRF(nn.Module):
    """Linear-chain conditional random field over tags (Lafferty et al. 2001; Crone 2020 §3.2).

    legal_starts, legal_ends: [tag]; legal: [tag before, tag after]. Illegal steps have probability 0, in training too.
    """

    legal_starts: Tensor
    legal: Tensor
    legal_ends: Tensor

    def __init__(self, legal_starts: Tensor, legal: Tensor, legal_ends: Tensor) -> None:
        super().__init__()
        for name, flags in (("legal_starts", legal_starts), ("legal", legal), ("legal_ends", legal_ends)):
            self.register_buffer(name, flags.bool(), persistent=False)
        self.starts = nn.Parameter(torch.zeros(legal_starts.shape))
        self.transitions = nn.Parameter(torch.zeros(legal.shape))
        self.ends = nn.Parameter(torch.zeros(legal_ends.shape))

    def weights(self) -> tuple[Tensor, Tensor, Tensor]:
        """starts [tag], transitions [tag before, tag after], ends [tag]; minus infinity where a step is illegal."""
        never = float("-inf")
        return (
            self.starts.masked_fill(~self.legal_starts, never),
            self.transitions.masked_fill(~self.legal, never),
            self.ends.masked_fill(~self.legal_ends, never),
        )

    def log_likelihood(self, emissions: Tensor, tags: Tensor, lengths: Tensor) -> Tensor:
        """emissions: [batch, word, tag]; tags: [batch, word], legal; lengths: [batch], at least 1 → log p(tags) [batch]."""
        starts, transitions, ends = self.weights()
        partition: Tensor = _LogPartition.apply(emissions, lengths, starts, transitions, ends)  # type: ignore[no-untyped-call]
        alive = torch.arange(tags.shape[1], device=tags.device) < lengths.unsqueeze(1)  # [batch, word]
        tags = tags.masked_fill(~alive, 0)
        unary = (emissions.gather(2, tags.unsqueeze(2)).squeeze(2) * alive).sum(1)
        steps = torch.where(alive[:, 1:], self.transitions[tags[:, :-1], tags[:, 1:]], 0.0).sum(1)
        last = tags.gather(1, (lengths - 1).unsqueeze(1)).squeeze(1)
        return self.starts[tags[:, 0]] + unary + steps + self.ends[last] - partition
