"""What the speed benchmarks share: timing, the bare encoder on optimally filled batches, and where results go."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoModel

from conjoin.document import Document
from conjoin.modeling.embedders.pretrained import resolve_name
from conjoin.parallel.batching import fill_batches

HERE = Path(__file__).parent


def timed(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def machine() -> dict[str, object]:
    """What figures depend on, without names of this machine."""
    return {"machine": platform.machine(), "cores": len(os.sched_getaffinity(0)), "threads": torch.get_num_threads(),
            "python": platform.python_version(), "torch": torch.__version__, "transformers": transformers.__version__}


def write(result: dict[str, Any], path: Path) -> None:
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


def peak_memory_mb() -> int:
    """Of this process; getrusage would count its parent's too."""
    return int(Path("/proc/self/status").read_text(encoding="utf-8").split("VmHWM:")[1].split()[0]) // 1024


class BareEncoder:
    """The pre-trained encoder alone in torch, full precision: features are made, nothing is done with the states.

    `embedder` makes the features: that of a model with a fine-tuned encoder, used for its tokenizer alone.
    """

    def __init__(self, embedder: Any, name: str = "minilm") -> None:
        self.embedder = embedder.eval()
        self.encoder = AutoModel.from_pretrained(resolve_name(name), dtype=torch.float32).eval()

    def batches(self, documents: Sequence[Document], pieces: int) -> list[dict[str, torch.Tensor]]:
        """All documents by length, so that next to nothing is padding, as tensors."""
        sizes = self.embedder.sizes([document.words for document in documents])
        order = sorted(range(len(documents)), key=lambda index: -sizes[index])
        return [self.embedder.features([documents[index].words for index in members])
                for members in fill_batches(order, sizes, documents=128, pieces=pieces)]

    @torch.inference_mode()
    def forward(self, batch: dict[str, torch.Tensor]) -> None:
        self.encoder(input_ids=batch["pieces"], attention_mask=batch["mask"])
