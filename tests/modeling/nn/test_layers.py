from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from conjoin.modeling.nn.layers import FeedForward, RangeMax, SpanPooling, row_means


@st.composite
def ranges(draw: st.DrawFn) -> tuple[int, int, list[tuple[int, int, int]]]:
    """Rows, words, and (row, start, end) ranges, empty ones among them."""
    rows, words = draw(st.integers(1, 3)), draw(st.integers(1, 20))
    one = st.tuples(st.integers(0, rows - 1), st.integers(0, words), st.integers(0, words))
    return rows, words, [(row, min(a, b), max(a, b)) for row, a, b in draw(st.lists(one, max_size=8))]


def loop_max(states: torch.Tensor, spans: list[tuple[int, int, int]]) -> torch.Tensor:
    pooled = [
        states[row, start:end].max(0).values if end > start else torch.zeros(states.shape[-1], dtype=states.dtype)
        for row, start, end in spans
    ]
    return torch.stack(pooled) if pooled else states.new_zeros(0, states.shape[-1])


@given(ranges(), st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_range_max_is_the_plain_loop_with_its_gradients(
    case: tuple[int, int, list[tuple[int, int, int]]], seed: int
) -> None:
    rows, words, spans = case
    torch.manual_seed(seed)
    states = torch.randn(rows, words, 3, dtype=torch.double, requires_grad=True)
    twin = states.detach().clone().requires_grad_(True)
    table = torch.tensor(spans, dtype=torch.long).reshape(-1, 3)
    found = RangeMax()(states, *table.unbind(1))
    expected = loop_max(twin, spans)
    assert torch.equal(found, expected)
    weights = torch.randn_like(found)
    if any(end > start for _, start, end in spans):
        (found * weights).sum().backward()
        (expected * weights).sum().backward()
        torch.testing.assert_close(states.grad, twin.grad)


def test_an_empty_range_may_stand_at_the_very_end() -> None:
    states = torch.full((1, 2, 1), -5.0)
    pooled = RangeMax()(states, torch.tensor([0, 0]), torch.tensor([2, 0]), torch.tensor([2, 2]))
    assert pooled.tolist() == [[0.0], [-5.0]]


# Row 0 holds (1, -1) (5, 2) (3, 9), row 1 holds (7, 0) (0, 0) (4, 4); the spans are words 0-2 of row 0 and 2-3 of row 1.
STATES = torch.tensor([[[1.0, -1], [5, 2], [3, 9]], [[7.0, 0], [0, 0], [4, 4]]])


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("last", [[5.0, 2], [4, 4]]),
        ("first-last", [[1.0, -1, 5, 2], [4, 4, 4, 4]]),
        ("max", [[5.0, 2], [4, 4]]),
    ],
)
def test_span_pooling_by_hand(how: str, expected: list[list[float]]) -> None:
    pooling = SpanPooling(2, how=how)  # type: ignore[arg-type]
    pooled = pooling(STATES, torch.tensor([0, 1]), torch.tensor([0, 2]), torch.tensor([2, 3]))
    assert pooled.tolist() == expected
    assert pooling.width == pooled.shape[1]


def test_max_pooling_sees_every_word_and_no_other() -> None:
    pooled = SpanPooling(2, how="max")(STATES, torch.tensor([0, 0]), torch.tensor([0, 1]), torch.tensor([3, 2]))
    assert pooled.tolist() == [[5, 9], [5, 2]]


@pytest.mark.parametrize("how", ["last", "first-last", "max"])
def test_pooling_of_no_spans(how: str) -> None:
    none = torch.zeros(0, dtype=torch.long)
    pooling = SpanPooling(2, how=how)  # type: ignore[arg-type]
    assert pooling(STATES, none, none, none).shape == (0, pooling.width)


def test_zero_layers_are_the_identity() -> None:
    network = FeedForward(3, 99, layers=0, activation="tanh", dropout=0.5)
    states = torch.randn(2, 3)
    assert network(states) is states
    assert network.width == 3


def test_layers_are_linear_activation_dropout() -> None:
    network = FeedForward(3, 5, layers=2, activation="tanh", dropout=0.5)
    assert [type(module) for module in network] == [nn.Linear, nn.Tanh, nn.Dropout] * 2
    assert [network[0].in_features, network[0].out_features, network[3].in_features] == [3, 5, 5]
    assert network.width == 5
    states = torch.randn(4, 3)
    expected = torch.tanh(network[3](torch.tanh(network[0](states))))
    torch.testing.assert_close(network.eval()(states), expected)


@given(st.integers(0, 3), st.integers(0, 4), st.integers(1, 4), st.integers(0, 9))
@settings(deadline=None)
def test_means_of_rows_are_the_plain_loop_with_its_gradients(batch: int, words: int, most: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    table = torch.randn(7, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    rows = torch.randint(-1, 7, (batch, words, most), generator=generator)
    found = row_means(table, rows)
    assert found.shape == (batch, words, 3)
    plain = torch.zeros(batch, words, 3, dtype=torch.float64)
    for b in range(batch):
        for w in range(words):
            members = [int(row) for row in rows[b, w] if row >= 0]
            if members:
                plain[b, w] = sum(table[row] for row in members) / len(members)
    assert torch.allclose(found, plain)
    if found.requires_grad and plain.requires_grad:
        ours, theirs = (torch.autograd.grad((value**2).sum(), table)[0] for value in (found, plain))
        assert torch.allclose(ours, theirs)
