"""`conjoin extract`: entities and relations from raw text."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TextIO

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from conjoin.document import Document
from conjoin.errors import DataError
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
        list[str] | None, typer.Argument(metavar="[FILES|FOLDERS|-]...", help="Text or .jsonl files; - reads stdin.")
    ] = None,
    text: Annotated[str | None, typer.Option(help="A text right here.")] = None,
    lines: Annotated[bool, typer.Option("--lines", help="Every line of a text file is a document.")] = False,
    format: Annotated[OutputFormat, typer.Option(help="How results are written.")] = OutputFormat.jsonl,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File to write, whole or not at all.")] = None,
    entity_threshold: Annotated[float, typer.Option(min=0, max=1, help="Least score of an entity.")] = 0.0,
    relation_threshold: Annotated[float, typer.Option(min=0, max=1, help="Least score of a relation.")] = 0.0,
) -> None:
    """Find entities and relations in raw text; offsets count characters of the text as given.

    A text file is one document, or one per line with --lines; every line of a .jsonl file holds an object with a "text"
    (and perhaps an "id"); a folder stands for all its .txt and .jsonl files.

    Examples:

      conjoin extract run --text "Maria Ortiz leads Halden Steel in Leeds." --format table

      conjoin extract run articles/ --output found.jsonl

      cat notes.txt | conjoin extract run - --lines
    """
    if text is None and not files:
        raise typer.BadParameter("give a file, a folder, - for standard input, or --text")
    inputs = [("text", text)] if text is not None else []
    sources = _sources(files or [])

    from conjoin.extractor import Extractor, Thresholds

    extractor = Extractor.load(run, thresholds=Thresholds(entity_threshold, relation_threshold))

    def stream() -> Iterator[tuple[str, str]]:
        yield from inputs
        for name, path in sources:
            yield from _texts(name, path, lines)

    documents = extractor.pipe_named(stream())
    if output is None:
        _write(documents, sys.stdout, format, extractor.schema.entity_types)
        return
    with whole_file(output) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        _write(documents, file, format, extractor.schema.entity_types)


def _sources(files: list[str]) -> list[tuple[str, Path | None]]:
    """(name, path) of every input, None for standard input; a missing one is an error before any work is done."""
    found: list[tuple[str, Path | None]] = []
    for name in files:
        path = Path(name)
        if name == "-":
            found.append(("stdin", None))
        elif path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix in (".txt", ".jsonl") and p.is_file())
            if not inside:
                raise DataError(f"{path}: the folder holds no .txt or .jsonl file")
            found += [(str(p.relative_to(path)), p) for p in inside]
        elif path.is_file():
            found.append((path.name, path))
        else:
            raise DataError(f"{path}: no such file or folder")
    return found


def _texts(name: str, path: Path | None, lines: bool) -> Iterator[tuple[str, str]]:
    """(id, text) of each document of an input; line ends are kept as they are."""
    if path is None:
        yield from _from_lines(name, sys.stdin) if lines else [(name, sys.stdin.read())]
        return
    try:
        with path.open(encoding="utf-8", newline="") as file:
            if path.suffix == ".jsonl":
                yield from _from_json_lines(path, file)
            elif lines:
                yield from _from_lines(name, file)
            else:
                yield name, file.read()
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 at byte {error.start}; convert the file first (iconv -t UTF-8)") from error


def _from_lines(name: str, file: TextIO) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(file, start=1):
        yield f"{name}:{number}", line.rstrip("\r\n")


def _from_json_lines(path: Path, file: TextIO) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except ValueError as error:
            raise DataError(f"{path}:{number}: not JSON ({error}); every line holds one object with a \"text\"") from error
        if not isinstance(value, dict) or not isinstance(value.get("text"), str):
            raise DataError(f"{path}:{number}: no \"text\" string; every line must hold one object with a \"text\"")
        yield str(value.get("id", f"{path.name}:{number}")), value["text"]


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
        table = Table(*columns, title=title, title_justify="left")
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        console.print(table)
