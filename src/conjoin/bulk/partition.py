"""One partition: so many documents of the input in order, and how they become rows, whatever the engine.

Within a partition documents are read together as their characters say, so every engine comes to the same rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from conjoin.bulk.inputs import Raw
from conjoin.bulk.rows import Row, RowFormat, count, error_row, row_of, write_rows
from conjoin.errors import WorkerError
from conjoin.parallel.batching import CHUNK_CHARACTERS, chunks
from conjoin.parallel.process_pool import Say, Work
from conjoin.parallel.streaming import Extracts

T = TypeVar("T")
PARTITION_DOCUMENTS = 2_000  # unless told otherwise: what a stop costs at most, and a file of results
MAX_DEATHS = 20  # of processes over one partition, after which it is not the documents that are at fault


@dataclass(frozen=True, slots=True)
class Partition:
    """Documents in order, and what is known of them from processes that died: `alone` are the chunks to be read document
    by document, `lethal` the documents that end the process even then."""

    number: int
    documents: tuple[Raw, ...]
    alone: frozenset[int] = field(default=frozenset())
    lethal: frozenset[int] = field(default=frozenset())

    def after_death(self, place: object) -> Partition:
        """What to try after a process died at `place`. Raises `WorkerError` when that has happened too often."""
        if len(self.alone) + len(self.lethal) >= MAX_DEATHS:
            raise WorkerError(f"partition {self.number}: {MAX_DEATHS} processes ended over it, the last at document "
                              f"'{self._name(place)}'; give them more memory or look at the model; the same command "
                              "goes on")
        match place:
            case ("chunk", int(number)):
                return replace(self, alone=self.alone | {number})
            case ("document", int(number)):
                return replace(self, lethal=self.lethal | {number})
        raise WorkerError(f"partition {self.number}: the process ended before it came to any document")

    def _name(self, place: object) -> str:
        match place:
            case ("document", int(number)):
                return self.documents[number].id
        return self.documents[0].id if self.documents else ""


@dataclass(frozen=True, slots=True)
class PartitionDone:
    """What a partition came to. `skipped` ones were written by an earlier run, whose errors are not counted again."""

    number: int
    documents: int
    errors: int = 0
    entities: int = 0
    relations: int = 0
    read: int = 0
    skipped: bool = False


def after_death(work: Partition | PartitionDone, place: object) -> Partition | PartitionDone:
    """What to try after a process died over it."""
    return work if isinstance(work, PartitionDone) else work.after_death(place)


def partitions(documents: Iterable[Raw], size: int) -> Iterator[Partition]:
    """The documents in order, so many in each partition; the last has what is left."""
    for number, group in enumerate(groups(documents, size)):
        yield Partition(number, tuple(group))


def groups(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """So many items in order at a time; the last group has what is left."""
    group: list[T] = []
    for item in items:
        group.append(item)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


def rows_of(extractor: Extracts, partition: Partition, say: Say, *, keep_text: bool) -> list[Row]:
    """A row for each document, in order. Where a chunk fails, its documents are read one by one, and those that fail again
    have an error in their row. `say` is told every chunk and every single document before it is read."""
    rows: dict[int, Row] = {}
    readable: list[tuple[int, str]] = []
    for index, raw in enumerate(partition.documents):
        if raw.text is None or index in partition.lethal:
            error = raw.error or "the process ended when it read this document, and again when it read it alone"
            rows[index] = error_row(raw.id, raw.text, error, keep_text=keep_text)
        if raw.text is not None:  # lethal ones too: who is read with whom stays the same
            readable.append((index, raw.text))
    for number, chunk in enumerate(_chunks(partition, readable)):
        if number in partition.alone or not _together(extractor, partition, chunk, ("chunk", number), say, rows, keep_text):
            _one_by_one(extractor, partition, chunk, say, rows, keep_text)
    return [rows[index] for index in range(len(partition.documents))]


def _chunks(partition: Partition, readable: list[tuple[int, str]]) -> Iterator[list[int]]:
    """Indices of the documents that are read together."""
    named = ((str(index), text) for index, text in readable)
    for chunk in chunks(named, first=CHUNK_CHARACTERS):
        yield [int(name) for name, _ in chunk]


def _together(
    extractor: Extracts, partition: Partition, chunk: list[int], place: object, say: Say, rows: dict[int, Row],
    keep_text: bool,
) -> bool:
    """Read a chunk; False when that fails."""
    say(place)
    texts = [(partition.documents[index].id, partition.documents[index].text or "") for index in chunk]
    try:
        found = extractor.extract(texts)
    except Exception:  # noqa: BLE001 - whatever the model raises; its documents are read one by one
        return False
    for index, document in zip(chunk, found, strict=True):
        rows[index] = row_of(document, keep_text=keep_text)
    return True


def _one_by_one(
    extractor: Extracts, partition: Partition, chunk: list[int], say: Say, rows: dict[int, Row], keep_text: bool
) -> None:
    for index in chunk:
        if index in partition.lethal:
            continue
        raw = partition.documents[index]
        say(("document", index))
        try:
            (document,) = extractor.extract([(raw.id, raw.text or "")])
        except Exception as error:  # noqa: BLE001 - whatever the model raises is said in the row
            told = (str(error).splitlines() or [""])[0][:300]
            rows[index] = error_row(raw.id, raw.text, f"{type(error).__name__}: {told}", keep_text=keep_text)
        else:
            rows[index] = row_of(document, keep_text=keep_text)


@dataclass(frozen=True, slots=True)
class Extraction:
    """How the rows of a partition are made, as a process prepares it: called with its number it loads the model."""

    load: Callable[[int], Extracts]
    keep_text: bool = False

    def __call__(self, number: int) -> Work[Partition, list[Row]]:
        extractor = self.load(number)
        return lambda partition, say: rows_of(extractor, partition, say, keep_text=self.keep_text)


@dataclass(frozen=True, slots=True)
class Writing:
    """How a partition is extracted and written, as a process prepares it. What is done stays as it is."""

    extraction: Extraction
    folder: Path
    format: RowFormat

    def __call__(self, number: int) -> Work[Partition | PartitionDone, PartitionDone]:
        work = self.extraction(number)

        def extract_and_write(partition: Partition | PartitionDone, say: Say) -> PartitionDone:
            if isinstance(partition, PartitionDone):
                return partition
            rows = work(partition, say)
            write_rows(rows, part_path(self.folder, partition.number, self.format), self.format,
                       keep_text=self.extraction.keep_text)
            return done(partition, rows)

        return extract_and_write


def done(partition: Partition, rows: list[Row]) -> PartitionDone:
    """What the rows of a partition hold."""
    errors = sum(row["error"] is not None for row in rows)
    read = partition.documents[-1].read if partition.documents else 0
    return PartitionDone(partition.number, len(rows), errors, count(rows, "entities"), count(rows, "relations"), read)


def part_path(folder: Path, number: int, format: RowFormat) -> Path:
    """The file of a partition."""
    return folder / f"part-{number:08d}.{format.value}"


def to_json(partition: Partition) -> dict[str, Any]:
    """A partition as plain values, for engines that carry nothing else."""
    documents = [[raw.id, raw.text, raw.error, raw.read] for raw in partition.documents]
    return {"number": partition.number, "documents": documents}


def from_json(value: dict[str, Any]) -> Partition:
    """The partition that `to_json` gave."""
    return Partition(value["number"], tuple(Raw(*fields) for fields in value["documents"]))
