"""Two processes on the CPU are one with twice the batch, and accumulated batches are one large one."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from distributed_run import STILL, documents, run
from safetensors.torch import load_file
from torch import Tensor

from conjoin import Corpus, load_config, train
from conjoin.errors import ModelError
from conjoin.readers import write_documents
from conjoin.training import step as step_module
from conjoin.training.distributed import Processes
from conjoin.training.step import step_shares

SEEDS = {"base": 0, "crone": 3}  # with which an untrained model proposes entities
SCRIPT = Path(__file__).with_name("distributed_run.py")
LOUD = ("encoder.masking=0.1", "training.batch_size=1", "training.checkpoint_steps=3")  # four steps an epoch


def job(encoder: str, family: str, *overrides: str, documents: int = 8, **more: Any) -> dict[str, Any]:
    return {"encoder": encoder, "family": family, "overrides": overrides, "documents": documents, **more}


# Name → family, documents, settings in two processes, settings of the same in one.
PAIRS: dict[str, tuple[str, int, list[str], list[str]]] = {
    "base": ("base", 8, ["training.batch_size=2"], ["training.batch_size=4"]),
    "crone": ("crone", 8, ["training.batch_size=2"], ["training.batch_size=4"]),
    "predicted": ("base", 8, ["training.batch_size=1", "training.accumulation=2", "relations.proposals=predicted",
                              "entities.outside_prior=0"],
                  ["training.batch_size=4", "relations.proposals=predicted", "entities.outside_prior=0"]),
    "gold without pairs": ("base", 4, ["training.batch_size=1", "relations.proposals=gold"],
                           ["training.batch_size=2", "relations.proposals=gold"]),
    "fewer than shares": ("crone", 3, ["training.batch_size=4", "training.accumulation=2"], ["training.batch_size=16"]),
    "one document": ("base", 1, ["training.batch_size=2", "training.accumulation=3"], ["training.batch_size=12"]),
}


@contextmanager
def started(jobs: Mapping[str, Any], folder: Path) -> Iterator[list[subprocess.Popen[str]]]:
    """Two processes with the variables that torchrun sets, which are gone afterwards whatever has happened."""
    (folder / "jobs.json").write_text(json.dumps(jobs))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"OMP_NUM_THREADS": "1", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
              "MASTER_PORT": str(port), "ACCELERATE_USE_CPU": "true", "TORCH_CPP_LOG_LEVEL": "ERROR"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", str(SCRIPT), str(folder / "jobs.json")],
            text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=os.environ | common | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(2)
    ]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def finished(jobs: Mapping[str, Any], folder: Path) -> None:
    with started(jobs, folder) as processes:
        for process in processes:
            _, errors = process.communicate(timeout=200)
            assert process.returncode == 0, errors


@pytest.fixture(scope="module")
def results(encoder: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of all that two processes got; `checkpoints` in it is of a run that was stopped and has gone on."""
    folder = tmp_path_factory.mktemp("jobs")
    jobs = {name: job(encoder, family, *STILL, *settings, documents=number)
            for name, (family, number, settings, _) in PAIRS.items()}
    checkpoints = str(folder / "checkpoints")
    jobs["stopped"] = job(encoder, "base", *LOUD, folder=checkpoints, stop=4)
    jobs["resumed"] = job(encoder, "base", *LOUD, folder=checkpoints)
    jobs["uninterrupted"] = job(encoder, "base", *LOUD)
    finished(jobs, folder)
    return folder


def outcomes(folder: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads((folder / f"{name}.{rank}.json").read_text()) for rank in range(2)]


def weights(folder: Path, name: str) -> list[dict[str, Tensor]]:
    return [load_file(folder / f"{name}.{rank}.safetensors") for rank in range(2)]


def same_weights(ours: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Within rounding. The bias of attention keys has no influence, so that its gradient is rounding alone, which Adam
    makes as large as any."""
    assert ours.keys() == expected.keys()
    for name in ours:
        if not name.endswith("key.bias"):
            torch.testing.assert_close(ours[name], expected[name], rtol=1e-3, atol=2e-4, msg=f"{name} differs")


@pytest.mark.processes
@pytest.mark.parametrize("name", PAIRS)
def test_two_processes_are_one_with_all_the_documents(name: str, encoder: str, results: Path) -> None:
    family, number, _, settings = PAIRS[name]
    expected, state = run(job(encoder, family, *STILL, *settings, documents=number))
    first, second = outcomes(results, name)
    assert first["losses"] == second["losses"]
    assert first["losses"] == pytest.approx(expected["losses"], abs=1e-5)
    for ours, twin in zip(first["terms"], expected["terms"], strict=True):
        assert ours == pytest.approx(twin, abs=1e-5)
    assert [score for score, *_ in first["epochs"]] == pytest.approx([score for score, *_ in expected["epochs"]])
    assert (first["epochs"], first["finished"]) == (second["epochs"], second["finished"])
    assert first["finished"] == expected["finished"]
    for ours, twin in zip(first["seen"], second["seen"], strict=True):
        assert abs(len(ours) - len(twin)) <= len(expected["losses"]), "shared out evenly"
    each = [sorted([*ours, *theirs]) for ours, theirs in zip(first["seen"], second["seen"], strict=True)]
    assert each == [sorted(ids) for ids in expected["seen"]], "every document once, in the same steps"
    ours, theirs = weights(results, name)
    assert all(torch.equal(value, theirs[key]) for key, value in ours.items())
    same_weights(ours, state)


def goes_on(folder: Path) -> None:
    """With dropout and masking: each process takes its own random state up again."""
    (first, _), (twin, _) = outcomes(folder, "resumed"), outcomes(folder, "uninterrupted")
    assert (first["resumed"], first["finished"]) == (3, twin["finished"])
    assert first["losses"] == twin["losses"][3:]
    for ours, expected in zip(weights(folder, "resumed"), weights(folder, "uninterrupted"), strict=True):
        assert all(torch.equal(value, expected[key]) for key, value in ours.items())


@pytest.mark.processes
def test_a_stopped_run_goes_on_to_the_same_weights(results: Path) -> None:
    goes_on(results)


@pytest.mark.processes
def test_a_killed_process_ends_the_other_and_the_run_goes_on(encoder: str, tmp_path: Path) -> None:
    checkpoints = tmp_path / "checkpoints"
    killed = job(encoder, "base", *LOUD, folder=str(checkpoints), pause=4)
    with started({"killed": killed}, tmp_path) as (first, second):
        assert second.stdout is not None and second.stdout.readline() == "waiting\n"
        second.send_signal(signal.SIGKILL)
        _, errors = first.communicate(timeout=100)
    assert first.returncode == 1
    assert "LostProcessError: another training process has stopped" in errors
    assert [path.name for path in checkpoints.iterdir()] == ["step-000000003"]
    again = job(encoder, "base", *LOUD)
    finished({"resumed": again | {"folder": str(checkpoints)}, "uninterrupted": again}, tmp_path)
    goes_on(tmp_path)


@pytest.mark.processes
def test_checkpoints_hold_the_random_state_of_each_process_and_refuse_another_number(encoder: str, results: Path) -> None:
    checkpoints = results / "checkpoints"
    (last,) = checkpoints.glob("step-*")
    assert sorted(path.name for path in checkpoints.iterdir()) == ["best.safetensors", last.name]
    tensors = load_file(last / "tensors.safetensors")
    assert not torch.equal(tensors["random.0.cpu"], tensors["random.1.cpu"])
    with pytest.raises(ModelError, match="of a run in 2 processes, and this one has 1; start as many"):
        run(job(encoder, "base", *LOUD, folder=str(checkpoints)))


@pytest.mark.parametrize("proposals", ["gold", "predicted", "both"])
@pytest.mark.parametrize("heads", [["softmax", "words"], ["crf", "sentences"]])
@pytest.mark.parametrize("family", ["base", "crone"])
def test_accumulated_batches_are_one_large_batch(encoder: str, family: str, proposals: str, heads: list[str]) -> None:
    output, reduction = heads
    settings = [*STILL, f"relations.proposals={proposals}", f"entities.output={output}", f"entities.reduction={reduction}",
                "entities.outside_prior=0", "training.epochs=1", f"training.seed={SEEDS[family]}"]
    small, state = run(job(encoder, family, *settings, "training.batch_size=2", "training.accumulation=2"))
    large, twin = run(job(encoder, family, *settings, "training.batch_size=4"))
    assert small["losses"] == pytest.approx(large["losses"], abs=1e-5)
    for ours, expected in zip(small["terms"], large["terms"], strict=True):
        assert ours == pytest.approx(expected, abs=1e-5)
    same_weights(state, twin)
    assert any(terms["relations"] > 0 for terms in large["terms"])


def test_pairs_are_counted_beforehand_with_the_same_dropout(encoder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[list[float]] = []
    sizes = step_module._term_sizes

    def record_sizes(*arguments: Any) -> Tensor:
        result = sizes(*arguments)
        counted.append(result.tolist())
        return result

    monkeypatch.setattr(step_module, "_term_sizes", record_sizes)
    run(job(encoder, "base", "relations.proposals=predicted", "entities.outside_prior=0", "entities.dropout=0.5",
            "encoder.dropout=0.3", "training.batch_size=2", "training.accumulation=2", "training.relation_weight=0.5"))
    steps = [counted[start : start + 4] for start in range(0, len(counted), 4)]
    assert len(steps) == 4
    assert all(step[:2] == step[2:] for step in steps)
    assert len({pairs for step in steps for _, pairs in step}) > 2


@pytest.mark.parametrize(
    ("members", "count", "accumulation"), [(8, 2, 2), (7, 2, 2), (3, 2, 2), (1, 4, 3), (5, 3, 1), (9, 1, 4)]
)
def test_shares_of_a_step(members: int, count: int, accumulation: int) -> None:
    ours = [step_shares(range(members), Processes(rank, count), accumulation) for rank in range(count)]
    assert len({len(shares) for shares in ours}) == 1, "all processes make as many passes"
    assert len(ours[0]) <= accumulation
    flat = [index for shares in ours for share in shares for index in share]
    assert sorted(flat) == list(range(members))
    assert all(ours[0]), "the first process always has something to do"
    sizes = [len(share) for shares in ours for share in shares]
    assert max(sizes) - min(sizes) <= 1


def torchrun(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "conjoin"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    process = subprocess.Popen(
        [*command, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=200)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return subprocess.CompletedProcess(command, process.returncode, out, err)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    every = documents()
    for split, members in {"train": every[:8], "dev": every[8:], "test": every[8:]}.items():
        write_documents(members, folder / f"{split}.jsonl", "jsonl")
    return folder


def options(values: Sequence[str]) -> list[str]:
    return [part for value in values for part in ("--set", value)]


@pytest.mark.processes
def test_the_command_line_in_two_processes(encoder: str, corpus: Path, tmp_path: Path) -> None:
    values = [f"encoder.name={encoder}", *STILL, "training.epochs=2", "training.precision=no", "relations.size=16"]
    output = tmp_path / "two"
    done = torchrun("train", "conjoin-base", "--data", corpus, "--output", output, *options(values),
                    *options(["training.batch_size=2"]))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("scores on test") == 1
    assert [line for line in done.stderr.splitlines() if line.startswith("epoch ")] != []
    for once in ("reading: ", "training ", "epoch 1: ", "epoch 2: ", "saved "):
        assert sum(line.startswith(once) for line in done.stderr.splitlines()) == 1, done.stderr
    every = documents()
    splits = {"train": tuple(every[:8]), "dev": tuple(every[8:]), "test": tuple(every[8:])}
    alone = train(load_config("conjoin-base", [*values, "training.batch_size=4"]), Corpus(splits), output=tmp_path / "one")
    names = [sorted(str(path.relative_to(root)) for path in root.rglob("*")) for root in (output, tmp_path / "one")]
    assert names[0] == names[1]
    metrics = json.loads((output / "model" / "metrics.json").read_text())
    assert {split: metrics[split] for split in ("dev", "test")} == {
        split: alone.record.to_json()[split] for split in ("dev", "test")}
    ours, expected = (load_file(root / "model" / "weights.safetensors") for root in (output, tmp_path / "one"))
    same_weights(ours, expected)


@pytest.mark.processes
def test_what_is_wrong_ends_all_processes_with_one_sentence(encoder: str, corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "run" / "model").mkdir(parents=True)
    for number, arguments in enumerate([
        ("train", "conjoin-base", "--data", corpus, "--output", tmp_path / "new", "--set", "encoder.name=./nowhere"),
        ("train", "conjoin-base", "--data", corpus, "--output", tmp_path / "run", "--set", f"encoder.name={encoder}"),
        ("evaluate", tmp_path / "run", "--data", corpus),
    ]):
        done = torchrun(*arguments)
        assert done.returncode == 1
        sentences = [line for line in done.stderr.splitlines() if line.startswith("conjoin: ")]
        expected = ("there is no folder", "holds a finished model", "only conjoin train shares")[number]
        assert len(sentences) == 1 and expected in sentences[0], done.stderr
        assert "Error\n" not in done.stdout
