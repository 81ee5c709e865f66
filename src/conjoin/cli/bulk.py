"""`conjoin bulk`: entities and relations from very many documents."""

from __future__ import annotations

import logging
import os
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from conjoin.bulk.inputs import Columns
from conjoin.bulk.partition import PARTITION_DOCUMENTS
from conjoin.bulk.rows import RowFormat
from conjoin.cli.messages import stopped
from conjoin.cli.options import PrecisionName, ShowProgress, Workers, chosen_precision
from conjoin.cli.progress import ExtractionProgress, wanted
from conjoin.errors import SettingError, unknown_name

if TYPE_CHECKING:
    from conjoin.bulk.job import Engine, Event


class EngineName(StrEnum):
    """What runs the processes."""

    local = "local"
    ray = "ray"


def bulk(
    inputs: Annotated[list[Path], typer.Argument(metavar="INPUT…", help="Files, folders: txt, jsonl, csv, parquet.")],
    model: Annotated[Path, typer.Option("--model", "-m", help="Folder of a training run or of a model.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the results.")],
    format: Annotated[str, typer.Option(help="How results are written: jsonl or parquet.")] = "jsonl",
    text_column: Annotated[str, typer.Option(help="Column, or key, of the text.")] = "text",
    id_column: Annotated[str | None, typer.Option(help="Column, or key, of the id; id, where there is one.")] = None,
    lines: Annotated[bool, typer.Option("--lines", help="Every line of a .txt file is a document.")] = False,
    keep_text: Annotated[bool, typer.Option("--keep-text", help="Write the texts too.")] = False,
    partition_size: Annotated[int, typer.Option(min=1, help="Documents in a file of results.")] = PARTITION_DOCUMENTS,
    engine: Annotated[str, typer.Option(help="What runs the processes: local, or ray on a cluster.")] = "local",
    workers: Workers = 1,
    gpus_per_worker: Annotated[float, typer.Option(min=0, help="GPUs of each process, for --engine ray.")] = 0.0,
    precision: PrecisionName = "no",
    entity_threshold: Annotated[float, typer.Option(min=0, max=1, help="Least score of an entity.")] = 0.0,
    relation_threshold: Annotated[float, typer.Option(min=0, max=1, help="Least score of a relation.")] = 0.0,
    progress: ShowProgress = None,
) -> None:
    """Find entities and relations in very many documents.

    Documents are taken in order, so many to a partition, and each partition becomes a file of the output folder, whole or
    not at all. A job that was stopped, killed or cut off goes on when the same command is given again. A document that
    cannot be read, or at which the model or even its process fails, is a row with an error. docs/scale.md has the layout
    of the results, recipes for clusters, and what to expect.

    Examples:

      conjoin bulk articles/ --model run --output found --workers 4

      conjoin bulk news.parquet --model run --output found --format parquet --text-column body --id-column url

      conjoin bulk /shared/news --model /shared/run --output /shared/found --engine ray --workers 64 --gpus-per-worker 1
    """
    for what, name, known in (("output format", format, RowFormat), ("engine", engine, EngineName)):
        if name not in list(known):
            raise SettingError(unknown_name(what, name, known))
    chosen = _engine(EngineName(engine), workers, gpus_per_worker)

    from conjoin.bulk.job import Job, run

    job = Job(tuple(inputs), model, output, RowFormat(format), Columns(text_column, id_column), lines, keep_text,
              partition_size, entity_threshold, relation_threshold, chosen_precision(precision))
    summary = _Summary(ExtractionProgress(shown=wanted(progress)))
    console = Console(stderr=True, highlight=False)
    try:
        with summary.progress:
            for event in run(job, chosen):
                summary.listen(event)
    except KeyboardInterrupt:
        raise stopped("stopped; the same command goes on after the partitions that are written") from None
    console.print(summary.line(output), markup=False, soft_wrap=True)


def _engine(name: EngineName, workers: int, gpus_per_worker: float) -> Engine:
    if name is EngineName.ray:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

        from conjoin.extras.ray import engine

        for logger in ("ray", "ray.data"):
            logging.getLogger(logger).setLevel(logging.ERROR)

        return engine(workers, gpus=gpus_per_worker)
    if gpus_per_worker:
        raise SettingError("--gpus-per-worker is for --engine ray; on one machine the processes share "
                           "its GPUs out themselves")
    from conjoin.bulk.job import local

    return local(workers)


class _Summary:
    """Counts what a job has done, and shows it."""

    def __init__(self, progress: ExtractionProgress) -> None:
        self.progress = progress
        self.documents = self.skipped = self.errors = self.entities = self.relations = 0
        self.finished = False
        self.started = time.monotonic()

    def listen(self, event: Event) -> None:
        from conjoin.bulk.job import Started

        if isinstance(event, Started):
            self.finished = event.finished
            self.progress.expect(event.bytes)
            return
        if event.skipped:
            self.skipped += event.documents
        else:
            self.documents += event.documents
            self.errors += event.errors
            self.entities += event.entities
            self.relations += event.relations
        self.progress.update(event.documents, event.read, known=event.skipped)

    def line(self, output: Path) -> str:
        """One line on all of it."""
        if self.finished:
            return f"{output} was finished before; nothing was left to do"
        seconds = time.monotonic() - self.started
        rate = f", {self.documents / seconds:,.1f} per second with the start of the processes" if self.documents else ""
        before = f" after {self.skipped:,} of earlier runs" if self.skipped else ""
        return (f"wrote {output}: {self.documents:,} documents{before}, {self.errors:,} with an error, {self.entities:,} "
                f"entities, {self.relations:,} relations, in {seconds:,.0f} s{rate}")
