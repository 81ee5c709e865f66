"""Training events as a progress bar with loss, dev scores and time left."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from conjoin.training import EpochDone, Event


class TrainingProgress:
    """A context manager whose `listen` takes training events; writes to standard error."""

    def __init__(self) -> None:
        self.console = Console(stderr=True, highlight=False)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self.progress = Progress(*columns, console=self.console, refresh_per_second=4,
                                 disable=not self.console.is_terminal)
        self.task: TaskID | None = None

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
                self.console.print("again, on train and dev together")
            self._start(event.steps, event.resumed)
            self.console.print(f"training {event.trainable:,} of {event.parameters:,} parameters, {event.epochs} "
                               f"epoch{'s' if event.epochs != 1 else ''}"
                               + (f", going on at step {event.resumed}" if event.resumed else ""))
        elif isinstance(event, StepDone) and self.task is not None:
            self.progress.update(self.task, completed=event.step, description=f"loss {event.loss:.3f}")
        elif isinstance(event, EpochDone):
            self.console.print(epoch_line(event), markup=False, soft_wrap=True)
        elif isinstance(event, Finished):
            kept = f"kept epoch {event.epoch} of {event.epochs}"
            self.console.print(f"{kept}, {event.seconds:.0f} s", markup=False)

    def _start(self, steps: int, done: int) -> None:
        if self.task is not None:
            self.progress.remove_task(self.task)
        self.task = self.progress.add_task("training", total=steps, completed=done)


def epoch_line(event: EpochDone) -> str:
    """One line on an epoch: mean losses, dev scores, seconds."""
    losses = ", ".join(f"{name} loss {value:.3f}" for name, value in event.terms.items())
    line = f"epoch {event.epoch}: {losses}"
    if event.report is not None:
        entities = event.report.entities["strict"].micro.f1
        relations = event.report.relations["strict"].micro.f1
        line += f", dev F1 entities {100 * entities:.1f} relations {100 * relations:.1f}"
    return f"{line}, {event.seconds:.0f} s" + (" (best so far)" if event.best else "")
