"""Several processes: results in order, bounded memory, what came before an error, and processes that die."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import doubles
from conjoin import Extractor
from conjoin.errors import DataError, ModelError, WorkerError
from conjoin.extractor import ExtractorLoader
from conjoin.parallel.batching import CHUNK_CHARACTERS, FIRST_CHUNK_CHARACTERS, chunks
from conjoin.parallel.process_pool import MAX_PENDING, ProcessPool, cores, thread_share
from conjoin.parallel.streaming import pipe_chunks, pipe_in_processes
from conjoin.training.distributed import threads_of_torch

Texts = st.lists(st.tuples(st.text(max_size=3), st.integers(0, 3 * FIRST_CHUNK_CHARACTERS).map("x".__mul__)), max_size=40)


@given(Texts)
def test_chunks_hold_all_texts_in_order_and_end_with_the_one_that_fills_them(texts: list[tuple[str, str]]) -> None:
    made = list(chunks(texts))
    assert list(itertools.chain.from_iterable(made)) == texts
    most = FIRST_CHUNK_CHARACTERS
    for chunk in made[:-1]:
        sizes = [len(text) + 1 for _, text in chunk]
        assert sum(sizes) >= most > sum(sizes[:-1])
        most = min(5 * most, CHUNK_CHARACTERS)
    assert all(made)


@given(Texts, st.integers(0, 50))
def test_skipped_results_change_nothing_in_the_others(texts: list[tuple[str, str]], skip: int) -> None:
    """Each document says with whom it was read."""

    class Together:
        def extract_each(self, groups):  # type: ignore[no-untyped-def]
            for group in groups:
                yield [doubles.first_words(f"{len(group)} {name}", text) for name, text in group]

    everything = list(pipe_chunks(Together(), texts, render=lambda document: document.id))
    assert list(pipe_chunks(Together(), texts, render=lambda document: document.id, skip=skip)) == everything[skip:]


@pytest.mark.processes
def test_results_are_in_order_whoever_makes_them() -> None:
    with ProcessPool(doubles.squares, workers=3) as pool:
        results = list(pool.map(range(60)))
        assert [result for _, result in results] == [item * item for item in range(60)]
        assert len({process for process, _ in results}) == 3
        assert [result for _, result in pool.map([5])] == [25]  # the same processes again
        assert list(pool.map([])) == []
    assert not any(map(psutil.pid_exists, {process for process, _ in results}))


@pytest.mark.processes
def test_an_endless_stream_is_read_only_so_far_ahead() -> None:
    drawn = itertools.count()
    with ProcessPool(doubles.squares, workers=2) as pool:
        results = pool.map(iter(drawn))
        for count in range(1, 30):
            next(results)
            assert next(drawn) <= count + 2 * MAX_PENDING + count  # what this asks for itself is drawn too
        results.close()  # type: ignore[attr-defined]
        assert [result for _, result in pool.map([2, 3])] == [4, 9]  # what was left undone does not come back


@pytest.mark.processes
def test_what_came_before_an_error_of_the_stream_is_given_first() -> None:
    def failing() -> Iterator[int]:
        yield from range(10)
        raise DataError("a.jsonl:11: wrong")

    seen = []
    with ProcessPool(doubles.squares, workers=2) as pool, pytest.raises(DataError, match="wrong"):
        for _, result in pool.map(failing()):
            seen.append(result)
    assert seen == [item * item for item in range(10)]


@pytest.mark.processes
def test_an_error_in_a_process_comes_through_after_what_was_before_it() -> None:
    seen = []
    with ProcessPool(doubles.squares, workers=2) as pool:
        with pytest.raises(ValueError, match="-1 is negative"):
            for _, result in pool.map([1, 2, 3, -1, 4]):
                seen.append(result)
        assert seen == [1, 4, 9]
        assert [result for _, result in pool.map([5])] == [25]


@pytest.mark.processes
def test_a_process_that_dies_is_one_sentence() -> None:
    with ProcessPool(doubles.squares, workers=2) as pool, pytest.raises(WorkerError) as raised:
        list(pool.map([1, 666, 3]))
    assert str(raised.value) == ("a worker process ended at its work (exit code 7); with too little memory for all of "
                                 "them, try fewer workers")
    seen = []
    with ProcessPool(doubles.squares, workers=1) as pool:
        with pytest.raises(WorkerError):
            for _, result in pool.map([1, 2, 666, 3]):
                seen.append(result)
        assert seen == [1, 4], "what came before is given first"
        assert [result for _, result in pool.map([5])] == [25]
    died = pytest.raises(WorkerError, match=r"while it loaded .*exit code 3")
    with ProcessPool(doubles.load_never, workers=2) as pool, died:
        list(pool.map([1]))


@pytest.mark.processes
def test_what_a_process_died_of_can_be_tried_otherwise() -> None:
    told: list[object] = []

    def again(item: int, place: object) -> int:
        told.append(place)
        return 6

    with ProcessPool(doubles.squares, workers=2, retry=again) as pool:
        assert [result for _, result in pool.map([1, 666, 3])] == [1, 36, 9]
    assert told == [("item", 666)]


@pytest.mark.processes
def test_the_processes_of_a_process_that_is_killed_end(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("""
import itertools, sys
sys.path.insert(0, sys.argv[1])
import doubles
from conjoin.parallel.process_pool import ProcessPool
if __name__ == "__main__":
    with ProcessPool(doubles.squares, workers=2) as pool:
        for process, _ in pool.map(itertools.count(700)):
            print(process, flush=True)
""")
    tests = Path(__file__).parents[1]
    with subprocess.Popen([sys.executable, script, tests], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        workers = {int(process.stdout.readline()) for _ in range(30)}
        process.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while any(map(psutil.pid_exists, workers)):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_each_process_has_its_share_of_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert thread_share(1) == cores() >= 1
    assert thread_share(2 * cores()) == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert thread_share(1) == 1
    assert os.environ["OMP_NUM_THREADS"] == "1"


def test_threads_of_torch_are_the_callers_again_afterwards() -> None:
    for count, inside in ((3, 3), (None, 1)):
        with pytest.raises(ValueError, match="stop"), threads_of_torch(count):
            assert torch.get_num_threads() == inside
            raise ValueError("stop")
        assert torch.get_num_threads() == 1


@pytest.mark.processes
def test_documents_are_those_of_the_extractor(trained_run: Path) -> None:
    texts = [(f"d{number}", "Lee Oswald shot Kennedy in Dallas. " * (number % 4)) for number in range(200)]
    expected = list(Extractor.load(trained_run).pipeline.stream(texts))
    assert list(pipe_in_processes(ExtractorLoader(str(trained_run)), texts, workers=2, skip=50)) == expected[50:]
    with pytest.raises(ModelError, match="no such folder"):
        list(pipe_in_processes(ExtractorLoader(str(trained_run / "no")), texts, workers=1))
