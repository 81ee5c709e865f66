from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from conjoin.parallel.batching import fill_batches, shuffled_batches

SIZES = st.lists(st.integers(0, 60), max_size=40)


def within_limits(batch: Sequence[int], sizes: Sequence[int], documents: int, pieces: int) -> bool:
    padded = len(batch) * max(sizes[index] for index in batch)
    return 0 < len(batch) <= documents and (padded <= pieces or len(batch) == 1)


@given(SIZES, st.integers(1, 8), st.integers(1, 120), st.randoms())
def test_batches_hold_the_order_within_their_limits(sizes: list[int], documents: int, pieces: int, chance: object) -> None:
    order = list(range(len(sizes)))
    chance.shuffle(order)  # type: ignore[attr-defined]
    batches = list(fill_batches(order, sizes, documents=documents, pieces=pieces))
    assert [index for batch in batches for index in batch] == order
    assert all(within_limits(batch, sizes, documents, pieces) for batch in batches)
    for batch, following in pairwise(batches):
        assert not within_limits([*batch, following[0]], sizes, documents, pieces), "no batch is cut short"


def test_padding_counts() -> None:
    # 3 documents of 2, 2, 5 pieces take 3 × 5 = 15 when padded.
    assert list(fill_batches([0, 1, 2], [2, 2, 5], documents=9, pieces=15)) == [[0, 1, 2]]
    assert list(fill_batches([0, 1, 2], [2, 2, 5], documents=9, pieces=14)) == [[0, 1], [2]]
    assert list(fill_batches([2, 0, 1], [2, 2, 50], documents=9, pieces=14)) == [[2], [0, 1]]


@given(SIZES, st.integers(1, 8), st.integers(1, 120), st.integers(1, 4), st.integers(0, 5), st.integers(0, 5))
@settings(deadline=None)
def test_an_epoch_holds_every_document_once(
    sizes: list[int], documents: int, pieces: int, buckets: int, seed: int, epoch: int
) -> None:
    def batches() -> list[list[int]]:
        return shuffled_batches(sizes, documents=documents, pieces=pieces, bucket_batches=buckets, seed=seed, epoch=epoch)

    found = batches()
    assert sorted(index for batch in found for index in batch) == list(range(len(sizes)))
    assert all(within_limits(batch, sizes, documents, pieces) for batch in found)
    assert found == batches(), "the same arguments give the same batches"


def test_seeds_and_epochs_differ() -> None:
    sizes = [1 + index % 7 for index in range(50)]
    orders = {
        str(shuffled_batches(sizes, documents=4, pieces=1000, bucket_batches=2, seed=seed, epoch=epoch))
        for seed in range(3) for epoch in range(3)
    }
    assert len(orders) == 9


def test_buckets_put_like_lengths_together() -> None:
    sizes = [index * 37 % 101 for index in range(100)]

    def padding(buckets: int) -> int:
        batches = shuffled_batches(sizes, documents=5, pieces=10_000, bucket_batches=buckets, seed=0, epoch=0)
        return sum(max(sizes[index] for index in batch) * len(batch) for batch in batches) - sum(sizes)

    assert padding(10) < padding(1) / 3
