"""`conjoin fetch`: the public corpora from their public addresses."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from conjoin.corpora.public import LICENSED, PUBLIC, public_corpus
from conjoin.corpora.public import fetch as run

NAMES = ", ".join((*PUBLIC, *LICENSED))


def fetch(
    corpus: Annotated[str, typer.Argument(metavar="CORPUS", help=f"One of {NAMES}.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder; corpora/CORPUS when absent.")] = None,
) -> None:
    """Download a public corpus, or say how to come by a licensed one.

    A download that was cut off goes on with the same command. Every file is checked against its published checksum.

    Examples:

      conjoin fetch conll04

      conjoin fetch ade --output corpora/ade

      conjoin fetch ace05
    """
    console = Console(highlight=False)
    if corpus in LICENSED:
        licensed = LICENSED[corpus]
        console.print(f"{corpus} is licensed: apply to {licensed.apply}.\nOnce you have your copy: {licensed.use}",
                      markup=False, soft_wrap=True)
        return
    known = public_corpus(corpus)
    bars: dict[str, int] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:

        def follow(name: str, done: int, total: int | None) -> None:
            if name not in bars:
                bars[name] = progress.add_task(name, total=total)
            progress.update(bars[name], completed=done, total=total)  # type: ignore[arg-type]

        files = run(corpus, output or Path("corpora") / corpus, progress=follow)
    console.print(f"{corpus}: {known.note}\n{known.terms}", markup=False, soft_wrap=True)
    for file in files:
        console.print(str(file), markup=False, soft_wrap=True)
