"""Test whether one experiment beats another.

Compares the strict micro F1 of two experiments, tested on the same documents, by a paired bootstrap.

Examples:
  conjoin compare with-layers/ without-layers/
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from conjoin.cli.options import Json


def compare(
    first: Annotated[Path, typer.Argument(help="Output folder of conjoin experiment, or its results.json.")],
    second: Annotated[Path, typer.Argument(help="Another, tested on the same documents.")],
    samples: Annotated[int, typer.Option(min=1, help="Resamples of the bootstrap.")] = 10_000,
    as_json: Json = False,
) -> None:
    from conjoin.experiments.significance import compare as run
    from conjoin.experiments.summary import TASKS, Results

    results = Results.load(first), Results.load(second)
    comparisons = [run(*results, task, samples=samples) for task in TASKS]
    if as_json:
        typer.echo(json.dumps([asdict(comparison) for comparison in comparisons], indent=1))
    else:
        typer.echo("\n".join(map(str, comparisons)))
