from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from killed_run import config, documents, events, model_for
from torch import Tensor

from conjoin.errors import ModelError
from conjoin.training import DevSet, Finished, Started, StepDone, training_events

SCRIPT = Path(__file__).with_name("killed_run.py")


def finished(encoder: str, folder: Path | None) -> tuple[list[Any], Mapping[str, Tensor]]:
    settings = config(encoder)
    model = model_for(settings)
    return list(events(model, settings, folder)), model.state_dict()


@pytest.fixture(scope="module")
def uninterrupted(encoder: str) -> tuple[list[Any], Mapping[str, Tensor]]:
    return finished(encoder, None)


def kill_after(encoder: str, folder: Path, step: int) -> int:
    """Start the run in a process of its own and kill it after a step; the step that it had resumed from."""
    command = [sys.executable, str(SCRIPT), encoder, str(folder), str(step)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        resumed, waiting = int(process.stdout.readline()), process.stdout.readline()
        assert waiting == "waiting\n"
        process.send_signal(signal.SIGKILL)
        process.wait(60)
    assert process.returncode == -signal.SIGKILL
    return resumed


def same_outcome(outcome: tuple[list[Any], Mapping[str, Tensor]], expected: tuple[list[Any], Mapping[str, Tensor]]) -> None:
    assert outcome[1].keys() == expected[1].keys()
    different = [name for name, value in outcome[1].items() if not torch.equal(value, expected[1][name])]
    assert different == []
    last, twin = outcome[0][-1], expected[0][-1]
    assert (last.epoch, last.epochs, last.score) == (twin.epoch, twin.epochs, twin.score)
    losses = {event.step: event.loss for event in expected[0] if isinstance(event, StepDone)}
    assert all(event.loss == losses[event.step] for event in outcome[0] if isinstance(event, StepDone))


def no_pickle(folder: Path) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    for path in files:
        content = path.read_bytes()
        if path.suffix == ".safetensors":  # eight bytes of length, a header in JSON, numbers
            content = content[8 : 8 + int.from_bytes(content[:8], "little")]
        assert isinstance(json.loads(content), dict), path


@pytest.mark.processes
def test_killed_runs_resume_exactly(
    encoder: str, tmp_path: Path, uninterrupted: tuple[list[Any], Mapping[str, Tensor]]
) -> None:
    """Killed between two checkpoints, then again right after one in the middle of an epoch, then left to finish."""
    assert sum(isinstance(event, StepDone) for event in uninterrupted[0]) == 12
    assert kill_after(encoder, tmp_path, 6) == 0  # before the checkpoint after step 6 is written: the epoch's stands
    assert kill_after(encoder, tmp_path, 7) == 4
    no_pickle(tmp_path)
    outcome = finished(encoder, tmp_path)
    assert outcome[0][0].resumed == 6
    same_outcome(outcome, uninterrupted)
    no_pickle(tmp_path)


@pytest.mark.parametrize("stop", [1, 3, 4, 5, 9, 12])
def test_a_run_that_stops_anywhere_resumes_exactly(
    encoder: str, tmp_path: Path, uninterrupted: tuple[list[Any], Mapping[str, Tensor]], stop: int
) -> None:
    """As if killed right after each step: the generator is dropped, a new model goes on from what is on disk."""
    settings = config(encoder)
    running = events(model_for(settings), settings, tmp_path)
    for event in running:
        if isinstance(event, StepDone) and event.step == stop:
            break
    running.close()  # type: ignore[attr-defined]
    torch.manual_seed(12345)
    outcome = finished(encoder, tmp_path)
    # Checkpoints come after steps 3, 4 (epoch), 6, 8 (epoch), 9 and 12 (epoch), once the event has been taken.
    assert outcome[0][0].resumed == max(step for step in (0, 3, 4, 6, 8, 9) if step < stop)
    same_outcome(outcome, uninterrupted)


def test_a_finished_run_has_nothing_left_to_do(
    encoder: str, tmp_path: Path, uninterrupted: tuple[list[Any], Mapping[str, Tensor]]
) -> None:
    same_outcome(finished(encoder, tmp_path), uninterrupted)
    again = finished(encoder, tmp_path)
    assert [type(event) for event in again[0]] == [Started, Finished]
    same_outcome(again, uninterrupted)


@pytest.fixture
def halfway(encoder: str, tmp_path: Path) -> Path:
    """A folder with the checkpoint of step 4."""
    settings = config(encoder)
    for event in events(model_for(settings), settings, tmp_path):
        if isinstance(event, StepDone) and event.step == 5:
            break
    assert [path.name for path in tmp_path.glob("step-*")] == ["step-000000004"], "older ones are removed"
    return tmp_path


def test_a_kill_while_a_checkpoint_is_written_does_no_harm(
    encoder: str, halfway: Path, uninterrupted: tuple[list[Any], Mapping[str, Tensor]]
) -> None:
    leftover = halfway / ".step-000000006.4711.part"
    leftover.mkdir()
    (leftover / "tensors.safetensors").write_bytes(b"half of")
    (halfway / ".best.safetensors.4711.part").write_bytes(b"half of")
    outcome = finished(encoder, halfway)
    assert outcome[0][0].resumed == 4
    same_outcome(outcome, uninterrupted)


def test_a_kill_while_an_older_checkpoint_is_removed_does_no_harm(
    encoder: str, halfway: Path, uninterrupted: tuple[list[Any], Mapping[str, Tensor]]
) -> None:
    (halfway / "step-000000003").mkdir()
    outcome = finished(encoder, halfway)
    assert outcome[0][0].resumed == 4
    same_outcome(outcome, uninterrupted)
    assert not (halfway / "step-000000003").exists()


def test_a_failing_write_leaves_the_older_checkpoint(
    encoder: str, halfway: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(tensors: Any, path: Path) -> None:
        path.write_bytes(b"half of")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("conjoin.training.checkpoint.save_file", full)
    with pytest.raises(OSError, match="No space"):
        finished(encoder, halfway)
    assert sorted(path.name for path in halfway.iterdir()) == ["best.safetensors", "step-000000004"]


def refused(encoder: str, folder: Path, *overrides: str) -> str:
    settings = config(encoder, *overrides)
    with pytest.raises(ModelError) as caught:
        list(events(model_for(settings), settings, folder))
    assert "\n" not in str(caught.value)
    assert "step-000000004" in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("file", ["tensors.safetensors", "state.json"])
@pytest.mark.parametrize("damage", ["half", "empty", "missing"])
def test_truncated_checkpoints_are_one_clear_error(encoder: str, halfway: Path, file: str, damage: str) -> None:
    path = halfway / "step-000000004" / file
    content = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes(content[: len(content) // 2] if damage == "half" else b"")
    assert "unreadable checkpoint" in refused(encoder, halfway)


@pytest.mark.parametrize("state", ["[]", "{}", '{"position": {"step": 4}}', '{"position": 3}'])
def test_a_state_of_another_version_is_one_clear_error(encoder: str, halfway: Path, state: str) -> None:
    (halfway / "step-000000004" / "state.json").write_text(state)
    assert "unreadable checkpoint" in refused(encoder, halfway)


@pytest.mark.parametrize(
    "override",
    ["training.learning_rate=2e-3", "training.seed=1", "training.epochs=4", "training.accumulation=1",
     "entities.layers=2", "relations.scorer=feedforward", "encoder.train_word_table=true"],
)
def test_checkpoints_of_other_settings_are_refused(encoder: str, halfway: Path, override: str) -> None:
    assert "other settings or data" in refused(encoder, halfway, override)


def test_how_often_checkpoints_are_written_may_change(encoder: str, halfway: Path) -> None:
    settings = config(encoder, "training.checkpoint_steps=2")
    assert next(events(model_for(settings), settings, halfway)).resumed == 4  # type: ignore[union-attr]


def test_checkpoints_of_other_data_or_another_fingerprint_are_refused(encoder: str, halfway: Path) -> None:
    settings = config(encoder)
    every = documents()
    for data, fingerprint in ((every[:7], ""), (every[:8], "relations.proposals=gold")):
        run = training_events(model_for(settings), data, settings=settings.training, dev=DevSet(every[8:], list),
                              folder=halfway, fingerprint=fingerprint)
        with pytest.raises(ModelError, match="other settings or data"):
            next(run)


def test_positions_are_plain_json(halfway: Path) -> None:
    value = json.loads((halfway / "step-000000004" / "state.json").read_text())
    assert (value["position"]["step"], value["position"]["epoch"], value["position"]["batch"]) == (4, 1, 0)
    shutil.rmtree(halfway / "step-000000004")
