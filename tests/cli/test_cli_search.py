"""`conjoin tune` and `conjoin affinity`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def test_tune(conjoin: Any, corpus_folder: Path, settings: list[str], tmp_path: Path) -> None:
    command = ["tune", "conjoin-base", "--data", corpus_folder, "--output", tmp_path / "out", "--trials", 2, *settings]
    result = conjoin(*command, "--space", "stack.shared=0|1", "--space", "training.head_learning_rate=1e-4..1e-2:log")
    assert result.code == 0, result.err
    assert result.err.count("trial ") == 2
    assert "2 finished" in result.out
    run = conjoin("train", tmp_path / "out/best.toml", "--data", corpus_folder, "--output", tmp_path / "run")
    assert run.code == 0, run.err
    wrong = conjoin(*command, "--space", "stack.shard=0|1")
    assert wrong.sentence.startswith("unknown setting 'stack.shard' (did you mean 'stack.shared'?)")


def test_affinity(conjoin: Any, encoder: str, corpus_folder: Path, tmp_path: Path) -> None:
    small = [part for value in ("stack.size=4", "training.epochs=1") for part in ("--set", value)]
    command = ["affinity", "crone2020-conll04-minilm", "--encoder", encoder, "--output", tmp_path / "out", "--depth", 2]
    command += small
    result = conjoin(*command, "--data", corpus_folder)
    assert result.code == 0, result.err
    assert "advice: share" in result.out
    value = json.loads((tmp_path / "out/affinity.json").read_text())
    assert [row["depth"] for row in value["depths"]] == ["embedder", "shared 1", "shared 2"]
    assert (tmp_path / "out/affinity.png").is_file()
    missing = conjoin(*command, "--train", corpus_folder / "train.jsonl")
    assert "affinity compares the words of a dev split" in missing.sentence
