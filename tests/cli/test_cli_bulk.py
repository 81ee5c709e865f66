"""`conjoin bulk`: all kinds of input with a real model, a run that is killed, what is refused."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

ORTIZ = "Maria Ortiz leads the Halden Steel of Leeds."
OSWALD = "Lee Oswald shot Kennedy in Dallas."


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder of text, JSON lines and CSV; some documents are poisonous."""
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.txt").write_text(ORTIZ)
    (folder / "b.txt").write_bytes(b"caf\xe9")
    values = [{"id": f"n{number}", "text": " ".join([OSWALD] * (number % 5))} for number in range(2000)]
    (folder / "c.jsonl").write_text("".join(json.dumps(value) + "\n" for value in values) + "no JSON\n")
    with (folder / "d.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("id", "text"), ("x", f"{ORTIZ}\n{OSWALD}"), ("y", "")])
    return folder


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for path in sorted(folder.glob("part-*")) for line in path.read_bytes().splitlines()]


def parts(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "lock"}


def test_a_folder_of_files(conjoin: Any, trained_run: Path, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = conjoin("bulk", source, "--model", trained_run, "--output", out, "--keep-text", "--partition-size", 500)
    assert result.code == 0, result.err
    assert result.err.startswith(f"wrote {out}: 2,005 documents, 2 with an error, ")
    found = {row["doc_id"]: row for row in rows(out)}
    assert list(found)[:3] == ["a.txt", "b.txt", "n0"]
    assert found["b.txt"]["error"] == "not UTF-8 (byte 0xe9 at position 3)"
    assert found["c.jsonl:2001"]["error"].startswith("not JSON at column 1")
    (relation,) = found["n1"]["relations"]
    head, tail = (found["n1"]["entities"][relation[side]] for side in ("head", "tail"))
    assert (head["text"], relation["type"], tail["text"]) == ("Lee Oswald", "Kill", "Kennedy")
    assert {relation["type"] for relation in found["x"]["relations"]} >= {"Work_For", "Kill"}
    for row in found.values():
        for entity in row["entities"]:
            assert row["text"][entity["char_start"] : entity["char_end"]] == entity["text"]
    again = conjoin("bulk", source, "--model", trained_run, "--output", out, "--keep-text", "--partition-size", 500)
    assert again.err == f"{out} was finished before; nothing was left to do\n"
    assert "keep text and partition documents differ" in conjoin("bulk", source, "-m", trained_run, "-o", out).sentence


@pytest.mark.processes
def test_a_run_that_is_stopped_goes_on_to_the_same_bytes(
    conjoin: Any, trained_run: Path, source: Path, tmp_path: Path
) -> None:
    """Killed, then stopped by Ctrl-C, then left to its end, with another number of workers."""
    (source / "e.jsonl").write_text(f"{json.dumps({'text': OSWALD})}\n" * 4000)  # so that it lasts until it is stopped
    out, whole = tmp_path / "out", tmp_path / "whole"
    arguments = [source, "-m", trained_run, "--partition-size", 50]
    command = [sys.executable, "-m", "conjoin", "bulk", *map(str, arguments), "-o", str(out), "--workers", "2"]
    before = 0
    for stop in (signal.SIGKILL, signal.SIGINT):
        with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
            deadline = time.monotonic() + 120
            while len(list(out.glob("part-*"))) == before:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.01)
            process.send_signal(stop)
            told = process.stderr.read().decode() if process.stderr else ""
        assert "Traceback" not in told
        assert ("stopped; the same command goes on" in told) == (stop is signal.SIGINT)
        before = len(list(out.glob("part-*")))
        assert before < 121
    assert f" documents after {50 * before:,} of earlier runs" in conjoin("bulk", *arguments, "-o", out).err
    assert conjoin("bulk", *arguments, "-o", whole).code == 0
    assert parts(out) == parts(whole)


def test_parquet_in_and_out(conjoin: Any, trained_run: Path, tmp_path: Path) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table({"url": ["u1", "u2"], "body": [OSWALD, None]}), tmp_path / "in.parquet")
    result = conjoin("bulk", tmp_path / "in.parquet", "-m", trained_run, "-o", tmp_path / "out", "--format", "parquet",
                     "--text-column", "body", "--id-column", "url", "--progress")
    assert result.code == 0, result.err
    first, second = parquet.read_table(tmp_path / "out" / "part-00000000.parquet").to_pylist()
    assert (first["doc_id"], first["error"], first["relations"][0]["type"]) == ("u1", None, "Kill")
    assert second == {"doc_id": "u2", "entities": [], "relations": [], "error": "'body' is missing or null"}


def test_what_is_refused(conjoin: Any, trained_run: Path, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,body\n")
    target = ["-m", trained_run, "-o", tmp_path / "out"]
    assert "unknown column 'text'" in conjoin("bulk", tmp_path / "a.csv", *target).sentence
    assert "unknown engine 'rai' (did you mean 'ray'?)" in conjoin(
        "bulk", tmp_path / "a.csv", *target, "--engine", "rai").sentence
    assert "unknown output format 'json'" in conjoin("bulk", tmp_path / "a.csv", *target, "--format", "json").sentence
    assert "is for --engine ray" in conjoin("bulk", tmp_path / "a.csv", *target, "--gpus-per-worker", 1).sentence
    assert "no such file or folder" in conjoin("bulk", tmp_path / "no", *target).sentence
    assert not (tmp_path / "out").exists()
