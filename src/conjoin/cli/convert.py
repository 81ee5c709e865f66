"""`conjoin convert`: annotated text from one format into another, with a count of what the target cannot hold."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from conjoin.cli.data import (
    FORMAT_HELP,
    OPTION_HELP,
    counts,
    counts_table,
    parse_options,
    print_problems,
    problems_as_json,
)
from conjoin.cli.messages import messages
from conjoin.document import Corpus
from conjoin.errors import DataError
from conjoin.readers import FORMATS, Problems, load, target_of, write_corpus, write_documents

TO_HELP = f"Format to write ({', '.join(format.name for format in FORMATS.values() if format.writable)})."
NAMED = 4  # files that a message names at most
OVERWRITE_HELP = "Replace a file that is there, or the files of a folder that have the names of those written."


def convert(
    source: Annotated[Path, typer.Argument(help="File or folder to read.")],
    target: Annotated[Path, typer.Argument(help="File to write, or a folder (one file per split) for a folder.")],
    to: Annotated[str, typer.Option("--to", "-t", help=TO_HELP)],
    from_format: Annotated[str | None, typer.Option("--from", "-f", help=FORMAT_HELP)] = None,
    lenient: Annotated[bool, typer.Option("--lenient", help="Repair what is wrong in the source and list it.")] = False,
    option: Annotated[list[str] | None, typer.Option("--option", "-o", help=OPTION_HELP)] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help=OVERWRITE_HELP)] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON with every problem.")] = False,
) -> None:
    """Convert annotated text into another format.

    A file becomes a file, and a folder becomes a folder with one file per split. Prints how many documents, entities
    and relations went over, and lists what the target format cannot hold. A target is written whole or not at all; one
    that is there already is refused without --overwrite, and the source is never written over.

    Examples:

      conjoin convert train.txt train.jsonl --to jsonl

      conjoin convert conll04/ conll04-jsonl/ --to jsonl

      conjoin convert DRUG-AE.rel ade.json --to spert --option overlap=keep-longer
    """
    _check_target(source, target, to)
    _check_free(source, target, to, overwrite=overwrite)
    problems = Problems(lenient=lenient)
    corpus = load(source, problems, from_format, options=parse_options(option or []))
    # losses at the target are listed below, all of them, rather than raised one by one
    if source.is_dir():
        if to in FORMATS:  # else writing says so
            _check_others(source, [target_of(target, split, FORMATS[to]) for split in corpus.splits], target)
        unheld = write_corpus(corpus, target, to, lenient=True)
    else:
        unheld = write_documents(corpus.documents, target, to, lenient=True)
    written = _read_back(corpus, target, to, whole=not source.is_dir())
    both = {"read": counts(corpus.documents), "written": counts(written.documents)}
    if as_json:
        typer.echo(json.dumps({
            **both,
            "source_problems": problems_as_json(problems.found),
            "target_problems": problems_as_json(unheld),
        }, ensure_ascii=False, indent=1))
        return
    console = Console()
    console.print(f"{source} ({corpus.format}) → {target} ({to})", markup=False, highlight=False, soft_wrap=True)
    console.print(counts_table(both))
    if problems.found:
        console.print("\nin the source:")
        print_problems(problems.found, console)
    if unheld:
        console.print(f"\nwhat {to} does not hold:", highlight=False)
        print_problems(unheld, console)


def _check_target(source: Path, target: Path, to: str) -> None:
    if not source.exists():
        raise DataError(f"{source}: no such file or folder")
    if target.exists() and not (target.is_file() or target.is_dir()):
        raise DataError(f"{target}: is neither a file nor a folder, and convert reads back what it wrote; name a file")
    if source.is_dir() and target.is_file():
        raise DataError(f"{target}: is a file, but {source} is a folder; name a folder for its splits")
    if source.is_file() and target.is_dir() and not (to in FORMATS and FORMATS[to].write_folder):
        raise DataError(f"{target}: is a folder, but {source} is a file; name a file to write")


def _check_free(source: Path, target: Path, to: str, *, overwrite: bool) -> None:
    """Refuse to write over the source, and over what is there unless that is asked for."""
    if not target.exists():
        return
    if target.samefile(source):
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
    """Refuse to write over files of the source, and beside files that would be read with those written; name the others."""
    own = [file for file in source.rglob("*") if file.is_file()]
    for path in written:
        if path.exists() and any(path.samefile(file) for file in own):
            raise DataError(f"{path}: is a file of the source, which is not written over; name another folder")
    staying = [path for path in _held(target) if path not in written] if target.is_dir() else []
    endings = {ending for format in FORMATS.values() for ending in format.endings}
    mixing = [path for path in staying if path.is_file() and path.suffix.lower() in endings
              and not path.name.startswith("README")]
    if mixing:
        raise DataError(f"{target}: {_named(mixing)} would stay beside the files written and be taken for the same corpus; "
                        "move them away, or name a new folder")
    if staying:
        messages().print(f"{target}: {_named(staying)} stay as they are", markup=False, soft_wrap=True)


def _held(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]


def _named(paths: Sequence[Path]) -> str:
    """The names of some files, the first few of many."""
    names = ", ".join(path.name for path in paths[:NAMED])
    return f"{names} and {len(paths) - NAMED:,} more" if len(paths) > NAMED else names


def _read_back(corpus: Corpus, target: Path, to: str, *, whole: bool) -> Corpus:
    """What stands in the target now: the files just written and no others."""
    held = [split for split, documents in corpus.splits.items() if documents]  # an empty folder is of no format
    files = {split: target if whole else target_of(target, split, FORMATS[to]) for split in held}
    options = {"sentences": "whole"} if "sentences" in FORMATS[to].options else {}
    return Corpus({
        split: load(file, Problems(lenient=True), to, options=options).documents for split, file in files.items()
    })
