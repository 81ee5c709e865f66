"""Bidirectional recurrent layers over words."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

Cell = Literal["gru", "lstm"]
CELLS: dict[str, type[nn.GRU] | type[nn.LSTM]] = {"gru": nn.GRU, "lstm": nn.LSTM}


class RecurrentStack(nn.Module):
    """Bidirectional recurrent layers one on another, dropout before each (Crone 2020 §3.1 to 3.4).

    `size` is that of one direction. No layers are the identity. With `residual` a layer as wide as its input gives the
    input plus its output times a trained vector that starts at zero, one factor a unit: at first such a stack changes
    nothing, and a fine-tuned encoder below it begins undisturbed. ReZero (Bachlechner et al. 2021) has one factor a layer,
    LayerScale (Touvron et al. 2021) one a unit that starts above zero. What a row gives never depends on the
    rows beside it or on its padding.
    """

    def __init__(
        self, width: int, *, layers: int, size: int, cell: Cell, dropout: float, residual: bool = False
    ) -> None:
        super().__init__()
        widths = [width] + [2 * size] * layers
        self.layers = nn.ModuleList(
            CELLS[cell](before, size, batch_first=True, bidirectional=True) for before in widths[:-1]
        )
        self.width = widths[-1]
        self.dropout = nn.Dropout(dropout)
        self.scales = nn.ParameterDict(
            {str(n): torch.zeros(2 * size) for n, before in enumerate(widths[:-1]) if residual and before == 2 * size}
        )

    def forward(self, states: Tensor, lengths: Tensor) -> Tensor:
        """states: [batch, word, in]; lengths: [batch] words of each row → [batch, word, width], zeros beyond a row's
        words (as given, without layers)."""
        return self.outputs(states, lengths)[-1]

    def outputs(self, states: Tensor, lengths: Tensor) -> list[Tensor]:
        """The states given and those after each layer; shapes as for `forward`."""
        found = [states]
        if states.shape[1] == 0:
            return found + [states.new_zeros(len(states), 0, self.width) for _ in self.layers]
        sizes = lengths.clamp(min=1).cpu()
        beyond = (torch.arange(states.shape[1], device=lengths.device) >= lengths.unsqueeze(1)).unsqueeze(2)
        for number, layer in enumerate(self.layers):
            packed = pack_padded_sequence(self.dropout(states), sizes, batch_first=True, enforce_sorted=False)
            output, _ = pad_packed_sequence(layer(packed)[0], batch_first=True, total_length=states.shape[1])
            scale = self.scales.get(str(number))
            states = (output if scale is None else states + scale * output).masked_fill(beyond, 0.0)
            found.append(states)
        return found


def last_states(layer: nn.GRU | nn.LSTM, inputs: Tensor, lengths: Tensor) -> Tensor:
    """The last state of each direction of a bidirectional layer, joined: forward at a row's end, backward at its start.

    inputs: [row, step, in]; lengths: [row], at least 1 → [row, 2 · size].
    """
    packed = pack_padded_sequence(inputs, lengths.cpu(), batch_first=True, enforce_sorted=False)
    _, state = layer(packed)
    last = state[0] if isinstance(state, tuple) else state  # [direction, row, size]
    return torch.cat([last[0], last[1]], dim=-1)
