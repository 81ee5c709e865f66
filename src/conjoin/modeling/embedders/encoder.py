"""Opening a pre-trained encoder, for training or for annotation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from torch import nn

from conjoin.modeling.embedders.bert import saved_bert

SAVED = "encoder"  # folder of configuration and tokenizer in a saved model


class Encoder(Protocol):
    """An encoder module of transformers, or a compatible one."""

    config: Any

    def get_input_embeddings(self) -> nn.Embedding: ...
    def parameters(self) -> Iterator[nn.Parameter]: ...
    def named_modules(self) -> Iterator[tuple[str, nn.Module]]: ...
    def eval(self) -> Any: ...
    def __call__(self, **inputs: Any) -> Any:
        """`input_ids` or `inputs_embeds`, and `attention_mask` → an output with `last_hidden_state`."""


@dataclass(frozen=True, slots=True)
class OpenedEncoder:
    """An encoder and its tokenizer, a fast one of transformers or a compatible object."""

    module: Encoder
    tokenizer: Any
    layer_lock: AbstractContextManager[object]  # held while all layers of a batch are computed


def open_encoder(
    name: str, *, dropout: float | None = None, folder: Path | None = None, training: bool = True
) -> OpenedEncoder:
    """Open a pre-trained encoder. No remote code is run.

    Args:
        name: Hub name, folder or alias.
        dropout: None keeps the encoder's own setting.
        folder: A saved conjoin model, whose encoder is opened without its weights.
        training: Whether it may be trained or exported; otherwise BERT is computed by `bert.py`, since importing
            transformers takes seconds.

    Raises:
        ModelError: There is no such encoder.
    """
    if folder is not None and not training:
        bert = saved_bert(folder / SAVED)
        if bert is not None:
            return OpenedEncoder(*bert, nullcontext())
    from conjoin.modeling.embedders.pretrained import layer_lock, load_transformer

    source = None if folder is None else folder / SAVED
    return OpenedEncoder(*load_transformer(name, dropout=dropout, saved=source), layer_lock())
