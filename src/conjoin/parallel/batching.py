"""Which documents go through a model together, and what of a stream of texts is read together."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence

Text = tuple[str, str]  # id and text

# How much text is read before a result must be given: little at first, for those who wait for it, then five times as
# much each time. Many texts make batches of like lengths; the most bounds memory on endless input.
FIRST_CHUNK_CHARACTERS = 2_000
CHUNK_CHARACTERS = 200_000


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


def chunks(texts: Iterable[Text], *, first: int = FIRST_CHUNK_CHARACTERS) -> Iterator[list[Text]]:
    """The texts in order, those together that are read together; a chunk ends after the text that fills it.

    Where the stream fails, what came before makes a chunk, and then the error is raised.
    """
    chunk: list[Text] = []
    size, most = 0, first
    try:
        for name, text in texts:
            chunk.append((name, text))
            size += len(text) + 1  # an endless stream of empty lines fills up too
            if size >= most:
                yield chunk
                chunk, size, most = [], 0, min(5 * most, CHUNK_CHARACTERS)
    except Exception:
        if chunk:
            yield chunk
        raise
    if chunk:
        yield chunk
