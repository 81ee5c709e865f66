"""`conjoin experiment`, `compare`, `reproduce`, `analyze` and `fetch`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from conjoin.corpora.public import LICENSED


@pytest.fixture
def experiment(conjoin: Any, corpus_folder: Path, settings: list[str]) -> Any:
    def run(output: Path, *more: object) -> Any:
        return conjoin("experiment", "conjoin-base", "--data", corpus_folder, "--output", output, *settings, *more)

    return run


def test_seeds_on_the_splits_of_a_folder(experiment: Any, conjoin: Any, tmp_path: Path) -> None:
    result = experiment(tmp_path / "a", "--seeds", 2)
    assert result.code == 0
    assert "over 2 seeds" in result.out
    assert "2 runs, epochs " in result.out
    assert [line.split(":")[0] for line in result.err.splitlines()[-3:-1]] == ["test, seed 0", "test, seed 1"]
    assert result.err.splitlines()[-1] == f"wrote {tmp_path / 'a' / 'results.json'}"
    value = json.loads((tmp_path / "a/results.json").read_text())
    assert (value["preset"], value["folds"], len(value["runs"])) == ("conjoin-base", 0, 2)
    again = experiment(tmp_path / "a", "--seeds", 2, "--json")
    assert json.loads(again.out) == value

    assert experiment(tmp_path / "b", "--dev-use", "join").code == 0
    compared = conjoin("compare", tmp_path / "a", tmp_path / "b", "--samples", 50)
    assert [line.split(":")[0] for line in compared.out.splitlines()] == ["entities", "relations"]
    assert "of 50 resamples of 3 documents" in compared.out
    assert {row["task"] for row in json.loads(conjoin("compare", tmp_path / "a", tmp_path / "b", "--json").out)} == {
        "entities", "relations"
    }
    other = experiment(tmp_path / "a", "--folds", 2)
    assert "holds the runs of another experiment" in other.err.splitlines()[-1]


def test_folds_of_some_splits(experiment: Any, tmp_path: Path) -> None:
    result = experiment(tmp_path, "--folds", 3, "--split", "train", "--split", "dev", "--stratified")
    assert "over 3 folds" in result.out
    assert "fold1 " in result.out
    assert "F1 of mean precision and recall" in result.out


@pytest.mark.parametrize(("more", "wrong"), [
    (["--folds", 1], "folds = 1: give 2 or more, or 0 for the splits of the corpus"),
    (["--dev-use", "pick"], "unknown use of dev 'pick'"),
    (["--folds", 2, "--split", "valid"], "the data has no split 'valid' to fold; it has train, dev, test"),
    (["--hold-out", 0.1], "hold_out and splits are for folds"),
])
def test_what_cannot_be_is_one_sentence(experiment: Any, tmp_path: Path, more: list[object], wrong: str) -> None:
    result = experiment(tmp_path / "none", *more)
    assert wrong in result.sentence
    assert not (tmp_path / "none").exists()


def test_a_table_in_three_forms(conjoin: Any, corpus_folder: Path, encoder: str, small: list[str], tmp_path: Path) -> None:
    (tmp_path / "corpora").mkdir()
    (tmp_path / "corpora/conll04").symlink_to(corpus_folder)
    settings = [part for value in ("stack.size=4", "characters.size=2") for part in ("--set", value)]
    result = conjoin("reproduce", "crone2020-table2", "--data", tmp_path / "corpora", "--output", tmp_path / "out",
                     "--encoder", encoder, "--quick", "--no-cache", *settings)
    assert result.code == 0
    assert "| CoNLL04 | 87.00 |" in result.out
    assert "- ADE: empty; the corpus is not under" in result.out
    for ending in ("md", "json", "tex"):
        assert (tmp_path / f"out/crone2020-table2.{ending}").read_text()
    assert "unknown table 'table9'" in conjoin("reproduce", "table9", "--data", tmp_path, "--output", tmp_path).sentence


def test_analyze_a_run(conjoin: Any, corpus_folder: Path, settings: list[str], tmp_path: Path) -> None:
    conjoin("train", "conjoin-base", "--data", corpus_folder, "--output", tmp_path / "run", *settings)
    result = conjoin("analyze", tmp_path / "run", "--data", corpus_folder, "--html", tmp_path / "page.html")
    assert result.code == 0
    assert "entity-missed" in result.out
    assert result.err.splitlines()[-1] == f"wrote {tmp_path / 'page.html'}"
    assert "(dev)" in (tmp_path / "page.html").read_text()
    value = json.loads(conjoin("analyze", tmp_path / "run", "--data", corpus_folder, "--split", "test", "--json",
                               "--html", tmp_path / "test.html").out)
    assert (value["split"], value["documents"]) == ("test", 3)
    wrong = conjoin("analyze", tmp_path / "run", "--data", corpus_folder, "--split", "valid")
    assert "no valid split among train, dev, test" in wrong.sentence


@pytest.mark.parametrize("name", LICENSED)
def test_licensed_corpora_say_where_to_apply(conjoin: Any, name: str) -> None:
    result = conjoin("fetch", name)
    assert result.code == 0
    assert f"{name} is licensed: apply to" in result.out


def test_an_unknown_corpus(conjoin: Any, tmp_path: Path) -> None:
    assert "unknown corpus 'conll4'" in conjoin("fetch", "conll4", "--output", tmp_path).sentence
