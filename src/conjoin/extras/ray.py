"""Bulk extraction on a Ray cluster, with Ray Data.

One task reads the input and streams its partitions; actors extract and write them. Every node needs conjoin and access to
input, model and output under the same paths.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any

from conjoin.bulk.job import Engine, Job
from conjoin.bulk.partition import PartitionResult, PartitionWriter, after_crash, from_json, to_json
from conjoin.errors import ConjoinError, require_extra
from conjoin.parallel.process_pool import ProcessPool
from conjoin.text.sources import Source

try:
    import pyarrow
    import ray
    from ray.data import ActorPoolStrategy, DataContext, Datasource, ReadTask
    from ray.data.block import BlockMetadata
    from ray.exceptions import RayTaskError
except ImportError as error:
    raise require_extra("ray", "ray[data]") from error


def engine(workers: int, *, cpus: float = 1.0, gpus: float = 0.0) -> Engine:
    """Make an engine of `workers` actors for `conjoin.bulk.job.run`, with so many cores and GPUs for each actor.

    The engine connects to the cluster that `ray.init()` finds (`RAY_ADDRESS`), or starts one on this machine. As in the
    local engine, each actor extracts in a separate process, so a document that kills it becomes a row with an error.
    """

    def run(job: Job, sources: list[Source]) -> Iterator[PartitionResult]:
        if not ray.is_initialized():
            ray.init(log_to_driver=False, logging_level="warning")
        with _small_blocks():
            partitions = ray.data.read_datasource(_Partitions(job, sources), override_num_blocks=1, num_cpus=0)
            results = partitions.map_batches(
                _Writer, batch_size=1, batch_format="pyarrow", fn_constructor_args=(job.writer(),),
                compute=ActorPoolStrategy(size=workers), num_cpus=cpus, num_gpus=gpus,
            )
        try:
            yield from _in_order(PartitionResult(**row) for row in results.iter_rows())
        except RayTaskError as error:  # its text is a long traceback
            if isinstance(error.cause, ConjoinError):
                raise error.cause from error
            raise

    return run


@contextmanager
def _small_blocks() -> Iterator[None]:
    """Keep Ray from merging blocks: one actor would get all partitions of a small job."""
    context = DataContext.get_current()
    saved = context.target_max_block_size, context.enable_progress_bars
    context.target_max_block_size, context.enable_progress_bars = 1, False
    try:
        yield
    finally:
        context.target_max_block_size, context.enable_progress_bars = saved


class _Partitions(Datasource):  # type: ignore[misc]
    """The partitions of a job as a stream of one-row blocks."""

    def __init__(self, job: Job, sources: list[Source]) -> None:
        super().__init__()
        self._job = replace(job, folder=job.folder.resolve())  # the task has another working folder
        self._sources = [replace(source, path=source.path.resolve()) for source in sources]

    def get_name(self) -> str:
        return "partitions"

    def estimate_inmemory_data_size(self) -> int | None:
        return None

    def get_read_tasks(self, parallelism: int, *_: Any, **__: Any) -> list[Any]:
        job, sources = self._job, self._sources

        def read() -> Iterator[Any]:
            for partition in job.partitions(sources):
                yield pyarrow.table({"partition": [json.dumps(to_json(partition))]})

        return [ReadTask(read, BlockMetadata(num_rows=None, size_bytes=None, exec_stats=None, input_files=None))]


class _Writer:
    """An actor: extracts and writes one partition at a time, in a separate process."""

    def __init__(self, writing: PartitionWriter) -> None:
        self._pool = ProcessPool(writing, workers=1, retry=after_crash)

    def __call__(self, batch: Any) -> Any:
        partitions = map(from_json, map(json.loads, batch.column("partition").to_pylist()))
        return pyarrow.Table.from_pylist(list(map(asdict, self._pool.map(partitions))))


def _in_order(results: Iterator[PartitionResult]) -> Iterator[PartitionResult]:
    """Sort results by number, each as soon as all before it are there."""
    heap: list[tuple[int, PartitionResult]] = []
    number = 0
    for done in results:
        heapq.heappush(heap, (done.number, done))
        while heap and heap[0][0] == number:
            yield heapq.heappop(heap)[1]
            number += 1
