"""`conjoin check`: what an annotated file holds, and everything that is wrong with it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from conjoin.document import Corpus, Document, Problem
from conjoin.errors import SettingError
from conjoin.readers import FORMATS, Problems, load

SHOWN = 50
FORMAT_HELP = f"Format of the files ({', '.join(FORMATS)}); detected from the content when absent."
OPTION_HELP = "Option of the format, as key=value (overlap=keep-longer); may be given several times."


def check(
    path: Annotated[Path, typer.Argument(help="File or folder of annotated text.")],
    format: Annotated[str | None, typer.Option("--format", "-f", help=FORMAT_HELP)] = None,
    lenient: Annotated[bool, typer.Option("--lenient", help="Exit with 0 even when something was repaired.")] = False,
    option: Annotated[list[str] | None, typer.Option("--option", "-o", help=OPTION_HELP)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON with every problem.")] = False,
) -> None:
    """Count what annotated files hold and list what is wrong.

    Everything is named with file and line. Exits with 1 when something had to be repaired (and --lenient is not given).
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
    if problems.repaired and not lenient:
        raise typer.Exit(1)


def parse_options(options: Sequence[str]) -> dict[str, str]:
    """`["key=value"]` → `{"key": "value"}`; raises `SettingError` where the `=` is missing."""
    for option in options:
        if "=" not in option:
            raise SettingError(f"option '{option}' has no '='; write it as key=value, such as overlap=keep-longer")
    return {key.strip(): value.strip() for key, _, value in (option.partition("=") for option in options)}


def counts(documents: Sequence[Document]) -> dict[str, Any]:
    """Documents, words, and entities and relations by type."""
    return {
        "documents": len(documents),
        "words": sum(len(document.tokens) for document in documents),
        "entities": dict(sorted(Counter(e.type for document in documents for e in document.entities).items())),
        "relations": dict(sorted(Counter(r.type for document in documents for r in document.relations).items())),
    }


def _as_json(corpus: Corpus, problems: Problems) -> dict[str, Any]:
    return {
        "format": corpus.format,
        "splits": {split: counts(documents) for split, documents in corpus.splits.items()},
        "repaired": sum(problems.repaired.values()),
        "kinds": problems.counts(),
        "problems": problems_as_json(problems.found, problems.repaired),
    }


def problems_as_json(found: Sequence[Problem], repaired: Counter[str]) -> list[dict[str, Any]]:
    """One object per problem; `repair` tells what had to be repaired from notes."""
    return [asdict(problem) | {"repair": problem.kind in repaired} for problem in found]


def _print(corpus: Corpus, problems: Problems) -> None:
    console = Console()
    console.print(f"format: {corpus.format} ({FORMATS[corpus.format].description})", highlight=False, soft_wrap=True)
    console.print(corpus_table(corpus))
    print_problems(problems.found, console, problems.repaired)


def mention_problems(corpus: Corpus) -> None:
    """Say on standard error that the data were repaired or have notes."""
    if corpus.problems:
        Console(stderr=True, highlight=False).print(
            f"{len(corpus.problems)} repairs and notes on the data; conjoin check lists them"
        )


def corpus_table(corpus: Corpus) -> Table:
    """A row per count and type, a column per split."""
    columns = {split: counts(documents) for split, documents in corpus.splits.items()}
    if len(columns) > 1:
        columns["sum"] = counts(corpus.documents)
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for name in columns:
        table.add_column(name, justify="right")
    for key in ("documents", "words"):
        table.add_row(key, *(f"{column[key]:,}" for column in columns.values()))
    for key in ("entities", "relations"):
        table.add_row(key, *(f"{sum(column[key].values()):,}" for column in columns.values()))
        for type in sorted({type for column in columns.values() for type in column[key]}):
            table.add_row(f"  {type}", *(f"{column[key].get(type, 0):,}" for column in columns.values()))
    return table


def print_problems(found: Sequence[Problem], console: Console, repaired: Counter[str]) -> None:
    """Problems counted by kind, then the first of them in full: repairs first, then losses, then notes."""
    if not found:
        console.print("no problems")
        return
    table = Table(box=None, pad_edge=False, title_justify="left")
    for name in ("problem", "count", "of these lost", ""):
        table.add_column(name, justify="right" if name in ("count", "of these lost") else "left")
    lost = Counter(problem.kind for problem in found if problem.loss)
    for kind, count in Counter(problem.kind for problem in found).most_common():
        table.add_row(kind, f"{count:,}", f"{lost[kind]:,}", "repaired" if kind in repaired else "note")
    console.print()
    console.print(table)
    console.print()
    ordered = sorted(found, key=lambda problem: (problem.kind not in repaired, not problem.loss))
    for problem in ordered[:SHOWN]:
        console.print(str(problem), markup=False, highlight=False, soft_wrap=True)
    if len(ordered) > SHOWN:
        console.print(f"and {len(ordered) - SHOWN:,} more; --json lists all", highlight=False)
