"""Batches of documents, and chunks of a stream of texts."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence

Text = tuple[str, str]  # id and text

# Small first chunks give the first results soon; each chunk is then five times as large as the one before, since many
# texts make batches of like lengths. The maximum bounds memory on endless input.
FIRST_CHUNK_CHARACTERS = 2_000
CHUNK_CHARACTERS = 200_000


def fill_batches(order: Sequence[int], sizes: Sequence[int], *, documents: int, pieces: int) -> Iterator[list[int]]:
    """Cut an order of documents, whose sizes are in pieces, into batches.

    A batch has at most `documents` documents and `pieces` pieces, padding included; a larger document makes a batch of one.
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
    """Cut a stream of texts into chunks, the first with at least `first` characters; a chunk ends after the text that fills
    it. Where the stream fails, the texts before the error make a last chunk, then the error is raised."""
    chunk: list[Text] = []
    size, min_size = 0, first
    try:
        for name, text in texts:
            chunk.append((name, text))
            size += len(text) + 1  # so that an endless stream of empty lines fills chunks too
            if size >= min_size:
                yield chunk
                chunk, size, min_size = [], 0, min(5 * min_size, CHUNK_CHARACTERS)
    except Exception:
        if chunk:
            yield chunk
        raise
    if chunk:
        yield chunk
