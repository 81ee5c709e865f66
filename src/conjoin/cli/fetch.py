"""Download a public corpus, or say how to get a licensed one.

A download that was cut off goes on with the same command. Every file is checked against its published checksum.

Examples:
  conjoin fetch conll04
  conjoin fetch ade --output corpora/ade
  conjoin fetch ace05
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

from conjoin.corpora.public import LICENSED, PUBLIC, public_corpus
from conjoin.corpora.public import fetch as download

NAMES = ", ".join((*PUBLIC, *LICENSED))


def fetch(
    corpus: Annotated[str, typer.Argument(metavar="CORPUS", help=f"One of {NAMES}.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder; corpora/CORPUS by default.")] = None,
) -> None:
    if corpus in LICENSED:
        licensed = LICENSED[corpus]
        typer.echo(f"{corpus} is licensed: apply to {licensed.apply}.\nOnce you have your copy: {licensed.use}")
        return
    public = public_corpus(corpus)
    files = _download(corpus, output or Path("corpora") / corpus)
    typer.echo(f"{corpus}: {public.note}\n{public.terms}")
    for file in files:
        typer.echo(file)


def _download(corpus: str, folder: Path) -> list[Path]:
    bars: dict[str, TaskID] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:

        def follow(name: str, bytes_read: int, total: int | None) -> None:
            if name not in bars:
                bars[name] = progress.add_task(name, total=total)
            progress.update(bars[name], completed=bytes_read, total=total)

        return list(download(corpus, folder, progress=follow))
