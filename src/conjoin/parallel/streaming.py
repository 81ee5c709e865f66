"""Extraction from a stream of texts, in one process or several: results in order, memory independent of its length.

Chunks are cut by their characters alone, so results do not depend on the number of processes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import tee
from typing import Generic, Protocol, TypeVar

from conjoin.document import Document
from conjoin.parallel.batching import Text, chunks
from conjoin.parallel.process_pool import ProcessPool, Work

T = TypeVar("T")
Chunk = tuple[int, list[Text]]  # how many of its first results are skipped, and its texts


class TextExtractor(Protocol):
    """Extracts from a list of texts."""

    def extract(self, texts: Sequence[Text], /) -> list[Document]:
        """A document for each pair of id and text, in order; they share batches."""


class StreamExtractor(Protocol):
    """Extracts from a stream of texts."""

    def extract_each(self, groups: Iterable[Sequence[Text]], /) -> Iterator[list[Document]]:
        """The documents of each group, in order; those of a group share batches."""


def identity(document: Document) -> Document:
    return document


def pipe_chunks(
    extractor: StreamExtractor, texts: Iterable[Text], *, render: Callable[[Document], T], skip: int = 0
) -> Iterator[T]:
    """As `pipe_in_processes`, in this process and with a loaded extractor."""
    first, second = tee(_unskipped(chunks(texts), skip))
    documents = extractor.extract_each(chunk for _, chunk in first)
    for results, (skipped, _) in zip(documents, second, strict=True):
        yield from map(render, results[skipped:])


def pipe_in_processes(
    load: Callable[[int], TextExtractor],
    texts: Iterable[Text],
    *,
    workers: int,
    render: Callable[[Document], T] = identity,  # type: ignore[assignment]
    skip: int = 0,
) -> Iterator[T]:
    """Extract from a stream of texts in several processes, each with its share of the cores.

    A script that calls this needs `if __name__ == "__main__":`, as always with processes.

    Args:
        load: Called in each process with its number, returns its extractor; picklable, as functions of modules are.
        render: Called with each document in the process that extracted it; picklable.
        skip: Leave out so many first results; the others do not depend on it.

    Raises:
        WorkerError: A process died. This and errors of the stream or the model are raised after the results before them.
    """
    with ProcessPool(_PrepareChunks(load, render), workers=workers) as pool:
        for results in pool.map(_unskipped(chunks(texts), skip)):
            yield from results


def _unskipped(stream: Iterable[list[Text]], skip: int) -> Iterator[Chunk]:
    """The chunks without those that are skipped as a whole."""
    for chunk in stream:
        if skip < len(chunk):
            yield skip, chunk
        skip = max(0, skip - len(chunk))


@dataclass(frozen=True, slots=True)
class _PrepareChunks(Generic[T]):
    load: Callable[[int], TextExtractor]
    render: Callable[[Document], T]

    def __call__(self, number: int) -> Work[Chunk, list[T]]:
        extractor = self.load(number)
        return lambda chunk, notify: [self.render(document) for document in extractor.extract(chunk[1])[chunk[0] :]]
