"""Processes that work on items side by side: results in order, a bounded number under way, processes that may die."""

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
from types import TracebackType
from typing import Any, Generic, TypeVar

from conjoin.errors import ConjoinError, WorkerError

Item = TypeVar("Item")
Result = TypeVar("Result")
Say = Callable[[object], None]  # tells where the work on an item is, for when the process dies there
Work = Callable[[Item, Say], Result]

AHEAD = 4  # items under way for each process, those included whose results wait for an earlier one
THREAD_SETTINGS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")
PATIENCE = 5.0  # seconds in which a process that was told to end does so


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def thread_share(workers: int) -> int:
    """The threads of each of so many processes: its share of the cores, or of OMP_NUM_THREADS where that is less."""
    share = max(1, cores() // workers)
    given = os.environ.get("OMP_NUM_THREADS", "")
    return min(share, int(given)) if given.isdigit() and int(given) else share


@dataclass(slots=True)
class _Task(Generic[Item]):
    number: int
    item: Item
    place: object = None  # what the process last said about it


class Pool(Generic[Item, Result]):
    """Processes that each prepare a function once and then work on items.

    `prepare(number)` is called in each process, with the number of the process, and returns a function of an item and of
    `say`, with which it tells where it is. When a process dies, `again(item, place)` gives the item to try next, with the
    place that was last told; without `again` that is a `WorkerError`. Each has `threads`, or its share of the cores.
    Processes are started by the first `map`.
    """

    def __init__(
        self,
        prepare: Callable[[int], Work[Item, Result]],
        *,
        workers: int,
        threads: int | None = None,
        again: Callable[[Item, object], Item] | None = None,
    ) -> None:
        share = threads or thread_share(workers)
        self._workers = [_Worker[Item, Result](prepare, number, share) for number in range(workers)]
        self._again = again

    def __enter__(self) -> Pool[Item, Result]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the processes."""
        for worker in self._workers:
            worker.end()

    def map(self, items: Iterable[Item]) -> Iterator[Result]:
        """The results of the items, in order. What was done before an error is given first."""
        source = enumerate(items)
        done: dict[int, tuple[str, Any]] = {}
        given = started = 0
        open_, failure = True, None
        for worker in self._workers:
            worker.start()
        try:
            while True:
                while given in done:
                    kind, value = done.pop(given)
                    if kind == "failed":
                        raise value
                    yield value
                    given += 1
                idle = next((worker for worker in self._workers if worker.idle), None)
                if open_ and idle is not None and started - given < AHEAD * len(self._workers):
                    try:
                        idle.give(_Task(*next(source)))
                        started += 1
                    except StopIteration:
                        open_ = False
                    except Exception as error:  # noqa: BLE001 - raised again, after the results of what came before
                        open_, failure = False, error
                    self._listen(done, 0.0)
                elif open_ or any(worker.task is not None for worker in self._workers):
                    self._listen(done, None)
                else:
                    break
        finally:
            for worker in self._workers:
                if worker.task is not None or not worker.ready:  # the stream was left, by an error or by who reads it
                    worker.end()
        if failure is not None:
            raise failure

    def _listen(self, done: dict[int, tuple[str, Any]], timeout: float | None) -> None:
        """Take what the processes say, waiting for it as long as allowed."""
        talking = {worker.connection: worker for worker in self._workers}
        for connection in wait(list(talking), timeout):
            worker = talking[connection]  # type: ignore[index]
            told = worker.hear()
            if told is None:
                self._died(worker, done)
            elif told[0] in ("done", "failed") and worker.ready and worker.task is not None:
                done[worker.task.number] = told
                worker.task = None
            elif told[0] == "failed":  # to load the model
                raise told[1]

    def _died(self, worker: _Worker[Item, Result], done: dict[int, tuple[str, Any]]) -> None:
        task, loaded, code = worker.task, worker.ready, worker.end()
        error = WorkerError(f"a worker process ended {'at its work' if loaded else 'while it loaded the model'} "
                            f"({_ending(code)}); with too little memory for all of them, try fewer workers")
        if not loaded:
            raise error
        if task is not None and self._again is not None:
            task.item, task.place = self._again(task.item, task.place), None
        elif task is not None:
            done[task.number], task = ("failed", error), None  # raised after the results of what came before
        worker.start()
        worker.task = task


class _Worker(Generic[Item, Result]):
    """One process, and the pipe to it. It has at most one item at a time, so that neither side waits for the other."""

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
        """Start the process if there is none; it says when it is ready."""
        if self._process is not None:
            return
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, *self._arguments), daemon=True)
        with deaf_to_interrupts():
            self._process.start()
        theirs.close()  # or the end of the process would not be seen

    def give(self, task: _Task[Item]) -> None:
        self.task = task
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it has died, which is heard next
            self.connection.send(task.item)

    def hear(self) -> tuple[str, Any] | None:
        """What the process says: `("done", result)`, `("failed", error)` or something else; None when it has died."""
        try:
            kind, value = self.connection.recv()
        except (EOFError, OSError):
            return None
        if kind == "ready":
            self.ready = True
            if self.task is not None:  # what the process before it died of
                self.give(self.task)
        elif kind == "at" and self.task is not None:
            self.task.place = value
        return kind, value

    def end(self) -> int | None:
        """End the process and forget its task; its exit code."""
        process, self._process, self.task, self.ready = self._process, None, None, False
        if process is None:
            return None
        self.connection.close()
        process.join(0.1)
        process.terminate()
        process.join(PATIENCE)
        process.kill()
        process.join()
        return process.exitcode


@contextlib.contextmanager
def deaf_to_interrupts() -> Iterator[None]:
    """Ctrl-C is for the process that began all this; a process that starts deaf to it stays so, from its first moment."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def end_with_parent() -> None:
    """End this process if another one began it and has been killed: nobody waits for its work. For long work to call."""
    parent = multiprocessing.parent_process()
    if parent is not None and not parent.is_alive():
        sys.exit(1)


def _ending(code: int | None) -> str:
    if code is not None and code < 0:
        return f"killed by signal {-code}"
    return f"exit code {code}"


def _serve(
    connection: Connection[Any, Any], prepare: Callable[[int], Work[Any, Any]], number: int, threads: int
) -> None:
    """The life of a worker process. It ends when the other side does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        try:
            for name in THREAD_SETTINGS:
                os.environ[name] = str(threads)
            work = prepare(number)
            if "torch" in sys.modules:  # perhaps imported before the settings were made
                sys.modules["torch"].set_num_threads(threads)
        except Exception as error:  # noqa: BLE001 - raised again on the other side
            connection.send(("failed", _sendable(error)))
            return
        connection.send(("ready", None))
        while True:
            try:
                item = connection.recv()
            except (EOFError, ConnectionResetError):
                return
            connection.send(_worked(work, item, connection))


def _worked(work: Work[Any, Any], item: Any, connection: Connection[Any, Any]) -> tuple[str, Any]:
    try:
        return "done", work(item, lambda place: connection.send(("at", place)))
    except Exception as error:  # noqa: BLE001 - raised again on the other side
        return "failed", _sendable(error)


def _sendable(error: Exception) -> Exception:
    try:
        return type(error)(*error.args) if isinstance(error, ConjoinError) else pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001 - an exception class of any library
        return WorkerError(f"a worker process failed: {type(error).__name__}: {error}")
