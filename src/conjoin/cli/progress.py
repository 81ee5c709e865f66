"""Progress of training and of extraction on standard error."""

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
    """Prints training events as lines, with a bar on a terminal. A context manager; `listen` takes the events."""

    def __init__(self, *, shown: bool = True) -> None:
        self.console = Console(stderr=True, highlight=False, quiet=not shown)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self.progress = Progress(*columns, console=self.console, refresh_per_second=4,
                                 disable=not (shown and self.console.is_terminal))
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
                self._print("again, on train and dev together")
            self._start(event.steps, event.resumed)
            self.select = event.select
            self._print(start_line(event))
            if event.word_vectors is not None:
                self._print(coverage_line(*event.word_vectors))
        elif isinstance(event, StepDone) and self.task is not None:
            self.progress.update(self.task, completed=event.step, description=f"loss {event.loss:.3f}")
        elif isinstance(event, EpochDone):
            self._print(epoch_line(replace(event, best=event.best and self.select == "best")))
        elif isinstance(event, Finished):
            reason = "the last" if self.select == "last" else "the best on dev"
            self._print(f"kept epoch {event.epoch} of {event.epochs}, {reason}, {event.seconds:.0f} s")

    def _print(self, line: str) -> None:
        self.console.print(line, markup=False, soft_wrap=True)

    def _start(self, steps: int, done: int) -> None:
        if self.task is not None:
            self.progress.remove_task(self.task)
        self.task = self.progress.add_task("training", total=steps, completed=done)


def start_line(event: Started) -> str:
    """The start of training in one line: parameters, epochs, and the step after which a run goes on."""
    epochs = "1 epoch" if event.epochs == 1 else f"{event.epochs} epochs"
    select = ", the last epoch counts" if event.select == "last" else ""
    resumed = f", going on after step {event.resumed}, in epoch {event.epoch}" if event.resumed else ""
    return f"training {event.trainable:,} of {event.parameters:,} parameters, {epochs}{select}{resumed}"


def epoch_line(event: EpochDone) -> str:
    """An epoch in one line: mean losses, scores on dev, seconds."""
    losses = ", ".join(f"{name} loss {value:.3f}" for name, value in event.terms.items())
    line = f"epoch {event.epoch}: {losses}"
    if event.report is not None:
        entities = event.report.entities["strict"].micro.f1
        relations = event.report.relations["strict"].micro.f1
        line += f", dev F1 entities {100 * entities:.1f} relations {100 * relations:.1f}"
    return f"{line}, {event.seconds:.0f} s" + (" (best so far)" if event.best else "")


def shows_progress(option: bool | None, *, results_on_terminal: bool = False) -> bool:
    """`--progress` or `--no-progress`; by default a terminal shows it, unless results are printed there."""
    return option if option is not None else sys.stderr.isatty() and not results_on_terminal


class ExtractionProgress:
    """Counts documents, with their rate and, for input of known size, the time left. A context manager.

    On a terminal it is a bar, elsewhere a line every ten seconds.
    """

    def __init__(self, *, shown: bool) -> None:
        self.console = Console(stderr=True, highlight=False)
        self.bar = shown and self.console.is_terminal
        self.lines = shown and not self.bar
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        self.progress = Progress(*columns, console=self.console, refresh_per_second=4, disable=not self.bar)
        self.task = self.progress.add_task("reading the model", total=None)
        self.total: int | None = None
        self.documents = 0
        self.started = self.printed = time.monotonic()
        self.first: tuple[float, int, int] | None = None  # time, documents and bytes of the first result

    def __enter__(self) -> ExtractionProgress:
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()
        if self.lines and self.documents and kind is None:
            self._print(None)

    def expect(self, total: int | None) -> None:
        """Set the size of the input in bytes; None where it is unknown."""
        self.total = total or None

    def update(self, documents: int, bytes_read: int) -> None:
        """Add documents, which end at this byte of the input."""
        if not (self.bar or self.lines):
            return
        now = time.monotonic()
        self.documents += documents
        if self.first is None:  # the rate leaves out the loading of the model
            self.first, self.printed = (now, self.documents, bytes_read), now
        if self.bar:
            self.progress.update(self.task, total=self.total, completed=bytes_read, description=self._line(now, bytes_read))
        elif now - self.printed >= SECONDS_BETWEEN_LINES:
            self.printed = now
            self._print(bytes_read)

    def _print(self, bytes_read: int | None) -> None:
        self.console.print(self._line(time.monotonic(), bytes_read), markup=False, soft_wrap=True)

    def _line(self, now: float, bytes_read: int | None) -> str:
        since, documents, first_byte = self.first or (self.started, 0, 0)
        if documents == self.documents or now - since < 1e-3:  # all at once
            since, documents, first_byte = self.started, 0, 0
        line = f"{self.documents:,} documents, {(self.documents - documents) / (now - since):,.1f} per second"
        if self.total is not None and bytes_read is not None and bytes_read > first_byte:
            share = max(0, self.total - bytes_read) / (bytes_read - first_byte)
            line += f", {timedelta(seconds=round((now - since) * share))} left"
        return line
