"""Feed-forward networks, mixes of layers and pooling."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Activation = Literal["relu", "gelu", "tanh"]
ACTIVATIONS: dict[Activation, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU, "tanh": nn.Tanh}


class FeedForward(nn.Sequential):
    """`layers` times linear → activation → dropout (Giorgi et al. 2019, A.2); zero layers are the identity.

    Every layer is `size` wide, but the last one `output` unless that is None.
    """

    def __init__(
        self, width: int, size: int, *, layers: int, activation: Activation, dropout: float, output: int | None = None
    ) -> None:
        widths = [width] + [size] * layers
        if layers and output is not None:
            widths[-1] = output
        modules: list[nn.Module] = []
        for before, after in pairwise(widths):
            modules += [nn.Linear(before, after), ACTIVATIONS[activation](), nn.Dropout(dropout)]
        super().__init__(*modules)
        self.width = widths[-1]


class LayerMix(nn.Module):
    """A trained average of layers: γ Σ softmax(w)ₖ · layer k (Peters et al. 2018, eq. 1; Crone 2020 §3.1)."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(layers))
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, layers: Tensor) -> Tensor:
        """layers: [batch, word, layer, width] in any precision → [batch, word, width] in single precision or that of
        autocast."""
        mixed = torch.einsum("bwlk,l->bwk", layers.to(self.weights.dtype), self.weights.softmax(0))
        return self.scale * mixed

    def of(self, layers: Sequence[Tensor]) -> Tensor:
        """The mix of separate layers, all of the same shape."""
        weights = self.scale * self.weights.softmax(0)
        mixed = layers[0] * weights[0]
        for layer, weight in zip(layers[1:], weights[1:], strict=True):
            mixed = torch.addcmul(mixed, layer, weight)
        return mixed


def row_means(table: Tensor, rows: Tensor) -> Tensor:
    """Means of rows of a table, without computing on padding.

    table: [row, width]; rows: [batch, word, k], -1 for none → [batch, word, width], zeros without rows.
    """
    present = rows >= 0
    ends = present.sum(-1).flatten().cumsum(0)
    starts = torch.cat([ends.new_zeros(1), ends])[:-1]
    means = functional.embedding_bag(rows[present], table, starts, mode="mean")  # [batch · word, width]
    joined: Tensor = means.unflatten(0, rows.shape[:2])
    return joined


class RangeMax(nn.Module):
    """Element-wise maximum over ranges of words by a sparse table: O(word · log word) to build, O(1) per range.

    Level k holds the maximum of 2^k words from each position on; a range is covered by two overlapping entries.
    """

    def forward(self, states: Tensor, rows: Tensor, starts: Tensor, ends: Tensor) -> Tensor:
        """states: [batch, word, width]; rows, starts, ends: [span] → [span, width]; an empty range gives zeros."""
        lengths = ends - starts
        if lengths.numel() == 0:
            return states.new_zeros(0, states.shape[-1])
        longest = max(1, int(lengths.max()))
        table = [states]
        while 2 ** len(table) <= longest:
            half = 2 ** (len(table) - 1)
            previous = table[-1]
            table.append(torch.maximum(previous[:, :-half], previous[:, half:]))
        powers = torch.arange(1, len(table) + 1, device=lengths.device)
        levels = (lengths.unsqueeze(1) >= 2**powers).sum(1)  # [span]: floor(log2(length)), 0 for the empty range
        pooled = states.new_zeros(len(lengths), states.shape[-1])
        for level, entries in enumerate(table):
            members = ((levels == level) & (lengths > 0)).nonzero().squeeze(1)
            if members.numel():
                first = entries[rows[members], starts[members]]
                last = entries[rows[members], ends[members] - 2**level]
                pooled = pooled.index_copy(0, members, torch.maximum(first, last))
        return pooled


class SpanPooling(nn.Module):
    """One vector per entity from the states of its words.

    `last` is the last word (Giorgi et al. 2019 §2; Crone 2020 §3.3), `first-last` the first and last joined, which
    distinguishes nested entities, `max` the element-wise maximum over all words.
    """

    def __init__(self, width: int, *, how: Literal["last", "first-last", "max"]) -> None:
        super().__init__()
        self.how = how
        self.width = 2 * width if how == "first-last" else width
        self.range_max = RangeMax()

    def forward(self, states: Tensor, rows: Tensor, starts: Tensor, ends: Tensor) -> Tensor:
        """states: [batch, word, width]; rows, starts, ends: [span] → [span, width]."""
        if self.how == "max":
            pooled: Tensor = self.range_max(states, rows, starts, ends)
            return pooled
        last = states[rows, ends - 1]
        return last if self.how == "last" else torch.cat([states[rows, starts], last], dim=-1)
