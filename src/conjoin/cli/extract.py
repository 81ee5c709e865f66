"""Extract entities and relations from raw text.

A text file is one text, or one per line with --lines. The lines of a .jsonl file and the rows of a .csv or .parquet file
are one text each, in the column --text-column. A folder stands for all its .txt, .jsonl, .csv and .parquet files. Offsets
count characters of the text as it is, with its line ends and byte-order mark.

JSON lines are written as they come. With --resume the same command continues a stopped run from FILE.part; the
finished file is identical to that of an uninterrupted run. Results stay in order with any number of --workers.

Examples:
  conjoin extract run --text "Maria Ortiz leads Halden Steel in Leeds." --format table
  conjoin extract run articles/ --output found.jsonl --workers 4
  cat notes.txt | conjoin extract run - --lines
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TextIO, TypeVar

import typer
from rich.console import Console

from conjoin.cli.messages import message, stopped
from conjoin.cli.options import Model, PrecisionName, ShowProgress, TextOptions, ThresholdOptions, Workers, choice
from conjoin.cli.progress import ExtractionProgress, shows_progress
from conjoin.cli.tables import print_documents
from conjoin.config.options import Precision
from conjoin.document import Document
from conjoin.errors import ConjoinError, DataError, SettingError
from conjoin.parallel.streaming import identity
from conjoin.render import to_html
from conjoin.schema import Schema
from conjoin.storage.atomic import atomic_file, folder_digest, read_json
from conjoin.storage.resumable import known_lines, part_file, resumable_file
from conjoin.text.sources import STDIN, Source, check_sources, find_sources, read_texts, total_bytes
from conjoin.version import __version__

T = TypeVar("T")
HTML_SUFFIXES = (".html", ".htm")
FORMATS = ("jsonl", "table", "html")
SURROGATES = "backslashreplace"  # half a surrogate pair, which UTF-8 cannot hold, stays the escape that it was in the JSON
_REMEDY = "give the same input as before, or remove the file to start again"


def extract(
    model: Model,
    *,
    files: Annotated[list[Path] | None, typer.Argument(metavar="FILES|FOLDERS|-", help="Raw text; - reads stdin.")] = None,
    text: Annotated[str | None, typer.Option(help="A text to extract from.")] = None,
    format: Annotated[str | None, choice("output format", FORMATS, help="Format of the results.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File to write.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Resume a stopped run from FILE.part.")] = False,
    texts: TextOptions,
    thresholds: ThresholdOptions,
    workers: Workers = 1,
    precision: PrecisionName = "no",
    progress: ShowProgress = None,
) -> None:
    if text is None and not files:
        raise typer.BadParameter("give a file, a folder, - for standard input, or --text")
    html = output is not None and output.suffix.lower() in HTML_SUFFIXES
    format = format or ("html" if html else "jsonl")
    if resume and (output is None or format != "jsonl"):
        raise SettingError("--resume needs --output FILE and --format jsonl")
    sources = find_sources(files or [], output=output)
    check_sources(sources, texts.columns)
    to_terminal = output is None and sys.stdout.isatty()
    with ExtractionProgress(shown=shows_progress(progress, results_on_terminal=to_terminal)) as bar:
        extraction = Extraction(model, text, sources, texts, thresholds, workers, precision, bar)
        extraction.write(output, format, resume=resume)
    if output is not None:
        documents = "1 document" if extraction.count == 1 else f"{extraction.count:,} documents"
        message(f"wrote {output} ({documents})")


@dataclass(slots=True)
class Extraction:
    """Extraction from all texts of a command; `count` texts and `bytes_read` bytes of the input are read so far."""

    model: Path
    text: str | None
    sources: list[Source]
    options: TextOptions
    thresholds: ThresholdOptions
    workers: int
    precision: Precision
    progress: ExtractionProgress
    count: int = 0
    bytes_read: int = 0

    def write(self, output: Path | None, format: str, *, resume: bool) -> None:
        """Write all results to a file, or to standard output."""
        if all(source.path != STDIN for source in self.sources):
            self.progress.expect(total_bytes(self.sources))
        if output is None:
            self._write_all(sys.stdout, format)
        elif format == "jsonl" and (output.is_file() or not output.exists()):
            self._write_resumable(output, resume)
        else:
            with atomic_file(output) as path, path.open("w", encoding="utf-8", errors=SURROGATES, newline="\n") as file:
                self._write_all(file, format)

    def _write_all(self, file: TextIO, format: str) -> None:
        if format == "jsonl":
            file.writelines(f"{line}\n" for line in self._results(to_line, self._texts()))
        elif format == "table":
            print_documents(list(self._results(identity, self._texts())), Console(file=file, highlight=False))
        else:
            from conjoin.artifacts.model_folder import model_folder

            schema = Schema.from_json(read_json(model_folder(self.model) / "schema.json"))
            file.write(to_html(list(self._results(identity, self._texts())), types=schema.entity_types))

    def _write_resumable(self, output: Path, resume: bool) -> None:
        """Write JSON lines as they come, after those of a stopped run."""
        part = part_file(output)
        with resumable_file(output, plan=self._plan(), resume=resume) as file:
            written = file.known
            try:
                for line in self._results(to_line, self._known_first(output, file.known), skip=file.known):
                    file.write(line)
                    written += 1
            except KeyboardInterrupt:
                if not written:
                    raise
                raise stopped(f"stopped; {part} holds {written:,} results, and the same command with --resume goes "
                              "on") from None
            except ConjoinError as error:
                if written == file.known:
                    raise
                raise type(error)(f"{error}; {part} holds the {written:,} results before it: correct that and give the "
                                  "same command with --resume, or use conjoin bulk, which skips such texts") from error

    def _results(self, render: Callable[[Document], T], texts: Iterable[tuple[str, str]], *, skip: int = 0) -> Iterator[T]:
        """The rendering of each document, in order, without the first `skip`."""
        from conjoin.extractor import ExtractorLoader
        from conjoin.parallel.streaming import pipe_chunks, pipe_in_processes

        load = ExtractorLoader(str(self.model), self.thresholds.thresholds(), precision=self.precision)
        if self.workers > 1:
            results = pipe_in_processes(load, texts, workers=self.workers, render=render, skip=skip)
        else:
            results = pipe_chunks(load(0), texts, render=render, skip=skip)
        for result in results:
            yield result
            self.progress.update(1, self.bytes_read)

    def _texts(self) -> Iterator[tuple[str, str]]:
        """(id, text) of every text. Raises `DataError` at the first that cannot be read."""
        if self.text is not None:
            self.count += 1
            yield "text", self.text
        for record in read_texts(self.sources, self.options.columns, lines=self.options.lines):
            if record.text is None:
                raise DataError(f"{record.place}: {record.error}; texts must be UTF-8, and every JSON line an object with "
                                f'a "{self.options.text_column}"')
            self.count += 1
            self.bytes_read = record.bytes_read
            yield record.id, record.text

    def _known_first(self, output: Path, count: int) -> Iterator[tuple[str, str]]:
        """The texts, of which the first `count` must be those of the stopped run."""
        results = known_lines(output, count)
        for name, text in self._texts():
            if self.count <= count:
                result = next(results)
                if (result.get("id"), result.get("text")) != (name, text):
                    raise DataError(f"{part_file(output)}:{self.count}: is not the result of '{name}', which the input "
                                    f"has there; {_REMEDY}")
            yield name, text
        if self.count < count:
            raise DataError(f"{part_file(output)}: holds {count:,} results, and the input has {self.count:,} documents; "
                            f"{_REMEDY}")

    def _plan(self) -> dict[str, Any]:
        """Settings that must not change when a run resumes."""
        from conjoin.artifacts.model_folder import DESCRIPTIONS, model_folder

        return {"conjoin": __version__, "model": folder_digest(model_folder(self.model), without=DESCRIPTIONS),
                "precision": self.precision,
                "thresholds": [self.thresholds.entity_threshold, self.thresholds.relation_threshold]}


def to_line(document: Document) -> str:
    """A result as JSON on one line; a function of the module, so that it can be pickled."""
    return document.to_json_line(tokens=False)
