"""Extraction in several processes: results in order, a bounded number of texts under way, workers that may die.

What is read together does not depend on the number of processes: a stream is cut into chunks by its characters alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from conjoin.document import Document
from conjoin.parallel.batching import Text, chunks
from conjoin.parallel.process_pool import Pool, Work

T = TypeVar("T")


class Extracts(Protocol):
    """What extraction in a process needs of an `Extractor`."""

    def extract(self, texts: Sequence[Text], /) -> list[Document]:
        """A document for each pair of id and text, in order; they are read together."""


class ExtractsEach(Protocol):
    """What extraction from a stream needs of an `Extractor`."""

    def extract_each(self, groups: Iterable[Sequence[Text]], /) -> Iterator[list[Document]]:
        """The documents of each group, in order; those of a group are read together."""


def whole(document: Document) -> Document:
    """The document itself: what is rendered when nothing else is asked for."""
    return document


def pipe_chunks(
    extractor: ExtractsEach, texts: Iterable[Text], *, render: Callable[[Document], T], skip: int = 0
) -> Iterator[T]:
    """As `pipe_in_processes`, in this process and with an extractor that is there."""
    befores: deque[int] = deque()
    for documents in extractor.extract_each(_remembered(chunks(texts), skip, befores)):
        yield from [render(document) for document in documents][befores.popleft() :]


def pipe_in_processes(
    load: Callable[[int], Extracts],
    texts: Iterable[Text],
    *,
    workers: int,
    render: Callable[[Document], T] = whole,  # type: ignore[assignment]
    skip: int = 0,
) -> Iterator[T]:
    """Documents of a stream of (id, text), in order, extracted by so many processes; memory does not grow with the stream.

    Each process calls `load` with its number and has its share of the cores. `render` is called on each document where it
    was made. Both must be picklable, as functions of modules are. The first `skip` results are known
    and left out; the others are what they would be anyway. A script that calls this needs `if __name__ == "__main__":`,
    as always with processes. Raises `WorkerError` when a process dies, and what the stream or the model raises, after the
    results of what came before it.
    """
    prepare = _Piping(load, render)
    befores: deque[int] = deque()
    with Pool(prepare, workers=workers) as pool:
        for results in pool.map(_remembered(chunks(texts), skip, befores)):
            yield from results[befores.popleft() :]


def _remembered(stream: Iterable[list[Text]], skip: int, befores: deque[int]) -> Iterator[list[Text]]:
    """The chunks of which not all is known; how many of the texts of each are goes into `befores`."""
    for chunk in stream:
        if skip < len(chunk):
            befores.append(skip)
            yield chunk
        skip = max(0, skip - len(chunk))


@dataclass(frozen=True, slots=True)
class _Piping(Generic[T]):
    load: Callable[[int], Extracts]
    render: Callable[[Document], T]

    def __call__(self, number: int) -> Work[list[Text], list[T]]:
        extractor = self.load(number)
        return lambda chunk, say: [self.render(document) for document in extractor.extract(chunk)]
