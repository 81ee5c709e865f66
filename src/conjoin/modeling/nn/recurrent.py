"""Bidirectional recurrent layers over words."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from conjoin.modeling.nn.containers import module_list
from conjoin.modeling.nn.graphs import exporting

Cell = Literal["gru", "lstm"]
CELLS: dict[Cell, type[nn.GRU] | type[nn.LSTM]] = {"gru": nn.GRU, "lstm": nn.LSTM}


class RecurrentStack(nn.Module):
    """A stack of bidirectional recurrent layers with dropout before each (Crone 2020 §3.1 to 3.4); zero are the identity.

    Outputs of a row depend neither on other rows nor on padding.

    Args:
        size: Of each direction.
        residual: A layer as wide as its input adds its output, times a trained vector that starts at zero, to the input,
            so that an encoder below it starts undisturbed. ReZero (Bachlechner et al. 2021) has one factor per layer,
            LayerScale (Touvron et al. 2021) one per unit that starts above zero.
    """

    def __init__(
        self, width: int, *, layers: int, size: int, cell: Cell, dropout: float, residual: bool = False
    ) -> None:
        super().__init__()
        widths = [width] + [2 * size] * layers
        self.layers = module_list(
            CELLS[cell](before, size, batch_first=True, bidirectional=True) for before in widths[:-1]
        )
        self.width = widths[-1]
        self.dropout = nn.Dropout(dropout)
        self.scales = nn.ParameterDict(
            {str(n): torch.zeros(2 * size) for n, before in enumerate(widths[:-1]) if residual and before == 2 * size}
        )

    def forward(self, states: Tensor, lengths: Tensor) -> Tensor:
        """states: [batch, word, in]; lengths: [batch] → [batch, word, width]; zeros for padding, but with zero layers."""
        return self.outputs(states, lengths)[-1]

    def outputs(self, states: Tensor, lengths: Tensor) -> list[Tensor]:
        """The input states and those after each layer; shapes as for `forward`."""
        outputs = [states]
        if states.shape[1] == 0:
            return outputs + [states.new_zeros(len(states), 0, self.width) for _ in self.layers]
        padding = (torch.arange(states.shape[1], device=lengths.device) >= lengths.unsqueeze(1)).unsqueeze(2)
        for number, layer in enumerate(self.layers):
            output, _ = run_rows(layer, self.dropout(states), lengths.clamp(min=1))
            scale = self.scales.get(str(number))
            states = (output if scale is None else states + scale * output).masked_fill(padding, 0.0)
            outputs.append(states)
        return outputs


def last_states(layer: nn.GRU | nn.LSTM, inputs: Tensor, lengths: Tensor) -> Tensor:
    """The last states of both directions of a layer, joined: forward at the end of a row, backward at its start.

    inputs: [row, step, in]; lengths: [row], at least 1 → [row, 2 · size].
    """
    _, last = run_rows(layer, inputs, lengths)
    return torch.cat([last[0], last[1]], dim=-1)


def run_rows(layer: nn.GRU | nn.LSTM, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """A bidirectional layer over rows of unequal lengths.

    inputs: [row, step, in]; lengths: [row], at least 1 → outputs [row, step, 2 · size], undefined for padding, and
    the last states [direction, row, size].
    """
    if exporting():
        return _as_onnx(layer, inputs, lengths)
    packed = pack_padded_sequence(inputs, lengths.cpu(), batch_first=True, enforce_sorted=False)
    output, state = layer(packed)
    padded, _ = pad_packed_sequence(output, batch_first=True, total_length=inputs.shape[1])
    return padded, state[0] if isinstance(state, tuple) else state


def _as_onnx(layer: nn.GRU | nn.LSTM, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """`run_rows` as one operator of ONNX, whose gates have another order."""
    gru = isinstance(layer, nn.GRU)
    order = (1, 0, 2) if gru else (0, 3, 1, 2)  # torch: reset, update, new; in, forget, cell, out

    def weights(kind: str) -> Tensor:
        directions = [getattr(layer, f"{kind}_l0{suffix}").chunk(len(order)) for suffix in ("", "_reverse")]
        return torch.stack([torch.cat([gates[number] for number in order]) for gates in directions])

    bias = torch.cat([weights("bias_ih"), weights("bias_hh")], dim=1)
    rows, steps, size = inputs.shape[0], inputs.shape[1], layer.hidden_size
    attributes: dict[str, Any] = {"hidden_size": size, "direction": "bidirectional"}
    if gru:
        attributes["linear_before_reset"] = 1
    output, last = torch.onnx.ops.symbolic_multi_out(
        "GRU" if gru else "LSTM",
        (inputs.transpose(0, 1), weights("weight_ih"), weights("weight_hh"), bias, lengths.to(torch.int32)),
        attributes,
        dtypes=(inputs.dtype, inputs.dtype),
        shapes=((steps, 2, rows, size), (2, rows, size)),
    )
    return output.permute(2, 0, 1, 3).flatten(2), last
