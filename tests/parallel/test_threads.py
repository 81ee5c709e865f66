"""Batches side by side: the results of one thread, whatever threads there are."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from conjoin.parallel import threads as threads_module
from conjoin.parallel.threads import MAX_BATCHES, BatchThreads, Compute, parallel_batches


class Echo:
    """Works on sizes: the result of an item is its place and its size. Remembers batches and threads."""

    def __init__(self, sizes: Sequence[int], *, threads: int = 1, pieces: int = 1024) -> None:
        self.sizes = sizes
        self.compute = Compute(pieces, threads, self.use_threads)
        self.told: dict[int, int] = {}  # thread → the threads that it was told to compute with
        self.batches: list[list[int]] = []
        self.workers: set[int] = set()

    def use_threads(self, count: int) -> None:
        self.told[threading.get_ident()] = count

    def work(self, members: list[int]) -> list[tuple[int, int]]:
        self.workers.add(threading.get_ident())
        self.batches.append([self.sizes[index] for index in members])
        if any(self.sizes[index] == 0 for index in members):
            raise ValueError("trouble")
        return [(index, self.sizes[index]) for index in members]

    def run(self) -> list[tuple[int, int]]:
        with BatchThreads[tuple[int, int]](self.compute) as threads:
            return threads.begin(self.work, self.sizes)()


@given(st.lists(st.integers(1, 30), max_size=30), st.integers(1, 6), st.integers(1, 60))
@settings(deadline=None)
def test_results_are_in_the_order_of_the_items(sizes: list[int], max_documents: int, pieces: int) -> None:
    echo = Echo(sizes, pieces=pieces)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threads_module, "MAX_DOCUMENTS", max_documents)
        assert echo.run() == list(enumerate(sizes))
    for batch in echo.batches:
        assert len(batch) <= max_documents and (len(batch) * max(batch) <= pieces or len(batch) == 1)
    assert [size for batch in echo.batches for size in batch] == sorted(sizes, reverse=True)


def test_several_threads_give_what_one_gives_and_share_the_cores() -> None:
    sizes = [1 + number * 7 % 23 for number in range(60)]
    alone, together = Echo(sizes, pieces=40), Echo(sizes, threads=6, pieces=40)
    assert together.run() == alone.run()
    assert sorted(together.batches) == sorted(alone.batches)
    assert together.told.pop(threading.get_ident()) == 6, "the caller's own threads stay as they were"
    assert list(together.told.values()) == [2, 2, 2]
    assert together.workers <= set(together.told)
    assert not alone.told and alone.workers == {threading.get_ident()}, "one thread is the caller's own"


def test_one_batch_is_computed_by_the_caller() -> None:
    echo = Echo([3, 2], threads=6)
    assert echo.run() == [(0, 3), (1, 2)]
    assert not echo.told and echo.workers == {threading.get_ident()}


def test_several_calls_go_on_side_by_side() -> None:
    echo = Echo([30] * 8, threads=2, pieces=60)
    with BatchThreads[tuple[int, int]](echo.compute) as threads:
        first, second = (threads.begin(echo.work, echo.sizes) for _ in range(2))
        assert len(second()) == len(first()) == 8


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_in_a_batch_is_the_callers(threads: int) -> None:
    echo = Echo([0 if number == 5 else 1 for number in range(50)], threads=threads, pieces=2)
    with pytest.raises(ValueError, match="trouble"):
        echo.run()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("conjoin-batch")]


def test_the_threads_are_gone_afterwards() -> None:
    echo = Echo([1] * 50, threads=3, pieces=2)
    with BatchThreads[tuple[int, int]](echo.compute) as threads:
        threads.begin(echo.work, echo.sizes)()
        assert [thread for thread in threading.enumerate() if thread.name.startswith("conjoin-batch")]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("conjoin-batch")]


def test_how_many_batches_side_by_side() -> None:
    assert [parallel_batches(threads) for threads in (0, 1, 2, 3, 4, 64)] == [1, 1, 2, 3, 4, MAX_BATCHES]
    idle = [threads - threads // parallel_batches(threads) * parallel_batches(threads) for threads in (5, 6, 7, 9, 10)]
    assert idle == [1, 0, 1, 0, 0]


def test_threads_of_torch_are_those_of_the_thread_that_set_them() -> None:
    """What threads of batches rest on: their setting does not reach the caller, nor threads that are made later."""
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        counts: list[int] = []

        def batch() -> None:
            torch.set_num_threads(1)
            counts.append(torch.get_num_threads())

        for target in (batch, lambda: counts.append(torch.get_num_threads())):
            thread = threading.Thread(target=target)
            thread.start()
            thread.join()
            torch.set_num_threads(3)
        assert (counts, torch.get_num_threads()) == ([1, 3], 3)
    finally:
        torch.set_num_threads(before)
