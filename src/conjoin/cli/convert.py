"""Convert annotated text into another format.

A file becomes a file, and a folder becomes a folder with one file per split. Prints how many documents, entities and
relations were read and written, and lists what the target format cannot hold. A target is written whole or not at all, an
existing one is replaced only with --overwrite, and the source never.

Examples:
  conjoin convert train.txt train.jsonl --to jsonl
  conjoin convert conll04/ conll04-jsonl/ --to jsonl
  conjoin convert DRUG-AE.rel ade.json --to spert --option overlap=keep-longer
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from conjoin.cli.corpus import FORMAT_HELP, FormatOption, parse_options
from conjoin.cli.messages import message
from conjoin.cli.options import Json, Overwrite
from conjoin.cli.tables import counts, counts_table, print_problems
from conjoin.corpora.statistics import corpus_statistics
from conjoin.document import Corpus, Problem
from conjoin.errors import DataError
from conjoin.readers import FORMATS, Problems, load, target_of, write_corpus, write_documents

TO_HELP = f"Format to write ({', '.join(format.name for format in FORMATS.values() if format.writable)})."
MAX_NAMES = 4  # of files in a message


def convert(
    source: Annotated[Path, typer.Argument(help="File or folder to read, or sample.")],
    target: Annotated[Path, typer.Argument(help="File to write, or a folder (one file per split) for a folder.")],
    to: Annotated[str, typer.Option("--to", "-t", help=TO_HELP)],
    from_format: Annotated[str | None, typer.Option("--from", "-f", help=FORMAT_HELP)] = None,
    lenient: Annotated[bool, typer.Option("--lenient", help="Repair errors in the source and list them.")] = False,
    option: FormatOption = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    _check_target(source, target, to)
    _check_free(source, target, to, overwrite=overwrite)
    problems = Problems(lenient=lenient)
    corpus = load(source, problems, from_format, options=parse_options(option))
    losses = _write(corpus, source, target, to)
    columns = {"read": _counts(corpus), "written": _counts(_read_back(corpus, target, to, whole=not source.is_dir()))}
    if as_json:
        lists = {"source_problems": list(map(asdict, problems.entries)), "target_problems": list(map(asdict, losses))}
        typer.echo(json.dumps({**columns, **lists}, ensure_ascii=False, indent=1))
        return
    console = Console()
    console.print(f"{source} ({corpus.format}) → {target} ({to})", markup=False, highlight=False, soft_wrap=True)
    console.print(counts_table(columns))
    for title, listed in (("in the source:", problems.entries), (f"what {to} does not hold:", losses)):
        if listed:
            console.print(f"\n{title}", highlight=False)
            print_problems(listed, console)


def _counts(corpus: Corpus) -> dict[str, Any]:
    return counts(corpus_statistics(corpus.splits).total)


def _write(corpus: Corpus, source: Path, target: Path, to: str) -> Sequence[Problem]:
    """Write the corpus; returns all that the format cannot hold, none of it raised as an error."""
    if not source.is_dir():
        return write_documents(corpus.documents, target, to, lenient=True)
    if to in FORMATS:  # else writing says so
        _check_others(source, [target_of(target, split, FORMATS[to]) for split in corpus.splits], target)
    return write_corpus(corpus, target, to, lenient=True)


def _check_target(source: Path, target: Path, to: str) -> None:
    if target.exists() and not (target.is_file() or target.is_dir()):
        raise DataError(f"{target}: is neither a file nor a folder, and convert reads back what it wrote; name a file")
    if source.is_dir() and target.is_file():
        raise DataError(f"{target}: is a file, but {source} is a folder; name a folder for its splits")
    if source.is_file() and target.is_dir() and not (to in FORMATS and FORMATS[to].write_folder):
        raise DataError(f"{target}: is a folder, but {source} is a file; name a file to write")


def _check_free(source: Path, target: Path, to: str, *, overwrite: bool) -> None:
    """Refuse to write over the source, and over other files without --overwrite."""
    if not target.exists():
        return
    if source.exists() and target.samefile(source):
        raise DataError(f"{target}: is the source itself, which is not written over; give another name")
    held = _held(target) if target.is_dir() else [target]
    if held and target.is_dir() and to in FORMATS and FORMATS[to].write_folder:
        raise DataError(f"{target}: the folder holds files ({_named(held)}), with which those of {to} would mix; give a "
                        "new name or an empty folder")
    if held and not overwrite:
        there = f"the folder holds files ({_named(held)})" if target.is_dir() else "the file is there already"
        which = "the files that have the names of those written" if target.is_dir() else "it"
        raise DataError(f"{target}: {there}; give another name, or --overwrite, which replaces {which}")


def _check_others(source: Path, written: Sequence[Path], target: Path) -> None:
    """Refuse to write over files of the source, and beside files that would be read with them; name the others."""
    own = [file for file in source.rglob("*") if file.is_file()]
    for path in written:
        if path.exists() and any(path.samefile(file) for file in own):
            raise DataError(f"{path}: is a file of the source, which is not written over; name another folder")
    staying = [path for path in _held(target) if path not in written] if target.is_dir() else []
    endings = {ending for format in FORMATS.values() for ending in format.endings}
    mixing = [path for path in staying if path.is_file() and path.suffix.lower() in endings
              and not path.name.startswith("README")]
    if mixing:
        raise DataError(f"{target}: {_named(mixing)} would stay beside the new files and be read with them; "
                        "move them away, or name a new folder")
    if staying:
        message(f"{target}: {_named(staying)} stay as they are")


def _held(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]


def _named(paths: Sequence[Path]) -> str:
    """The names of some files, the first few of many."""
    names = ", ".join(path.name for path in paths[:MAX_NAMES])
    return f"{names} and {len(paths) - MAX_NAMES:,} more" if len(paths) > MAX_NAMES else names


def _read_back(corpus: Corpus, target: Path, to: str, *, whole: bool) -> Corpus:
    splits = [split for split, documents in corpus.splits.items() if documents]  # an empty folder is of no format
    files = {split: target if whole else target_of(target, split, FORMATS[to]) for split in splits}
    options = {"sentences": "whole"} if "sentences" in FORMATS[to].options else {}
    return Corpus({split: load(file, Problems(lenient=True), to, options=options).documents
                   for split, file in files.items()})
