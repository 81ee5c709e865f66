"""A queue of requests whose texts one thread extracts in batches."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from conjoin.document import Document
from conjoin.parallel.batching import Text

BATCH_CHARACTERS = 20_000  # some of the model's own batches: the next request does not wait long
Extract = Callable[[Sequence[Text]], list[Document]]


class QueueFullError(Exception):
    """Too many texts are waiting."""


class ExtractionError(Exception):
    """The model failed; `__cause__` is its exception."""


@dataclass(eq=False, slots=True)
class _Request:
    texts: list[Text]
    future: asyncio.Future[list[Document]]
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)

    def answer(self, result: list[Document] | ExtractionError) -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
            self.loop.call_soon_threadsafe(self._settle, result)

    def _settle(self, result: list[Document] | ExtractionError) -> None:
        if self.future.done():
            return
        if isinstance(result, ExtractionError):
            self.future.set_exception(result)
        else:
            self.future.set_result(result)


class BatchQueue:
    """Extracts together the texts of all requests that arrived while the model was busy.

    One thread runs the model, which uses all its threads for one batch at a time. Cancelled requests are skipped. If a
    batch fails, its requests are extracted one by one, so that only the one at fault fails. At most `max_waiting` texts
    wait or are extracted at once; `observe` is called with the number of texts of each batch.
    """

    def __init__(self, extract: Extract, *, max_waiting: int, observe: Callable[[int], None] = lambda texts: None) -> None:
        self._extract = extract
        self._max_waiting = max_waiting
        self._observe = observe
        self._queue: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()  # None ends the thread
        self._thread: threading.Thread | None = None
        self.size = 0  # texts that wait or are being extracted

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="conjoin-extract", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Extract the texts that wait, then end the thread."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    async def submit(self, texts: Sequence[str]) -> list[Document]:
        """The documents of the texts, in order.

        Raises `QueueFullError` at once if too many texts are waiting, and `ExtractionError` if the model fails on a text.
        """
        if not texts:
            return []
        if self.size + len(texts) > self._max_waiting:
            raise QueueFullError
        request = _Request([("", text) for text in texts], asyncio.get_running_loop().create_future())
        self.size += len(texts)
        self._queue.put(request)
        try:
            return await request.future
        finally:
            self.size -= len(texts)

    def _run(self) -> None:
        while (batch := self._next_batch()) is not None:
            if batch:
                self._answer(batch)

    def _next_batch(self) -> list[_Request] | None:
        """Wait for a request and take as many more as fill a batch; None at the end."""
        batch: list[_Request] = []
        characters = 0
        while (request := self._queue.get()) is not None:
            if not request.future.cancelled():
                batch.append(request)
                characters += sum(len(text) + 1 for _, text in request.texts)
            if characters >= BATCH_CHARACTERS or self._queue.empty():
                return batch
        if not batch:
            return None
        self._queue.put(None)  # for the next call
        return batch

    def _answer(self, batch: list[_Request]) -> None:
        texts = [text for request in batch for text in request.texts]
        self._observe(len(texts))
        try:
            documents = iter(self._extract(texts))
        except BaseException as error:  # noqa: BLE001 - a panic of a Rust library is no Exception
            if len(batch) == 1:
                failure = ExtractionError(f"{type(error).__name__}: {error}")
                failure.__cause__ = error
                batch[0].answer(failure)
                return
            for request in batch:
                self._answer([request])
            return
        for request in batch:
            request.answer([next(documents) for _ in request.texts])
