"""Losses and dev scores of a training run, epoch by epoch: a file of JSON lines, and a picture of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from conjoin.storage.atomic import atomic_file, make_folder, write_text
from conjoin.training import EpochDone, Event, Started

HISTORY, PICTURE = "history.jsonl", "curves.png"
_COLOURS = {"entities": "#1f5fa8", "relations": "#b8500f"}


def with_curves(listen: Callable[[Event], None], folder: Path) -> Callable[[Event], None]:
    """Pass events on, and write the history and its picture into the folder of the run after each epoch.

    A run that continues from a checkpoint continues its history. The second training of `retrain_on_dev` is `"stage": 2`.
    """
    # Imported before training: Ctrl-C during these imports would come out as another error.
    import_module("matplotlib.backends.backend_agg")
    import_module("matplotlib.figure")
    rows: list[dict[str, Any]] = []
    stage = 0

    def listener(event: Event) -> None:
        nonlocal rows, stage
        listen(event)
        if isinstance(event, Started):
            stage += 1
            rows = [row for row in (read_history(folder) if stage == 1 else rows) if _belongs(row, event, stage)]
        elif isinstance(event, EpochDone):
            rows.append(_row(event, stage))
            make_folder(folder)
            write_text(folder / HISTORY, "".join(json.dumps(row) + "\n" for row in rows))
            draw_curves(rows, folder / PICTURE)

    return listener


def read_history(folder: Path) -> list[dict[str, Any]]:
    """The epochs of a run in order, each with `stage`, `epoch`, `seconds`, `loss` by term and strict micro `f1` on dev by
    task."""
    path = folder / HISTORY
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []


def _belongs(row: Mapping[str, Any], event: Started, stage: int) -> bool:
    """True if a recorded epoch is still part of the run when a stage starts, perhaps from a checkpoint."""
    if row["stage"] == stage:
        return bool(event.resumed) and row["epoch"] < event.epoch
    return row["stage"] < stage or bool(event.resumed)


def _row(event: EpochDone, stage: int) -> dict[str, Any]:
    row: dict[str, Any] = {"stage": stage, "epoch": event.epoch, "seconds": round(event.seconds, 2)}
    row["loss"] = {name: round(value, 6) for name, value in event.terms.items()}
    if event.report is not None:
        scores = {task: getattr(event.report, task)["strict"].micro.f1 for task in _COLOURS}
        row["f1"] = {task: round(score, 6) for task, score in scores.items()}
    return row


def draw_curves(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Plot losses, and scores on dev where there are any, against epochs into a PNG file."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    kinds = [("loss", "loss, mean of an epoch")]
    if any("f1" in row for row in rows):
        kinds.append(("f1", "strict micro F1 on dev, %"))
    figure = Figure(figsize=(4.6 * len(kinds), 3.4), layout="constrained")
    for axes, (kind, title) in zip(figure.subplots(1, len(kinds), squeeze=False)[0], kinds, strict=True):
        for stage in sorted({row["stage"] for row in rows}):
            some = [row for row in rows if row["stage"] == stage and kind in row]
            for task in some[0][kind] if some else ():
                values = [row[kind][task] * (100 if kind == "f1" else 1) for row in some]
                label = task if stage == 1 else f"{task}, on train and dev"
                axes.plot([row["epoch"] for row in some], values, "o-" if stage == 1 else "o--", markersize=3, label=label,
                          color=_COLOURS.get(task, "#777777"))
        axes.set(xlabel="epoch", title=title)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(frameon=False)
        axes.grid(alpha=0.25)
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110, metadata={"Software": None})
