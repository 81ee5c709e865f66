"""`conjoin extract`: every kind of input and output, offsets into the original, and bad input."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from conjoin.modeling.precision import usable_precision

ORTIZ = "Maria Ortiz leads the Halden Steel of Leeds."
OSWALD = "Lee Oswald shot Kennedy in Dallas."


def parsed(out: str) -> list[dict[str, Any]]:
    """The JSON lines, each with exactly the keys it should have."""
    values = [json.loads(line) for line in out.splitlines()]
    for value in values:
        assert list(value) == ["id", "text", "entities", "relations"]
        ids = [entity["id"] for entity in value["entities"]]
        assert len(set(ids)) == len(ids)
        for entity in value["entities"]:
            assert list(entity) == ["id", "type", "char_start", "char_end", "text", "score"]
            assert value["text"][entity["char_start"] : entity["char_end"]] == entity["text"]
            assert 0 <= entity["score"] <= 1
        for relation in value["relations"]:
            assert list(relation) == ["type", "head", "tail", "score"]
            assert {relation["head"], relation["tail"]} <= set(ids)
            assert 0 <= relation["score"] <= 1
    return values


def triples(value: dict[str, Any]) -> set[tuple[str, str, str]]:
    texts = {entity["id"]: entity["text"] for entity in value["entities"]}
    return {(texts[r["head"]], r["type"], texts[r["tail"]]) for r in value["relations"]}


KILL = {("Lee Oswald", "Kill", "Kennedy")}
WORK = {("Maria Ortiz", "Work_For", "Halden Steel"), ("Halden Steel", "OrgBased_In", "Leeds")}


def test_a_text_right_here(conjoin: Any, trained_run: Path) -> None:
    result = conjoin("extract", trained_run, "--text", OSWALD)
    assert (result.code, result.err) == (0, "")
    (value,) = parsed(result.out)
    assert (value["id"], value["text"], triples(value)) == ("text", OSWALD, KILL)
    assert [(e["type"], e["char_start"], e["char_end"]) for e in value["entities"]] == [
        ("Peop", 0, 10), ("Peop", 16, 23), ("Loc", 27, 33)
    ]
    assert parsed(conjoin("extract", trained_run, "--text", "").out)[0]["entities"] == []


@pytest.mark.parametrize("from_stdin", [True, False])
def test_offsets_count_characters_of_the_original(
    from_stdin: bool, conjoin: Any, trained_run: Path, tmp_path: Path
) -> None:
    """CRLF, a byte-order mark, characters of four bytes: the text is that of the bytes, and so are the offsets."""
    raw = f"\ufeffNews 👩‍🔬é:\r\n\r\n{ORTIZ}\r\n\r\n{OSWALD}\r\n".encode()
    (tmp_path / "a.txt").write_bytes(raw)
    result = conjoin("extract", trained_run, *(["-"] if from_stdin else [tmp_path / "a.txt"]), stdin=raw)
    (value,) = parsed(result.out)
    original = raw.decode("utf-8")
    assert value["text"] == original
    assert value["id"] == ("stdin" if from_stdin else "a.txt")
    assert triples(value) >= KILL | WORK
    place = next(e for e in value["entities"] if e["text"] == "Dallas")
    assert original[place["char_start"] :].startswith("Dallas.\r\n")


@pytest.mark.parametrize("from_stdin", [True, False])
def test_every_line_a_document(from_stdin: bool, conjoin: Any, trained_run: Path, tmp_path: Path) -> None:
    raw = f"{ORTIZ}\r\n\n{OSWALD}".encode()
    (tmp_path / "a.txt").write_bytes(raw)
    arguments = ["-"] if from_stdin else [tmp_path / "a.txt"]
    values = parsed(conjoin("extract", trained_run, *arguments, "--lines", stdin=raw).out)
    name = "stdin" if from_stdin else "a.txt"
    assert [(value["id"], value["text"]) for value in values] == [
        (f"{name}:1", ORTIZ), (f"{name}:2", ""), (f"{name}:3", OSWALD)
    ]
    assert [triples(value) for value in values] == [WORK, set(), KILL]


def test_json_lines_files_and_folders(conjoin: Any, trained_run: Path, tmp_path: Path) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    lines = [{"text": OSWALD, "id": 7, "more": [1]}, {"text": ORTIZ}, {"id": None, "text": ""}]
    (tmp_path / "in" / "a.jsonl").write_text("\ufeff" + "\r\n\n".join(map(json.dumps, lines)), encoding="utf-8")
    (tmp_path / "in" / "deep" / "b.txt").write_text(ORTIZ)
    (tmp_path / "in" / "c.md").write_text("left alone")
    (tmp_path / "d.txt").write_text(OSWALD)
    values = parsed(conjoin("extract", trained_run, tmp_path / "in", tmp_path / "d.txt", "--text", "x").out)
    assert [value["id"] for value in values] == ["text", "7", "a.jsonl:3", "a.jsonl:5", "deep/b.txt", "d.txt"]
    assert [triples(value) for value in values] == [set(), KILL, WORK, set(), WORK, KILL]


def test_half_a_surrogate_pair_comes_out_as_it_went_in(conjoin: Any, trained_run: Path, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "Lee Oswald shot Kennedy in Dallas . \\ud83d"}\n')
    out = tmp_path / "out.jsonl"
    result = conjoin("extract", trained_run, tmp_path / "a.jsonl", "--output", out)
    assert (result.code, result.err) == (0, f"wrote {out} (1 document)\n")
    assert parsed(out.read_text(encoding="utf-8"))[0]["text"].endswith("\ud83d")


def test_table_and_page(conjoin: Any, trained_run: Path, tmp_path: Path) -> None:
    result = conjoin("extract", trained_run, "--text", OSWALD, "--format", "table")
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in result.out.splitlines() if "│" in line]
    assert rows[0][:4] == ["text", "Peop", "Lee Oswald", "0-10"]
    assert rows[3][:4] == ["text", "Lee Oswald", "Kill", "Kennedy"]
    assert conjoin("extract", trained_run, "--text", "", "--format", "table").out == "no entities\nno relations\n"
    page = tmp_path / "new" / "page.html"
    told = conjoin("extract", trained_run, "--text", OSWALD, "--format", "html", "--output", page)
    assert (told.out, told.err) == ("", f"wrote {page} (1 document)\n")
    assert page.read_text(encoding="utf-8").count("<mark") == 3
    other = page.with_name("other.HTML")
    conjoin("extract", trained_run, "--text", OSWALD, "--output", other)
    assert other.read_bytes() == page.read_bytes()
    conjoin("extract", trained_run, "--text", OSWALD, "--output", other, "--format", "jsonl")
    assert json.loads(other.read_text())["id"] == "text"


def test_output_is_what_would_be_printed(conjoin: Any, trained_run: Path, tmp_path: Path) -> None:
    printed = conjoin("extract", trained_run, "--text", OSWALD).out
    assert conjoin("extract", trained_run, "--text", OSWALD, "-o", tmp_path / "a.jsonl").out == ""
    assert (tmp_path / "a.jsonl").read_text() == printed
    assert conjoin("extract", trained_run, "--text", OSWALD, "-o", os.devnull).code == 0
    assert not Path(os.devnull).is_file()


def test_a_second_run_does_not_read_the_output_of_the_first(conjoin: Any, trained_run: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(OSWALD)
    for _ in range(2):
        assert conjoin("extract", trained_run, tmp_path, "-o", tmp_path / "found.jsonl").code == 0
        assert [value["id"] for value in parsed((tmp_path / "found.jsonl").read_text())] == ["a.txt"]


def test_an_input_is_not_replaced_by_what_is_found_in_it(conjoin: Any, trained_run: Path, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": OSWALD}) + "\n")
    sentence = conjoin("extract", trained_run, tmp_path / "a.jsonl", "-o", tmp_path / "a.jsonl").sentence
    assert "a.jsonl: is part of the output" in sentence and "--output" in sentence


def test_a_target_that_cannot_be_written_is_named(conjoin: Any, trained_run: Path) -> None:
    sentence = conjoin("extract", trained_run, "--text", "a", "-o", "/proc/x.jsonl").sentence
    assert sentence.startswith("/proc/x.jsonl: ")


def test_files_that_are_called_alike_are_told_apart(conjoin: Any, trained_run: Path, tmp_path: Path) -> None:
    for name in ("a/x.txt", "b/x.txt", "b/y.TXT", "b/z.JSONL"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(json.dumps({"text": name}) if name.endswith("L") else name)
    values = parsed(conjoin("extract", trained_run, tmp_path / "a" / "x.txt", tmp_path / "b").out)
    assert [value["id"] for value in values] == [f"{tmp_path}/a/x.txt", f"{tmp_path}/b/x.txt", "y.TXT", "z.JSONL:1"]
    assert [value["text"] for value in values] == ["a/x.txt", "b/x.txt", "b/y.TXT", "b/z.JSONL"]


def test_thresholds(conjoin: Any, trained_run: Path) -> None:
    (value,) = parsed(conjoin("extract", trained_run, "--text", ORTIZ, "--relation-threshold", 1).out)
    assert len(value["entities"]) == 3
    assert value["relations"] == []  # they score 0.9999; a score of 1.0 would be enough
    (value,) = parsed(conjoin("extract", trained_run, "--text", OSWALD, "--entity-threshold", 1).out)
    assert (value["entities"], value["relations"]) == ([], [])


@pytest.mark.parametrize(("name", "raw", "more", "told"), [
    ("a.txt", b"caf\xe9 Lee", [], "a.txt: not UTF-8 (byte 0xe9 at position 3); texts must be UTF-8"),
    ("a.txt", b"one\ntwo\nthr\xffee", ["--lines"], "a.txt:3: not UTF-8 (byte 0xff at position 3)"),
    ("a.jsonl", b'{"text": "a"}\n{"txt": 3}\n', [], 'a.jsonl:2: \'text\' is missing or null; texts must'),
    ("a.jsonl", b'{"text": "a"}\n\n{"text": \n', [], "a.jsonl:3: not JSON at column"),
    ("a.jsonl", b'["text"]\n', [], "a.jsonl:1: no JSON object"),
    ("a.jsonl", b'{"text": 3}\n', [], "a.jsonl:1: 'text' is no string but of type int"),
    ("a.jsonl", b'{"text": "a", "n": ' + b"1" * 5000 + b"}", [], "a.jsonl:1: not JSON ("),
    ("a.jsonl", b"[" * 100_000, [], "a.jsonl:1: not JSON (nested too deeply"),
    ("a.jsonl", b'{"text": "\xff"}\n', [], "a.jsonl:1: not UTF-8"),
])
def test_bad_input_is_one_sentence_and_finishes_nothing(
    name: str, raw: bytes, more: list[str], told: str, conjoin: Any, trained_run: Path, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(raw)
    result = conjoin("extract", trained_run, tmp_path / name, *more, "--output", tmp_path / "out" / "x.jsonl")
    assert told in result.sentence
    left = [path.name for path in (tmp_path / "out").iterdir()]
    assert left in ([], ["x.jsonl.part", "x.jsonl.part.json"], ["x.jsonl.part.json", "x.jsonl.part"])  # what came before
    if name == "a.txt":
        assert told.partition("a.txt")[2] in conjoin("extract", trained_run, "-", *more, stdin=raw).sentence


def test_after_an_error_what_is_kept_is_told_and_gone_on_with(conjoin: Any, trained_run: Path, tmp_path: Path) -> None:
    texts, found = tmp_path / "a.jsonl", tmp_path / "found.jsonl"
    good = json.dumps({"text": OSWALD}) + "\n"
    texts.write_text(good * 100 + "{\n" + good)
    told = conjoin("extract", trained_run, texts, "-o", found).sentence
    kept = sum(1 for _ in (tmp_path / "found.jsonl.part").open())
    assert 0 < kept <= 100
    assert f"found.jsonl.part holds the {kept} results before it: " in told
    assert "a.jsonl:101: not JSON" in told and "--resume" in told and "conjoin bulk" in told
    texts.write_text(good * 102)
    assert "wrote " in conjoin("extract", trained_run, texts, "-o", found, "--resume").err
    assert sum(1 for _ in found.open()) == 102


@pytest.mark.parametrize("name", ["a.csv", "A.CSV"])
def test_the_rows_of_a_table_are_texts(name: str, conjoin: Any, trained_run: Path, tmp_path: Path) -> None:
    (tmp_path / name).write_text(f"key,body\n1,{OSWALD}\n,{ORTIZ}\n")
    columns = ["--text-column", "body", "--id-column", "key"]
    for path in (tmp_path / name, tmp_path):
        values = parsed(conjoin("extract", trained_run, path, *columns).out)
        assert [value["id"] for value in values] == ["1", f"{name}:2"]
        assert [triples(value) for value in values] == [KILL, WORK]
    assert "--text-column" in conjoin("extract", trained_run, tmp_path / name).sentence


def test_a_parquet_file_that_is_none(conjoin: Any, trained_run: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    (tmp_path / "a.parquet").write_text("id,text\n1,Oslo\n")
    assert "a.parquet: is no Parquet file" in conjoin("extract", trained_run, tmp_path / "a.parquet").sentence


def test_paths_that_are_not_there(conjoin: Any, trained_run: Path, tmp_path: Path) -> None:
    assert conjoin("extract", trained_run, tmp_path / "no.txt").sentence.endswith("no.txt: no such file or folder")
    assert "the folder holds no .txt" in conjoin("extract", trained_run, tmp_path).sentence
    assert "no such folder; give a model folder" in conjoin("extract", tmp_path / "no", "--text", "a").sentence
    assert "not a conjoin model" in conjoin("extract", tmp_path, "--text", "a").sentence
    (tmp_path / "file").write_text("")
    assert f"{tmp_path / 'file'}: is a file, where a folder is needed" in conjoin(
        "extract", trained_run, "--text", "a", "--output", tmp_path / "file" / "x").sentence
    assert f"{tmp_path}: is a folder, where a file is to be written" in conjoin(
        "extract", trained_run, "--text", "a", "--output", tmp_path).sentence


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everything")
def test_no_permission(conjoin: Any, trained_run: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "a.txt").chmod(0)
    assert "a.txt: cannot be read (Permission denied)" in conjoin("extract", trained_run, tmp_path / "a.txt").sentence


def test_truncated_weights(conjoin: Any, trained_run: Path, tmp_path: Path) -> None:
    shutil.copytree(trained_run, tmp_path / "run")
    weights = tmp_path / "run" / "model" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    sentence = conjoin("extract", tmp_path / "run", "--text", "a").sentence
    assert "weights.safetensors: weights missing, truncated or of another model" in sentence


@pytest.mark.parametrize("arguments", [
    [], ["--text", "a", "--entity-threshold", "2"], ["--nonsense"],
])
def test_wrong_usage(arguments: list[str], conjoin: Any, trained_run: Path) -> None:
    result = conjoin("extract", trained_run, *arguments)
    assert result.code == 2
    assert "Usage: conjoin extract" in result.err
    assert result.out == ""


def test_half_precision(conjoin: Any, trained_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used = []
    monkeypatch.setattr("conjoin.modeling.backend.usable_precision",
                        lambda name: used.append(usable_precision(name)) or used[-1])
    for name in ("no", "bf16"):
        (value,) = parsed(conjoin("extract", trained_run, "--text", OSWALD, "--precision", name).out)
        assert triples(value) == KILL
    assert used == ["no", "bf16"]
    told = conjoin("extract", trained_run, "--text", OSWALD, "--precision", "bf15").sentence
    assert "bf15" in told and "bf16" in told


def test_an_unknown_output_format(conjoin: Any, trained_run: Path) -> None:
    told = conjoin("extract", trained_run, "--text", "a", "--format", "tabel").sentence
    assert told == "unknown output format 'tabel' (did you mean 'table'?); choose html, jsonl or table"


def test_a_reader_that_goes_away_and_an_ascii_terminal(trained_run: Path) -> None:
    """As `conjoin extract … | head -1`: no traceback. JSON is UTF-8 even when the terminal is not."""
    program = Path(sys.executable).with_name("conjoin")
    with subprocess.Popen(
        [program, "extract", trained_run, "-", "--lines"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env={**os.environ, "PYTHONIOENCODING": "ascii"},
    ) as process:
        assert process.stdin and process.stdout and process.stderr
        process.stdin.write(f"é {OSWALD}\n".encode() * 1500)
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["text"] == f"é {OSWALD}"
        process.stdout.close()
        with pytest.raises(BrokenPipeError):
            for _ in range(200):
                process.stdin.write(f"é {OSWALD}\n".encode() * 1500)
            process.stdin.flush()
        assert process.stderr.read() == b""


def many(path: Path, count: int) -> Path:
    """So many texts of one to six sentences."""
    texts = (" ".join((ORTIZ, OSWALD)[index % 2] for index in range(number % 7)) for number in range(count))
    values = [{"id": f"n{number}", "text": text} for number, text in enumerate(texts)]
    path.write_text("".join(json.dumps(value) + "\n" for value in values), encoding="utf-8")
    return path


def started(*arguments: object) -> subprocess.Popen[bytes]:
    """A `conjoin extract` of its own."""
    return subprocess.Popen([sys.executable, "-m", "conjoin", "extract", *map(str, arguments)], stderr=subprocess.PIPE)


def grown(path: Path, process: subprocess.Popen[bytes]) -> None:
    """Wait until the unfinished file has some results."""
    deadline = time.monotonic() + 120
    while not path.exists() or path.stat().st_size < 1000:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.processes
def test_several_workers_give_the_same_bytes(conjoin: Any, trained_run: Path, tmp_path: Path) -> None:
    source = many(tmp_path / "in.jsonl", 300)
    for workers in (1, 2):
        result = conjoin("extract", trained_run, source, "-o", tmp_path / f"{workers}.jsonl", "--workers", workers)
        assert (result.code, result.err) == (0, f"wrote {tmp_path / str(workers)}.jsonl (300 documents)\n")
    one = (tmp_path / "1.jsonl").read_bytes()
    assert (tmp_path / "2.jsonl").read_bytes() == one
    assert conjoin("extract", trained_run, source).out.encode() == one


@pytest.mark.processes
@pytest.mark.parametrize(("stop", "workers"), [(signal.SIGINT, 2), (signal.SIGKILL, 1)])
def test_a_stopped_run_goes_on_to_the_same_file(
    stop: signal.Signals, workers: int, conjoin: Any, trained_run: Path, tmp_path: Path
) -> None:
    count = 3000 * workers
    source, out = many(tmp_path / "in.jsonl", count), tmp_path / "out.jsonl"
    part = tmp_path / "out.jsonl.part"
    with started(trained_run, source, "-o", out, "--workers", workers) as process:
        grown(part, process)
        process.send_signal(stop)
        told = process.stderr.read().decode() if process.stderr else ""
    assert not out.exists()
    lines = part.read_bytes().count(b"\n")
    assert 0 < lines < count
    if stop is signal.SIGINT:
        assert process.returncode not in (0, 1)
        assert f"stopped; {part} holds {lines:,} results, and the same command with --resume goes on" in told
        assert "Traceback" not in told
    refused = conjoin("extract", trained_run, source, "-o", out).sentence
    assert refused.startswith(f"{part}: holds {lines:,} results of a run that was stopped; add --resume")
    differ = conjoin("extract", trained_run, source, "-o", out, "--resume", "--precision", "bf16").sentence
    assert "other values of precision" in differ
    differ = conjoin("extract", trained_run, source, "-o", out, "--resume", "--entity-threshold", 0.5).sentence
    assert "was started with other values of thresholds" in differ
    other = many(tmp_path / "short.jsonl", 3)
    assert "and the input has 3 documents" in conjoin("extract", trained_run, other, "-o", out, "--resume").sentence
    other.write_text('{"text": "another"}\n')
    assert f"{part}:1: is not the result of 'short.jsonl:1'" in conjoin(
        "extract", trained_run, other, "-o", out, "--resume").sentence
    assert conjoin("extract", trained_run, source, "-o", out, "--resume").code == 0
    assert out.read_text() == conjoin("extract", trained_run, source).out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl", "short.jsonl"]


def test_resume_needs_a_file_of_json_lines(conjoin: Any, trained_run: Path, tmp_path: Path) -> None:
    told = "--resume needs --output FILE and --format jsonl"
    assert conjoin("extract", trained_run, "--text", "a", "--resume").sentence == told
    target = ["-o", tmp_path / "a", "--format", "html"]
    assert conjoin("extract", trained_run, "--text", "a", "--resume", *target).sentence == told


def test_progress_is_said_when_asked_for(
    conjoin: Any, trained_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("conjoin.cli.progress.SECONDS_BETWEEN_LINES", 0.0)
    source = many(tmp_path / "in.jsonl", 100)
    lines = conjoin("extract", trained_run, source, "-o", tmp_path / "a", "--progress").err.splitlines()
    assert re.fullmatch(r"1 documents, [\d,.]+ per second(, \d+:\d\d:\d\d left)?", lines[0])
    assert re.fullmatch(r"100 documents, [\d,.]+ per second", lines[-2])
    assert conjoin("extract", trained_run, source, "-o", tmp_path / "b", "--no-progress").err == (
        f"wrote {tmp_path / 'b'} (100 documents)\n")
