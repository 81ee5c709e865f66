"""Documents of every kind of file; what cannot be read is a document with an error and stops nothing."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conjoin.errors import DataError
from conjoin.text.sources import STDIN, Columns, TextRecord, check_sources, find_sources, read_texts, total_bytes

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


def read(*paths: Path, columns: Columns | None = None, lines: bool = False) -> list[TextRecord]:
    sources = find_sources(paths)
    check_sources(sources, columns or Columns())
    return list(read_texts(sources, columns or Columns(), lines=lines))


def texts(raws: list[TextRecord]) -> list[tuple[str, str | None]]:
    return [(raw.id, raw.text) for raw in raws]


def test_a_folder_of_everything(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.txt").write_bytes("é\r\nb".encode())
    (tmp_path / "b.jsonl").write_text('{"text": "one", "id": 7}\n\n{"text": "two"}\n')
    (tmp_path / "c.csv").write_text("id,text\nx,three\n,four\n")
    parquet.write_table(pyarrow.table({"text": ["five"]}), tmp_path / "d.parquet")
    (tmp_path / "e.md").write_text("left alone")
    raws = read(tmp_path)
    assert texts(raws) == [("7", "one"), ("b.jsonl:3", "two"), ("x", "three"), ("c.csv:2", "four"), ("d.parquet:1", "five"),
                           ("deep/a.txt", "é\r\nb")]
    assert raws[-1].bytes_read == total_bytes(find_sources([tmp_path]))
    assert [raw.bytes_read for raw in raws] == sorted(raw.bytes_read for raw in raws)
    assert texts(read(tmp_path / "deep", lines=True)) == [("a.txt:1", "é"), ("a.txt:2", "b")]
    assert texts(read(tmp_path / "deep" / "a.txt", tmp_path / "deep" / "a.txt"))[0][0] == str(tmp_path / "deep" / "a.txt")


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r"), min_size=1), max_size=8))
def test_cells_of_csv_hold_line_ends_and_quotes(cells: list[str]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, quoting=csv.QUOTE_ALL)
            writer.writerow(["number", "text"])
            writer.writerows(enumerate(cells))
        assert [raw.text for raw in read(path)] == cells


def test_csv_in_detail(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes('\ufeffbody,key\r\n"a\r\nb ""c"" \u2028 d",k1\r\n'.encode() + b"caf\xe9,k2\r\nshort\r\n\r\nok,k2\r\n")
    raws = read(path, columns=Columns("body", "key"))
    assert texts(raws) == [("k1", 'a\r\nb "c" \u2028 d'), ("k2", None), ("a.csv:3", "short"), ("k2", "ok")]
    assert raws[1].error == "not UTF-8 (byte 0xe9 at character 3)"
    path.write_text("key,body\nonly\n")
    assert read(path, columns=Columns("body"))[0].error == "the row has 1 cells, the text is in cell 2"
    path.write_text("")
    assert read(path) == []
    path.write_text("text\n" + "x" * 500_000)  # more than csv reads unless told so
    assert len(read(path)[0].text or "") == 500_000


@pytest.mark.parametrize(("line", "told"), [
    (b'{"text": "\xff"}', "not UTF-8 (byte 0xff at position 10)"),
    (b'{"text": ', "not JSON at column 10 (Expecting value)"),
    (b'["text"]', "no JSON object"),
    (b'{"txt": "a"}', "'text' is missing or null"),
    (b'{"text": 3}', "'text' is no string but of type int"),
    (b"[" * 100_000, "not JSON (nested too deeply, or a number of thousands of digits)"),
])
def test_lines_that_are_wrong(line: bytes, told: str, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes('{"text": "a\u2028b\x85c"}\n'.encode() + line + b'\n{"text": "z"}')
    raws = read(tmp_path / "a.jsonl")
    assert texts(raws) == [("a.jsonl:1", "a\u2028b\x85c"), ("a.jsonl:2", None), ("a.jsonl:3", "z")]
    assert raws[1].error == told


def test_parquet_in_detail(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    bad = pyarrow.Array.from_buffers(
        pyarrow.string(), 3, [None, pyarrow.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0"), pyarrow.py_buffer(b"a\xffc")]
    )
    parquet.write_table(pyarrow.table({"text": bad, "id": [1, None, 3]}), path)
    raws = read(path)
    assert texts(raws) == [("1", "a"), ("a.parquet:2", None), ("3", "c")]
    assert raws[1].error == "not UTF-8 (byte 0xff at position 0)"
    parquet.write_table(pyarrow.table({"text": [1, 2]}), path)
    assert {raw.error for raw in read(path)} == {"'text' is no string but of type int"}
    parquet.write_table(pyarrow.table({"text": pyarrow.array(["a", None, "a"]).dictionary_encode()}), path)
    assert [raw.text for raw in read(path)] == ["a", None, "a"]
    whole = path.read_bytes()
    path.write_bytes(whole[:4] + b"\xff" * 30 + whole[34:])
    assert all(raw.text is not None or raw.error for raw in read(path))  # damaged further down


def test_what_is_useless_is_said_before_any_work(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id,texts\n")
    with pytest.raises(DataError, match=r"a.csv: unknown column 'text' \(did you mean 'texts'\?\).*--text-column"):
        read(path)
    with pytest.raises(DataError, match=r"unknown column 'key'.*--id-column"):
        read(path, columns=Columns("texts", "key"))
    (tmp_path / "a.parquet").write_text("no")
    with pytest.raises(DataError, match="is no Parquet file that can be read"):
        read(tmp_path / "a.parquet")
    with pytest.raises(DataError, match="no such file or folder"):
        read(tmp_path / "no")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="the folder holds no"):
        read(tmp_path / "empty")


@pytest.mark.parametrize("head", ["id,text\r1,foo\r", 'id,"text\n1,foo\n'], ids=["old line ends", "open quote"])
def test_a_head_that_cannot_be_read_is_said(head: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(head.encode())
    with pytest.raises(DataError, match=r"a.csv: (the first row cannot be read|unknown column)"):
        read(tmp_path / "a.csv")


def test_a_file_that_goes_away_ends_the_reading(tmp_path: Path) -> None:
    """As a document with an error its documents would be lost: nobody would look for them again."""
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(name)
    sources = find_sources([tmp_path])
    (tmp_path / "a.txt").unlink()
    for reading in (lambda: list(read_texts(sources, Columns())), lambda: check_sources(sources, Columns())):
        with pytest.raises(DataError, match=r"a.txt: cannot be read \(No such file or directory\).*the same command again"):
            reading()


def test_ids_may_be_anything_and_come_twice(tmp_path: Path) -> None:
    values = [{"text": text, "id": id} for text, id in (("a", "same"), ("b", "same"), ("c", {"x": 1}), ("d", 0))]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, values)))
    assert [raw.id for raw in read(tmp_path / "a.jsonl")] == ["same", "same", "a.jsonl:3", "0"]


def test_standard_input_and_files_of_other_endings_are_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "notes.md").write_bytes(b"one\r\ntwo")
    for lines, expected in ((False, [("stdin", "a\nb"), ("notes.md", "one\r\ntwo")]),
                            (True, [("stdin:1", "a"), ("stdin:2", "b"), ("notes.md:1", "one"), ("notes.md:2", "two")])):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"a\nb")))
        assert texts(read(STDIN, tmp_path / "notes.md", lines=lines)) == expected
        assert not sys.stdin.closed


def test_places_are_paths_and_the_output_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": "x", "text": 3}\n')
    (tmp_path / "out.jsonl").write_text('{"text": "of an earlier run"}\n')
    (record,) = read_texts(find_sources([tmp_path], output=tmp_path / "out.jsonl"), Columns())
    assert (record.id, record.place) == ("x", f"{tmp_path}/a.jsonl:1")
    with pytest.raises(DataError, match=r"out.jsonl: is part of the output.*--output"):
        find_sources([tmp_path / "out.jsonl"], output=tmp_path / "out.jsonl")
