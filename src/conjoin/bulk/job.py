"""A bulk job: what is read, by which model, and where its partitions are written; and the engine on this machine."""

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
from conjoin.bulk.inputs import Columns, Source, check, documents, sources, total_bytes
from conjoin.bulk.partition import (
    PARTITION_DOCUMENTS,
    Extraction,
    Partition,
    PartitionDone,
    Writing,
    after_death,
    part_path,
    partitions,
)
from conjoin.bulk.rows import RowFormat, parquet_schema
from conjoin.config.options import Precision
from conjoin.errors import DataError, SettingError
from conjoin.extractor import ExtractorLoader
from conjoin.parallel.process_pool import Pool
from conjoin.parallel.streaming import Extracts
from conjoin.storage.atomic import folder_digest, make_folder, read_json, write_text
from conjoin.version import __version__

MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Job:
    """Documents of files, extracted partition by partition into a folder.

    The folder has a file for each partition and `manifest.json`, which says what the job is and, at its end, that it is
    finished. `load`, in place of `model`, gives the extractor in each process; it is for tests and models of other kinds.
    """

    inputs: tuple[Path, ...]
    model: Path
    folder: Path
    format: RowFormat = RowFormat.jsonl
    columns: Columns = field(default_factory=Columns)
    lines: bool = False
    keep_text: bool = False
    partition_documents: int = PARTITION_DOCUMENTS
    entity_threshold: float = 0.0
    relation_threshold: float = 0.0
    precision: Precision = "no"
    load: Callable[[int], Extracts] | None = None

    def __post_init__(self) -> None:
        if self.partition_documents < 1:
            raise SettingError(f"partitions of {self.partition_documents} documents; give 1 or more")

    def sources(self) -> list[Source]:
        """The files of the job, none of its own among them. Raises `DataError` for what cannot be read at all."""
        found = sources(self.inputs, without=self.folder)
        check(found, self.columns)
        return found

    def writing(self) -> Writing:
        """How a process makes and writes a partition."""
        return Writing(Extraction(self.load or self._loading(), self.keep_text), self.folder.resolve(), self.format)

    def _loading(self) -> ExtractorLoader:
        thresholds = Thresholds(self.entity_threshold, self.relation_threshold)
        return ExtractorLoader(str(self.model.resolve()), thresholds, precision=self.precision)

    def partitions(self, found: list[Source]) -> Iterator[Partition | PartitionDone]:
        """The partitions in order; those that an earlier run has written are done."""
        for partition in partitions(documents(found, self.columns, lines=self.lines), self.partition_documents):
            if part_path(self.folder, partition.number, self.format).is_file():
                read = partition.documents[-1].read
                yield PartitionDone(partition.number, len(partition.documents), read=read, skipped=True)
            else:
                yield partition

    def plan(self, found: list[Source]) -> dict[str, Any]:
        """What must be the same for a job to go on."""
        from conjoin.artifacts.model_folder import TOLD, model_folder

        files = hashlib.sha256()
        for source in found:
            state = source.path.stat()
            files.update(json.dumps([source.name, state.st_size, state.st_mtime_ns]).encode() + b"\n")
        settings = {
            "format": self.format.value, "text_column": self.columns.text, "id_column": self.columns.id,
            "lines": self.lines, "keep_text": self.keep_text,
            "partition_documents": self.partition_documents, "entity_threshold": self.entity_threshold,
            "relation_threshold": self.relation_threshold, "precision": self.precision,
        }
        return {
            "conjoin": __version__,
            "model": folder_digest(model_folder(self.model), without=TOLD),
            "input": {"files": len(found), "bytes": total_bytes(found), "digest": files.hexdigest()},
            **settings,
        }


@dataclass(frozen=True, slots=True)
class Started:
    """A job begins, or goes on; `finished` says that all of it was written before, and nothing follows."""

    files: int
    bytes: int
    finished: bool = False


Event = Started | PartitionDone
Engine = Callable[[Job, list[Source]], Iterator[PartitionDone]]


def run(job: Job, engine: Engine) -> Iterator[Event]:
    """Do what is left of a job. Yields `Started`, then each partition in order.

    A job that was stopped or killed goes on where it was when it is run again. Raises `DataError` when the folder holds
    another job or something else, or another run is at work there.
    """
    if job.format is RowFormat.parquet:
        parquet_schema(keep_text=job.keep_text)  # the package is missed now rather than in a process
    found = job.sources()
    plan = job.plan(found)
    with _claimed(job.folder):
        manifest = _manifest(job, plan)
        if manifest is not None and manifest.get("finished"):
            yield Started(len(found), plan["input"]["bytes"], finished=True)
            return
        if manifest is None:
            _write_manifest(job, plan)
        for left in job.folder.glob(".part-*.part"):
            left.unlink()  # of a process that was killed while it wrote
        yield Started(len(found), plan["input"]["bytes"])
        partitions_, documents_ = 0, 0
        for done in engine(job, found):
            partitions_, documents_ = partitions_ + 1, documents_ + done.documents
            yield done
        _write_manifest(job, {**plan, "finished": True, "partitions": partitions_, "documents": documents_})


def local(workers: int = 1) -> Engine:
    """The engine on this machine: so many processes, each with its share of the cores."""

    def engine(job: Job, found: list[Source]) -> Iterator[PartitionDone]:
        with Pool(job.writing(), workers=workers, again=after_death) as pool:
            yield from pool.map(job.partitions(found))

    return engine


@contextmanager
def _claimed(folder: Path) -> Iterator[None]:
    """One run at a time in a folder."""
    make_folder(folder)
    try:
        with FileLock(folder / "lock", timeout=0):
            yield
    except Timeout as error:
        raise DataError(f"{folder}: another run is writing there; wait for it, or give another --output") from error


def _manifest(job: Job, plan: dict[str, Any]) -> dict[str, Any] | None:
    """The manifest in the folder, None when the folder is empty. Raises `DataError` when it is of another job."""
    path = job.folder / MANIFEST
    if not path.exists():
        if any(file.name != "lock" and not file.name.startswith(".") for file in job.folder.iterdir()):
            raise DataError(f"{job.folder}: holds files of something else; give a new name or an empty folder")
        return None
    known = read_json(path)
    differ = [key.replace("_", " ") for key in plan if not isinstance(known, dict) or known.get(key) != plan[key]]
    if differ:
        raise DataError(f"{job.folder}: holds another job ({' and '.join(differ)} differ); give another --output, or the "
                        "same command as before")
    return dict(known)


def _write_manifest(job: Job, value: dict[str, Any]) -> None:
    write_text(job.folder / MANIFEST, json.dumps(value, indent=1, ensure_ascii=False) + "\n")
