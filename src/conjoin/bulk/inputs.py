"""Files of text, JSON lines, CSV and Parquet as one stream of documents, in which nothing stops the stream.

What cannot be read as a text is a document with an error in place of one. Only what makes all of a file useless, such as a
column that it does not have, is raised, before any work is done.
"""

from __future__ import annotations

import csv
import json
import re
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conjoin.errors import DataError, require_extra, unknown_name

SUFFIXES = (".csv", ".jsonl", ".parquet", ".txt")
_STRAY = re.compile("[\udc80-\udcff]")  # bytes that are not UTF-8, as "surrogateescape" keeps them
_PARQUET_ROWS = 1000  # in memory at a time
_LONGEST_CELL = 2**31 - 1  # characters of a cell of CSV; the csv module allows 131,072 unless told so


@dataclass(frozen=True, slots=True)
class Source:
    """A file, and what its documents are named after."""

    name: str
    path: Path


@dataclass(frozen=True, slots=True)
class Raw:
    """A document as it was found: its text, or else what is wrong with it. `read` counts bytes of the input up to here."""

    id: str
    text: str | None
    error: str | None = None
    read: int = 0


@dataclass(frozen=True, slots=True)
class Columns:
    """Where the text and the id are in JSON lines, CSV and Parquet. Without `id` it is "id" where there is one."""

    text: str = "text"
    id: str | None = None


def sources(paths: Iterable[Path], *, without: Path | None = None) -> list[Source]:
    """The files that are meant, those of a folder sorted by name; what lies in the folder `without` is left out.

    A file is named as it is called in its folder, or where several are called so, as it was given. Raises `DataError` for
    what is not there, and for folders without such files.
    """
    found: list[Source] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
            if without is not None:
                inside = [file for file in inside if not file.resolve().is_relative_to(without.resolve())]
            if not inside:
                raise DataError(f"{path}: the folder holds no .txt, .jsonl, .csv or .parquet file")
            found += [Source(str(file.relative_to(path)), file) for file in inside]
        elif path.is_file():
            found.append(Source(path.name, path))
        else:
            raise DataError(f"{path}: no such file or folder")
    called = Counter(source.name for source in found)
    return [source if called[source.name] == 1 else Source(str(source.path), source.path) for source in found]


def check(found: Sequence[Source], columns: Columns) -> None:
    """Raise `DataError` for a file of another kind, and where a column is not in the head of a file."""
    for source in found:
        suffix = source.path.suffix.lower()
        if suffix not in _READERS:
            raise DataError(f"{source.path}: is no .txt, .jsonl, .csv or .parquet file; convert it, or rename it if it is "
                            "one")
        try:
            with source.path.open("rb") as file:
                header = _header(csv.reader(_csv_lines(file.readline, [0])), source.path) if suffix == ".csv" else None
        except OSError as error:
            raise unreadable(source.path, error) from error
        if header is not None:  # an empty file has no documents
            _places(header, columns, source.path)
        elif suffix == ".parquet":
            _places(_parquet(source.path).schema_arrow.names, columns, source.path)


def documents(found: Iterable[Source], columns: Columns, *, lines: bool = False) -> Iterator[Raw]:
    """Every document of the files, in order. With `lines` every line of a .txt file is one.

    A file whose content is damaged further down ends with a document that says so. Raises `DataError` where a file can no
    longer be read at all, for then its documents are there and would be lost.
    """
    before = 0
    for source in found:
        suffix = source.path.suffix.lower()
        read = _text_lines if lines and suffix == ".txt" else _READERS[suffix]
        try:
            for raw in read(source, columns):
                yield Raw(raw.id, raw.text, raw.error, before + raw.read)
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise unreadable(source.path, error) from error
            told = (str(error).splitlines() or [""])[0][:200]  # Parquet that is damaged, which may be an OSError too
            yield Raw(source.name, None, f"cannot be read further: {told}", before)
        before += _size(source.path)


def unreadable(path: Path, error: OSError) -> DataError:
    """What is said of a file that the system does not give."""
    return DataError(f"{path}: cannot be read ({error.strerror or error}); see that it is there and may be read, and give "
                     "the same command again")


def total_bytes(found: Iterable[Source]) -> int:
    """The size of all files."""
    return sum(_size(source.path) for source in found)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _decoded(id: str, raw: bytes, read: int) -> Raw:
    try:
        return Raw(id, raw.decode("utf-8"), None, read)
    except UnicodeDecodeError as error:
        return Raw(id, None, f"not UTF-8 (byte 0x{raw[error.start]:02x} at position {error.start})", read)


def _text_file(source: Source, columns: Columns) -> Iterator[Raw]:
    raw = source.path.read_bytes()
    yield _decoded(source.name, raw, len(raw))


def _text_lines(source: Source, columns: Columns) -> Iterator[Raw]:
    read = 0
    with source.path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            read += len(raw)
            yield _decoded(f"{source.name}:{number}", raw.rstrip(b"\r\n"), read)


def _json_lines(source: Source, columns: Columns) -> Iterator[Raw]:
    read = 0
    with source.path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            read += len(raw)
            line = raw.removeprefix(BOM_UTF8) if number == 1 else raw
            if line.strip():
                yield _json_line(f"{source.name}:{number}", line.rstrip(b"\r\n"), columns, read)


def _json_line(place: str, line: bytes, columns: Columns, read: int) -> Raw:
    decoded = _decoded(place, line, read)
    if decoded.text is None:
        return decoded
    try:
        value = json.loads(decoded.text)
    except json.JSONDecodeError as error:
        return Raw(place, None, f"not JSON at column {error.pos + 1} ({error.msg})", read)
    except (ValueError, RecursionError):  # a number of thousands of digits
        return Raw(place, None, "not JSON (nested too deeply, or a number of thousands of digits)", read)
    if not isinstance(value, dict):
        return Raw(place, None, "no JSON object", read)
    return _cells(place, value.get(columns.id or "id"), value.get(columns.text), columns, read)


def _cells(place: str, id: Any, text: Any, columns: Columns, read: int) -> Raw:
    """A document of a cell for its id, which may be absent, and one for its text, which may be anything."""
    name = place if id is None or isinstance(id, dict | list) else str(id)
    if isinstance(text, str):
        return Raw(name, text, None, read)
    found = "missing or null" if text is None else f"no string but of type {type(text).__name__}"
    return Raw(name, None, f"'{columns.text}' is {found}", read)


def _csv_rows(source: Source, columns: Columns) -> Iterator[Raw]:
    """Rows count from 1, after the head; a quoted cell may hold line ends."""
    count = [0]
    with source.path.open("rb") as file:
        reader = csv.reader(_csv_lines(file.readline, count))
        header = _header(reader, source.path)
        if header is None:
            return
        text, id = _places(header, columns, source.path)
        number = 0
        while True:
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                number += 1
                yield Raw(f"{source.name}:{number}", None, f"not CSV ({error})", count[0])
                continue
            if row:
                number += 1
                yield _csv_row(f"{source.name}:{number}", row, text, id, count[0])


def _header(rows: Iterator[list[str]], path: Path) -> list[str] | None:
    """The first row of a CSV file; None where there is none."""
    csv.field_size_limit(_LONGEST_CELL)
    try:
        return next(rows, None)
    except csv.Error as error:
        raise DataError(f"{path}: has no head that can be read ({error}); save it as CSV whose lines end in a "
                        "line feed and whose quotes are closed") from error


def _csv_row(place: str, row: list[str], text: int, id: int | None, read: int) -> Raw:
    name = row[id] if id is not None and id < len(row) and row[id] and not _STRAY.search(row[id]) else place
    if text >= len(row):
        return Raw(name, None, f"the row has {len(row)} cells, the text is in cell {text + 1}", read)
    stray = _STRAY.search(row[text])
    if stray:
        return Raw(name, None, f"not UTF-8 (byte 0x{ord(stray[0]) - 0xDC00:02x} at character {stray.start()})", read)
    return Raw(name, row[text], None, read)


def _csv_lines(readline: Callable[[], bytes], count: list[int]) -> Iterator[str]:
    """Lines with their ends; bytes that are no UTF-8 are kept as surrogates. `count` counts the bytes."""
    while raw := readline():
        line = raw if count[0] else raw.removeprefix(BOM_UTF8)
        count[0] += len(raw)
        yield line.decode("utf-8", "surrogateescape")


def _parquet_rows(source: Source, columns: Columns) -> Iterator[Raw]:
    import pyarrow

    file = _parquet(source.path)
    names = file.schema_arrow.names
    text, id = _places(names, columns, source.path)
    wanted = list(dict.fromkeys([names[text], *([names[id]] if id is not None else [])]))
    size, number = _size(source.path), 0
    for batch in file.iter_batches(batch_size=_PARQUET_ROWS, columns=wanted):
        texts = _values(batch.column(names[text]), pyarrow)
        ids = _values(batch.column(names[id]), pyarrow) if id is not None else [None] * len(texts)
        for name, value in zip(ids, texts, strict=True):
            number += 1
            place = f"{source.name}:{number}"
            read = size * number // max(1, file.metadata.num_rows)
            if isinstance(value, bytes):
                decoded = _decoded(place, value, read)
                if decoded.text is None:
                    yield Raw(place if name is None else str(name), None, decoded.error, read)
                    continue
                value = decoded.text
            yield _cells(place, name.decode("utf-8", "replace") if isinstance(name, bytes) else name, value, columns, read)


def _values(column: Any, pyarrow: Any) -> list[Any]:
    """The cells as Python values; strings as bytes, since nobody has checked that they are UTF-8."""
    types = pyarrow.types
    if types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if types.is_string(column.type):
        column = column.cast(pyarrow.binary())
    elif types.is_large_string(column.type):
        column = column.cast(pyarrow.large_binary())
    values: list[Any] = column.to_pylist()
    return values


def _parquet(path: Path) -> Any:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise require_extra("parquet", "pyarrow") from error
    try:
        return ParquetFile(path)
    except (ArrowException, OSError) as error:
        told = (str(error).splitlines() or [""])[0][:100]
        raise DataError(f"{path}: is no Parquet file that can be read ({told}); write it anew, or leave it out") from error


def _places(header: Sequence[str], columns: Columns, path: Path) -> tuple[int, int | None]:
    """The places of text and id among the columns."""
    for name, option in ((columns.text, "--text-column"), (columns.id, "--id-column")):
        if name is not None and name not in header:
            raise DataError(f"{path}: {unknown_name('column', name, header)}; give its name with {option}, and files whose "
                            "columns have other names to a command of their own")
    id = columns.id or "id"
    return header.index(columns.text), header.index(id) if id in header else None


_READERS = {".csv": _csv_rows, ".jsonl": _json_lines, ".parquet": _parquet_rows, ".txt": _text_file}
