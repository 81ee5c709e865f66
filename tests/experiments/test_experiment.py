from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from conjoin.config.presets import load_config
from conjoin.document import Corpus, Document
from conjoin.errors import DataError, ModelError, SettingError
from conjoin.experiments.experiment import Experiment, conduct
from conjoin.experiments.folds import Folding, parts
from conjoin.experiments.significance import compare, paired_bootstrap
from conjoin.experiments.summary import Results


def experiment_of(small: list[str], documents: list[Document], folder: Path, **options: Any) -> Experiment:
    corpus = Corpus({"all": tuple(documents) * 2})
    made = parts(corpus, Folding(folds=2, dev_share=options.pop("dev_share", 0.0)))
    config = load_config("conjoin-base", [*small, "training.epochs=3", *options.pop("settings", ())])
    return Experiment(config, made, folder, cache_limit=0, **options)


def test_folds_and_seeds(small: list[str], documents: list[Document], tmp_path: Path) -> None:
    run_results: list[dict[str, Any]] = []
    plan = experiment_of(small, documents, tmp_path / "out", seeds=(0, 1))
    results = conduct(plan, listen=run_results.append)
    assert [(run["part"], run["seed"]) for run in results.runs] == [
        ("fold1", 0), ("fold2", 0), ("fold1", 1), ("fold2", 1)
    ]
    assert run_results == list(results.runs)
    assert all(len(run["counts"]["entities"]) == 3 for run in results.runs)
    assert not list((tmp_path / "out").rglob("model"))
    written = json.loads((tmp_path / "out/results.json").read_text())
    figure = results.figure("entities")
    assert written["figures"]["entities"]["strict"]["micro"]["mean"] == figure.mean
    assert set(figure.parts) == {"fold1", "fold2"}
    assert set(figure.seeds) == {"0", "1"}
    assert "± " in str(results)
    loaded = Results.load(tmp_path / "out")
    assert str(loaded) == str(results)

    again: list[dict[str, Any]] = []
    assert conduct(plan, listen=again.append).runs == results.runs  # nothing is run twice: seconds are the same too
    (tmp_path / "out/fold2-seed1/result.json").unlink()
    repeated = conduct(plan)
    assert repeated.runs[:3] == results.runs[:3]
    assert repeated.runs[3]["test"] == results.runs[3]["test"]


@pytest.mark.processes
def test_several_processes_give_the_same(small: list[str], documents: list[Document], tmp_path: Path) -> None:
    one = conduct(experiment_of(small, documents, tmp_path / "one"), threads=1)
    two = conduct(experiment_of(small, documents, tmp_path / "two"), workers=2, threads=1)
    assert [run["test"] for run in one.runs] == [run["test"] for run in two.runs]


def test_what_dev_is_for(small: list[str], documents: list[Document], tmp_path: Path) -> None:
    def run(dev: str) -> dict[str, Any]:
        plan = experiment_of(small, documents, tmp_path / dev, dev=dev, dev_share=0.34, keep_models=True)
        return dict(conduct(plan).runs[0])

    def trained_on(dev: str) -> int:
        metrics = json.loads((tmp_path / dev / "fold1-seed0/model/metrics.json").read_text())
        return int(metrics["training"]["documents"])

    results = {dev: run(dev) for dev in ("choose", "retrain", "join")}
    assert {dev: trained_on(dev) for dev in results} == {"choose": 1, "retrain": 3, "join": 3}
    assert results["join"]["epoch"] == 3


def test_another_experiment_is_not_mixed_in(small: list[str], documents: list[Document], tmp_path: Path) -> None:
    conduct(experiment_of(small, documents, tmp_path))
    with pytest.raises(ModelError, match=r"holds the runs of another experiment"):
        conduct(experiment_of(small, documents, tmp_path, settings=["training.epochs=4"]))
    with pytest.raises(ModelError, match=r"holds the runs of another experiment"):
        conduct(experiment_of(small, list(reversed(documents)), tmp_path))
    conduct(experiment_of(small, documents, tmp_path, seeds=(0, 1)))  # more seeds are the same experiment


def test_a_folder_of_other_files_is_refused(small: list[str], documents: list[Document], tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text("{}")
    with pytest.raises(ModelError, match="holds files that are no experiment; give a new or an empty --output"):
        conduct(experiment_of(small, documents, tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["train.jsonl"]


@pytest.mark.processes
def test_one_failing_run_does_not_stop_the_others(
    small: list[str], documents: list[Document], tmp_path: Path
) -> None:
    plan = experiment_of(small, documents, tmp_path)
    good = plan.parts["fold1"]
    bad = Corpus({"train": (Document.from_words([]),), "test": good.test})
    broken = Experiment(plan.config, {"bad": bad, "empty": Corpus({"train": (), "test": good.test}), "good": good},
                        tmp_path, cache_limit=0)
    with pytest.raises(ModelError, match=r"of 3 runs failed, (bad|empty)-seed0: "):
        conduct(broken, workers=2, threads=1)
    assert (tmp_path / "good-seed0/result.json").is_file()


@pytest.mark.parametrize(("options", "wrong"), [
    ({"seeds": ()}, r"give at least one"),
    ({"seeds": (1, 1)}, r"none twice"),
    ({"dev": "retrian"}, r"unknown use of dev 'retrian' \(did you mean 'retrain'"),
    ({"dev": "retrain"}, r"fold1 has no dev part to find the epoch on"),
])
def test_experiments_that_cannot_be(
    small: list[str], documents: list[Document], tmp_path: Path, options: dict[str, Any], wrong: str
) -> None:
    with pytest.raises(SettingError, match=wrong):
        conduct(experiment_of(small, documents, tmp_path / "none", **options))
    assert not (tmp_path / "none").exists()


@pytest.mark.processes
def test_workers_end_when_the_experiment_is_killed(
    small: list[str], documents: list[Document], tmp_path: Path
) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text("".join(document.to_json_line() + "\n" for document in documents * 2))
    command = [sys.executable, "-m", "conjoin", "experiment", "conjoin-base", "--data", str(data), "--folds", "3",
               "--output", str(tmp_path / "out"), "--set", "training.epochs=100000", "--workers", "2",
               *(part for setting in small for part in ("--set", setting))]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while len(list((tmp_path / "out").glob("*/checkpoints"))) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    workers = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    assert len(workers) >= 2
    assert psutil.wait_procs(workers, timeout=60)[1] == []
    assert not (tmp_path / "out/fold3-seed0").exists()


def test_the_seed_of_a_run_does_not_tell_experiments_apart_and_the_working_folder_neither(
    small: list[str], documents: list[Document], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = experiment_of([*small, "training.seed=7"], documents, tmp_path)
    assert plan.fingerprint() == experiment_of(small, documents, tmp_path).fingerprint()
    (tmp_path / "encoder").mkdir()
    prints = set()
    for folder in (tmp_path, tmp_path.parent):
        monkeypatch.chdir(folder)
        (folder / "encoder").mkdir(exist_ok=True)
        prints.add(experiment_of([*small, "encoder.name=./encoder"], documents, tmp_path).fingerprint())
    assert len(prints) == 2  # two encoders that are called alike


@pytest.mark.processes
def test_a_killed_experiment_goes_on(small: list[str], documents: list[Document], tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text("".join(document.to_json_line() + "\n" for document in documents * 2))
    command = [sys.executable, "-m", "conjoin", "experiment", "conjoin-base", "--data", str(data), "--folds", "3",
               "--output", str(tmp_path / "out"), "--set", "training.epochs=12",
               *(part for setting in small for part in ("--set", setting))]
    first = tmp_path / "out/fold1-seed0/result.json"
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    until = time.monotonic() + 120
    while not first.is_file() and time.monotonic() < until and process.poll() is None:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    stamp = first.stat().st_mtime_ns
    assert not (tmp_path / "out/results.json").exists()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert first.stat().st_mtime_ns == stamp
    assert "over 3 folds" in done.stdout
    assert done.stderr.count("strict micro F1 on test") == 3


# --- figures and comparisons, by hand ----------------------------------------------------------------------------


def result_of(part: str, seed: int, counts: list[list[int]]) -> dict[str, Any]:
    gold, predicted, correct = (sum(row[column] for row in counts) for column in range(3))
    precision, recall = correct / max(1, predicted), correct / max(1, gold)
    f1 = 2 * correct / max(1, gold + predicted)
    score = {"precision": precision, "recall": recall, "f1": f1, "support": gold, "predicted": predicted,
             "correct": correct}
    scores = {"micro": score, "macro": score, "per_type": {}}
    report = {task: dict.fromkeys(("strict", "boundaries", "relaxed", "last-word"), scores)
              for task in ("entities", "relations")}
    return {"part": part, "seed": seed, "epoch": 1, "seconds": 1.0, "cpu_seconds": 1.0, "test": report,
            "gold_entities": report, "counts": {"entities": counts, "relations": counts}}


def test_means_and_deviations() -> None:
    """Fold 1: P 1, R 1/2, F 2/3 with either seed. Fold 2: P 1/2, R 1, F 2/3 with seed 0, and F 0 with seed 1."""
    results = Results((
        result_of("fold1", 0, [[2, 1, 1]]), result_of("fold2", 0, [[1, 2, 1]]),
        result_of("fold1", 1, [[2, 1, 1]]), result_of("fold2", 1, [[1, 2, 0]]),
    ))
    figure = results.figure("relations")
    assert figure.mean == pytest.approx((2 / 3 + 2 / 3 + 2 / 3 + 0) / 4)
    assert figure.parts == {"fold1": pytest.approx(2 / 3), "fold2": pytest.approx(1 / 3)}
    assert figure.seeds == {"0": pytest.approx(2 / 3), "1": pytest.approx(1 / 3)}
    assert figure.deviation_over_folds == pytest.approx((2 * (1 / 6) ** 2) ** 0.5)
    assert figure.deviation_over_seeds == pytest.approx((2 * (1 / 6) ** 2) ** 0.5)
    precision, recall = (1 + 0.5 + 1 + 0) / 4, (0.5 + 1 + 0.5 + 0) / 4
    assert figure.f1_of_means == pytest.approx(2 * precision * recall / (precision + recall))
    assert figure.pooled == pytest.approx(2 * 3 / (6 + 6))
    assert str(figure) == "50.00 ± 23.57 over 2 folds, ± 23.57 over 2 seeds"
    alone = Results((result_of("test", 0, [[2, 1, 1]]),))
    assert str(alone.figure("entities")) == "66.67"


def test_a_relaxed_match_is_pooled_by_both_sides() -> None:
    """One prediction over two gold entities: precision and recall are 1."""
    run = result_of("fold1", 0, [[2, 1, 1]])
    score = {"precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 2, "predicted": 1, "correct": 1}
    report = {**run["test"]["entities"], "relaxed": {"micro": score, "macro": score, "per_type": {}}}
    results = Results(({**run, "test": {**run["test"], "entities": report}},))
    assert results.figure("entities", match="relaxed").pooled == 1.0


def test_seconds_of_runs_that_went_on_are_not_those_of_a_run() -> None:
    run = result_of("test", 0, [[2, 1, 1]])
    assert "1 CPU seconds a run" in str(Results((run, {**run, "seed": 1, "cpu_seconds": 99.0, "resumed": True})))
    assert "CPU seconds" not in str(Results(({**run, "resumed": True},)))


def test_the_bootstrap_tells_luck_from_difference() -> None:
    right, wrong = [3, 3, 3], [3, 3, 0]
    much = paired_bootstrap([right] * 50, [right] * 30 + [wrong] * 20, task="entities", samples=2000)
    assert much.difference == pytest.approx(0.4)
    assert much.low < 0.4 < much.high
    assert much.p_value < 0.01
    little = paired_bootstrap([right, wrong] * 25, [wrong, right] * 24 + [right, right], task="entities", samples=2000)
    assert little.p_value > 0.5
    assert little.low < 0 < little.high
    same = paired_bootstrap([right, wrong], [right, wrong], task="entities", samples=100)
    assert (same.difference, same.p_value) == (0.0, 1.0)
    assert paired_bootstrap([[0, 0, 0]], [[0, 0, 0]], task="entities", samples=10).p_value == 1.0


def test_the_bootstrap_against_all_resamples_by_hand() -> None:
    """Two documents; ours is right on both, theirs on the first. The resamples are (1,1), (1,2), (2,1), (2,2) with the
    differences 0, 1/2, 1/2, 1, whose mean is the observed 1/2: half of them lie at least 1/2 from it, none is beyond."""
    comparison = paired_bootstrap([[1, 1, 1], [1, 1, 1]], [[1, 1, 1], [1, 1, 0]], task="entities", samples=20_000)
    assert comparison.difference == 0.5
    assert comparison.p_value == pytest.approx(0.5, abs=0.02)


def test_comparisons_need_the_same_documents() -> None:
    ours = Results((result_of("fold1", 0, [[2, 1, 1], [1, 1, 1]]),))
    assert compare(ours, ours, "entities", samples=10).documents == 2
    with pytest.raises(DataError, match=r"different parts \(fold1, fold2 in one only\)"):
        compare(ours, Results((result_of("fold2", 0, [[2, 1, 1], [1, 1, 1]]),)), "entities")
    with pytest.raises(DataError, match=r"different documents in fold1"):
        compare(ours, Results((result_of("fold1", 0, [[1, 1, 1], [2, 1, 1]]),)), "entities")
    two = [result_of("fold1", 0, [[2, 1, 1]]), result_of("fold2", 0, [[2, 2, 2]])]
    same = compare(Results(tuple(two)), Results(tuple(reversed(two))), "entities", samples=100)
    assert (same.low, same.high) == (0.0, 0.0)
    twice = Results((*ours.runs, result_of("fold1", 1, [[2, 2, 2], [1, 1, 0]])))
    assert compare(twice, ours, "entities", samples=10).documents == 2


@pytest.mark.parametrize("text", ["[]", "{}", '{"runs": []}', '{"runs": [{}]}', "nonsense"])
def test_files_that_are_no_results(tmp_path: Path, text: str) -> None:
    (tmp_path / "results.json").write_text(text)
    message = r"results\.json: (holds no results of an experiment|its runs lack some of counts|is no JSON file)"
    with pytest.raises(DataError, match=message):
        Results.load(tmp_path)
    with pytest.raises(DataError, match=r"cannot be read \(No such file"):
        Results.load(tmp_path / "gone.json")
