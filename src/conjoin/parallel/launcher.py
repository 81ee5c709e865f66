"""The rank and number of processes that `torchrun` or `accelerate launch` started, from environment variables."""

from __future__ import annotations

import os


def launched_rank() -> int:
    """The rank of this process, from 0; the first one prints and writes."""
    return int(os.environ.get("RANK", "0")) if launched_processes() > 1 else 0


def launched_processes() -> int:
    """The number of processes. Cluster managers set WORLD_SIZE too; only a launcher also sets LOCAL_RANK."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "LOCAL_RANK" in os.environ else 1
