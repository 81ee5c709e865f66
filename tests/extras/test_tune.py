from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from conjoin.config import load_config
from conjoin.document import Corpus, Document
from conjoin.errors import DataError, ModelError, SettingError
from conjoin.extras.tune import PAPER_SPACE, Choice, Search, TrialResult, parse_space, tune


@pytest.fixture
def search(small: list[str], documents: list[Document], tmp_path: Path) -> Search:
    corpus = Corpus({"train": tuple(documents), "dev": tuple(documents)})
    return Search("conjoin-base", (*small, "training.epochs=2"), parse_space(["stack.shared=0..1", "stack.size=4|8"]),
                  corpus, tmp_path / "study", trials=3, cache_limit=0)


@pytest.mark.parametrize(("text", "expected"), [
    ("stack.cell=gru|lstm", Choice("stack.cell", ("gru", "lstm"))),
    ("stack.shared=1..3", Choice("stack.shared", low=1, high=3, whole=True)),
    ("stack.dropout=0.1..0.6", Choice("stack.dropout", low=0.1, high=0.6)),
    ("training.learning_rate=1e-4..1e-2:log", Choice("training.learning_rate", low=1e-4, high=1e-2, log=True)),
    (" training.seed = 3 ", Choice("training.seed", ("3",))),
])
def test_spaces(text: str, expected: Choice) -> None:
    assert Choice.parse(text) == expected


@pytest.mark.parametrize(("text", "wrong"), [
    ("stack.shared", r"has no key=choices form, like stack.shared=1..3"),
    ("stack.shard=1..3", r"unknown setting 'stack.shard' \(did you mean 'stack.shared'"),
    ("stack.shared=1..x", r"a range is two numbers"),
    ("stack.shared=3..1", r"a range rises"),
    ("stack.dropout=0..0.5:log", r"under :log it begins above 0"),
    ("stack.shared=1..3:lin", r"a range rises, and under :log"),
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
    more = Search(**{name: getattr(search, name) for name in Search.__slots__} | {"trials": 5})
    assert len(tune(more)) == 5
    other = Search(**{name: getattr(search, name) for name in Search.__slots__} | {"overrides": ()})
    with pytest.raises(ModelError, match="holds the study of another search"):
        tune(other)


def test_workers_share_a_study(search: Search) -> None:
    wide = Search(**{name: getattr(search, name) for name in Search.__slots__} | {"trials": 4})
    results = tune(wide, workers=2, threads=1)
    assert len([result for result in results if result.state in ("complete", "pruned")]) >= 4


def test_bad_trials_are_stopped_early(search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    from optuna.trial import Trial

    monkeypatch.setattr(Trial, "should_prune", lambda self: self.number == 1)
    rates = parse_space(["training.head_learning_rate=1e-4..1e-2:log"])  # never twice the same choice
    results = tune(Search(**{name: getattr(search, name) for name in Search.__slots__} | {"choices": rates}))
    assert [result.state for result in sorted(results, key=lambda result: result.number)][:2] == ["complete", "pruned"]


def test_what_would_fail_in_every_trial_is_said_at_once(search: Search) -> None:
    def changed(**values: Any) -> Search:
        return Search(**{name: getattr(search, name) for name in Search.__slots__} | values)

    with pytest.raises(DataError, match="needs a dev split"):
        tune(changed(corpus=Corpus({"train": search.corpus.train})))
    with pytest.raises(SettingError, match=r"stack.shared = 'many'"):
        tune(changed(choices=parse_space(["stack.shared=many|few"])))
    assert not search.folder.exists()


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
