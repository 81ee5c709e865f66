"""`conjoin check`: what an annotated file holds, and everything that is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from conjoin.cli.data import (
    FORMAT_HELP,
    OPTION_HELP,
    corpus_table,
    counts,
    parse_options,
    print_problems,
    problems_as_json,
)
from conjoin.document import Corpus
from conjoin.errors import DataError
from conjoin.readers import FORMATS, Problems, load


def check(
    path: Annotated[Path, typer.Argument(help="File or folder of annotated text.")],
    format: Annotated[str | None, typer.Option("--format", "-f", help=FORMAT_HELP)] = None,
    lenient: Annotated[bool, typer.Option("--lenient", help="Exit with 0 even when something was repaired.")] = False,
    option: Annotated[list[str] | None, typer.Option("--option", "-o", help=OPTION_HELP)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON with every problem.")] = False,
) -> None:
    """Count what annotated files hold and list what is wrong.

    Everything is named with file and line. Exits with 1 when something had to be repaired (and --lenient is not given),
    and when there is no document at all.
    Notes and what an option leaves out on purpose are listed but do not count as errors.

    Examples:

      conjoin check train.jsonl

      conjoin check conll04/

      conjoin check DRUG-AE.rel --option overlap=keep-longer

      conjoin check corpus.tsv --json | jq .kinds
    """
    problems = Problems(lenient=True)
    corpus = load(path, problems, format, options=parse_options(option or []))
    if as_json:
        typer.echo(json.dumps(_as_json(corpus, problems), ensure_ascii=False, indent=1))
    else:
        _print(corpus, problems)
    if not len(corpus):
        raise DataError(f"{path}: holds no documents; see that it is the right file and is not empty")
    if any(problem.repair for problem in problems.found) and not lenient:
        raise typer.Exit(1)


def _as_json(corpus: Corpus, problems: Problems) -> dict[str, Any]:
    return {
        "format": corpus.format,
        "splits": {split: counts(documents) for split, documents in corpus.splits.items()},
        "repaired": sum(problem.repair for problem in problems.found),
        "kinds": problems.counts(),
        "problems": problems_as_json(problems.found),
    }


def _print(corpus: Corpus, problems: Problems) -> None:
    console = Console()
    console.print(f"format: {corpus.format} ({FORMATS[corpus.format].description})", highlight=False, soft_wrap=True)
    console.print(corpus_table(corpus))
    if problems.found or len(corpus):
        print_problems(problems.found, console)
