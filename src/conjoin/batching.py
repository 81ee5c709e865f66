"""Which documents go through a model together, and running a model over many of them."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from conjoin.document import Document
from conjoin.schema import Schema

BATCH_PIECES = 2048


class Annotator(Protocol):
    """What annotation needs of a model. Batches are its own: who asks for them hands them back."""

    schema: Schema

    @property
    def reads_ahead(self) -> bool:
        """Whether a batch may be collated in another thread while one before it is annotated."""

    def sizes(self, documents: Sequence[Document]) -> list[int]:
        """The cost of each document, in pieces."""

    def collate(self, documents: Sequence[Document], *, gold: bool = True) -> Any:
        """Documents → batch."""

    def annotate_batch(self, batch: Any, *, gold_entities: bool = False) -> list[Document]:
        """The documents of a batch with predicted annotations."""


def fill_batches(order: Sequence[int], sizes: Sequence[int], *, documents: int, pieces: int) -> Iterator[list[int]]:
    """Cut an order of documents into batches of at most so many documents and so many pieces, padding included.

    A document that is larger than `pieces` on its own makes a batch of one.
    """
    batch: list[int] = []
    longest = 0
    for index in order:
        longest_with = max(longest, sizes[index])
        if batch and (len(batch) >= documents or longest_with * (len(batch) + 1) > pieces):
            yield batch
            batch, longest_with = [], sizes[index]
        batch.append(index)
        longest = longest_with
    if batch:
        yield batch


def shuffled_batches(
    sizes: Sequence[int], *, documents: int, pieces: int, bucket_batches: int, seed: int, epoch: int
) -> list[list[int]]:
    """The batches of one training epoch: shuffled, sorted by size within buckets, batches shuffled again.

    The same arguments always give the same batches, so that a resumed run sees the same data.
    """
    generator = random.Random(f"{seed}-{epoch}")
    order = list(range(len(sizes)))
    generator.shuffle(order)
    bucket = documents * bucket_batches
    if bucket_batches > 1:
        order = [
            index
            for start in range(0, len(order), bucket)
            for index in sorted(order[start : start + bucket], key=lambda index: sizes[index])
        ]
    batches = list(fill_batches(order, sizes, documents=documents, pieces=pieces))
    generator.shuffle(batches)
    return batches


def annotate_all(
    model: Annotator,
    documents: Sequence[Document],
    *,
    gold_entities: bool = False,
    batch_documents: int = 128,
    batch_pieces: int = BATCH_PIECES,
) -> list[Document]:
    """Annotate any number of documents, longest batches first, and return them in their own order.

    A batch is collated while the one before it is annotated, where the model allows that.
    """
    sizes = model.sizes(documents)
    order = sorted(range(len(documents)), key=lambda index: -sizes[index])
    batches = list(fill_batches(order, sizes, documents=batch_documents, pieces=batch_pieces))
    result: list[Document | None] = [None] * len(documents)
    for members, batch in zip(batches, _collated(model, documents, batches), strict=True):
        for index, document in zip(members, model.annotate_batch(batch, gold_entities=gold_entities), strict=True):
            result[index] = document
    return [document for document in result if document is not None]


def _collated(model: Annotator, documents: Sequence[Document], batches: Sequence[Sequence[int]]) -> Iterator[Any]:
    """The batches as tensors, each made while the one before it is in use."""

    def collate(members: Sequence[int]) -> Any:
        return model.collate([documents[index] for index in members], gold=False)

    if len(batches) < 2 or not model.reads_ahead:
        yield from map(collate, batches)
        return
    with ThreadPoolExecutor(1, thread_name_prefix="conjoin-collate") as thread:
        coming = thread.submit(collate, batches[0])
        for members in batches[1:]:
            batch, coming = coming.result(), thread.submit(collate, members)
            yield batch
        yield coming.result()
