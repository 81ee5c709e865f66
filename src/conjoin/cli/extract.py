"""`conjoin extract`: entities and relations from raw text."""

from __future__ import annotations

import json
import sys
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, BinaryIO, TextIO

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from conjoin.document import Document
from conjoin.errors import DataError, SettingError, unknown_name
from conjoin.files import whole_file
from conjoin.render import ENTITY_COLUMNS, RELATION_COLUMNS, entity_rows, relation_rows, to_html


class OutputFormat(StrEnum):
    """How results are written."""

    jsonl = "jsonl"
    table = "table"
    html = "html"


def extract(
    run: Annotated[Path, typer.Argument(help="Folder of a training run or of a model.")],
    files: Annotated[
        list[str] | None, typer.Argument(metavar="FILES|FOLDERS|-", help="Text or .jsonl files; - reads stdin.")
    ] = None,
    text: Annotated[str | None, typer.Option(help="A text right here.")] = None,
    lines: Annotated[bool, typer.Option("--lines", help="Every line of a text file is a document.")] = False,
    format: Annotated[str, typer.Option(help="How results are written: jsonl, table or html.")] = "jsonl",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File to write, whole or not at all.")] = None,
    entity_threshold: Annotated[float, typer.Option(min=0, max=1, help="Least score of an entity.")] = 0.0,
    relation_threshold: Annotated[float, typer.Option(min=0, max=1, help="Least score of a relation.")] = 0.0,
) -> None:
    """Find entities and relations in raw text.

    Offsets count characters of the text as given, line ends and a byte-order mark included. A text file is one
    document, or one per line with --lines; every line of a .jsonl file holds an object with a "text" (and perhaps an
    "id"); a folder stands for all its .txt and .jsonl files, but for the one that --output writes.

    Examples:

      conjoin extract run --text "Maria Ortiz leads Halden Steel in Leeds." --format table

      conjoin extract run articles/ --output found.jsonl

      cat notes.txt | conjoin extract run - --lines
    """
    if text is None and not files:
        raise typer.BadParameter("give a file, a folder, - for standard input, or --text")
    if format not in list(OutputFormat):
        raise SettingError(unknown_name("output format", format, OutputFormat))
    written = OutputFormat(format)
    inputs = [("text", text)] if text is not None else []
    sources = _sources(files or [], output)

    from conjoin.extractor import Extractor, Thresholds

    extractor = Extractor.load(run, thresholds=Thresholds(entity_threshold, relation_threshold))

    def stream() -> Iterator[tuple[str, str]]:
        yield from inputs
        for name, path in sources:
            yield from _texts(name, path, lines)

    documents = extractor.pipe_named(stream())
    if output is None:
        _write(documents, sys.stdout, written, extractor.schema.entity_types)
        return
    with whole_file(output) as temporary, _opened(temporary) as file:
        _write(documents, file, written, extractor.schema.entity_types)


def _opened(path: Path) -> TextIO:
    """Half a surrogate pair, which UTF-8 cannot hold, stays the escape that it was in the JSON."""
    return path.open("w", encoding="utf-8", errors="backslashreplace", newline="\n")


def _sources(files: list[str], output: Path | None) -> list[tuple[str, Path | None]]:
    """(name, path) of every input, None for standard input; a missing one is an error before any work is done.

    The output of an earlier run is not read with its folder. A file is named as it is called in its folder, or where
    several are called so, as it was given.
    """
    found: list[tuple[str, Path | None]] = []
    for name in files:
        path = Path(name)
        if name == "-":
            found.append(("stdin", None))
        elif path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in (".txt", ".jsonl") and p.is_file())
            if output is not None:
                inside = [p for p in inside if p.resolve() != output.resolve()]
            if not inside:
                raise DataError(f"{path}: the folder holds no .txt or .jsonl file")
            found += [(str(p.relative_to(path)), p) for p in inside]
        elif path.is_file():
            found.append((path.name, path))
        else:
            raise DataError(f"{path}: no such file or folder")
    called = Counter(name for name, _ in found)
    return [(name if called[name] == 1 or path is None else str(path), path) for name, path in found]


def _texts(name: str, path: Path | None, lines: bool) -> Iterator[tuple[str, str]]:
    """(id, text) of each document of an input; line ends are kept as they are."""
    if path is None:
        file = sys.stdin.buffer
        yield from _from_lines(name, name, file) if lines else [(name, _decoded(file.read(), name))]
        return
    with path.open("rb") as opened:
        if path.suffix.lower() == ".jsonl":
            yield from _from_json_lines(name, path, opened)
        elif lines:
            yield from _from_lines(name, str(path), opened)
        else:
            yield name, _decoded(opened.read(), str(path))


def _decoded(raw: bytes, place: str) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{place}: not UTF-8 (byte 0x{raw[error.start]:02x} at position {error.start}); convert it first, "
                        "as with iconv -t UTF-8") from error


def _from_lines(name: str, place: str, file: BinaryIO) -> Iterator[tuple[str, str]]:
    for number, raw in enumerate(file, start=1):
        yield f"{name}:{number}", _decoded(raw, f"{place}:{number}").rstrip("\r\n")


def _from_json_lines(name: str, path: Path, file: BinaryIO) -> Iterator[tuple[str, str]]:
    wanted = 'every line must hold one object with a "text"'
    for number, raw in enumerate(file, start=1):
        line = _decoded(raw.removeprefix(BOM_UTF8) if number == 1 else raw, f"{path}:{number}")
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"{path}:{number}: not JSON at column {error.pos + 1} ({error.msg}); {wanted}") from error
        except ValueError as error:
            raise DataError(f"{path}:{number}: not JSON (a number of thousands of digits); {wanted}") from error
        except RecursionError as error:
            raise DataError(f"{path}:{number}: JSON nested too deeply; {wanted}") from error
        if not isinstance(value, dict) or not isinstance(value.get("text"), str):
            raise DataError(f'{path}:{number}: no "text" string; {wanted}')
        yield str(value["id"]) if value.get("id") is not None else f"{name}:{number}", value["text"]


def _write(documents: Iterator[Document], file: TextIO, format: OutputFormat, types: tuple[str, ...]) -> None:
    if format is OutputFormat.jsonl:
        for document in documents:
            file.write(document.to_json_line(tokens=False) + "\n")
    elif format is OutputFormat.html:
        file.write(to_html(list(documents), types=types))
    else:
        print_tables(list(documents), Console(file=file, highlight=False))


def print_tables(documents: list[Document], console: Console) -> None:
    """Entities and relations as two tables."""
    for title, columns, rows in (
        ("entities", ENTITY_COLUMNS, entity_rows(documents)),
        ("relations", RELATION_COLUMNS, relation_rows(documents)),
    ):
        if not rows:
            console.print(f"no {title}")
            continue
        table = Table(*columns, title=title, title_justify="left")
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        console.print(table)
