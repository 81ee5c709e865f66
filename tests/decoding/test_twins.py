"""What is computed twice, in numpy for decisions and in torch for training, gives the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from conjoin.decoding import tags
from conjoin.decoding.pairs import between, ordered_pairs
from conjoin.decoding.spans import Spans, pool_spans, range_max
from conjoin.document import Entity
from conjoin.modeling.heads.relations import PairFeatures, PairInputs
from conjoin.modeling.nn import crf
from conjoin.modeling.nn.layers import RangeMax, SpanPooling


def close(one: np.ndarray, other: torch.Tensor) -> None:
    assert one == pytest.approx(other.detach().numpy(), abs=1e-4)


@given(lengths=st.lists(st.integers(1, 7), min_size=1, max_size=4), seed=st.integers(0, 99))
@settings(max_examples=50, deadline=None)
def test_forward_backward(lengths: list[int], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    rules = tags.TagDecoder(("Loc", "Org"), "bioes").constraints
    legal = [torch.from_numpy(np.isfinite(costs)) for costs in (rules.starts, rules.steps, rules.ends)]
    chain = crf.ChainCRF(*legal)
    for value in chain.parameters():
        value.data.normal_(generator=generator)
    weights = [value.detach() for value in chain.weights()]
    emissions = 2 * torch.randn(len(lengths), max(lengths), len(rules.starts), generator=generator)
    theirs = crf.forward_backward(emissions, torch.tensor(lengths), *weights)
    transitions = tags.Transitions(*(value.numpy() for value in weights))
    ours = tags.forward_backward(emissions.numpy(), np.array(lengths), transitions)
    for row, length in enumerate(lengths):
        for one, other in zip(ours[:2], theirs[:2], strict=True):
            close(one[row, :length], other[row, :length])
    close(ours[2], theirs[2])


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 8), st.integers(0, 9)), max_size=6))
@settings(max_examples=50, deadline=None)
def test_maximum_over_ranges(ranges: list[tuple[int, int, int]]) -> None:
    states = torch.randn(2, 9, 3, generator=torch.Generator().manual_seed(0))
    rows, starts, ends = np.array([(row, min(a, b), max(a, b)) for row, a, b in ranges], dtype=np.int64).reshape(-1, 3).T
    theirs = RangeMax()(states, *(torch.from_numpy(places.copy()) for places in (rows, starts, ends)))
    assert range_max(states.numpy(), rows, starts, ends) == pytest.approx(theirs.numpy())


ENTITIES = st.lists(
    st.lists(st.builds(lambda start, length: Entity("Loc", start, start + length), st.integers(0, 7), st.integers(1, 3)),
             max_size=5),
    min_size=1, max_size=3,
)


@given(ENTITIES)
@settings(max_examples=60, deadline=None)
def test_pooling_and_pair_features(rows: list[list[Entity]]) -> None:
    states = torch.randn(len(rows), 12, 4, generator=torch.Generator().manual_seed(0))
    spans = Spans.of(rows, ("Loc",))
    pairs = ordered_pairs(spans.counts)
    inputs = PairInputs.of(spans, pairs, torch.device("cpu"))
    for how in ("last", "first-last", "max"):
        theirs = SpanPooling(4, how=how)(states, inputs.rows, inputs.starts, inputs.ends)  # type: ignore[arg-type]
        assert pool_spans(states.numpy(), spans, how) == pytest.approx(theirs.numpy())
    features = PairFeatures(4, context=True, distance=2, dropout=0)
    assert features.distance is not None
    start, end, bucket = between(spans, pairs)
    context = range_max(states.numpy(), spans.rows[pairs[0]], start, end)
    ours = np.concatenate([context, features.distance(torch.from_numpy(bucket)).detach().numpy()], axis=1)
    theirs = features(states, inputs.rows[inputs.pairs[0]], inputs.between, inputs.buckets)
    assert theirs is not None
    close(ours, theirs)
