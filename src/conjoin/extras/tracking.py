"""Experiment trackers as listeners to training: TensorBoard, MLflow, Weights & Biases.

Where they write is theirs to say: TensorBoard beside the run, the others by their own variables (`MLFLOW_TRACKING_URI`,
`MLFLOW_EXPERIMENT_NAME`, `WANDB_PROJECT`, `WANDB_MODE`, …). Each gets the settings, and at every step the losses and the
learning rate, at every epoch the means of the losses and the scores on dev.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from conjoin.errors import SettingError, require_extra, unknown_name
from conjoin.training import EpochDone, Event, Started, StepDone

Log = Callable[[Mapping[str, float], int], None]
PROJECT = "conjoin"


@contextmanager
def tracked(
    names: list[str], listen: Callable[[Event], None], *, folder: Path, settings: Mapping[str, Any]
) -> Iterator[Callable[[Event], None]]:
    """A listener that passes events on to `listen` and to the trackers of these names, which are closed at the end.

    `folder` is that of the run, whose name the trackers show. Raises `SettingError` for an unknown tracker and
    `ExtraMissingError` for one that is not installed, both before anything is written.
    """
    for name in names:
        if name not in TRACKERS:
            raise SettingError(unknown_name("tracker", name, TRACKERS))
    with ExitStack() as stack:
        logs = [stack.enter_context(TRACKERS[name](folder, flat(settings))) for name in names]
        yield _listener(listen, logs)


def _listener(listen: Callable[[Event], None], logs: list[Log]) -> Callable[[Event], None]:
    step = stage = 0

    def heard(event: Event) -> None:
        nonlocal step, stage
        listen(event)
        if isinstance(event, Started):
            stage += 1
            step = event.resumed
        elif isinstance(event, StepDone):
            step = event.step
        values = scalars(event)
        if values:
            named = values if stage <= 1 else {f"train and dev/{name}": value for name, value in values.items()}
            for log in logs:
                log(named, step)

    return heard


def scalars(event: Event) -> dict[str, float]:
    """The numbers of an event by name: `step/…` of a step, `epoch/…` and `dev/task/measure` of an epoch."""
    if isinstance(event, StepDone):
        terms = {f"step/loss/{name}": value for name, value in event.terms.items()}
        return {"step/loss": event.loss, "step/learning_rate": event.learning_rate, **terms}
    if not isinstance(event, EpochDone):
        return {}
    values = {f"epoch/loss/{name}": value for name, value in event.terms.items()} | {"epoch/seconds": event.seconds}
    if event.report is not None:
        for task in ("entities", "relations"):
            figures = getattr(event.report, task)["strict"].micro
            values |= {f"dev/{task}/{name}": getattr(figures, name) for name in ("precision", "recall", "f1")}
    return values


def flat(settings: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Settings as one table, `training.learning_rate`; what is not set is left out."""
    result: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            result |= flat(value, f"{before}{name}.")
        elif value is not None:
            result[before + name] = value
    return result


@contextmanager
def _tensorboard(folder: Path, settings: Mapping[str, Any]) -> Iterator[Log]:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise require_extra("tensorboard", "tensorboard") from error
    with SummaryWriter(str(folder / "tensorboard")) as writer:
        writer.add_text("settings", "\n".join(f"    {name} = {value!r}" for name, value in settings.items()))

        def log(values: Mapping[str, float], step: int) -> None:
            for name, value in values.items():
                writer.add_scalar(name, value, step)

        yield log


@contextmanager
def _mlflow(folder: Path, settings: Mapping[str, Any]) -> Iterator[Log]:
    try:
        import mlflow
    except ImportError as error:
        raise require_extra("mlflow", "mlflow-skinny") from error
    with mlflow.start_run(run_name=folder.name):
        mlflow.log_params({name: str(value)[:500] for name, value in settings.items()})
        yield lambda values, step: mlflow.log_metrics(dict(values), step=step)


@contextmanager
def _wandb(folder: Path, settings: Mapping[str, Any]) -> Iterator[Log]:
    try:
        import wandb
    except ImportError as error:
        raise require_extra("wandb", "wandb") from error
    folder.mkdir(parents=True, exist_ok=True)
    with wandb.init(project=os.environ.get("WANDB_PROJECT", PROJECT), name=folder.name, config=dict(settings),
                    dir=str(folder)) as run:
        # An epoch ends at the step before: one number of its own for each call, the step as a value.
        yield lambda values, step: run.log({**values, "step": step})


TRACKERS = {"tensorboard": _tensorboard, "mlflow": _mlflow, "wandb": _wandb}
