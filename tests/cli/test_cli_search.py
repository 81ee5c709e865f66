"""`conjoin tune` and `conjoin affinity`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from conjoin.document import Document


def test_tune(conjoin: Any, corpus_folder: Path, settings: list[str], tmp_path: Path) -> None:
    command = ["tune", "conjoin-base", "--data", corpus_folder, "--output", tmp_path / "out", "--trials", 2, *settings]
    result = conjoin(*command, "--space", "stack.shared=0|1", "--space", "training.weight_decay=1e-4..1e-2:log")
    assert result.code == 0, result.err
    assert result.err.count("trial ") == 2
    assert "2 finished" in result.out
    run = conjoin("train", tmp_path / "out/best.toml", "--data", corpus_folder, "--output", tmp_path / "run")
    assert run.code == 0, run.err
    wrong = conjoin(*command, "--space", "stack.shard=0|1")
    told = "unknown setting 'stack.shard' (did you mean 'stack.shared'?); 'conjoin presets conjoin-base' lists them"
    assert wrong.sentence == told
    trained = conjoin("train", "conjoin-base", "--data", "x", "--output", "y", "--set", "stack.shard=1")
    assert trained.sentence.endswith(told)
    both = conjoin(*command, "--space", "stack.shared=0|1", "--set", "stack.shared=1")
    assert "'stack.shared' is both set and searched" in both.sentence and "--space" in both.sentence


@pytest.mark.parametrize("verb", ["train", "experiment", "tune", "affinity", "demo"])
def test_settings_and_their_files_are_looked_at_before_any_data(verb: str, conjoin: Any, tmp_path: Path) -> None:
    preset = ["--preset", "crone2020-ade"] if verb == "demo" else ["crone2020-ade", "--data", tmp_path / "nowhere"]
    command = [verb, *preset, "--output", tmp_path / "run"]
    assert "setting training.epochs = 0" in conjoin(*command, "--set", "training.epochs=0").sentence
    gone = conjoin(*command, "--set", f"words.vectors={tmp_path}/gone.txt")
    assert gone.sentence.endswith("/gone.txt: no such file; give word vectors in the text format of GloVe or word2vec with "
                                  "words.vectors=PATH")
    assert "no such file; give the options of an ELMo" in conjoin(*command, "--set", "words.vectors=none").sentence
    assert not (tmp_path / "run").exists()


def test_tune_says_how_to_go_on(
    conjoin: Any, corpus_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("conjoin.extras.tune.tune", stop)
    result = conjoin("tune", "conjoin-base", "--data", corpus_folder, "--output", tmp_path / "out")
    assert result.code == 130
    assert "stopped; the same command goes on" in result.err


def test_affinity(
    conjoin: Any, encoder: str, corpus_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = [part for value in ("stack.size=4", "training.epochs=1") for part in ("--set", value)]
    command = ["affinity", "crone2020-conll04-minilm", "--encoder", encoder, "--output", tmp_path / "out", "--depth", 2]
    command += [*small, "--no-cache"]
    result = conjoin(*command, "--data", corpus_folder)
    assert result.code == 0, result.err
    assert "advice: share" in result.out
    epochs = [line for line in result.err.splitlines() if "epoch 1" in line]
    assert ["entities loss" in line for line in epochs] == [True, True, False, False]
    assert ["relations loss" in line for line in epochs] == [False, False, True, True]
    assert "dev F1 of the models of entities: " in result.err
    assert "dev F1 of the models of relations with gold entities: " in result.err
    assert "score an F1 below 20 on dev: " in result.err
    value = json.loads((tmp_path / "out/affinity.json").read_text())
    assert [row["depth"] for row in value["depths"]] == ["embedder", "shared 1", "shared 2"]
    assert {task: set(scores) for task, scores in value["dev_f1"].items()} == {
        "entities": {"0", "1"}, "relations": {"0", "1"}}
    assert (tmp_path / "out/affinity.png").is_file()
    taken = ["affinity", "--models", tmp_path / "out/models", "--output", tmp_path / "more"]
    again = conjoin(*taken, "--dev", corpus_folder / "dev.jsonl")
    assert again.code == 0, again.err
    assert "epoch 1" not in again.err
    assert json.loads((tmp_path / "more/affinity.json").read_text())["depths"] == value["depths"]
    missing = conjoin(*command, "--train", corpus_folder / "train.jsonl")
    assert "affinity compares the words of a dev split" in missing.sentence
    assert conjoin(*command, *taken[1:], "--data", corpus_folder).code == 2
    assert conjoin(*taken, "--data", corpus_folder, "--set", "stack.size=3").code == 2
    assert "no dev split among train" in conjoin(*taken, "--data", corpus_folder / "train.jsonl").sentence


@pytest.mark.parametrize("verb", ["tune", "affinity"])
def test_repairs_of_the_data_are_mentioned(
    verb: str, conjoin: Any, encoder: str, documents: list[Document], tmp_path: Path
) -> None:
    from conjoin.readers import write_documents

    write_documents(documents, tmp_path / "train.jsonl", "jsonl")
    lines = (tmp_path / "train.jsonl").read_text()
    (tmp_path / "dev.jsonl").write_text(lines.replace('"relations"', '"relation"', 1))  # misspelt
    common = ["--data", tmp_path, "--output", tmp_path / "out", "--lenient", "--encoder", encoder, "--set",
              "training.epochs=1", "--set", "stack.size=4"]
    own = {"tune": ["--trials", 1], "affinity": ["--depth", 1]}[verb]
    result = conjoin(verb, "crone2020-conll04-minilm", *common, *own)
    assert "1 repair or note on the data; conjoin check lists it" in result.err
