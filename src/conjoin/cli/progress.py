"""Training events as a progress bar with loss, dev scores and time left."""

from __future__ import annotations

from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from conjoin.card import coverage_line

if TYPE_CHECKING:
    from conjoin.training import EpochDone, Event, Started


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
