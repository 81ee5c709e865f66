"""`conjoin extract`: entities and relations from raw text."""

from __future__ import annotations

import json
import sys
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, TextIO, TypeVar

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from conjoin.cli.messages import messages, stopped
from conjoin.cli.options import PrecisionName, ShowProgress, Workers, chosen_precision
from conjoin.cli.progress import ExtractionProgress, wanted
from conjoin.config.options import Precision
from conjoin.document import Document
from conjoin.errors import ConjoinError, DataError, SettingError, unknown_name
from conjoin.parallel.streaming import whole
from conjoin.render import ENTITY_COLUMNS, RELATION_COLUMNS, entity_rows, relation_rows, to_html
from conjoin.schema import Schema
from conjoin.storage.atomic import folder_digest, read_json, whole_file
from conjoin.storage.resumable import growing_file, known_lines, unfinished
from conjoin.version import __version__

if TYPE_CHECKING:
    from conjoin.annotator import Thresholds

T = TypeVar("T")
PAGES = (".html", ".htm")
TABLES = (".csv", ".parquet")
_AS_IT_WAS = "give the input as it was, or remove the file to begin anew"


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
    format: Annotated[
        str | None, typer.Option(help="How results are written: jsonl, table or html; as the output is called, else jsonl.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File to write; first FILE.part.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the FILE.part of a run that was stopped.")] = False,
    workers: Workers = 1,
    precision: PrecisionName = "no",
    entity_threshold: Annotated[float, typer.Option(min=0, max=1, help="Least score of an entity.")] = 0.0,
    relation_threshold: Annotated[float, typer.Option(min=0, max=1, help="Least score of a relation.")] = 0.0,
    progress: ShowProgress = None,
) -> None:
    """Find entities and relations in raw text.

    Offsets count characters of the text as given, line ends and a byte-order mark included. A text file is one
    document, or one per line with --lines; every line of a .jsonl file holds an object with a "text" (and perhaps an
    "id"); a folder stands for all its .txt and .jsonl files, but for the one that --output writes.

    JSON lines are written as they come, and what a run that was stopped has left in FILE.part is gone on with by the same
    command with --resume; the file is then the same as without the stop. With --workers several processes extract, each
    with its share of the cores, and results stay in order.

    Examples:

      conjoin extract run --text "Maria Ortiz leads Halden Steel in Leeds." --format table

      conjoin extract run articles/ --output found.jsonl --workers 4

      cat notes.txt | conjoin extract run - --lines
    """
    if text is None and not files:
        raise typer.BadParameter("give a file, a folder, - for standard input, or --text")
    named_so = OutputFormat.html if output is not None and output.suffix.lower() in PAGES else OutputFormat.jsonl
    if format is not None and format not in list(OutputFormat):
        raise SettingError(unknown_name("output format", format, OutputFormat))
    written = OutputFormat(format or named_so)
    if resume and (output is None or written is not OutputFormat.jsonl):
        raise SettingError("--resume goes on with a file of JSON lines; name it with --output")
    named = [Source("text", text)] if text is not None else []
    sources = (Source(name, path=path) for name, path in _sources(files or [], output))
    extraction = _Extraction(run, (*named, *sources), lines, workers, chosen_precision(precision), entity_threshold,
                             relation_threshold)
    to_terminal = output is None and sys.stdout.isatty()
    with ExtractionProgress(shown=wanted(progress, busy=to_terminal)) as shown:
        shown.expect(extraction.size)
        if output is not None and written is OutputFormat.jsonl and (output.is_file() or not output.exists()):
            _write_growing(extraction, output, resume, shown)
        elif output is None:
            _write(extraction, sys.stdout, written, shown)
        else:
            with whole_file(output) as temporary, _opened(temporary) as file:
                _write(extraction, file, written, shown)
    if output is not None:
        what = "1 document" if extraction.count == 1 else f"{extraction.count:,} documents"
        messages().print(f"wrote {output} ({what})", markup=False)


@dataclass(frozen=True, slots=True)
class Source:
    """A text right here, a file, or standard input for neither; `name` is what its documents are named after."""

    name: str
    text: str | None = None
    path: Path | None = None


@dataclass(slots=True)
class _Extraction:
    """What is extracted from what. `read` counts bytes of the input, `count` documents."""

    run: Path
    sources: tuple[Source, ...]
    lines: bool
    workers: int
    precision: Precision
    entity_threshold: float
    relation_threshold: float
    read: int = 0
    count: int = 0

    @property
    def size(self) -> int | None:
        """The bytes of the input; None when it comes from standard input."""
        if any(source.path is None and source.text is None for source in self.sources):
            return None
        return sum(source.path.stat().st_size for source in self.sources if source.path is not None)

    @property
    def thresholds(self) -> Thresholds:
        from conjoin.annotator import Thresholds

        return Thresholds(self.entity_threshold, self.relation_threshold)

    def plan(self) -> dict[str, Any]:
        """What must be the same for a stopped run to go on."""
        from conjoin.artifacts.model_folder import TOLD, model_folder

        model = folder_digest(model_folder(self.run), without=TOLD)
        return {"conjoin": __version__, "model": model, "precision": self.precision,
                "thresholds": [self.entity_threshold, self.relation_threshold]}

    def types(self) -> tuple[str, ...]:
        """The types of entities that the model knows."""
        from conjoin.artifacts.model_folder import model_folder

        return Schema.from_json(read_json(model_folder(self.run) / "schema.json")).entity_types

    def results(self, render: Callable[[Document], T], texts: Iterable[tuple[str, str]], *, skip: int = 0) -> Iterator[T]:
        """What `render` makes of each document, in order."""
        from conjoin.extractor import ExtractorLoader
        from conjoin.parallel.streaming import pipe_chunks, pipe_in_processes

        load = ExtractorLoader(str(self.run), thresholds=self.thresholds, precision=self.precision)
        if self.workers > 1:
            return pipe_in_processes(load, texts, workers=self.workers, render=render, skip=skip)
        return pipe_chunks(load(0), texts, render=render, skip=skip)

    def texts(self) -> Iterator[tuple[str, str]]:
        """(id, text) of each document; line ends are kept as they are."""
        for source in self.sources:
            for pair in [(source.name, source.text)] if source.text is not None else self._counted(source):
                self.count += 1
                yield pair

    def _counted(self, source: Source) -> Iterator[tuple[str, str]]:
        if source.path is None:
            yield from _texts(source.name, source.name, sys.stdin.buffer, self.lines)
            return
        before = self.read
        with source.path.open("rb") as file:
            for pair in _texts(source.name, str(source.path), file, self.lines):
                self.read = before + file.tell()
                yield pair


def _write_growing(extraction: _Extraction, output: Path, resume: bool, shown: ExtractionProgress) -> None:
    """JSON lines as they come; those of a run that was stopped are kept."""
    with growing_file(output, plan=extraction.plan(), resume=resume) as file:
        known = known_lines(output, file.known)
        written = file.known

        def checked() -> Iterator[tuple[str, str]]:
            number = 0
            for number, (name, text) in enumerate(extraction.texts(), start=1):
                if number <= file.known:
                    value = next(known)
                    if (value.get("id"), value.get("text")) != (name, text):
                        raise DataError(f"{unfinished(output)}:{number}: is not the result of '{name}', which the input "
                                        f"has there; {_AS_IT_WAS}")
                    shown.update(1, extraction.read, known=True)
                yield name, text
            if number < file.known:
                raise DataError(f"{unfinished(output)}: holds {file.known:,} results, and the input has {number:,} "
                                f"documents; {_AS_IT_WAS}")

        try:
            for line in extraction.results(to_line, checked(), skip=file.known):
                file.write(line)
                written += 1
                shown.update(1, extraction.read)
        except KeyboardInterrupt:
            if not written:
                raise
            raise stopped(f"stopped; {unfinished(output)} holds {written:,} results, and the same command with --resume "
                          "goes on") from None
        except ConjoinError as error:
            if written == file.known:
                raise
            raise type(error)(f"{error}; {unfinished(output)} holds the {written:,} results before it: mend that and give "
                              "the same command with --resume, or take conjoin bulk, which passes over what it cannot "
                              "read") from error


def to_line(document: Document) -> str:
    """A result as JSON on one line."""
    return document.to_json_line(tokens=False)


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
            if path.suffix.lower() in TABLES:
                raise DataError(f"{path}: is a table, not a text; conjoin bulk reads tables, from the column that "
                                "--text-column names")
            if output is not None and path.resolve() == output.resolve():
                raise DataError(f"{path}: is the output too, and would be replaced; give --output another name")
            found.append((path.name, path))
        else:
            raise DataError(f"{path}: no such file or folder")
    called = Counter(name for name, _ in found)
    return [(name if called[name] == 1 or path is None else str(path), path) for name, path in found]


def _texts(name: str, place: str, file: BinaryIO, lines: bool) -> Iterator[tuple[str, str]]:
    """(id, text) of each document of an input; line ends are kept as they are."""
    if place.lower().endswith(".jsonl"):
        return _from_json_lines(name, place, file)
    return _from_lines(name, place, file) if lines else iter([(name, _decoded(file.read(), place))])


def _decoded(raw: bytes, place: str) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{place}: not UTF-8 (byte 0x{raw[error.start]:02x} at position {error.start}); convert it first, "
                        "as with iconv -t UTF-8") from error


def _from_lines(name: str, place: str, file: BinaryIO) -> Iterator[tuple[str, str]]:
    for number, raw in enumerate(file, start=1):
        yield f"{name}:{number}", _decoded(raw, f"{place}:{number}").rstrip("\r\n")


def _from_json_lines(name: str, place: str, file: BinaryIO) -> Iterator[tuple[str, str]]:
    wanted = 'every line must hold one object with a "text"'
    for number, raw in enumerate(file, start=1):
        line = _decoded(raw.removeprefix(BOM_UTF8) if number == 1 else raw, f"{place}:{number}")
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"{place}:{number}: not JSON at column {error.pos + 1} ({error.msg}); {wanted}") from error
        except ValueError as error:
            raise DataError(f"{place}:{number}: not JSON (a number of thousands of digits); {wanted}") from error
        except RecursionError as error:
            raise DataError(f"{place}:{number}: JSON nested too deeply; {wanted}") from error
        if not isinstance(value, dict) or not isinstance(value.get("text"), str):
            raise DataError(f'{place}:{number}: no "text" string; {wanted}')
        yield str(value["id"]) if value.get("id") is not None else f"{name}:{number}", value["text"]


def _write(extraction: _Extraction, file: TextIO, format: OutputFormat, shown: ExtractionProgress) -> None:
    if format is OutputFormat.jsonl:
        for line in extraction.results(to_line, extraction.texts()):
            file.write(line + "\n")
            shown.update(1, extraction.read)
        return
    documents = []
    for document in extraction.results(whole, extraction.texts()):
        documents.append(document)
        shown.update(1, extraction.read)
    if format is OutputFormat.html:
        file.write(to_html(documents, types=extraction.types()))
    else:
        print_tables(documents, Console(file=file, highlight=False))


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
