from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from conjoin.batching import annotate_all, fill_batches, shuffled_batches
from conjoin.document import Document, Entity
from conjoin.schema import Schema

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


class Echo:
    """Annotates every document with one entity over all its words, and remembers the batches."""

    schema = Schema(("All",))

    batch_pieces = 1024

    def __init__(self) -> None:
        self.batches: list[list[int]] = []

    def sizes(self, documents: Sequence[Document]) -> list[int]:
        return [len(document.tokens) for document in documents]

    def collate(self, documents: Sequence[Document], *, gold: bool = True) -> list[Document]:
        return list(documents)

    def annotate_batch(self, batch: list[Document], *, gold_entities: bool = False) -> list[Document]:
        self.batches.append([len(document.tokens) for document in batch])
        if gold_entities:
            return list(batch)
        return [document.annotated([Entity("All", 0, len(document.tokens))], ()) for document in batch]


@given(st.lists(st.integers(1, 30), max_size=30), st.integers(1, 6), st.integers(1, 60))
@settings(deadline=None)
def test_annotate_all_gives_documents_back_in_their_order(lengths: list[int], most: int, pieces: int) -> None:
    documents = [Document.from_words(["w"] * length, id=str(number)) for number, length in enumerate(lengths)]
    echo = Echo()
    found = annotate_all(echo, documents, batch_documents=most, batch_pieces=pieces)
    assert [document.id for document in found] == [document.id for document in documents]
    assert [document.entities[0].end for document in found] == lengths
    assert all(len(batch) <= most and (len(batch) * max(batch) <= pieces or len(batch) == 1) for batch in echo.batches)
    assert [size for batch in echo.batches for size in batch] == sorted(lengths, reverse=True)
    assert annotate_all(echo, documents, gold_entities=True) == documents
