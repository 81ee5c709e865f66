"""Training events as a progress bar with loss, dev scores and time left; the progress of extraction."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from conjoin.artifacts.model_card import coverage_line

if TYPE_CHECKING:
    from conjoin.training import EpochDone, Event, Started

SECONDS_BETWEEN_LINES = 10.0


class TrainingProgress:
    """A context manager whose `listen` takes training events; writes to standard error."""

    def __init__(self) -> None:
        self.console = Console(stderr=True, highlight=False)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self.progress = Progress(*columns, console=self.console, refresh_per_second=4,
                                 disable=not self.console.is_terminal)
        self.task: TaskID | None = None
        self.select = "best"

    def __enter__(self) -> TrainingProgress:
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def listen(self, event: Event) -> None:
        """Show an event."""
        from conjoin.training import EpochDone, Finished, Started, StepDone

        if isinstance(event, Started):
            if self.task is not None:
                self._say("again, on train and dev together")
            self._start(event.steps, event.resumed)
            self.select = event.select
            self._say(start_line(event))
            if event.word_vectors is not None:
                self._say(coverage_line(*event.word_vectors))
        elif isinstance(event, StepDone) and self.task is not None:
            self.progress.update(self.task, completed=event.step, description=f"loss {event.loss:.3f}")
        elif isinstance(event, EpochDone):
            shown = replace(event, best=event.best and self.select == "best")
            self._say(epoch_line(shown))
        elif isinstance(event, Finished):
            which = "the last" if self.select == "last" else "the best on dev"
            kept = f"kept epoch {event.epoch} of {event.epochs}, {which}"
            self._say(f"{kept}, {event.seconds:.0f} s")

    def _say(self, line: str) -> None:
        self.console.print(line, markup=False, soft_wrap=True)

    def _start(self, steps: int, done: int) -> None:
        if self.task is not None:
            self.progress.remove_task(self.task)
        self.task = self.progress.add_task("training", total=steps, completed=done)


def start_line(event: Started) -> str:
    """One line on what begins: parameters, epochs, which of them counts, where a run goes on."""
    epochs = "1 epoch" if event.epochs == 1 else f"{event.epochs} epochs"
    which = ", the last epoch counts" if event.select == "last" else ""
    on = f", going on after step {event.resumed}, in epoch {event.epoch}" if event.resumed else ""
    return f"training {event.trainable:,} of {event.parameters:,} parameters, {epochs}{which}{on}"


def epoch_line(event: EpochDone) -> str:
    """One line on an epoch: mean losses, dev scores, seconds."""
    losses = ", ".join(f"{name} loss {value:.3f}" for name, value in event.terms.items())
    line = f"epoch {event.epoch}: {losses}"
    if event.report is not None:
        entities = event.report.entities["strict"].micro.f1
        relations = event.report.relations["strict"].micro.f1
        line += f", dev F1 entities {100 * entities:.1f} relations {100 * relations:.1f}"
    return f"{line}, {event.seconds:.0f} s" + (" (best so far)" if event.best else "")


def wanted(asked: bool | None, *, busy: bool = False) -> bool:
    """Whether progress is shown: as asked, else on a terminal that is not `busy` with results."""
    return asked if asked is not None else sys.stderr.isatty() and not busy


class ExtractionProgress:
    """Documents done, their rate and, where the size of the input is known, the time left, on standard error: a bar on a
    terminal, elsewhere a line from time to time. A context manager."""

    def __init__(self, *, shown: bool) -> None:
        self.console = Console(stderr=True, highlight=False)
        self.bar = shown and self.console.is_terminal
        self.lines = shown and not self.bar
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        self.progress = Progress(*columns, console=self.console, refresh_per_second=4, disable=not self.bar)
        self.task = self.progress.add_task("reading the model", total=None)
        self.total: int | None = None
        self.documents = 0  # those that were known before are not among them
        self.started = self.said = time.monotonic()
        self.first: tuple[float, int, int] | None = None  # when the first result came, documents and bytes until then

    def __enter__(self) -> ExtractionProgress:
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()
        if self.lines and self.documents and kind is None:
            self._say(None)

    def expect(self, total: int | None) -> None:
        """How many bytes there are to read, where that is known."""
        self.total = total or None

    def update(self, documents: int, read: int, *, known: bool = False) -> None:
        """So many documents more, up to this byte of the input; `known` ones were done by an earlier run."""
        if not (self.bar or self.lines):
            return
        if known:
            return
        now = time.monotonic()
        self.documents += documents
        if self.first is None:  # loading the model is no part of the rate
            self.first, self.said = (now, self.documents, read), now
        if self.bar:
            self.progress.update(self.task, total=self.total, completed=read, description=self._line(now, read))
        elif now - self.said >= SECONDS_BETWEEN_LINES:
            self.said = now
            self._say(read)

    def _say(self, read: int | None) -> None:
        self.console.print(self._line(time.monotonic(), read), markup=False, soft_wrap=True)

    def _line(self, now: float, read: int | None) -> str:
        since, documents, first_byte = self.first or (self.started, 0, 0)
        if documents == self.documents or now - since < 1e-3:  # all at once
            since, documents, first_byte = self.started, 0, 0
        line = f"{self.documents:,} documents, {(self.documents - documents) / (now - since):,.1f} per second"
        if self.total is not None and read is not None and read > first_byte:
            left = timedelta(seconds=round((now - since) * max(0, self.total - read) / (read - first_byte)))
            line += f", {left} left"
        return line
