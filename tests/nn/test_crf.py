from __future__ import annotations

from itertools import pairwise, product

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from conjoin.nn.crf import viterbi

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


@given(cases())
@settings(max_examples=60, deadline=None)
def test_viterbi_is_the_best_of_all_paths(case: Case) -> None:
    emissions, lengths, _, transitions, _ = case
    found = viterbi(*case)
    assert found.shape == emissions.shape[:2]
    for row, length in enumerate(lengths.tolist()):
        paths = product(range(len(transitions)), repeat=length)
        best = max(paths, key=lambda path: score_of(path, emissions[row], case))
        assert tuple(found[row, :length].tolist()) == best
        assert not found[row, length:].any()


def test_a_forbidden_step_is_never_taken_for_any_gain() -> None:
    emissions = torch.tensor([[[0.0, 1.0], [0.0, 1e6]]])
    transitions = torch.tensor([[0.0, 0.0], [0.0, float("-inf")]])
    free = torch.zeros(2)
    assert viterbi(emissions, torch.tensor([2]), free, transitions, free).tolist() == [[0, 1]]
