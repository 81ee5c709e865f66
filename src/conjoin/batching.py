"""Which documents go through a model together, and running a model over many of them."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Protocol

from conjoin.document import Document


class Annotator(Protocol):
    """What annotation needs of a model."""

    def sizes(self, documents: Sequence[Document]) -> list[int]:
        """The cost of each document, in pieces."""

    def annotate(self, documents: Sequence[Document], *, gold_entities: bool = False) -> list[Document]:
        """The documents, as one batch, with predicted annotations."""


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
    batch_pieces: int = 2048,
) -> list[Document]:
    """Annotate any number of documents, longest batches first, and return them in their own order."""
    sizes = model.sizes(documents)
    order = sorted(range(len(documents)), key=lambda index: -sizes[index])
    result: list[Document | None] = [None] * len(documents)
    for batch in fill_batches(order, sizes, documents=batch_documents, pieces=batch_pieces):
        annotated = model.annotate([documents[index] for index in batch], gold_entities=gold_entities)
        for index, document in zip(batch, annotated, strict=True):
            result[index] = document
    return [document for document in result if document is not None]
