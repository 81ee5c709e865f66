"""A torch model as a back end: documents in, scores as arrays out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from conjoin.config.options import Precision
from conjoin.decoding.spans import Floats, Numbers, Spans
from conjoin.decoding.tags import TagScores
from conjoin.document import Document
from conjoin.errors import SettingError
from conjoin.modeling.joint import Batch, JointModel
from conjoin.modeling.precision import usable_precision
from conjoin.parallel.threads import Compute

CPU_PIECES, GPU_PIECES = 1024, 16384  # of a batch: the fastest sizes


@dataclass(frozen=True, slots=True)
class State:
    """Shared states [batch, word, width] and lengths [batch]."""

    states: Tensor
    lengths: Tensor


class TorchBackEnd:
    """Scores of a `JointModel`.

    Args:
        model: On any device; switched to evaluation mode.
        precision: `bf16` runs the encoder in half precision, `auto` where the hardware supports it.
    """

    def __init__(self, model: JointModel, *, precision: Precision = "no") -> None:
        if precision == "fp16":
            raise SettingError("annotation runs in full precision or bf16; choose no, bf16 or auto")
        self.model = model.eval()
        self._bf16 = usable_precision(precision) == "bf16"

    @property
    def compute(self) -> Compute:
        """The threads of torch on a CPU; one batch at a time on a GPU."""
        if self.model.device.type == "cpu":
            return Compute(CPU_PIECES, torch.get_num_threads(), torch.set_num_threads)
        return Compute(GPU_PIECES)

    def sizes(self, documents: Sequence[Document]) -> list[int]:
        return self.model.sizes(documents)

    def collate(self, documents: Sequence[Document]) -> Batch:
        return self.model.collate(documents, gold=False)

    @torch.inference_mode()
    def entity_scores(self, batch: Batch) -> tuple[TagScores, State]:
        model, lengths = self.model, batch.lengths
        batch = batch.to(model.device)
        with torch.autocast(model.device.type, torch.bfloat16, enabled=self._bf16):
            embedded = model.embedder(batch.features).float()
        states = model.shared(embedded, batch.lengths)
        return model.entities.scores(model.emissions(states, batch.lengths), lengths), State(states, batch.lengths)

    @torch.inference_mode()
    def relation_scores(self, state: State, spans: Spans, pairs: Numbers) -> Floats:
        scores: Floats = self.model.relation_scores(state.states, state.lengths, spans, pairs).cpu().numpy()
        return scores
