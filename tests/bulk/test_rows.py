"""Rows as JSON lines and Parquet, and back."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import doubles
from conjoin.bulk.rows import RowFormat, error_row, parquet_schema, row_of, write_rows

pytest.importorskip("pyarrow")
WHOLE = st.characters(codec="utf-8")
HALVES = st.characters()  # with halves of surrogate pairs


def rows_of(texts: list[str]) -> list[dict[str, object]]:
    rows = [row_of(doubles.first_words(f"d{number}", text), keep_text=True) for number, text in enumerate(texts)]
    return [*rows, error_row("e", None, "not UTF-8", keep_text=True)]


def test_a_row() -> None:
    row = row_of(doubles.first_words("d", "Two words"), keep_text=False)
    assert row == {
        "doc_id": "d",
        "entities": [{"type": "Word", "text": "Two", "char_start": 0, "char_end": 3, "score": 0.3333},
                     {"type": "Word", "text": "words", "char_start": 4, "char_end": 9, "score": 0.3333}],
        "relations": [{"type": "Next", "head": 0, "tail": 1, "score": 1.0}],
        "error": None,
    }
    kept = row_of(doubles.first_words("d", ""), keep_text=True)
    assert list(kept) == ["doc_id", "text", "entities", "relations", "error"]


@given(st.lists(st.text(WHOLE), max_size=4))
def test_both_formats_give_back_what_was_written(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    folder, rows = tmp_path_factory.mktemp("rows"), rows_of(texts)
    for format in RowFormat:
        for name in ("a", "b"):
            write_rows(rows, folder / f"{name}.{format}", format, keep_text=True)
        assert doubles.read_rows(folder / f"a.{format}") == rows
        assert (folder / f"a.{format}").read_bytes() == (folder / f"b.{format}").read_bytes()


@given(st.text(HALVES))
def test_halves_of_surrogate_pairs_move_no_offset(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.mktemp("halves")
    for format in RowFormat:
        write_rows(rows_of([text]), folder / f"a.{format}", format, keep_text=True)
        row = doubles.read_rows(folder / f"a.{format}")[0]
        if format is RowFormat.parquet:
            assert len(row["text"]) == len(text)
        for entity in row["entities"]:
            assert row["text"][entity["char_start"] : entity["char_end"]] == entity["text"]


def test_the_columns_of_an_empty_file(tmp_path: Path) -> None:
    from pyarrow import parquet

    write_rows([], tmp_path / "a.parquet", RowFormat.parquet, keep_text=False)
    assert parquet.read_schema(tmp_path / "a.parquet").equals(parquet_schema(keep_text=False))
    assert parquet_schema(keep_text=True).names == ["doc_id", "text", "entities", "relations", "error"]
    write_rows([], tmp_path / "a.jsonl", RowFormat.jsonl, keep_text=False)
    assert doubles.read_rows(tmp_path / "a.jsonl") == []
