"""A pool of worker processes: results in order, a bounded number of pending items, workers that may die."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, TypeVar

from conjoin.errors import ConjoinError, WorkerError

Item = TypeVar("Item")
Result = TypeVar("Result")
Notify = Callable[[object], None]  # reports progress on an item, in case the process dies
Work = Callable[[Item, Notify], Result]
Outcome = tuple[str, Any]  # ("done", result) or ("failed", error)

MAX_PENDING = 4  # items per process, including those whose results wait for an earlier one
THREAD_SETTINGS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")
JOIN_SECONDS = 5.0


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def thread_share(workers: int) -> int:
    """Threads for each of several processes: its share of the cores, or OMP_NUM_THREADS where that is less."""
    share = max(1, cores() // workers)
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return min(share, int(limit)) if limit.isdigit() and int(limit) else share


@dataclass(slots=True)
class _Task(Generic[Item]):
    number: int
    item: Item
    progress: object = None  # the last notification


class ProcessPool(Generic[Item, Result]):
    """Processes that each prepare a function once and then apply it to items. The first `map` starts them.

    Args:
        prepare: Called in each process with the number of the process; returns a function of an item and of `notify`.
        threads: Of each process; its share of the cores where absent.
        retry: Called with an item whose process died and its last notification; returns the item to try next. Without
            it a process that dies is a `WorkerError`.
    """

    def __init__(
        self, prepare: Callable[[int], Work[Item, Result]], *, workers: int, threads: int | None = None,
        retry: Callable[[Item, object], Item] | None = None,
    ) -> None:
        share = threads or thread_share(workers)
        self._workers = [_Worker[Item, Result](prepare, number, share) for number in range(workers)]
        self._retry = retry

    def __enter__(self) -> ProcessPool[Item, Result]:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the processes."""
        for worker in self._workers:
            worker.end()

    def map(self, items: Iterable[Item]) -> Iterator[Result]:
        """The results of the items, in order. An error is raised after the results of all items before it."""
        for worker in self._workers:
            worker.start()
        try:
            yield from self._results(enumerate(items))
        finally:
            for worker in self._workers:
                if worker.task is not None or not worker.ready:  # after an error, or when the caller stops early
                    worker.end()

    def _results(self, items: Iterator[tuple[int, Item]]) -> Iterator[Result]:
        outcomes: dict[int, Outcome] = {}  # by the number of the item
        position = sent = 0
        exhausted = False
        while True:
            while position in outcomes:
                kind, value = outcomes.pop(position)
                if kind == "failed":
                    raise value
                yield value
                position += 1
            idle = next((worker for worker in self._workers if worker.idle), None)
            if not exhausted and idle is not None and sent - position < MAX_PENDING * len(self._workers):
                try:
                    idle.send(_Task(*next(items)))
                    sent += 1
                except StopIteration:
                    exhausted = True
                except Exception as error:  # noqa: BLE001 - raised after the results before it
                    exhausted, outcomes[sent] = True, ("failed", error)
                self._receive(outcomes, 0.0)
            elif not exhausted or position < sent:
                self._receive(outcomes, None)
            else:
                return

    def _receive(self, outcomes: dict[int, Outcome], timeout: float | None) -> None:
        """Receive the messages of the processes, after waiting for the first of them."""
        workers = {worker.connection: worker for worker in self._workers}
        for connection in wait(list(workers), timeout):
            worker = workers[connection]  # type: ignore[index]
            message = worker.receive()
            if message is None:
                self._restart(worker, outcomes)
            elif message[0] in ("done", "failed") and worker.ready and worker.task is not None:
                outcomes[worker.task.number] = message
                worker.task = None
            elif message[0] == "failed":  # while loading the model
                raise message[1]

    def _restart(self, worker: _Worker[Item, Result], outcomes: dict[int, Outcome]) -> None:
        """Replace a process that died, and retry its item."""
        task, loaded, code = worker.task, worker.ready, worker.end()
        cause = f"killed by signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        error = WorkerError(f"a worker process ended {'at its work' if loaded else 'while it loaded the model'} "
                            f"({cause}); with too little memory for all of them, try fewer workers")
        if not loaded:
            raise error
        if task is not None and self._retry is not None:
            task.item, task.progress = self._retry(task.item, task.progress), None
        elif task is not None:
            outcomes[task.number], task = ("failed", error), None
        worker.start()
        worker.task = task


class _Worker(Generic[Item, Result]):
    """One process and the pipe to it. It has at most one item at a time, so that neither side blocks the other."""

    def __init__(self, prepare: Callable[[int], Work[Item, Result]], number: int, threads: int) -> None:
        self._arguments = (prepare, number, threads)
        self._process: multiprocessing.process.BaseProcess | None = None
        self.connection: Connection[Any, Any]
        self.ready = False
        self.task: _Task[Item] | None = None

    @property
    def idle(self) -> bool:
        return self.ready and self.task is None

    def start(self) -> None:
        """Start the process if it is not running; its first message is that it is ready."""
        if self._process is not None:
            return
        context = multiprocessing.get_context("spawn")
        self.connection, other_end = context.Pipe()
        self._process = context.Process(target=_serve, args=(other_end, *self._arguments), daemon=True)
        with ignore_interrupts():
            self._process.start()
        other_end.close()  # or the end of the process would go unnoticed

    def send(self, task: _Task[Item]) -> None:
        self.task = task
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the process died, as `receive` will report
            self.connection.send(task.item)

    def receive(self) -> Outcome | None:
        """The next message: an outcome or a notification, or None when the process has died."""
        try:
            kind, value = self.connection.recv()
        except (EOFError, OSError):
            return None
        if kind == "ready":
            self.ready = True
            if self.task is not None:  # of the process before it, which died
                self.send(self.task)
        elif kind == "progress" and self.task is not None:
            self.task.progress = value
        return kind, value

    def end(self) -> int | None:
        """End the process and forget its task; return its exit code."""
        process, self._process, self.task, self.ready = self._process, None, None, False
        if process is None:
            return None
        self.connection.close()
        process.join(0.1)
        process.terminate()
        process.join(JOIN_SECONDS)
        process.kill()
        process.join()
        return process.exitcode


@contextlib.contextmanager
def ignore_interrupts() -> Iterator[None]:
    """Ignore Ctrl-C, in this process and for good in those started meanwhile: only the first process handles it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def end_with_parent() -> None:
    """Exit if the process that started this one has died. Long work in a worker calls this from time to time."""
    parent = multiprocessing.parent_process()
    if parent is not None and not parent.is_alive():
        sys.exit(1)


def _serve(
    connection: Connection[Any, Any], prepare: Callable[[int], Work[Any, Any]], number: int, threads: int
) -> None:
    """The main function of a worker process. It returns when the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        try:
            for name in THREAD_SETTINGS:
                os.environ[name] = str(threads)
            work = prepare(number)
            if "torch" in sys.modules:  # which may have been imported before the settings were made
                sys.modules["torch"].set_num_threads(threads)
        except Exception as error:  # noqa: BLE001 - raised in the main process
            connection.send(("failed", _picklable(error)))
            return
        connection.send(("ready", None))
        while True:
            try:
                item = connection.recv()
            except (EOFError, ConnectionResetError):
                return
            connection.send(_outcome(work, item, connection))


def _outcome(work: Work[Any, Any], item: Any, connection: Connection[Any, Any]) -> Outcome:
    try:
        return "done", work(item, lambda progress: connection.send(("progress", progress)))
    except Exception as error:  # noqa: BLE001 - raised in the main process
        return "failed", _picklable(error)


def _picklable(error: Exception) -> Exception:
    try:
        return type(error)(*error.args) if isinstance(error, ConjoinError) else pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001 - an exception class of any library
        return WorkerError(f"a worker process failed: {type(error).__name__}: {error}")
