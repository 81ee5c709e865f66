"""Whether this process is one of several that `torchrun` or `accelerate launch` has started, told by their variables."""

from __future__ import annotations

import os


def launched_rank() -> int:
    """The number of this process among those started together, from 0; the first one prints and writes."""
    return int(os.environ.get("RANK", "0")) if launched_processes() > 1 else 0


def launched_processes() -> int:
    """How many processes were started together. Cluster managers set WORLD_SIZE too; a launcher also sets LOCAL_RANK."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "LOCAL_RANK" in os.environ else 1
