"""Bulk extraction from Spark data frames, with `mapInPandas`.

Every node needs conjoin and access to the model under the same path.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from conjoin.annotator import Thresholds
from conjoin.bulk.partition import PARTITION_SIZE, Partition, PartitionExtractor, partitions
from conjoin.bulk.rows import Row
from conjoin.config.options import Precision
from conjoin.errors import SettingError, require_extra, unknown_name
from conjoin.extractor import ExtractorLoader
from conjoin.parallel.process_pool import ProcessPool
from conjoin.parallel.streaming import TextExtractor
from conjoin.text.sources import TextRecord

try:
    from pyspark import TaskContext
    from pyspark.sql import DataFrame
except ImportError as error:
    raise require_extra("spark", "pyspark") from error

_ENTITIES = "array<struct<type: string, text: string, char_start: bigint, char_end: bigint, score: double>>"
_RELATIONS = "array<struct<type: string, head: bigint, tail: bigint, score: double>>"


def extract(
    df: DataFrame, text_column: str, model: str | Path, *, id_column: str | None = None, keep_text: bool = False,
    thresholds: Thresholds | None = None, precision: Precision = "no", partition_size: int = PARTITION_SIZE,
    load: Callable[[int], TextExtractor] | None = None,
) -> DataFrame:
    """Extract entities and relations of all texts of a data frame.

    Each Python worker of Spark loads the model once, in a separate process. An executor has one worker per core; if its
    memory holds fewer models, raise `spark.task.cpus`.

    Args:
        id_column: The column of ids; without it ids are numbers of partition and row, from 0 (`3:17`).
        load: Makes the extractor, instead of `model`, `thresholds` and `precision`.

    Returns:
        One row for each row of `df`, in order, with the columns `doc_id`, `text` (with `keep_text`), `entities`,
        `relations` and `error`, as `conjoin bulk` writes them.

    Raises `SettingError` if `df` does not have a column, or the texts are not strings.
    """
    _check_columns(df, text_column, id_column)
    load = load or ExtractorLoader(str(Path(model).resolve()), thresholds, precision=precision)
    extraction = PartitionExtractor(load, keep_text)
    text = "text string, " if keep_text else ""
    schema = f"doc_id string, {text}entities {_ENTITIES}, relations {_RELATIONS}, error string"
    ids = [df[id_column].cast("string").alias("id")] if id_column is not None else []
    extract_frames = functools.partial(_extract_frames, extraction=extraction, text_column=text_column,
                                       partition_size=partition_size)
    return df.select(df[text_column].alias("text"), *ids).mapInPandas(extract_frames, schema)


def _extract_frames(
    frames: Iterator[Any], *, extraction: PartitionExtractor, text_column: str, partition_size: int
) -> Iterator[Any]:
    import pandas

    context = TaskContext.get()
    number = context.partitionId() if context is not None else 0
    for rows in _pool(extraction).map(partitions(_documents(frames, text_column, number), partition_size)):
        yield pandas.DataFrame(rows)


def _check_columns(df: DataFrame, text_column: str, id_column: str | None) -> None:
    for name in (text_column, id_column):
        if name is not None and name not in df.columns:
            raise SettingError(unknown_name("column", name, df.columns))
    column_type = dict(df.dtypes)[text_column]
    if column_type != "string":
        raise SettingError(f"the column '{text_column}' is of type {column_type}, not string; cast it, or give another one")


def _documents(frames: Iterator[Any], text_column: str, partition: int) -> Iterator[TextRecord]:
    number = 0
    for frame in frames:
        texts = frame["text"].tolist()
        ids = frame["id"].tolist() if "id" in frame.columns else [None] * len(texts)
        for id, text in zip(ids, texts, strict=True):
            name = id if isinstance(id, str) else f"{partition}:{number}"  # null is None or NaN
            number += 1
            if isinstance(text, str):
                yield TextRecord(name, text)
            else:
                yield TextRecord(name, None, f"'{text_column}' is missing or null")


@functools.lru_cache(maxsize=1)
def _pool(extraction: PartitionExtractor) -> ProcessPool[Partition, list[Row]]:
    """The process of this Python worker; Spark runs several tasks in one worker."""
    return ProcessPool(extraction, workers=1, retry=Partition.after_crash)
