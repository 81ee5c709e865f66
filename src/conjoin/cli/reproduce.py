"""`conjoin reproduce`: a table of the papers, ours beside theirs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from conjoin.cli.messages import messages
from conjoin.cli.options import CacheLimit, NoCache, Settings, Workers
from conjoin.storage.atomic import write_text
from conjoin.storage.cache import CACHE_LIMIT

NAMES = "crone2020-table2, crone2020-table3, giorgi2019-table1, giorgi2019-table2, giorgi2019-a1"


def reproduce(
    table: Annotated[str, typer.Argument(metavar="TABLE", help=f"One of {NAMES}.")],
    data: Annotated[Path, typer.Option(help="Folder with the corpora: conll04/, ade/, ace04/, ace05/, i2b2/.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the runs and the table.")],
    encoder: Annotated[
        str | None, typer.Option(help="Hub name, folder or minilm in place of the paper's encoder (frozen where it was).")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A smoke run on a few sentences; scores mean nothing.")] = False,
    row: Annotated[list[str] | None, typer.Option("--row", help="Run this row only; several times.")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="At most so many seeds, fewer than the paper's.")] = None,
    folds: Annotated[int | None, typer.Option(min=1, help="The first so many folds only.")] = None,
    settings: Settings = None,
    workers: Workers = 1,
    no_cache: NoCache = False,
    cache_limit: CacheLimit = CACHE_LIMIT,
) -> None:
    """Run a table of the papers and print ours beside theirs.

    A corpus that is not under --data leaves its row empty and named; whatever is otherwise than in the paper stands below
    the table. Writes TABLE.md, TABLE.json and TABLE.tex. A run that was stopped goes on with the same command.

    Examples:

      conjoin reproduce crone2020-table3 --data corpora/ --output tables --encoder minilm

      conjoin reproduce giorgi2019-table1 --data corpora/ --output smoke --encoder minilm --quick

      conjoin reproduce giorgi2019-a1 --data corpora/ --output tables
    """
    from conjoin.experiments.reproduce import Options
    from conjoin.experiments.reproduce import reproduce as run
    from conjoin.experiments.reproduce.render import latex, markdown

    console = messages()

    def say(name: str, result: Mapping[str, Any]) -> None:
        figures = {task: 100 * result["test"][task]["strict"]["micro"]["f1"] for task in ("entities", "relations")}
        scores = ", ".join(f"{task} {figure:.2f}" for task, figure in figures.items())
        console.print(f"{name}, {result['part']}, seed {result['seed']}: {scores}, {result['seconds']:.0f} s", markup=False)

    options = Options(encoder=encoder, settings=tuple(settings or ()), quick=quick, seeds=seeds, folds=folds,
                      rows=tuple(row or ()), workers=workers, cache_limit=0.0 if no_cache else cache_limit)
    made = run(table, data, output, options, listen=say)
    write_text(output / f"{table}.json", json.dumps(made, ensure_ascii=False, indent=1) + "\n")
    write_text(output / f"{table}.md", markdown(made))
    write_text(output / f"{table}.tex", latex(made))
    typer.echo(markdown(made))
