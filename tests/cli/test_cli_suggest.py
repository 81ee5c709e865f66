"""`conjoin suggest`: from texts to a tool's tasks, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from conjoin.extractor import Extractor
from conjoin.readers import read_corpus

TOOLS = [("labelstudio", "tasks.json"), ("brat", "folder"), ("prodigy", "tasks.jsonl")]


@pytest.mark.parametrize(("format", "name"), TOOLS)
def test_from_texts_to_a_tool_and_back(format: str, name: str, conjoin: Any, trained_run: Path, tmp_path: Path) -> None:
    texts = [f"Lee Oswald shot Kennedy in Dallas . Ann number {number} met Bob ." for number in range(5)]
    (tmp_path / "pool.txt").write_text("\n".join([*texts, texts[0]]))
    command = ["suggest", trained_run, tmp_path / "pool.txt", "--lines", "--count", 4, "--output", tmp_path / name,
               "--format"]
    done = conjoin(*command, format)
    assert done.code == 0, done.err
    assert done.err.startswith("4 of ")
    found = list(read_corpus(tmp_path / name, format).documents)
    assert len(found) == len({document.text for document in found}) == 4, "each text once"
    again = Extractor.load(trained_run, device="cpu").annotate(found)
    assert [document.entities for document in found] == [document.entities for document in again]
    assert any(document.entities for document in found)
    assert "is there already; give another name, or --overwrite" in conjoin(*command, format).sentence
    assert conjoin(*command, format, "--overwrite").code == (format == "brat"), "work in a folder is not lost"
    assert "'docx' is no format that is written; choose" in conjoin(*command, "docx").sentence


def test_a_pool_without_text(conjoin: Any, trained_run: Path, tmp_path: Path) -> None:
    (tmp_path / "pool.jsonl").write_text('{"text": 3}\n{"text": " "}\n')
    said = conjoin("suggest", trained_run, tmp_path / "pool.jsonl", "--output", tmp_path / "x.json")
    assert said.code == 1
    assert "holds no text" in said.err.splitlines()[-1] and "left out" in said.err.splitlines()[0]
    assert not (tmp_path / "x.json").exists()
