"""The results of bulk extraction: a row for each document, as JSON lines or as Parquet."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

from conjoin.document import Document
from conjoin.errors import require_extra
from conjoin.storage.atomic import atomic_file

Row = dict[str, Any]
_SURROGATES = re.compile("[\ud800-\udfff]")  # halves of surrogate pairs


class RowFormat(StrEnum):
    jsonl = "jsonl"
    parquet = "parquet"


def row_of(document: Document, *, keep_text: bool) -> Row:
    """The row of an extracted document; `head` and `tail` are indices of its entities.

    Scores have four decimals, so that they do not depend on which documents are extracted together.
    """
    index = {entity: number for number, entity in enumerate(document.entities)}
    row = error_row(document.id, document.text, None, keep_text=keep_text)
    row["entities"] = [{"type": entity.type, "text": entity.text, "char_start": entity.char_start,
                        "char_end": entity.char_end, "score": _rounded(entity.score)} for entity in document.entities]
    row["relations"] = [{"type": relation.type, "head": index[relation.head], "tail": index[relation.tail],
                         "score": _rounded(relation.score)} for relation in document.relations]
    return row


def error_row(id: str, text: str | None, error: str | None, *, keep_text: bool) -> Row:
    """The row of a document from which nothing could be extracted."""
    return {"doc_id": id, **({"text": text} if keep_text else {}), "entities": [], "relations": [], "error": error}


def _rounded(score: float | None) -> float | None:
    return None if score is None else round(score, 4)


def write_rows(rows: Sequence[Row], path: Path, format: RowFormat, *, keep_text: bool) -> None:
    """Write a file of rows, whole or not at all; the same rows give the same bytes."""
    with atomic_file(path) as temporary:
        if format is RowFormat.parquet:
            from pyarrow import Table, parquet

            schema = parquet_schema(keep_text=keep_text)
            parquet.write_table(Table.from_pylist(list(map(_storable, rows)), schema), temporary)
        else:
            with temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
                file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def parquet_schema(*, keep_text: bool) -> Any:
    """The columns of Parquet and of data frames."""
    try:
        import pyarrow
    except ImportError as error:
        raise require_extra("parquet", "pyarrow") from error
    string, count, score = pyarrow.string(), pyarrow.int64(), pyarrow.float64()
    entity = [("type", string), ("text", string), ("char_start", count), ("char_end", count), ("score", score)]
    relation = [("type", string), ("head", count), ("tail", count), ("score", score)]
    nested = [("entities", pyarrow.list_(pyarrow.struct(entity))), ("relations", pyarrow.list_(pyarrow.struct(relation)))]
    return pyarrow.schema([("doc_id", string), *([("text", string)] if keep_text else []), *nested, ("error", string)])


def _storable(value: Any) -> Any:
    """The value as UTF-8 can hold it: halves of surrogate pairs become U+FFFD; offsets stay right."""
    if isinstance(value, str):
        return value if value.isascii() else _SURROGATES.sub("\ufffd", value)
    if isinstance(value, dict):
        return {key: _storable(inner) for key, inner in value.items()}
    return list(map(_storable, value)) if isinstance(value, list) else value
