"""Raw text from files (text, JSON lines, CSV, Parquet), from folders of them and from standard input.

`find_sources` lists the inputs, `check_sources` finds what makes a whole file useless before any work is done, and
`read_texts` streams the texts. A text that cannot be read is a record with an error and does not stop the stream.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from conjoin.errors import DataError, needs_extra, unknown_name

SUFFIXES = (".csv", ".jsonl", ".parquet", ".txt")
STDIN = Path("-")
_ESCAPED_BYTES = re.compile("[\udc80-\udcff]")  # bytes that are not UTF-8, as "surrogateescape" decodes them
_PARQUET_ROWS = 1000  # in memory at a time
_MAX_CELL = 2**31 - 1  # characters of a cell of CSV; the default of the csv module is 131,072


@dataclass(frozen=True, slots=True)
class Source:
    """A file or standard input; its texts without an id are named after `name`."""

    name: str
    path: Path

    @property
    def place(self) -> str:
        """The source in a message."""
        return "stdin" if self.path == STDIN else str(self.path)

    @property
    def suffix(self) -> str:
        """The ending of the file in lower case; empty for standard input."""
        return self.path.suffix.lower()

    @property
    def size(self) -> int:
        """Bytes of the file; 0 for standard input and for a file that is gone."""
        return self.path.stat().st_size if self.path != STDIN and self.path.exists() else 0

    def open(self) -> AbstractContextManager[BinaryIO]:
        """Open the file for reading; standard input stays open afterwards."""
        return nullcontext(sys.stdin.buffer) if self.path == STDIN else self.path.open("rb")


@dataclass(frozen=True, slots=True)
class TextRecord:
    """One text of the input, or the `error` why it cannot be read.

    `id` is by default the file's name and the line or row (`notes.jsonl:7`); `bytes_read` counts the input up to the end of
    this text; `place` is path and line or row, for messages.
    """

    id: str
    text: str | None
    error: str | None = None
    bytes_read: int = 0
    place: str = ""


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of tables, and keys of JSON lines, that hold text and id. `id` defaults to "id" where there is one."""

    text: str = "text"
    id: str | None = None


@dataclass(frozen=True, slots=True)
class _Row:
    """A line or row (`number`, from 1) or a whole file; text and id are as the file holds them, of any type."""

    number: int | None
    bytes_read: int
    text: Any = None
    id: Any = None
    error: str | None = None


def find_sources(paths: Iterable[Path], *, output: Path | None = None) -> list[Source]:
    """List the files of paths, which are files, folders or `-` for standard input.

    The files of a folder are those with a known ending, sorted, and are called by their path within it. Where several
    files have one name, they are called by their path as given. Folders are read without the file or folder `output`.

    Raises:
        DataError: For a path that does not exist, a folder without such files, and a file that is part of the output.
    """
    sources: list[Source] = []
    for path in paths:
        if path == STDIN:
            sources.append(Source("stdin", path))
        elif path.is_dir():
            sources += _folder_sources(path, output)
        elif path.is_file():
            if _is_within(path, output):
                raise DataError(f"{path}: is part of the output and would be replaced; give another --output")
            sources.append(Source(path.name, path))
        else:
            raise DataError(f"{path}: no such file or folder")
    names = Counter(source.name for source in sources)
    return [Source(str(source.path), source.path) if names[source.name] > 1 and source.path != STDIN else source
            for source in sources]


def _folder_sources(folder: Path, output: Path | None) -> list[Source]:
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
    sources = [Source(str(file.relative_to(folder)), file) for file in files if not _is_within(file, output)]
    if not sources:
        raise DataError(f"{folder}: the folder holds no .txt, .jsonl, .csv or .parquet file")
    return sources


def _is_within(path: Path, output: Path | None) -> bool:
    return output is not None and path.resolve().is_relative_to(output.resolve())


def check_sources(sources: Sequence[Source], columns: Columns) -> None:
    """Raise `DataError` for a file that cannot be opened, and for a table without the columns."""
    for source in sources:
        if source.path == STDIN:
            continue
        try:
            with source.open() as file:
                header = _header(csv.reader(_csv_lines(file, [0])), source) if source.suffix == ".csv" else None
        except OSError as error:
            raise _unreadable(source, error) from error
        if source.suffix == ".parquet":
            header = _parquet(source).schema_arrow.names
        if header is not None:  # an empty file has no header and no texts
            _find_columns(header, columns, source)


def read_texts(sources: Iterable[Source], columns: Columns, *, lines: bool = False) -> Iterator[TextRecord]:
    """Read all texts of the sources, in order; with `lines` every line of a text file is one text.

    A file without a known ending is read as text. A file that is damaged further down ends with a record that says so.

    Raises:
        DataError: When a file can no longer be opened: its texts still exist and would be lost.
    """
    before = 0
    for source in sources:
        read = _READERS.get(source.suffix, _text_lines if lines else _whole_file)
        try:
            for row in read(source, columns):
                yield _record(source, row, columns, before)
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise _unreadable(source, error) from error
            reason = _first_line(error, 200)  # damaged Parquet, which may be an OSError too
            yield TextRecord(source.name, None, f"cannot be read further: {reason}", before, source.place)
        before += source.size


def total_bytes(sources: Iterable[Source]) -> int:
    return sum(source.size for source in sources)


def _record(source: Source, row: _Row, columns: Columns, before: int) -> TextRecord:
    number = "" if row.number is None else f":{row.number}"
    id = row.id.decode("utf-8", "replace") if isinstance(row.id, bytes) else row.id
    name = f"{source.name}{number}" if id is None or isinstance(id, dict | list) else str(id)
    text, error = (None, row.error) if row.error is not None else _string(row.text, columns.text)
    return TextRecord(name, text, error, before + row.bytes_read, f"{source.place}{number}")


def _string(value: Any, column: str) -> tuple[str | None, str | None]:
    """(text, error) of a value of any type."""
    if isinstance(value, str):
        return value, None
    if value is None:
        return None, f"'{column}' is missing or null"
    if not isinstance(value, bytes):
        return None, f"'{column}' is no string but of type {type(value).__name__}"
    try:
        return value.decode("utf-8"), None
    except UnicodeDecodeError as error:
        return None, f"not UTF-8 (byte 0x{value[error.start]:02x} at position {error.start})"


def _unreadable(source: Source, error: OSError) -> DataError:
    return DataError(f"{source.place}: cannot be read ({error.strerror or error}); see that it exists and may be read, and "
                     "give the same command again")


def _first_line(error: Exception, max_characters: int) -> str:
    return (str(error).splitlines() or [""])[0][:max_characters]


def _whole_file(source: Source, columns: Columns) -> Iterator[_Row]:
    with source.open() as file:
        content = file.read()
    yield _Row(None, len(content), content)


def _text_lines(source: Source, columns: Columns) -> Iterator[_Row]:
    bytes_read = 0
    with source.open() as file:
        for number, line in enumerate(file, start=1):
            bytes_read += len(line)
            yield _Row(number, bytes_read, line.rstrip(b"\r\n"))


def _json_lines(source: Source, columns: Columns) -> Iterator[_Row]:
    for row in _text_lines(source, columns):
        line = row.text.removeprefix(BOM_UTF8) if row.number == 1 else row.text
        if line.strip():
            value, error = _json_object(line)
            yield _Row(row.number, row.bytes_read, value.get(columns.text), value.get(columns.id or "id"), error)


def _json_object(line: bytes) -> tuple[dict[str, Any], str | None]:
    """(object, error) of a line."""
    text, error = _string(line, "")
    if text is None:
        return {}, error
    try:
        value = json.loads(text)
    except json.JSONDecodeError as wrong:
        return {}, f"not JSON at column {wrong.pos + 1} ({wrong.msg})"
    except (ValueError, RecursionError):
        return {}, "not JSON (nested too deeply, or a number of thousands of digits)"
    return (value, None) if isinstance(value, dict) else ({}, "no JSON object")


def _csv_rows(source: Source, columns: Columns) -> Iterator[_Row]:
    """The rows after the header, numbered from 1; a quoted cell may hold line ends."""
    bytes_read, number = [0], 0
    with source.open() as file:
        reader = csv.reader(_csv_lines(file, bytes_read))
        header = _header(reader, source)
        if header is None:
            return
        text, id = _find_columns(header, columns, source)
        while True:
            try:
                cells = next(reader, None)
            except csv.Error as error:
                number += 1
                yield _Row(number, bytes_read[0], error=f"not CSV ({error})")
                continue
            if cells is None:
                return
            if cells:
                number += 1
                yield _csv_row(number, cells, text, id, bytes_read[0])


def _csv_row(number: int, cells: list[str], text: int, id: int | None, bytes_read: int) -> _Row:
    name = cells[id] if id is not None and id < len(cells) and not _ESCAPED_BYTES.search(cells[id]) else ""
    cell, error = cells[text] if text < len(cells) else "", None
    if text >= len(cells):
        error = f"the row has {len(cells)} cells, the text is in cell {text + 1}"
    elif escaped := _ESCAPED_BYTES.search(cell):
        error = f"not UTF-8 (byte 0x{ord(escaped[0]) - 0xDC00:02x} at character {escaped.start()})"
    return _Row(number, bytes_read, cell, name or None, error)


def _header(rows: Iterator[list[str]], source: Source) -> list[str] | None:
    """The first row of a CSV file; None for an empty file."""
    csv.field_size_limit(_MAX_CELL)
    try:
        return next(rows, None)
    except csv.Error as error:
        raise DataError(f"{source.place}: the first row cannot be read ({error}); save it as CSV whose lines end in a line "
                        "feed and whose quotes are closed") from error


def _csv_lines(file: BinaryIO, bytes_read: list[int]) -> Iterator[str]:
    """Lines with their ends; bytes that are not UTF-8 become surrogates."""
    while line := file.readline():
        content = line if bytes_read[0] else line.removeprefix(BOM_UTF8)
        bytes_read[0] += len(line)
        yield content.decode("utf-8", "surrogateescape")


def _parquet_rows(source: Source, columns: Columns) -> Iterator[_Row]:
    import pyarrow

    file, number, size = _parquet(source), 0, source.size
    header = file.schema_arrow.names
    text, id = _find_columns(header, columns, source)
    names = [header[place] for place in dict.fromkeys((text, text if id is None else id))]
    for batch in file.iter_batches(batch_size=_PARQUET_ROWS, columns=names):
        texts = _values(batch.column(header[text]), pyarrow)
        ids = [None] * len(texts) if id is None else _values(batch.column(header[id]), pyarrow)
        for name, value in zip(ids, texts, strict=True):
            number += 1
            yield _Row(number, size * number // max(1, file.metadata.num_rows), value, name)


def _values(column: Any, pyarrow: Any) -> list[Any]:
    """The cells as Python values; strings as bytes, since Parquet does not check that they are UTF-8."""
    if pyarrow.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pyarrow.types.is_string(column.type) or pyarrow.types.is_large_string(column.type):
        column = column.cast(pyarrow.large_binary())
    values: list[Any] = column.to_pylist()
    return values


def _parquet(source: Source) -> Any:
    with needs_extra("parquet", "pyarrow"):
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    try:
        return ParquetFile(source.path)
    except (ArrowException, OSError) as error:
        raise DataError(f"{source.place}: is no Parquet file that can be read ({_first_line(error, 100)}); write it anew, "
                        "or leave it out") from error


def _find_columns(header: Sequence[str], columns: Columns, source: Source) -> tuple[int, int | None]:
    """The positions of text and id in the header."""
    for name, option in ((columns.text, "--text-column"), (columns.id, "--id-column")):
        if name is not None and name not in header:
            raise DataError(f"{source.place}: {unknown_name('column', name, header)}; name it with {option}, and "
                            "read files with other columns in a separate command")
    id = columns.id or "id"
    return header.index(columns.text), header.index(id) if id in header else None


_READERS: dict[str, Callable[[Source, Columns], Iterator[_Row]]] = {
    ".csv": _csv_rows, ".jsonl": _json_lines, ".parquet": _parquet_rows,
}
