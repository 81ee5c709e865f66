"""Progress of extraction on standard error."""

from __future__ import annotations

import sys
import time
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

SECONDS_BETWEEN_LINES = 10.0


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

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
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
