"""`conjoin compare`: whether one experiment's scores are better than another's beyond chance."""

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
    """Say whether one experiment beats another.

    Both were tested on the same documents; their strict micro F1 is compared by a paired bootstrap.

    Examples:

      conjoin compare with-layers/ without-layers/
    """
    from conjoin.experiments.significance import compare as run
    from conjoin.experiments.summary import TASKS, Results

    ours, theirs = Results.load(first), Results.load(second)
    found = [run(ours, theirs, task, samples=samples) for task in TASKS]
    if as_json:
        typer.echo(json.dumps([asdict(comparison) for comparison in found], indent=1))
    else:
        typer.echo("\n".join(map(str, found)))
