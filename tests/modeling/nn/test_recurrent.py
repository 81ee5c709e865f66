from __future__ import annotations

import pytest
import torch
from torch import nn

from conjoin.modeling.nn.recurrent import CELLS, Cell, RecurrentStack, last_states


def stack(layers: int, cell: Cell = "gru", *, width: int = 6, size: int = 4, residual: bool = False) -> RecurrentStack:
    torch.manual_seed(0)
    return RecurrentStack(width, layers=layers, size=size, cell=cell, dropout=0.0, residual=residual).eval()


def test_no_layers_are_the_identity() -> None:
    states = torch.randn(2, 3, 6)
    assert stack(0)(states, torch.tensor([3, 1])) is states
    assert stack(0).width == 6
    assert list(stack(0).parameters()) == []


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("residual", [False, True])
def test_a_row_does_not_know_its_batch(cell: Cell, layers: int, residual: bool) -> None:
    network = stack(layers, cell, width=8, residual=residual)
    for scale in network.scales.values():
        nn.init.normal_(scale)
    rows = [torch.randn(n, 8) for n in (1, 7, 0, 4)]
    batch = torch.full((4, 9, 8), 1e3)  # padding must never be read, nor given
    for number, row in enumerate(rows):
        batch[number, : len(row)] = row
    output = network(batch, torch.tensor([len(row) for row in rows]))
    assert output.shape == (4, 9, 8)
    for number, row in enumerate(rows):
        assert not output[number, len(row) :].any()
        if len(row):
            alone = network(row.unsqueeze(0), torch.tensor([len(row)]))
            torch.testing.assert_close(output[number, : len(row)], alone[0])


@pytest.mark.parametrize("cell", CELLS)
def test_layers_are_those_of_torch_one_on_another(cell: Cell) -> None:
    network = stack(2, cell)
    states = torch.randn(1, 5, 6)
    expected = states
    for layer in network.layers:
        assert isinstance(layer, nn.GRU | nn.LSTM)
        expected = layer(expected)[0]
    torch.testing.assert_close(network(states, torch.tensor([5])), expected)


def test_residual_layers_start_as_the_identity_and_add_where_widths_agree() -> None:
    network = stack(2, residual=True)
    states, lengths = torch.randn(1, 5, 6), torch.tensor([5])
    first = network.layers[0](states)[0]  # 6 → 8: nothing can be added
    torch.testing.assert_close(network(states, lengths), first)
    scale = torch.randn(8)
    network.scales["1"].data.copy_(scale)
    torch.testing.assert_close(network(states, lengths), first + scale * network.layers[1](first)[0])
    wide = stack(1, width=8, residual=True)
    states = torch.randn(1, 5, 8)
    torch.testing.assert_close(wide(states, lengths), states)


def test_the_scale_of_a_residual_layer_learns_first() -> None:
    network = stack(1, width=8, residual=True)
    network(torch.randn(1, 5, 8), torch.tensor([5])).square().sum().backward()
    assert network.scales["0"].grad.abs().sum() > 0


def test_dropout_comes_before_each_layer_in_training_only() -> None:
    network = RecurrentStack(6, layers=1, size=4, cell="gru", dropout=0.5)
    states, lengths = torch.randn(1, 5, 6), torch.tensor([5])
    assert not torch.equal(network(states, lengths), network(states, lengths))
    assert network(states, lengths).all(), "none after it, which would leave zeros"
    network.eval()
    assert torch.equal(network(states, lengths), network(states, lengths))


def test_batches_without_words() -> None:
    assert stack(2)(torch.zeros(2, 0, 6), torch.tensor([0, 0])).shape == (2, 0, 8)
    assert not stack(2)(torch.randn(2, 3, 6), torch.tensor([0, 0])).any()


@pytest.mark.parametrize("cell", CELLS)
def test_last_states_are_the_ends_of_both_ways(cell: Cell) -> None:
    torch.manual_seed(0)
    layer = CELLS[cell](3, 2, batch_first=True, bidirectional=True)
    inputs = torch.randn(2, 4, 3)
    found = last_states(layer, inputs, torch.tensor([4, 2]))
    for row, length in enumerate((4, 2)):
        output = layer(inputs[row : row + 1, :length])[0][0]
        torch.testing.assert_close(found[row], torch.cat([output[-1, :2], output[0, 2:]]))
