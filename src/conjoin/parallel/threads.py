"""Batches computed in parallel threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from conjoin.parallel.batching import fill_batches

MAX_BATCHES = 4  # in parallel; more would wait for one another, since Python runs one thread at a time
MAX_DOCUMENTS = 1024  # of a batch

T = TypeVar("T")


def _keep_threads(count: int) -> None:
    """For models whose number of threads is set when they are loaded."""


@dataclass(frozen=True, slots=True)
class Compute:
    """The batch size and threads of a model."""

    batch_pieces: int  # of the fastest batch, padding included
    threads: int = 1  # that it computes with; 1 where parallel batches gain nothing
    use_threads: Callable[[int], None] = _keep_threads  # sets the number that the calling thread computes with


def parallel_batches(threads: int) -> int:
    """The number of batches to compute in parallel: the largest of those that leave the fewest threads idle."""
    if threads < 2:
        return 1
    return max(range(2, min(threads, MAX_BATCHES) + 1), key=lambda batches: (threads // batches * batches, batches))


class BatchThreads(Generic[T]):
    """Threads that each compute a batch on their share of the cores.

    While one thread prepares or decodes, which Python does on one core, the others compute. Batches of a model that
    computes with one thread are computed in the calling thread.
    """

    def __init__(self, compute: Compute) -> None:
        self.compute = compute
        self.batches = parallel_batches(compute.threads)
        self._pool: ThreadPoolExecutor | None = None

    def __enter__(self) -> BatchThreads[T]:
        return self

    def __exit__(self, *error: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def begin(self, work: Callable[[list[int]], Sequence[T]], sizes: Sequence[int]) -> Callable[[], list[T]]:
        """Start work on items, given by their sizes in pieces, the largest first, in batches of like sizes.

        `work` takes the indices of a batch's items. The returned function waits and returns the results in the order of
        the items.
        """
        order = sorted(range(len(sizes)), key=lambda index: -sizes[index])
        batches = list(fill_batches(order, sizes, documents=MAX_DOCUMENTS, pieces=self.compute.batch_pieces))
        pending = [self._start(work, members, alone=len(batches) == 1) for members in batches]

        def wait() -> list[T]:
            results: dict[int, T] = {}
            for members, batch_results in zip(batches, pending, strict=True):
                results.update(zip(members, batch_results(), strict=True))
            return [results[index] for index in range(len(sizes))]

        return wait

    def _start(
        self, work: Callable[[list[int]], Sequence[T]], members: list[int], *, alone: bool
    ) -> Callable[[], Sequence[T]]:
        """Submit a batch to a thread, or compute it at once where there is one thread or one batch."""
        if self._pool is None and (alone or self.batches == 1):
            results = work(members)
            return lambda: results
        if self._pool is None:
            self._pool = self._open()
        future: Future[Sequence[T]] = self._pool.submit(work, members)
        return future.result

    def _open(self) -> ThreadPoolExecutor:
        pool = ThreadPoolExecutor(self.batches, thread_name_prefix="conjoin-batch")
        ready = threading.Barrier(self.batches)

        def enter(_: int) -> None:
            self.compute.use_threads(self.compute.threads // self.batches)
            ready.wait()  # so that each is a thread of its own

        list(pool.map(enter, range(self.batches)))
        self.compute.use_threads(self.compute.threads)  # new threads begin with the number set last
        return pool
