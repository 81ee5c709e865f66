"""Extract entities and relations from very many documents.

Every --partition-size documents make a partition, which becomes a file of the output folder, whole or not at all. The
same command resumes a stopped job. A document that cannot be read, or over which the model or its process fails, becomes
a row with an error. docs/bulk.md describes the results, docs/clusters.md clusters.

Examples:
  conjoin bulk articles/ --model run --output found --workers 4
  conjoin bulk news.parquet --model run --output found --format parquet --text-column body --id-column url
  conjoin bulk /shared/news --model /shared/run --output /shared/found --engine ray --workers 64 --gpus-per-worker 1
"""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from conjoin.bulk.partition import PARTITION_SIZE
from conjoin.bulk.rows import RowFormat
from conjoin.cli.messages import message, stopped
from conjoin.cli.options import PrecisionName, ShowProgress, TextOptions, ThresholdOptions, Workers, choice
from conjoin.cli.progress import ExtractionProgress, shows_progress
from conjoin.errors import SettingError

if TYPE_CHECKING:
    from conjoin.bulk.job import Engine, Job


def bulk(
    inputs: Annotated[list[Path], typer.Argument(metavar="FILES|FOLDERS", help="Input: .txt, .jsonl, .csv, .parquet.")],
    model: Annotated[Path, typer.Option("--model", "-m", help="Folder of a training run, a model or an export.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the results.")],
    *,
    format: Annotated[str, choice("output format", list(RowFormat), help="Format of the results.")] = "jsonl",
    texts: TextOptions,
    keep_text: Annotated[bool, typer.Option("--keep-text", help="Write the texts too.")] = False,
    partition_size: Annotated[int, typer.Option(min=1, help="Documents per file of results.")] = PARTITION_SIZE,
    engine: Annotated[str, choice("engine", ("local", "ray"), help="This machine (local), or a cluster (ray).")] = "local",
    workers: Workers = 1,
    gpus_per_worker: Annotated[float, typer.Option(min=0, help="GPUs per process, with --engine ray.")] = 0.0,
    precision: PrecisionName = "no",
    thresholds: ThresholdOptions,
    progress: ShowProgress = None,
) -> None:
    start = _engine(engine, workers, gpus_per_worker)

    from conjoin.bulk.job import Job

    job = Job(tuple(inputs), model, output, RowFormat(format), texts.columns, texts.lines, keep_text, partition_size,
              thresholds.thresholds(), precision)
    try:
        with ExtractionProgress(shown=shows_progress(progress)) as bar:
            summary = _run(job, start, bar)
    except KeyboardInterrupt:
        raise stopped("stopped; the same command goes on after the partitions that are written") from None
    message(summary)


def _engine(name: str, workers: int, gpus_per_worker: float) -> Engine:
    if name == "ray":
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

        from conjoin.extras.ray import engine

        for logger in ("ray", "ray.data"):
            logging.getLogger(logger).setLevel(logging.ERROR)
        return engine(workers, gpus=gpus_per_worker)
    if gpus_per_worker:
        raise SettingError("--gpus-per-worker is for --engine ray; on one machine the processes share its GPUs")
    from conjoin.bulk.job import local_engine

    return local_engine(workers)


def _run(job: Job, engine: Engine, progress: ExtractionProgress) -> str:
    """Run a job and show its progress; returns the counts and the rate in one line."""
    from conjoin.bulk.job import JobStarted, run

    started, counts = time.monotonic(), Counter[str]()
    for event in run(job, engine):
        if isinstance(event, JobStarted):
            if event.finished:
                return f"{job.folder} was finished before; nothing was left to do"
            progress.expect(event.bytes)
        elif event.skipped:
            counts["skipped"] += event.documents
        else:
            counts.update({name: getattr(event, name) for name in ("documents", "errors", "entities", "relations")})
            progress.update(event.documents, event.bytes_read)
    seconds, documents = time.monotonic() - started, counts["documents"]
    rate = f", {documents / seconds:,.1f} per second with the start of the processes" if documents else ""
    before = f" after {counts['skipped']:,} of earlier runs" if counts["skipped"] else ""
    return (f"wrote {job.folder}: {documents:,} documents{before}, {counts['errors']:,} with an error, "
            f"{counts['entities']:,} entities, {counts['relations']:,} relations, in {seconds:,.0f} s{rate}")
