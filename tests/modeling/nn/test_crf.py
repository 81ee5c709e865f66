from __future__ import annotations

import math
from itertools import pairwise, product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from conjoin.modeling.nn.crf import ChainCRF, forward_backward

Case = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


def score_of(path: tuple[int, ...], emissions: torch.Tensor, case: Case) -> float:
    _, _, starts, transitions, ends = case
    total = starts[path[0]] + ends[path[-1]] + sum(emissions[word, tag] for word, tag in enumerate(path))
    return float(total + sum(transitions[a, b] for a, b in pairwise(path)))


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Random scores with unequal lengths and some forbidden steps; staying at tag 0 is always allowed."""
    tags = draw(st.integers(1, 3))
    lengths = draw(st.lists(st.integers(1, 5), min_size=1, max_size=3))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10_000)))

    def some(*shape: int, forbid: bool = False) -> torch.Tensor:
        values = torch.randn(*shape, generator=generator, dtype=torch.double)
        if forbid:
            closed = torch.rand(*shape, generator=generator) < 0.4
            closed[(0,) * len(shape)] = False
            values[closed] = float("-inf")
        return values

    words = max(lengths) + draw(st.integers(0, 1))
    return (some(len(lengths), words, tags), torch.tensor(lengths), some(tags, forbid=True),
            some(tags, tags, forbid=True), some(tags, forbid=True))


def paths_of(case: Case, row: int) -> dict[tuple[int, ...], float]:
    """The score of every path of a row."""
    emissions, lengths, _, transitions, _ = case
    paths = product(range(len(transitions)), repeat=int(lengths[row]))
    return {path: score_of(path, emissions[row], case) for path in paths}


@given(cases())
@settings(max_examples=40, deadline=None)
def test_partition_and_marginals_are_those_of_all_paths(case: Case) -> None:
    emissions, lengths, _, _, _ = case
    forwards, backwards, partition = forward_backward(*case)
    marginals = (forwards + backwards - partition[:, None, None]).exp()
    for row, length in enumerate(lengths.tolist()):
        paths = paths_of(case, row)
        total = torch.tensor(list(paths.values())).logsumexp(0)
        assert partition[row].item() == pytest.approx(total.item(), abs=1e-5)
        for word, tag in product(range(length), range(emissions.shape[2])):
            inside = sum(math.exp(value - total) for path, value in paths.items() if path[word] == tag)
            assert marginals[row, word, tag].item() == pytest.approx(inside, abs=1e-5)


def chain(tags: int, *, seed: int = 0, forbid: bool = True) -> ChainCRF:
    generator = torch.Generator().manual_seed(seed)
    legal = torch.ones(tags, tags, dtype=torch.bool)
    starts = torch.ones(tags, dtype=torch.bool)
    if forbid:
        legal[0, -1] = starts[-1] = False
    crf = ChainCRF(starts, legal, torch.ones(tags, dtype=torch.bool)).double()
    for parameter in crf.parameters():
        parameter.data.normal_(generator=generator)
    return crf


def legal_path(crf: ChainCRF, length: int, generator: torch.Generator) -> list[int]:
    path: list[int] = []
    for _ in range(length):
        allowed = crf.legal[path[-1]] if path else crf.legal_starts
        options = allowed.nonzero().flatten().tolist()
        path.append(options[int(torch.randint(len(options), (1,), generator=generator))])
    return path


@given(st.integers(2, 4), st.lists(st.integers(1, 4), min_size=1, max_size=4), st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_likelihoods_of_all_legal_paths_add_up_to_one(tags: int, lengths: list[int], seed: int) -> None:
    crf = chain(tags, seed=seed)
    emissions = torch.randn(1, max(lengths) + 1, tags, dtype=torch.double, generator=torch.Generator().manual_seed(seed))
    for length in lengths:
        size = torch.tensor([length])
        total = 0.0
        for path in product(range(tags), repeat=length):
            steps = [crf.legal_starts[path[0]], *(crf.legal[a, b] for a, b in pairwise(path))]
            if all(steps):
                padded = torch.tensor([[*path, *[0] * (max(lengths) + 1 - length)]])
                total += crf.log_likelihood(emissions, padded, size).exp().item()
        assert total == pytest.approx(1)


def test_gradients_are_those_of_finite_differences_and_of_autograd() -> None:
    crf = chain(3)
    generator = torch.Generator().manual_seed(1)
    emissions = torch.randn(4, 5, 3, dtype=torch.double, generator=generator, requires_grad=True)
    lengths = torch.tensor([5, 1, 3, 2])
    tags = torch.tensor([legal_path(crf, int(n), generator) + [0] * (5 - int(n)) for n in lengths])
    names = ["starts", "transitions", "ends"]

    def likelihood(emissions: torch.Tensor, *weights: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = torch.func.functional_call(
            Likelihood(crf), {f"crf.{name}": value for name, value in zip(names, weights, strict=True)},
            (emissions, tags, lengths),
        )
        return result

    weights = [getattr(crf, name).detach().clone().requires_grad_() for name in names]
    assert torch.autograd.gradcheck(likelihood, (emissions, *weights))


class Likelihood(torch.nn.Module):
    def __init__(self, crf: ChainCRF) -> None:
        super().__init__()
        self.crf = crf

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self.crf.log_likelihood(*inputs)


def test_zero_transitions_are_a_softmax_tagger() -> None:
    crf = ChainCRF(torch.ones(4), torch.ones(4, 4), torch.ones(4))
    emissions = torch.randn(2, 6, 4)
    tags, lengths = torch.randint(0, 4, (2, 6)), torch.tensor([6, 6])
    expected = emissions.log_softmax(-1).gather(2, tags.unsqueeze(2)).sum((1, 2))
    torch.testing.assert_close(crf.log_likelihood(emissions, tags, lengths), expected)


def test_padding_and_neighbours_change_nothing_even_when_huge() -> None:
    crf = chain(3).float()
    emissions = torch.randn(1, 3, 3)
    alone = crf.log_likelihood(emissions, torch.tensor([[0, 1, 1]]), torch.tensor([3]))
    crf.zero_grad()
    batch = torch.full((2, 60, 3), 500.0)
    batch[0, :3] = emissions[0]
    batch.requires_grad_()
    tags = torch.zeros(2, 60, dtype=torch.long)
    tags[0, :3] = torch.tensor([0, 1, 1])
    both = crf.log_likelihood(batch, tags, torch.tensor([3, 60]))
    torch.testing.assert_close(both[0], alone[0])
    both[0].backward()
    assert batch.grad is not None
    assert torch.isfinite(batch.grad).all()
    assert not batch.grad[0, 3:].any() and not batch.grad[1].any()
    assert all(torch.isfinite(parameter.grad).all() for parameter in crf.parameters() if parameter.grad is not None)
