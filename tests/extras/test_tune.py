from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from conjoin.config.presets import load_config
from conjoin.document import Corpus, Document
from conjoin.errors import DataError, ModelError, SettingError
from conjoin.extras import tune as module
from conjoin.extras.search_space import CRONE2020, Choice, grid, pairwise_overrides, parse_space
from conjoin.extras.tune import Search, TrialResult, _study, tune
from conjoin.training import DevSet, EpochDone


@pytest.fixture
def search(small: list[str], documents: list[Document], tmp_path: Path) -> Search:
    corpus = Corpus({"train": tuple(documents), "dev": tuple(documents)})
    return Search("conjoin-base", (*small, "training.epochs=2"), parse_space(["stack.shared=0..1", "stack.size=4|6|8"]),
                  corpus, tmp_path / "study", trials=3, cache_limit=0)


@pytest.mark.parametrize(("text", "expected"), [
    ("stack.cell=gru|lstm", Choice("stack.cell", ("gru", "lstm"))),
    ("stack.shared=1..3", Choice("stack.shared", low=1, high=3, whole=True)),
    ("stack.dropout=0.1..0.6", Choice("stack.dropout", low=0.1, high=0.6)),
    ("training.learning_rate=1e-4..1e-2:log", Choice("training.learning_rate", low=1e-4, high=1e-2, log=True)),
    (" training.seed = 3 ", Choice("training.seed", ("3",))),
    ("stack.cell=gru|lstm|gru", Choice("stack.cell", ("gru", "lstm"))),
    ("encoder.name=../one", Choice("encoder.name", ("../one",))),
    ("encoder.name=../enc|minilm", Choice("encoder.name", ("../enc", "minilm"))),
    ("encoder.name=a..b|../c", Choice("encoder.name", ("a..b", "../c"))),
    ("stack.shared=1.0..3", Choice("stack.shared", low=1, high=3, whole=True)),
    ("training.patience=1..5", Choice("training.patience", low=1, high=5, whole=True)),  # or absent
    ("training.relation_weight=1..20", Choice("training.relation_weight", low=1, high=20)),  # any number between
])
def test_choices(text: str, expected: Choice) -> None:
    assert Choice.parse(text) == expected


@pytest.mark.parametrize(("text", "message"), [
    ("stack.shared", r"space 'stack.shared' is neither"),
    ("stack.shard=1..3", r"unknown setting 'stack.shard' \(did you mean 'stack.shared'"),
    ("stack.shared=3..1", r"stack.shared=LOW..HIGH"),
    ("stack.dropout=nan..0.5", r"stack.dropout=LOW..HIGH"),
    ("training.learning_rate=1e-4..inf", r"training.learning_rate=LOW..HIGH"),
    ("stack.dropout=0..0.5:log", r"LOW above 0"),
    ("stack.shared=1..3:lin", r"stack.shared=LOW..HIGH"),
    ("stack.shared=1.5..3", r"stack.shared takes whole numbers"),
    ("stack.cell=gru|", r"space 'stack.cell=gru\|' has an empty value"),
])
def test_invalid_choices(text: str, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        Choice.parse(text)


def test_the_paper_space_is_the_default_and_keys_are_unique() -> None:
    assert [choice.key for choice in parse_space([])] == [text.partition("=")[0] for text in CRONE2020]
    with pytest.raises(SettingError, match=r"'stack.size' twice"):
        parse_space(["stack.size=1..2", "stack.size=4..5"])


@pytest.mark.long
def test_a_study_resumes_and_writes_the_best_settings(search: Search) -> None:
    events: list[TrialResult] = []
    results = tune(search, listen=events.append)
    assert len(results) == len(events) == 3
    assert [result.score for result in results] == sorted((result.score or 0 for result in results), reverse=True)
    best = results[0]
    assert best.score == pytest.approx(((best.entities or 0) + (best.relations or 0)) / 2)
    config = load_config(search.folder / "best.toml")
    assert (config.stack.shared, config.stack.size) == (best.values["stack.shared"], int(best.values["stack.size"]))
    assert config.training.epochs == 2
    assert [row["number"] for row in json.loads((search.folder / "trials.json").read_text())] == [r.number for r in results]
    again = tune(search, listen=events.append)
    assert again == results and len(events) == 3, "the study is complete"
    assert len(tune(replace(search, trials=5))) == 5


@pytest.mark.long
def test_the_study_of_another_search_is_unchanged(search: Search, documents: list[Document], tmp_path: Path) -> None:
    settings = tmp_path / "own.toml"
    settings.write_text('base = "conjoin-base"\n')
    own = replace(search, preset=str(settings), trials=1)
    tune(own)
    best = (search.folder / "best.toml").read_text()
    tune(own)
    fewer = Corpus({"train": tuple(documents[:2]), "dev": tuple(documents)})
    reworded = Corpus({"train": tuple(documents), "dev": (*documents[:2], documents[2].bare())})
    changes: list[tuple[dict[str, Any], str]] = [
        ({"overrides": (*own.overrides, "training.seed=1")}, "settings"),
        ({"choices": own.choices[:1]}, "settings and space"),
        ({"corpus": fewer}, "data"), ({"corpus": reworded}, "data"), ({"lenient": True}, "data"),
    ]
    for change, keys in changes:
        with pytest.raises(ModelError, match=rf"study: .* \({keys} differ\).*--output"):
            tune(replace(own, **change))
    settings.write_text('base = "conjoin-base"\n[training]\nweight_decay = 0.5\n')
    with pytest.raises(ModelError, match=r"\(settings differ\)"):
        tune(own)
    assert (search.folder / "best.toml").read_text() == best


@pytest.mark.long
@pytest.mark.parametrize("select", ["best", "last"])
def test_a_trial_scores_the_epoch_that_training_selects(
    select: str, search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = {1: 0.9, 2: 0.4}
    monkeypatch.setattr(DevSet, "selection_score", lambda dev, report: scores[len(epochs) + 1])
    epochs: list[int] = []
    real = module.train

    def train(*arguments: Any, listen: Any, **options: Any) -> Any:
        def record(event: Any) -> None:
            if isinstance(event, EpochDone):
                epochs.append(event.epoch)
            listen(event)

        return real(*arguments, listen=record, **options)

    monkeypatch.setattr(module, "train", train)
    [result] = tune(replace(search, overrides=(*search.overrides, f"training.select={select}"), trials=1))
    assert (result.score, result.epoch) == {"best": (0.9, 1), "last": (0.4, 2)}[select]


@pytest.mark.processes
def test_workers_share_a_study_and_run_no_extra_trials(search: Search) -> None:
    """Running trials count too: while the last one runs, the other worker must not start one more."""
    events: list[tuple[int, bool]] = []

    def listen(result: TrialResult) -> None:
        events.append((result.number, (search.folder / "best.toml").exists()))

    results = tune(replace(search, trials=3), workers=2, threads=1, listen=listen)
    assert sorted(events) == [(0, False), (1, False), (2, False)], "each is reported once and before the end"
    assert [result.state in ("complete", "pruned") for result in results] == [True] * 3


@pytest.mark.long
def test_ctrl_c_keeps_the_results(search: Search) -> None:
    events: list[TrialResult] = []

    def listen(result: TrialResult) -> None:
        events.append(result)
        if len(events) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(search, listen=listen)
    assert load_config(search.folder / "best.toml").training.epochs == 2
    assert len(json.loads((search.folder / "trials.json").read_text())) == 2
    assert len(tune(search)) == 3


@pytest.mark.long
def test_a_killed_trial_counts_as_failed(search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, "train", stop)
        tune(replace(search, trials=1))
    assert [row["state"] for row in json.loads((search.folder / "trials.json").read_text())] == ["fail"]
    assert not (search.folder / "best.toml").exists()
    assert sorted(result.state for result in tune(replace(search, trials=1))) == ["complete", "fail"]


@pytest.mark.processes
def test_an_error_in_a_worker_is_one_line(search: Search, capfd: pytest.CaptureFixture[str]) -> None:
    broken = replace(search, overrides=(*search.overrides, "encoder.name=/nowhere"), trials=1)
    with pytest.raises(ModelError, match="study: a worker failed"):
        tune(broken, workers=2, threads=1)
    output = capfd.readouterr().err
    assert "'/nowhere'" in output
    assert "Traceback" not in output


@pytest.mark.long
def test_bad_trials_are_pruned(search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    from optuna.trial import Trial

    monkeypatch.setattr(Trial, "should_prune", lambda self: self.number == 1)
    rates = parse_space(["training.weight_decay=1e-4..1e-2:log"])  # never twice the same choice
    results = tune(replace(search, choices=rates))
    assert [result.state for result in sorted(results, key=lambda result: result.number)][:2] == ["complete", "pruned"]


def test_errors_of_every_trial_are_raised_before_the_first(search: Search) -> None:
    with pytest.raises(DataError, match=r"dev split.*--dev"):
        tune(replace(search, corpus=Corpus({"train": search.corpus.train})))
    for space, message in (
        (["stack.shared=many|few"], r"stack.shared = 'many'"), (["stack.cell=gru|rnn"], r"stack.cell = 'rnn'"),
        (["stack.dropout=0.1..1.5"], r"stack.dropout = 1.5"), (["stack.shared=-1..3"], r"stack.shared = -1"),
        (["stack.size=4", "stack.shared=1..x"], r"stack.shared = '1..x'"), (["stack.cell=1..2"], "stack.cell = 1"),
    ):
        with pytest.raises(SettingError, match=message):
            tune(replace(search, choices=parse_space(space)))
    assert not search.folder.exists()


def test_pairwise_overrides_cover_all_pairs() -> None:
    rows = list(pairwise_overrides(parse_space(["stack.cell=gru|lstm", "stack.shared=1..3", "stack.size=4|8"])))
    assert rows[0] == ["stack.cell=gru", "stack.shared=1", "stack.size=4"]
    pairs = {pair for values in rows for pair in combinations(values, 2)}
    assert len(pairs) == 3 * 2 * 2


SLOW = """
import sys, time
from conjoin.extras import tune as module
from conjoin.cli import main
real = module.train
def train(*arguments, **options):
    print("training", flush=True)
    time.sleep(60)
module.train = train
sys.argv = ["conjoin", *sys.argv[1:]]
main()
"""


@pytest.mark.processes
def test_a_killed_search_resumes(search: Search, conjoin_corpus: Path, small: list[str], tmp_path: Path) -> None:
    command = ["tune", "conjoin-base", "--data", str(conjoin_corpus), "--output", str(tmp_path / "s"), "--trials", "1",
               "--space", "stack.shared=0..1", *(part for value in small for part in ("--set", value)), "--set",
               "training.epochs=1"]
    with subprocess.Popen([sys.executable, "-c", SLOW, *command], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "training\n"
        os.kill(process.pid, signal.SIGKILL)
    start = time.monotonic()
    result = subprocess.run([sys.executable, "-m", "conjoin", *command], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert time.monotonic() - start < 60
    assert "trial 1: stack.shared=" in result.stderr
    assert (tmp_path / "s/best.toml").is_file()


@pytest.fixture
def conjoin_corpus(documents: list[Document], tmp_path: Path) -> Path:
    from conjoin.readers import write_documents

    for split in ("train", "dev"):
        write_documents(documents, tmp_path / "corpus" / f"{split}.jsonl", "jsonl")
    return tmp_path / "corpus"


def test_named_spaces_are_those_of_the_papers() -> None:
    assert [choice.key for choice in parse_space(["giorgi2019", "stack.shared=0..1"])] == [
        "training.batch_size", "training.learning_rate", "stack.shared"
    ]
    with pytest.raises(SettingError, match=r"crone2020, giorgi2019"):
        parse_space(["giorgi2020"])


def test_grids() -> None:
    assert len(grid(parse_space(["giorgi2019"]), 6) or []) == 6
    assert grid(parse_space(["giorgi2019"]), 5) is None
    assert grid(parse_space(["stack.dropout=0.1..0.2"]), 100) is None
    assert len(grid(parse_space([]), 96) or []) == 96


@pytest.mark.long
def test_a_small_space_is_tried_completely_and_once(search: Search) -> None:
    whole = replace(search, choices=parse_space(["stack.shared=0..1", "stack.size=4|8"]), trials=9)
    results = tune(whole)
    values = sorted((result.values["stack.shared"], result.values["stack.size"]) for result in results)
    assert values == [(0, "4"), (0, "8"), (1, "4"), (1, "8")]
    assert tune(whole) == results


@pytest.mark.long
def test_a_larger_search_completes_its_space(search: Search) -> None:
    some = replace(search, choices=parse_space(["stack.shared=0..1", "stack.size=4|8"]), trials=3)
    tune(some)
    results = tune(replace(some, trials=4))
    values = {(result.values["stack.shared"], result.values["stack.size"]) for result in results}
    assert len(values) == 4
    assert {result.state for result in results} == {"complete"}


@pytest.mark.long
def test_a_killed_combination_is_tried_again(search: Search) -> None:
    whole = replace(search, choices=parse_space(["stack.size=4|8"]), trials=5)

    def stop(result: TrialResult) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(whole, listen=stop)
    study = _study(whole)
    study.ask()  # the second combination, of a process that is then killed
    results = tune(whole)
    assert sorted(result.values["stack.size"] for result in results if result.state == "complete") == ["4", "8"]
