"""A bulk job: its inputs, model and results, and the engine that runs it on this machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from conjoin.annotator import Thresholds
from conjoin.bulk.partition import (
    PARTITION_SIZE,
    Partition,
    PartitionExtractor,
    PartitionResult,
    PartitionWriter,
    after_crash,
    partition_path,
    partitions,
)
from conjoin.bulk.rows import RowFormat, parquet_schema
from conjoin.config.options import Precision
from conjoin.errors import DataError, SettingError
from conjoin.extractor import ExtractorLoader
from conjoin.parallel.process_pool import ProcessPool
from conjoin.parallel.streaming import TextExtractor
from conjoin.storage.atomic import folder_digest, make_folder, read_json, write_text
from conjoin.text.sources import SUFFIXES, Columns, Source, check_sources, find_sources, read_texts, total_bytes
from conjoin.version import __version__

MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Job:
    """Extraction from files into a folder, partition by partition.

    The folder gets a file for each partition, and `manifest.json`, which describes the job and says when it is finished.
    With `lines` every line of a .txt file is a text. `load` returns the extractor of a process in place of `model`, for
    tests and for models of other kinds.
    """

    inputs: tuple[Path, ...]
    model: Path
    folder: Path
    format: RowFormat = RowFormat.jsonl
    columns: Columns = field(default_factory=Columns)
    lines: bool = False
    keep_text: bool = False
    partition_size: int = PARTITION_SIZE
    thresholds: Thresholds = field(default_factory=Thresholds)
    precision: Precision = "no"
    load: Callable[[int], TextExtractor] | None = None

    def __post_init__(self) -> None:
        if self.partition_size < 1:
            raise SettingError(f"partitions of {self.partition_size} documents; give 1 or more")

    def sources(self) -> list[Source]:
        """The input files. Raises `DataError` for one that is of another kind or cannot be read at all."""
        sources = find_sources(self.inputs, output=self.folder)
        for source in sources:
            if source.suffix not in SUFFIXES:
                raise DataError(f"{source.path}: is no .txt, .jsonl, .csv or .parquet file; convert it, or rename it if it "
                                "is one")
        check_sources(sources, self.columns)
        return sources

    def writer(self) -> PartitionWriter:
        """The function that prepares a process to extract and write partitions."""
        load = self.load or ExtractorLoader(str(self.model.resolve()), self.thresholds, precision=self.precision)
        return PartitionWriter(PartitionExtractor(load, self.keep_text), self.folder.resolve(), self.format)

    def partitions(self, sources: list[Source]) -> Iterator[Partition | PartitionResult]:
        """The partitions in order; results stand for those that an earlier run has written."""
        for partition in partitions(read_texts(sources, self.columns, lines=self.lines), self.partition_size):
            if partition_path(self.folder, partition.number, self.format).is_file():
                records = partition.records
                yield PartitionResult(partition.number, len(records), bytes_read=records[-1].bytes_read, skipped=True)
            else:
                yield partition

    def plan(self, sources: list[Source]) -> dict[str, Any]:
        """Settings that must not change when a job resumes."""
        from conjoin.artifacts.model_folder import DESCRIPTIONS, model_folder

        files = hashlib.sha256()
        for source in sources:
            state = source.path.stat()
            files.update(json.dumps([source.name, state.st_size, state.st_mtime_ns]).encode() + b"\n")
        return {
            "conjoin": __version__,
            "model": folder_digest(model_folder(self.model), without=DESCRIPTIONS),
            "input": {"files": len(sources), "bytes": total_bytes(sources), "digest": files.hexdigest()},
            "format": self.format.value, "text_column": self.columns.text, "id_column": self.columns.id,
            "lines": self.lines, "keep_text": self.keep_text, "partition_documents": self.partition_size,
            "entity_threshold": self.thresholds.entities, "relation_threshold": self.thresholds.relations,
            "precision": self.precision,
        }


@dataclass(frozen=True, slots=True)
class JobStarted:
    """A job starts or goes on. When an earlier run has `finished` it, nothing follows."""

    bytes: int
    finished: bool = False


Event = JobStarted | PartitionResult
Engine = Callable[[Job, list[Source]], Iterator[PartitionResult]]


def run(job: Job, engine: Engine) -> Iterator[Event]:
    """Run the rest of a job; yields `JobStarted`, then the result of each partition in order.

    A job that was stopped or killed goes on from its last partition when it is run again. Raises `DataError` if the folder
    holds another job or other files, or another run writes there.
    """
    if job.format is RowFormat.parquet:
        parquet_schema(keep_text=job.keep_text)  # reports a missing package here rather than in a process
    sources = job.sources()
    plan = job.plan(sources)
    with _locked(job.folder):
        manifest = _manifest(job, plan)
        if manifest is not None and manifest.get("finished"):
            yield JobStarted(plan["input"]["bytes"], finished=True)
            return
        if manifest is None:
            _write_manifest(job, plan)
        for unfinished in job.folder.glob(".part-*.part"):
            unfinished.unlink()  # of a process that was killed while it wrote
        yield JobStarted(plan["input"]["bytes"])
        counts: list[int] = []
        for result in engine(job, sources):
            counts.append(result.documents)
            yield result
        _write_manifest(job, {**plan, "finished": True, "partitions": len(counts), "documents": sum(counts)})


def local_engine(workers: int = 1) -> Engine:
    """The engine on this machine: `workers` processes, each with its share of the cores."""

    def engine(job: Job, sources: list[Source]) -> Iterator[PartitionResult]:
        with ProcessPool(job.writer(), workers=workers, retry=after_crash) as pool:
            yield from pool.map(job.partitions(sources))

    return engine


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Make the folder and keep other runs out of it."""
    make_folder(folder)
    try:
        with FileLock(folder / "lock", timeout=0):
            yield
    except Timeout as error:
        raise DataError(f"{folder}: another run is writing there; wait for it, or give another --output") from error


def _manifest(job: Job, plan: dict[str, Any]) -> dict[str, Any] | None:
    """The manifest in the folder, None in an empty folder. Raises `DataError` for that of another job."""
    path = job.folder / MANIFEST
    if not path.exists():
        if any(file.name != "lock" and not file.name.startswith(".") for file in job.folder.iterdir()):
            raise DataError(f"{job.folder}: holds other files; give --output a new name or an empty folder")
        return None
    manifest = read_json(path)
    differ = [key.replace("_", " ") for key in plan if not isinstance(manifest, dict) or manifest.get(key) != plan[key]]
    if differ:
        raise DataError(f"{job.folder}: holds another job ({' and '.join(differ)} differ); give another --output, or the "
                        "same command as before")
    return dict(manifest)


def _write_manifest(job: Job, value: dict[str, Any]) -> None:
    write_text(job.folder / MANIFEST, json.dumps(value, indent=1, ensure_ascii=False) + "\n")
