"""Results of extraction from files: the lines of `conjoin extract` and the rows of `conjoin bulk`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conjoin.errors import DataError, needs_extra


@dataclass(frozen=True, slots=True)
class Mention:
    """An entity and its characters, counted from 0, the end exclusive."""

    type: str
    text: str
    char_start: int
    char_end: int
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Assertion:
    """A relation that a document asserts between two mentions."""

    type: str
    head: Mention
    tail: Mention
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """The mentions and assertions of one document."""

    document: str
    mentions: tuple[Mention, ...]
    assertions: tuple[Assertion, ...]


def read_records(paths: Iterable[Path]) -> Iterator[Record]:
    """The documents of JSONL and Parquet files, and of folders of them, in order; rows with an error are empty.

    Raises `DataError` with the place for other files.
    """
    for path in paths:
        for file in _files(path):
            for place, value in _values(file):
                yield _record(value, place)


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix in (".jsonl", ".parquet"))
        if not files:
            raise DataError(f"{path}: the folder holds no .jsonl or .parquet file; use the output of conjoin extract or "
                            "bulk")
        return files
    if not path.is_file():
        raise DataError(f"{path}: no such file or folder")
    return [path]


def _values(file: Path) -> Iterator[tuple[str, Any]]:
    if file.suffix == ".parquet":
        with needs_extra("parquet", "pyarrow"):
            from pyarrow import ArrowInvalid, parquet
        try:
            batches = parquet.ParquetFile(file).iter_batches(batch_size=1000)
            rows = (row for batch in batches for row in batch.to_pylist())
            yield from ((f"{file}, row {number}", row) for number, row in enumerate(rows, start=1))
        except ArrowInvalid as error:
            raise DataError(f"{file}: is no Parquet file; use the output of conjoin bulk") from error
        return
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                try:
                    yield f"{file}:{number}", json.loads(line)
                except (ValueError, RecursionError) as error:
                    raise DataError(f"{file}:{number}: not JSON; use the output of conjoin extract or bulk") from error


def _record(value: Any, place: str) -> Record:
    try:
        known = {str(entity.get("id", index)): _mention(entity) for index, entity in enumerate(value["entities"])}
        assertions = tuple(Assertion(str(relation["type"]), known[str(relation["head"])], known[str(relation["tail"])],
                                     _score(relation.get("score")))
                           for relation in value["relations"])
        name = value["doc_id"] if "doc_id" in value else value["id"]
        return Record(str(name), tuple(known.values()), assertions)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{place}: lacks something ({type(error).__name__}: {error}); use the output of conjoin extract or "
                        "bulk, with id or doc_id, entities and relations") from error


def _mention(entity: Any) -> Mention:
    return Mention(str(entity["type"]), str(entity["text"]), int(entity["char_start"]), int(entity["char_end"]),
                   _score(entity.get("score")))


def _score(value: Any) -> float | None:
    return None if value is None else float(value)
