"""Texts of many requests, extracted together by one thread."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from conjoin.document import Document
from conjoin.parallel.batching import Text

TOGETHER_CHARACTERS = 20_000  # as much as some batches hold: who comes next does not wait long

Extract = Callable[[Sequence[Text]], list[Document]]


class BusyError(Exception):
    """Too many texts wait already."""


@dataclass(eq=False, slots=True)
class _Request:
    texts: list[Text]
    future: asyncio.Future[list[Document]]
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)

    @property
    def characters(self) -> int:
        return sum(len(text) + 1 for _, text in self.texts)

    def answer(self, documents: list[Document] | Exception) -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
            self.loop.call_soon_threadsafe(self._settle, documents)

    def _settle(self, documents: list[Document] | Exception) -> None:
        if self.future.done():
            return
        if isinstance(documents, Exception):
            self.future.set_exception(documents)
        else:
            self.future.set_result(documents)


class Batcher:
    """Whatever waits when the model is free is extracted together.

    A model runs one computation at a time, with all its threads; requests that come meanwhile wait, at most `waiting`
    texts of them. What nobody waits for any more is left out. When a batch fails its requests are tried one by one, so
    only the one at fault fails. `observe` is told the number of texts of each batch.
    """

    def __init__(self, extract: Extract, *, waiting: int, observe: Callable[[int], None] = lambda texts: None) -> None:
        self._extract = extract
        self._most = waiting
        self._observe = observe
        self._queue: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self.waiting = 0  # texts, those under way included

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name="conjoin-extract", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish what waits, then end the thread."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    async def submit(self, texts: Sequence[str]) -> list[Document]:
        """The documents of the texts, in order. Raises `BusyError` at once when too much waits."""
        if not texts:
            return []
        if self.waiting + len(texts) > self._most:
            raise BusyError
        request = _Request([("", text) for text in texts], asyncio.get_running_loop().create_future())
        self.waiting += len(texts)
        self._queue.put(request)
        try:
            return await request.future
        finally:
            self.waiting -= len(texts)

    def _run(self) -> None:
        open_ = True
        while open_:
            group: list[_Request] = []
            request = self._queue.get()
            characters = 0
            while request is not None:
                if not request.future.cancelled():
                    group.append(request)
                    characters += request.characters
                if characters >= TOGETHER_CHARACTERS:
                    break
                try:
                    request = self._queue.get_nowait()
                except queue.Empty:
                    break
            open_ = request is not None
            if group:
                self._answer(group)

    def _answer(self, group: list[_Request]) -> None:
        texts = [text for request in group for text in request.texts]
        self._observe(len(texts))
        try:
            found = iter(self._extract(texts))
        except BaseException as error:  # noqa: BLE001 - whatever the model raises is an answer, a panic of a library too
            if len(group) == 1:
                group[0].answer(error if isinstance(error, Exception) else RuntimeError(f"{type(error).__name__}: {error}"))
                return
            for request in group:
                self._answer([request])
            return
        for request in group:
            request.answer([next(found) for _ in request.texts])
