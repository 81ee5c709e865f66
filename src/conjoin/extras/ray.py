"""Bulk extraction on a Ray cluster, with Ray Data.

One task reads the input and hands partitions out as a stream; actors extract and write them. Input, model and output must
be paths that every node sees, and conjoin must be installed on every node.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from conjoin.bulk.job import Engine, Job
from conjoin.bulk.partition import Partition, PartitionResult, PartitionWriter, after_crash, from_json, to_json
from conjoin.errors import ConjoinError, require_extra
from conjoin.parallel.process_pool import Pool
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
    """The engine for `conjoin.bulk.job.run`: so many actors, each with so many cores and GPUs of the cluster.

    A cluster is joined as `ray.init()` finds it (`RAY_ADDRESS`), or started on this machine. As in the engine on one
    machine, each actor extracts in a process of its own, so a document that ends it becomes a row with an error.
    """

    def run(job: Job, found: list[Source]) -> Iterator[PartitionResult]:
        if not ray.is_initialized():
            ray.init(log_to_driver=False, logging_level="warning")
        with _small_blocks():
            partitions = ray.data.read_datasource(_Partitions(job, found), override_num_blocks=1, num_cpus=0)
            written = partitions.map_batches(
                _Writer, batch_size=1, batch_format="pyarrow", fn_constructor_args=(job.writer(),),
                compute=ActorPoolStrategy(size=workers), num_cpus=cpus, num_gpus=gpus,
            )
        try:
            yield from _in_order(PartitionResult(**row) for row in written.iter_rows())
        except RayTaskError as error:  # which tells the whole way that an error came
            if isinstance(error.cause, ConjoinError):
                raise error.cause from error
            raise

    return run


@contextmanager
def _small_blocks() -> Iterator[None]:
    """Ray joins small blocks into large ones, of which one actor would get all partitions of a small job."""
    context = DataContext.get_current()
    before = context.target_max_block_size, context.enable_progress_bars
    context.target_max_block_size, context.enable_progress_bars = 1, False
    try:
        yield
    finally:
        context.target_max_block_size, context.enable_progress_bars = before


class _Partitions(Datasource):  # type: ignore[misc]
    """The partitions of a job as a stream of one-row blocks."""

    def __init__(self, job: Job, found: list[Source]) -> None:
        super().__init__()
        self._job = replace(job, folder=job.folder.resolve())  # the task reads in another working folder
        self._found = [replace(source, path=source.path.resolve()) for source in found]

    def get_name(self) -> str:
        return "partitions"

    def estimate_inmemory_data_size(self) -> int | None:
        return None

    def get_read_tasks(self, parallelism: int, *_: Any, **__: Any) -> list[Any]:
        job, found = self._job, self._found

        def read() -> Iterator[Any]:
            for partition in job.partitions(found):
                yield pyarrow.table({"partition": [_to_text(partition)]})

        return [ReadTask(read, BlockMetadata(num_rows=None, size_bytes=None, exec_stats=None, input_files=None))]


class _Writer:
    """An actor: extracts and writes one partition at a time, in a process of its own."""

    def __init__(self, writing: PartitionWriter) -> None:
        self._pool = Pool(writing, workers=1, again=after_crash)

    def __call__(self, batch: Any) -> Any:
        texts = batch.column("partition").to_pylist()
        return pyarrow.Table.from_pylist([_values(done) for done in self._pool.map(map(_from_text, texts))])


def _values(done: PartitionResult) -> dict[str, Any]:
    return {name: getattr(done, name) for name in PartitionResult.__slots__}


def _to_text(partition: Partition | PartitionResult) -> str:
    if isinstance(partition, PartitionResult):
        return json.dumps({"done": _values(partition)})
    return json.dumps(to_json(partition))


def _from_text(text: str) -> Partition | PartitionResult:
    value = json.loads(text)
    return PartitionResult(**value["done"]) if "done" in value else from_json(value)


def _in_order(written: Iterator[PartitionResult]) -> Iterator[PartitionResult]:
    """By number, whatever came first."""
    waiting: list[tuple[int, PartitionResult]] = []
    number = 0
    for done in written:
        heapq.heappush(waiting, (done.number, done))
        while waiting and waiting[0][0] == number:
            yield heapq.heappop(waiting)[1]
            number += 1
