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
from conjoin.extras.space import PAPER_SPACE, Choice, grid, parse_space, samples
from conjoin.extras.tune import Search, TrialResult, _study, tune
from conjoin.training import EpochDone, loop


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
def test_spaces(text: str, expected: Choice) -> None:
    assert Choice.parse(text) == expected


@pytest.mark.parametrize(("text", "wrong"), [
    ("stack.shared", r"has no key=choices form, like stack.shared=1..3"),
    ("stack.shard=1..3", r"unknown setting 'stack.shard' \(did you mean 'stack.shared'"),
    ("stack.shared=3..1", r"a range rises"),
    ("stack.dropout=nan..0.5", r"a range rises from one number to another"),
    ("training.learning_rate=1e-4..inf", r"a range rises from one number to another"),
    ("stack.dropout=0..0.5:log", r"under :log begins above 0"),
    ("stack.shared=1..3:lin", r"a range rises .*, and under :log"),
    ("stack.shared=1.5..3", r"stack.shared takes whole numbers; write a range like stack.shared=1..3"),
    ("stack.cell=gru|", r"one of the choices is empty"),
])
def test_spaces_that_are_none(text: str, wrong: str) -> None:
    with pytest.raises(SettingError, match=wrong):
        Choice.parse(text)


def test_the_paper_space_is_the_default_and_no_key_comes_twice() -> None:
    assert [choice.key for choice in parse_space([])] == [text.partition("=")[0] for text in PAPER_SPACE]
    with pytest.raises(SettingError, match=r"names 'stack.size' twice"):
        parse_space(["stack.size=1..2", "stack.size=4..5"])


def test_a_study_goes_on_and_leaves_the_best_settings(search: Search) -> None:
    heard: list[TrialResult] = []
    results = tune(search, listen=heard.append)
    assert len(results) == len(heard) == 3
    assert [result.score for result in results] == sorted((result.score or 0 for result in results), reverse=True)
    best = results[0]
    assert best.score == pytest.approx(((best.entities or 0) + (best.relations or 0)) / 2)
    config = load_config(search.folder / "best.toml")
    assert (config.stack.shared, config.stack.size) == (best.values["stack.shared"], int(best.values["stack.size"]))
    assert config.training.epochs == 2
    assert [row["number"] for row in json.loads((search.folder / "trials.json").read_text())] == [r.number for r in results]
    again = tune(search, listen=heard.append)
    assert again == results and len(heard) == 3, "the study is complete"
    assert len(tune(replace(search, trials=5))) == 5


def test_the_study_of_another_search_is_left_alone(search: Search, documents: list[Document], tmp_path: Path) -> None:
    settings = tmp_path / "own.toml"
    settings.write_text('base = "conjoin-base"\n')
    own = replace(search, preset=str(settings), trials=1)
    tune(own)
    held = (search.folder / "best.toml").read_text()
    tune(own)
    fewer = Corpus({"train": tuple(documents[:2]), "dev": tuple(documents)})
    reworded = Corpus({"train": tuple(documents), "dev": (*documents[:2], documents[2].bare())})
    changes: list[tuple[dict[str, Any], str]] = [
        ({"overrides": (*own.overrides, "training.seed=1")}, "settings"),
        ({"choices": own.choices[:1]}, "settings and space"),
        ({"corpus": fewer}, "data"), ({"corpus": reworded}, "data"), ({"lenient": True}, "data"),
    ]
    for change, differ in changes:
        with pytest.raises(ModelError, match=rf"study: holds the study of another search \({differ} differ\)"):
            tune(replace(own, **change))
    settings.write_text('base = "conjoin-base"\n[training]\nweight_decay = 0.5\n')
    with pytest.raises(ModelError, match=r"\(settings differ\)"):
        tune(own)
    assert (search.folder / "best.toml").read_text() == held


@pytest.mark.parametrize("select", ["best", "last"])
def test_a_trial_scores_the_epoch_that_training_keeps(
    select: str, search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = {1: 0.9, 2: 0.4}
    monkeypatch.setattr(loop, "_selection_score", lambda report, dev: scores[len(seen) + 1])
    seen: list[int] = []
    real = module.train

    def heard(*arguments: Any, listen: Any, **options: Any) -> Any:
        def follow(event: Any) -> None:
            if isinstance(event, EpochDone):
                seen.append(event.epoch)
            listen(event)

        return real(*arguments, listen=follow, **options)

    monkeypatch.setattr(module, "train", heard)
    [result] = tune(replace(search, overrides=(*search.overrides, f"training.select={select}"), trials=1))
    assert (result.score, result.epoch) == {"best": (0.9, 1), "last": (0.4, 2)}[select]


def test_workers_share_a_study_and_train_no_more_than_asked_for(search: Search) -> None:
    """Ended trials alone are not enough to count: while the last one runs, the other worker must not begin one more."""
    heard: list[tuple[int, bool]] = []

    def listen(result: TrialResult) -> None:
        heard.append((result.number, (search.folder / "best.toml").exists()))

    results = tune(replace(search, trials=3), workers=2, threads=1, listen=listen)
    assert sorted(heard) == [(0, False), (1, False), (2, False)], "each is told of once, and before the end"
    assert [result.state in ("complete", "pruned") for result in results] == [True] * 3


def test_ctrl_c_leaves_what_was_found(search: Search) -> None:
    heard: list[TrialResult] = []

    def listen(result: TrialResult) -> None:
        heard.append(result)
        if len(heard) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(search, listen=listen)
    assert load_config(search.folder / "best.toml").training.epochs == 2
    assert len(json.loads((search.folder / "trials.json").read_text())) == 2
    assert len(tune(search)) == 3


def test_what_a_killed_trial_leaves_is_no_running_trial(search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, "train", stop)
        tune(replace(search, trials=1))
    assert [row["state"] for row in json.loads((search.folder / "trials.json").read_text())] == ["fail"]
    assert not (search.folder / "best.toml").exists()
    assert sorted(result.state for result in tune(replace(search, trials=1))) == ["complete", "fail"]


def test_a_worker_says_in_one_line_what_is_wrong(search: Search, capfd: pytest.CaptureFixture[str]) -> None:
    lost = replace(search, overrides=(*search.overrides, "encoder.name=/nowhere"), trials=1)
    with pytest.raises(ModelError, match="a worker stopped early"):
        tune(lost, workers=2, threads=1)
    said = capfd.readouterr().err
    assert "cannot load the encoder '/nowhere'" in said
    assert "Traceback" not in said


def test_bad_trials_are_stopped_early(search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    from optuna.trial import Trial

    monkeypatch.setattr(Trial, "should_prune", lambda self: self.number == 1)
    rates = parse_space(["training.weight_decay=1e-4..1e-2:log"])  # never twice the same choice
    results = tune(replace(search, choices=rates))
    assert [result.state for result in sorted(results, key=lambda result: result.number)][:2] == ["complete", "pruned"]


def test_what_would_fail_in_every_trial_is_said_at_once(search: Search) -> None:
    with pytest.raises(DataError, match="needs a dev split"):
        tune(replace(search, corpus=Corpus({"train": search.corpus.train})))
    for space, wrong in (
        (["stack.shared=many|few"], r"stack.shared = 'many'"), (["stack.cell=gru|rnn"], r"stack.cell = 'rnn'"),
        (["stack.dropout=0.1..1.5"], r"stack.dropout = 1.5"), (["stack.shared=-1..3"], r"stack.shared = -1"),
        (["stack.size=4", "stack.shared=1..x"], r"stack.shared = '1..x'"), (["stack.cell=1..2"], "stack.cell = 1"),
    ):
        with pytest.raises(SettingError, match=wrong):
            tune(replace(search, choices=parse_space(space)))
    assert not search.folder.exists()


def test_each_choice_is_tried_with_each_of_every_other() -> None:
    found = list(samples(parse_space(["stack.cell=gru|lstm", "stack.shared=1..3", "stack.size=4|8"])))
    assert found[0] == ["stack.cell=gru", "stack.shared=1", "stack.size=4"]
    pairs = {pair for values in found for pair in combinations(values, 2)}
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


def test_a_killed_search_goes_on(search: Search, conjoin_corpus: Path, small: list[str], tmp_path: Path) -> None:
    command = ["tune", "conjoin-base", "--data", str(conjoin_corpus), "--output", str(tmp_path / "s"), "--trials", "1",
               "--space", "stack.shared=0..1", *(part for value in small for part in ("--set", value)), "--set",
               "training.epochs=1"]
    with subprocess.Popen([sys.executable, "-c", SLOW, *command], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "training\n"
        os.kill(process.pid, signal.SIGKILL)
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-m", "conjoin", *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - started < 60
    assert "trial 1: stack.shared=" in done.stderr
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
    with pytest.raises(SettingError, match=r"is none of crone2020, giorgi2019"):
        parse_space(["giorgi2020"])


def test_grids() -> None:
    assert len(grid(parse_space(["giorgi2019"]), 6) or []) == 6
    assert grid(parse_space(["giorgi2019"]), 5) is None
    assert grid(parse_space(["stack.dropout=0.1..0.2"]), 100) is None
    assert len(grid(parse_space([]), 96) or []) == 96


def test_a_small_space_is_tried_whole_and_once(search: Search) -> None:
    whole = replace(search, choices=parse_space(["stack.shared=0..1", "stack.size=4|8"]), trials=9)
    results = tune(whole)
    tried = sorted((result.values["stack.shared"], result.values["stack.size"]) for result in results)
    assert tried == [(0, "4"), (0, "8"), (1, "4"), (1, "8")]
    assert tune(whole) == results


def test_a_search_that_grows_over_its_whole_space_leaves_nothing_out(search: Search) -> None:
    some = replace(search, choices=parse_space(["stack.shared=0..1", "stack.size=4|8"]), trials=3)
    tune(some)
    results = tune(replace(some, trials=4))
    tried = {(result.values["stack.shared"], result.values["stack.size"]) for result in results}
    assert len(tried) == 4
    assert {result.state for result in results} == {"complete"}


def test_a_killed_combination_of_a_small_space_is_tried_again(search: Search) -> None:
    whole = replace(search, choices=parse_space(["stack.size=4|8"]), trials=5)

    def stop(result: TrialResult) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(whole, listen=stop)
    study = _study(whole)
    study.ask()  # the second combination, begun by a process that was then killed
    results = tune(whole)
    assert sorted(result.values["stack.size"] for result in results if result.state == "complete") == ["4", "8"]
