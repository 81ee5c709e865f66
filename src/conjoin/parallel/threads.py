"""Running a model over many documents: several batches side by side, each in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

from conjoin.document import Document
from conjoin.parallel.batching import Annotator, fill_batches

MAX_LANES = 4  # more would wait for one another: what Python does, one thread does at a time


def lanes_of(threads: int) -> int:
    """How many batches are computed side by side where so many threads may compute: as many as leave none of them idle,
    or the fewest."""
    if threads < 2:
        return 1
    return max(range(2, min(threads, MAX_LANES) + 1), key=lambda lanes: (threads // lanes * lanes, lanes))


class Lanes:
    """Threads that each take a batch through a model, on their share of the cores.

    While one reads or decodes, which Python does on one core, the others compute. A model that computes with one thread
    has one lane, the caller's own thread.
    """

    def __init__(self, model: Annotator) -> None:
        self.model = model
        self._pool: ThreadPoolExecutor | None = None

    def __enter__(self) -> Lanes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def begin(
        self,
        documents: Sequence[Document],
        *,
        gold_entities: bool = False,
        batch_documents: int = 1024,
        batch_pieces: int | None = None,
    ) -> Callable[[], list[Document]]:
        """Begin to annotate documents, longest batches first; call what is returned for the results, in their order."""
        model, sizes = self.model, self.model.sizes(documents)
        model.prepare()
        order = sorted(range(len(documents)), key=lambda index: -sizes[index])
        batches = list(fill_batches(order, sizes, documents=batch_documents, pieces=batch_pieces or model.batch_pieces))

        def annotated(members: list[int]) -> list[Document]:
            batch = model.collate([documents[index] for index in members], gold=False)
            return model.annotate_batch(batch, gold_entities=gold_entities)

        begun = [self._start(annotated, members, alone=len(batches) == 1) for members in batches]

        def wait() -> list[Document]:
            result = list(documents)
            for members, found in zip(batches, begun, strict=True):
                for index, document in zip(members, found(), strict=True):
                    result[index] = document
            return result

        return wait

    def _start(
        self, work: Callable[[list[int]], list[Document]], members: list[int], *, alone: bool
    ) -> Callable[[], list[Document]]:
        """Have a lane do the work, or do it at once where there is one lane."""
        if self._pool is None and (alone or lanes_of(self.model.threads) == 1):
            found = work(members)
            return lambda: found
        if self._pool is None:
            self._pool = _opened(self.model)
        future: Future[list[Document]] = self._pool.submit(work, members)
        return future.result


def _opened(model: Annotator) -> ThreadPoolExecutor:
    threads = model.threads
    lanes = lanes_of(threads)
    pool = ThreadPoolExecutor(lanes, thread_name_prefix="conjoin-lane")
    ready = threading.Barrier(lanes)

    def enter(_: int) -> None:
        model.use_threads(threads // lanes)
        ready.wait()  # so that each is a thread of its own

    list(pool.map(enter, range(lanes)))
    model.use_threads(threads)  # what was set last is what threads that are made later begin with
    return pool


def annotate_all(
    model: Annotator,
    documents: Sequence[Document],
    *,
    gold_entities: bool = False,
    batch_documents: int = 1024,
    batch_pieces: int | None = None,
) -> list[Document]:
    """Annotate any number of documents and return them in their own order."""
    with Lanes(model) as lanes:
        return lanes.begin(documents, gold_entities=gold_entities, batch_documents=batch_documents,
                           batch_pieces=batch_pieces)()
