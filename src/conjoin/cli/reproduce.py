"""Reproduce a table of the papers beside the published one.

The row of a corpus that is not under --data stays empty and is named; deviations from the paper are listed below the
table. Writes TABLE.md, TABLE.json and TABLE.tex. The same command resumes a stopped run.

Examples:
  conjoin reproduce crone2020-table3 --data corpora/ --output tables --encoder minilm
  conjoin reproduce giorgi2019-table1 --data corpora/ --output smoke --encoder minilm --quick
  conjoin reproduce giorgi2019-a1 --data corpora/ --output tables
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from conjoin.cli.messages import message
from conjoin.cli.options import CacheOptions, SettingOptions, Workers
from conjoin.cli.tables import run_line
from conjoin.storage.atomic import write_text

NAMES = "crone2020-table2, crone2020-table3, giorgi2019-table1, giorgi2019-table2, giorgi2019-a1"


def reproduce(
    table: Annotated[str, typer.Argument(metavar="TABLE", help=f"One of {NAMES}.")],
    data: Annotated[Path, typer.Option(help="Folder with the corpora: conll04/, ade/, ace04/, ace05/, i2b2/.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the runs and the table.")],
    *,
    settings: SettingOptions,
    quick: Annotated[bool, typer.Option("--quick", help="A quick test on a few sentences; scores mean nothing.")] = False,
    row: Annotated[list[str] | None, typer.Option("--row", help="Row to run; repeatable; all by default.")] = None,
    max_seeds: Annotated[int | None, typer.Option(min=1, help="Maximum number of seeds; the paper's by default.")] = None,
    max_folds: Annotated[int | None, typer.Option(min=1, help="Maximum number of folds, from the first.")] = None,
    workers: Workers = 1,
    cache: CacheOptions,
) -> None:
    from conjoin.experiments.reproduce import Options
    from conjoin.experiments.reproduce import reproduce as run
    from conjoin.experiments.reproduce.render import latex, markdown

    options = Options(encoder=settings.encoder, settings=tuple(settings.settings or ()), quick=quick, seeds=max_seeds,
                      folds=max_folds, rows=tuple(row or ()), workers=workers, cache_limit=cache.limit)
    values = run(table, data, output, options, listen=lambda name, result: message(
        f"{name}, {run_line(result)}, {result['seconds']:.0f} s"))
    write_text(output / f"{table}.json", json.dumps(values, ensure_ascii=False, indent=1) + "\n")
    write_text(output / f"{table}.md", markdown(values))
    write_text(output / f"{table}.tex", latex(values))
    typer.echo(markdown(values))
