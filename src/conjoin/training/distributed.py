"""Training over several processes: their numbers, what they exchange, and accelerate's set-up."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from accelerate.accelerator import Accelerator
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils.dataclasses import DistributedDataParallelKwargs, DistributedType
from torch import Tensor, distributed

from conjoin.config.options import Precision
from conjoin.document import Document
from conjoin.errors import LostProcessError, SettingError
from conjoin.modeling.precision import usable_precision
from conjoin.parallel.launcher import launched_processes, launched_rank

Value = TypeVar("Value")
# Long, for others may be saving or computing vectors; a launcher ends all processes when one of them fails.
LONGEST_WAIT = timedelta(hours=2)
DATA_PARALLEL = (DistributedType.MULTI_CPU, DistributedType.MULTI_GPU, DistributedType.MULTI_XPU, DistributedType.MULTI_NPU)


@contextmanager
def threads_of_torch(count: int | None) -> Iterator[None]:
    """Compute with `count` threads inside the block, in this thread; None leaves their number as it is."""
    if count is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True, slots=True)
class Processes:
    """This process, number `rank` of `count` that train one model. All of them must make the same calls in one order."""

    rank: int
    count: int

    @property
    def main(self) -> bool:
        """True for the process that writes files."""
        return self.rank == 0

    def wait(self) -> None:
        """Wait until all processes have come here."""
        if self.count > 1:
            PartialState().wait_for_everyone()

    def gathered(self, value: Value) -> list[Value]:
        """The value of each process, by rank."""
        if self.count == 1:
            return [value]
        values: list[Any] = [None] * self.count
        distributed.all_gather_object(values, value)
        return values

    def summed(self, values: Tensor) -> Tensor:
        """The sum of every process's tensor; `values` itself changes."""
        if self.count > 1:
            distributed.all_reduce(values)
        return values

    def shared(
        self, function: Callable[[Sequence[Document]], list[Document]], documents: Sequence[Document]
    ) -> list[Document]:
        """Apply a function that returns one document for each; every process computes its share and gets all results."""
        if self.count == 1:
            return function(documents)
        own = documents[self.rank :: self.count]
        parts = self.gathered(function(own) if own else [])
        return [parts[index % self.count][index // self.count] for index in range(len(documents))]


def join_processes() -> Processes:
    """Connect to the processes that were started together with this one, if there are any.

    Raises `SettingError` when there are fewer GPUs than processes.
    """
    count = launched_processes()
    if count > 1 and not distributed.is_initialized():
        cpu = _on_cpu()
        local, devices = int(os.environ.get("LOCAL_WORLD_SIZE", count)), torch.cuda.device_count()
        if not cpu and torch.cuda.is_available() and local > devices:
            raise SettingError(f"{local} processes were started for {devices} GPU{'s' if devices > 1 else ''}; start one "
                               "for each, or set ACCELERATE_USE_CPU=true to train on the CPU")
        PartialState(cpu=cpu, timeout=LONGEST_WAIT)
    return Processes(launched_rank(), count)


def leave_processes() -> None:
    """Disconnect from the other processes at the end of a run."""
    if launched_processes() > 1 and distributed.is_initialized():
        PartialState().destroy_process_group()


def build_accelerator(processes: Processes, precision: Precision) -> Accelerator:
    """Set up devices, precision and, for several processes, DistributedDataParallel."""
    AcceleratorState._reset_state()  # else a process's first run fixes the precision of all later ones
    # Parameters may go unused: those of the relation stack where a batch holds no pair, some of foreign encoders always.
    wrapper = DistributedDataParallelKwargs(find_unused_parameters=True, broadcast_buffers=False)
    cpu = processes.count > 1 and _on_cpu()
    accelerator = Accelerator(mixed_precision=usable_precision(precision), cpu=cpu, kwargs_handlers=[wrapper])
    if processes.count > 1 and accelerator.distributed_type not in DATA_PARALLEL:
        raise SettingError(f"training over several processes is data-parallel (DistributedDataParallel), not "
                           f"{accelerator.distributed_type.value}; launch it without that")
    return accelerator


def _on_cpu() -> bool:
    """True if several processes compute on the CPU: where the environment says so, or there is no other device to share."""
    if os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes", "on"):
        return True
    device = torch.accelerator.current_accelerator()
    return device is None or device.type == "mps"


@contextmanager
def one_for_all(processes: Processes) -> Iterator[None]:
    """Turn a failed exchange with another process, which has ended early, into one sentence."""
    try:
        yield
    except RuntimeError as error:
        if processes.count > 1 and ("gloo" in str(error) or isinstance(error, distributed.DistError)):
            raise LostProcessError("another training process has stopped, so this one stops too; run the same command "
                                   "without --overwrite to resume from the last checkpoint") from error
        raise


def random_state() -> dict[str, Tensor]:
    """The state of the random generators behind dropout, masking and mixtures of candidates."""
    state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def set_random_state(state: dict[str, Tensor]) -> None:
    torch.set_rng_state(state["cpu"])
    if torch.cuda.is_available() and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"])
