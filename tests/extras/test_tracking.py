"""Trackers log every number once, by name and step; every run has curves."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from conjoin.document import Document, Entity
from conjoin.errors import SettingError
from conjoin.evaluation.metrics import score
from conjoin.experiments.curves import read_history, with_curves
from conjoin.extras.tracking import flatten, scalars, with_trackers
from conjoin.training import EpochDone, Event, Finished, Started, StepDone

GOLD = Document.from_words(["a", "b"], [Entity("A", 0, 1), Entity("A", 1, 2)])
REPORT = score([GOLD], [GOLD.annotated([Entity("A", 0, 1)], ())])


def epoch(number: int, *, dev: bool = True) -> list[Event]:
    step = StepDone(2 * number, number, 0.5, {"entities": 0.2, "relations": 0.3}, 1e-4)
    return [step, EpochDone(number, {"entities": 0.25}, 1.5, REPORT if dev else None, 0.5, best=True)]


def run(*parts: list[Event], resumed: int = 0, at: int = 1) -> list[Event]:
    events: list[Event] = [Started(4, 2, 10, 20, resumed, at)]
    return [*events, *(event for part in parts for event in part), Finished(2, 2, 0.5, 3.0)]


EXPECTED = {
    ("step/loss", 2): 0.5, ("step/learning_rate", 2): 1e-4, ("step/loss/entities", 2): 0.2, ("step/loss/relations", 2): 0.3,
    ("epoch/loss/entities", 2): 0.25, ("epoch/seconds", 2): 1.5, ("dev/entities/precision", 2): 1.0,
    ("dev/entities/recall", 2): 0.5, ("dev/entities/f1", 2): pytest.approx(2 / 3), ("dev/relations/precision", 2): 0.0,
    ("dev/relations/recall", 2): 0.0, ("dev/relations/f1", 2): 0.0,
}


def test_tensorboard_has_every_number(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = run(epoch(1), epoch(2))
    with with_trackers(["tensorboard"], folder=tmp_path, settings={"training": {"seed": 3}}) as listen:
        for event in events:
            listen(event)
    log = EventAccumulator(str(tmp_path / "tensorboard"))
    log.Reload()
    values = {(tag, row.step): row.value for tag in log.Tags()["scalars"] for row in log.Scalars(tag)}
    first = {key: value for key, value in values.items() if key[1] == 2}
    assert first == {key: pytest.approx(value) if isinstance(value, float) else value for key, value in EXPECTED.items()}
    assert len(values) == 2 * len(EXPECTED)
    assert "settings/text_summary" in log.Tags()["tensors"]


class StandIn:
    """The functions of MLflow and Weights & Biases that are called."""

    def __init__(self) -> None:
        self.logged: list[tuple[dict[str, float], int]] = []
        self.settings: dict[str, Any] = {}
        self.closed = False

    def __enter__(self) -> StandIn:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True

    def start_run(self, run_name: str) -> StandIn:
        self.name = run_name
        return self

    def log_params(self, settings: dict[str, Any]) -> None:
        self.settings = settings

    def log_metrics(self, values: dict[str, float], step: int) -> None:
        self.logged.append((values, step))

    def init(self, *, project: str | None, name: str, config: dict[str, Any], dir: str) -> StandIn:
        self.project, self.name, self.settings = project, name, config
        return self

    def log(self, values: dict[str, float]) -> None:
        self.logged.append((dict(values), int(values.pop("step"))))


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_other_trackers_have_every_number(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against stand-ins: the real ones need servers and accounts."""
    stand_in = StandIn()
    functions = {verb: getattr(stand_in, verb) for verb in ("start_run", "log_params", "log_metrics", "init")}
    monkeypatch.setitem(sys.modules, name, SimpleNamespace(**functions))  # type: ignore[arg-type]
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    folder = tmp_path / "first"
    with with_trackers([name], folder=folder, settings={"training": {"seed": 3}, "x": None}) as listen:
        for event in run(epoch(1)):
            listen(event)
    logged = {(key, step): value for values, step in stand_in.logged for key, value in values.items() if key != "step"}
    assert logged == EXPECTED
    assert (stand_in.name, stand_in.closed) == ("first", True)
    assert stand_in.settings == {"training.seed": "3" if name == "mlflow" else 3}


def test_a_second_training_has_names_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = StandIn()
    functions = {verb: getattr(stand_in, verb) for verb in ("start_run", "log_params", "log_metrics")}
    monkeypatch.setitem(sys.modules, "mlflow", SimpleNamespace(**functions))  # type: ignore[arg-type]
    with with_trackers(["mlflow"], folder=tmp_path, settings={}) as listen:
        for event in run(epoch(1)) + run(epoch(1, dev=False)):
            listen(event)
    names = {name for values, _ in stand_in.logged for name in values}
    assert {"step/loss", "train and dev/step/loss"} <= names and "train and dev/dev/entities/f1" not in names


def test_an_unknown_tracker(tmp_path: Path) -> None:
    with (
        pytest.raises(SettingError, match="unknown tracker 'tensorbord'"),
        with_trackers(["tensorbord"], folder=tmp_path, settings={}),
    ):
        pass


def test_scalars_and_settings() -> None:
    assert scalars(Finished(1, 1, None, 0.0)) == {}
    assert flatten({"a": {"b": {"c": 1}, "d": None}, "e": "x"}) == {"a.b.c": 1, "e": "x"}


def test_curves_continue_with_a_resumed_run(tmp_path: Path) -> None:
    def epochs(events: list[Event]) -> list[tuple[int, int]]:
        listen = with_curves(lambda event: None, tmp_path)
        for event in events:
            listen(event)
        return [(row["stage"], row["epoch"]) for row in read_history(tmp_path)]

    assert epochs(run(epoch(1), epoch(2))[:-1]) == [(1, 1), (1, 2)]
    assert epochs(run(epoch(2), epoch(3), resumed=2, at=2)) == [(1, 1), (1, 2), (1, 3)]
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert read_history(tmp_path)[0] == {
        "stage": 1, "epoch": 1, "seconds": 1.5, "loss": {"entities": 0.25},
        "f1": {"entities": round(2 / 3, 6), "relations": 0.0},
    }
    assert epochs(run(epoch(1)) + run(epoch(1, dev=False))) == [(1, 1), (2, 1)], "a new run has a new history"
    first, second = run(resumed=2, at=2), run(epoch(2, dev=False), resumed=2, at=2)
    assert epochs(first + second) == [(1, 1), (2, 1), (2, 2)], "the second training resumes; the first one was complete"
    assert "f1" not in json.loads((tmp_path / "history.jsonl").read_text().splitlines()[-1])
