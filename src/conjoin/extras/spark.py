"""Bulk extraction from data frames of Spark, by `mapInPandas`.

The model must be a path that every node sees, and conjoin must be installed on every node.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conjoin.bulk.partition import PARTITION_SIZE, Partition, PartitionExtractor, partitions
from conjoin.bulk.rows import Row
from conjoin.config.options import Precision
from conjoin.errors import SettingError, require_extra, unknown_name
from conjoin.extractor import ExtractorLoader
from conjoin.parallel.process_pool import Pool
from conjoin.parallel.streaming import Extracts
from conjoin.text.sources import TextRecord

try:
    from pyspark import TaskContext
    from pyspark.sql import DataFrame
except ImportError as error:
    raise require_extra("spark", "pyspark") from error

if TYPE_CHECKING:
    from conjoin.annotator import Thresholds

_ENTITIES = "array<struct<type: string, text: string, char_start: bigint, char_end: bigint, score: double>>"
_RELATIONS = "array<struct<type: string, head: bigint, tail: bigint, score: double>>"


def extract(
    df: DataFrame,
    text_column: str,
    model: str | Path,
    *,
    id_column: str | None = None,
    keep_text: bool = False,
    thresholds: Thresholds | None = None,
    precision: Precision = "no",
    partition_size: int = PARTITION_SIZE,
    load: Callable[[int], Extracts] | None = None,
) -> DataFrame:
    """A row for each row of `df`, in order, with the columns `doc_id`, `text` (with `keep_text`), `entities`, `relations`
    and `error`, as `conjoin bulk` writes them.

    Within each partition of `df` so many documents at a time are read together. Without an `id_column`, `doc_id` counts
    partitions and rows from 0 (`3:17`). Each Python worker of Spark loads the model once, in a process of its own: give an
    executor as many cores as it has memory for models, or `spark.task.cpus` cores to a task. `load`, in place of `model`,
    gives the extractor. Raises `SettingError` for a column that `df` does not have, and for texts that are no strings.
    """
    for name in (text_column, id_column):
        if name is not None and name not in df.columns:
            raise SettingError(unknown_name("column", name, df.columns))
    if (held := dict(df.dtypes)[text_column]) != "string":
        raise SettingError(f"the column '{text_column}' holds {held}, where strings are expected; cast it, or name another")
    load = load or ExtractorLoader(str(Path(model).resolve()), thresholds, precision=precision)
    extraction = PartitionExtractor(load, keep_text)
    text = "text string, " if keep_text else ""
    schema = f"doc_id string, {text}entities {_ENTITIES}, relations {_RELATIONS}, error string"

    def work(frames: Iterator[Any]) -> Iterator[Any]:
        import pandas

        pool = _pool(extraction)
        context = TaskContext.get()
        place = context.partitionId() if context is not None else 0
        for rows in pool.map(partitions(_documents(frames, text_column, place), partition_size)):
            yield pandas.DataFrame(rows)

    ids = [df[id_column].cast("string").alias("id")] if id_column is not None else []
    return df.select(df[text_column].alias("text"), *ids).mapInPandas(work, schema)


def as_rows(collected: Iterable[Any]) -> list[Row]:
    """Rows that Spark has collected as those that `conjoin.bulk.rows.write_rows` writes."""
    return [row.asDict(recursive=True) for row in collected]


def _documents(frames: Iterator[Any], text_column: str, place: int) -> Iterator[TextRecord]:
    number = 0
    for frame in frames:
        texts = frame["text"].tolist()
        ids = frame["id"].tolist() if "id" in frame.columns else [None] * len(texts)
        for id, text in zip(ids, texts, strict=True):
            name = id if isinstance(id, str) else f"{place}:{number}"  # null is None or not a number
            number += 1
            if isinstance(text, str):
                yield TextRecord(name, text)
            else:
                yield TextRecord(name, None, f"'{text_column}' is missing or null")


@functools.lru_cache(maxsize=1)
def _pool(extraction: PartitionExtractor) -> Pool[Partition, list[Row]]:
    """The process of this Python worker, which Spark uses for one task after another."""
    return Pool(extraction, workers=1, again=Partition.after_crash)
