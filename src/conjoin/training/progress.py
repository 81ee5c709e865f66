"""Training events as lines and a progress bar on standard error.

Only the command line prints, with this one exception: `conjoin.train` and `conjoin train` show the same progress, so it
is written here, by a listener that does nothing unless it is to be `shown`.
"""

from __future__ import annotations

from dataclasses import replace
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from conjoin.training.events import EpochDone, Event, Finished, Started, StepDone


class TrainingProgress:
    """A context manager whose `listen` takes training events.

    Where it is `shown`, it writes a line for the start, each epoch and the end; on a terminal a bar with the loss too.
    """

    def __init__(self, *, shown: bool = True) -> None:
        self.shown = shown
        self.console = Console(stderr=True, highlight=False)
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
        if not self.shown:
            return
        if isinstance(event, Started):
            self._start(event)
        elif isinstance(event, StepDone) and self.task is not None:
            self.progress.update(self.task, completed=event.step, description=f"loss {event.loss:.3f}")
        elif isinstance(event, EpochDone):
            self._say(epoch_line(replace(event, best=event.best and self.select == "best")))
        elif isinstance(event, Finished):
            which = "the last" if self.select == "last" else "the best on dev"
            self._say(f"kept epoch {event.epoch} of {event.epochs}, {which}, {event.seconds:.0f} s")

    def _start(self, event: Started) -> None:
        if self.task is not None:
            self._say("again, on train and dev together")
            self.progress.remove_task(self.task)
        self.task = self.progress.add_task("training", total=event.steps, completed=event.resumed)
        self.select = event.select
        self._say(start_line(event))
        if event.word_vectors is not None:
            self._say(str(event.word_vectors))

    def _say(self, line: str) -> None:
        self.console.print(line, markup=False, soft_wrap=True)


def start_line(event: Started) -> str:
    """Parameters, epochs, which of them counts, and where a run continues, in one line."""
    epochs = "1 epoch" if event.epochs == 1 else f"{event.epochs} epochs"
    which = ", the last epoch counts" if event.select == "last" else ""
    resumed = f", going on after step {event.resumed}, in epoch {event.epoch}" if event.resumed else ""
    return f"training {event.trainable:,} of {event.parameters:,} parameters, {epochs}{which}{resumed}"


def epoch_line(event: EpochDone) -> str:
    """Mean losses, dev scores and seconds of an epoch in one line."""
    losses = ", ".join(f"{name} loss {value:.3f}" for name, value in event.terms.items())
    line = f"epoch {event.epoch}: {losses}"
    if event.report is not None:
        entities = event.report.entities["strict"].micro.f1
        relations = event.report.relations["strict"].micro.f1
        line += f", dev F1 entities {100 * entities:.1f} relations {100 * relations:.1f}"
    return f"{line}, {event.seconds:.0f} s" + (" (best so far)" if event.best else "")
