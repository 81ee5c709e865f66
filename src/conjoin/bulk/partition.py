"""Partitions: consecutive texts of the input, and how they become rows, with any engine.

Within a partition texts are batched by their numbers of characters alone, so every engine gives the same rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from conjoin.bulk.rows import Row, RowFormat, error_row, row_of, write_rows
from conjoin.errors import WorkerError
from conjoin.parallel.batching import CHUNK_CHARACTERS, chunks
from conjoin.parallel.process_pool import Notify, Work
from conjoin.parallel.streaming import TextExtractor
from conjoin.text.sources import TextRecord

PARTITION_SIZE = 2_000  # texts: the most that a stop can cost, and the size of a results file
MAX_CRASHES = 20  # of processes over one partition, after which the texts are not the cause


@dataclass(frozen=True, slots=True)
class Partition:
    """Consecutive texts of the input; `number` counts partitions from 0.

    The `split_chunks` are extracted text by text, because a process crashed over them; the texts `crashing` crash it even
    by themselves.
    """

    number: int
    records: tuple[TextRecord, ...]
    split_chunks: frozenset[int] = frozenset()
    crashing: frozenset[int] = frozenset()

    def after_crash(self, place: object) -> Partition:
        """The partition to retry after a process crashed at `place`. Raises `WorkerError` after too many crashes."""
        if len(self.split_chunks) + len(self.crashing) >= MAX_CRASHES:
            id = self.records[place[1] if isinstance(place, tuple) and place[0] == "document" else 0].id
            raise WorkerError(f"partition {self.number}: {MAX_CRASHES} processes crashed over it, the last at document "
                              f"'{id}'; give them more memory or look at the model; the same command goes on")
        match place:
            case ("chunk", int(number)):
                return replace(self, split_chunks=self.split_chunks | {number})
            case ("document", int(number)):
                return replace(self, crashing=self.crashing | {number})
        raise WorkerError(f"partition {self.number}: the process crashed before it came to any document")


@dataclass(frozen=True, slots=True)
class PartitionResult:
    """Counts of an extracted partition. A `skipped` one was written by an earlier run; its errors are not counted again."""

    number: int
    documents: int
    errors: int = 0
    entities: int = 0
    relations: int = 0
    bytes_read: int = 0
    skipped: bool = False


def after_crash(work: Partition | PartitionResult, place: object) -> Partition | PartitionResult:
    """The work to retry after a process crashed over it."""
    return work if isinstance(work, PartitionResult) else work.after_crash(place)


def partitions(records: Iterable[TextRecord], size: int) -> Iterator[Partition]:
    """Cut a stream of texts into partitions of `size`; the last one has the rest."""
    number, group = 0, list[TextRecord]()
    for record in records:
        group.append(record)
        if len(group) == size:
            yield Partition(number, tuple(group))
            number, group = number + 1, []
    if group:
        yield Partition(number, tuple(group))


def extract_rows(extractor: TextExtractor, partition: Partition, notify: Notify, *, keep_text: bool) -> list[Row]:
    """Extract a row for each text of a partition, in order.

    When a chunk fails, its texts are extracted one by one, and those that fail again get a row with the error. `notify` is
    called with the place of every chunk, and of every single text, before it is extracted.
    """
    rows: dict[int, Row] = {}
    for index, record in enumerate(partition.records):
        if record.text is None or index in partition.crashing:
            error = record.error or "the process ended when it read this document, and again when it read it alone"
            rows[index] = error_row(record.id, record.text, error, keep_text=keep_text)
    for number, chunk in enumerate(_chunks(partition.records)):
        texts = [(partition.records[index].id, partition.records[index].text or "") for index in chunk]
        if number not in partition.split_chunks:
            notify(("chunk", number))
            results = _rows(extractor, texts, keep_text)
            if not isinstance(results, str):
                rows |= zip(chunk, results, strict=True)
                continue
        for index, text in zip(chunk, texts, strict=True):
            if index not in partition.crashing:
                notify(("document", index))
                results = _rows(extractor, [text], keep_text)
                rows[index] = error_row(*text, results, keep_text=keep_text) if isinstance(results, str) else results[0]
    return [rows[index] for index in range(len(partition.records))]


def _chunks(records: tuple[TextRecord, ...]) -> Iterator[list[int]]:
    """Indices of the texts that are extracted together. Crashing texts count too, so that chunks stay the same."""
    texts = ((str(index), record.text) for index, record in enumerate(records) if record.text is not None)
    for chunk in chunks(texts, first=CHUNK_CHARACTERS):
        yield [int(index) for index, _ in chunk]


def _rows(extractor: TextExtractor, texts: list[tuple[str, str]], keep_text: bool) -> list[Row] | str:
    """The rows of texts that are extracted together, or the error of the model."""
    try:
        return [row_of(document, keep_text=keep_text) for document in extractor.extract(texts)]
    except Exception as error:  # noqa: BLE001 - whatever the model raises
        return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:300]}"


@dataclass(frozen=True, slots=True)
class PartitionExtractor:
    """Prepares a process: called with its number, it loads the model and returns the function from partition to rows."""

    load: Callable[[int], TextExtractor]
    keep_text: bool = False

    def __call__(self, number: int) -> Work[Partition, list[Row]]:
        extractor = self.load(number)
        return lambda partition, notify: extract_rows(extractor, partition, notify, keep_text=self.keep_text)


@dataclass(frozen=True, slots=True)
class PartitionWriter:
    """Prepares a process that extracts partitions and writes them. Results of an earlier run pass through."""

    extractor: PartitionExtractor
    folder: Path
    format: RowFormat

    def __call__(self, number: int) -> Work[Partition | PartitionResult, PartitionResult]:
        extract = self.extractor(number)

        def extract_and_write(partition: Partition | PartitionResult, notify: Notify) -> PartitionResult:
            if isinstance(partition, PartitionResult):
                return partition
            rows = extract(partition, notify)
            path = partition_path(self.folder, partition.number, self.format)
            write_rows(rows, path, self.format, keep_text=self.extractor.keep_text)
            errors = sum(row["error"] is not None for row in rows)
            entities, relations = (sum(len(row[name]) for row in rows) for name in ("entities", "relations"))
            bytes_read = partition.records[-1].bytes_read
            return PartitionResult(partition.number, len(rows), errors, entities, relations, bytes_read)

        return extract_and_write


def partition_path(folder: Path, number: int, format: RowFormat) -> Path:
    return folder / f"part-{number:08d}.{format.value}"


def to_json(work: Partition | PartitionResult) -> dict[str, Any]:
    """A partition or a result as plain values, for engines that carry nothing else."""
    if isinstance(work, PartitionResult):
        return {"done": asdict(work)}
    records = [[record.id, record.text, record.error, record.bytes_read] for record in work.records]
    return {"number": work.number, "records": records}


def from_json(value: dict[str, Any]) -> Partition | PartitionResult:
    """The inverse of `to_json`."""
    if "done" in value:
        return PartitionResult(**value["done"])
    return Partition(value["number"], tuple(TextRecord(*fields) for fields in value["records"]))
