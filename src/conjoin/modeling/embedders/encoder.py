"""Opening a pre-trained encoder, for training or to annotate."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from conjoin.modeling.embedders.bert import saved_bert

SAVED = "encoder"  # the folder, inside a saved model, of configuration and tokenizer


@dataclass(frozen=True, slots=True)
class OpenedEncoder:
    """An encoder and its tokenizer.

    Attributes:
        module: Called with `input_ids` or `inputs_embeds`, and `attention_mask`, as in transformers.
        tokenizer: A fast tokenizer of transformers, or what stands in for one.
        collecting: To be held while the module collects its layers.
    """

    module: nn.Module
    tokenizer: Any
    collecting: AbstractContextManager[object]


def open_encoder(
    name: str, *, dropout: float | None = None, folder: Path | None = None, training: bool = True
) -> OpenedEncoder:
    """The encoder of a hub name, a folder or an alias, or that of a saved model, still without its weights.

    A BERT that is opened only to annotate is computed here: importing transformers takes seconds.

    Args:
        name: Of the encoder.
        dropout: In the encoder; None keeps its own setting.
        folder: A saved conjoin model, whose configuration and tokenizer are read.
        training: Whether it may be trained or exported.

    Raises:
        ModelError: Nothing is found under the name. No remote code is ever run.
    """
    if folder is not None and not training:
        bert = saved_bert(folder / SAVED)
        if bert is not None:
            return OpenedEncoder(*bert, nullcontext())
    from conjoin.modeling.embedders.pretrained import layer_lock, load_transformer  # transformers takes seconds to import

    source = None if folder is None else folder / SAVED
    return OpenedEncoder(*load_transformer(name, dropout=dropout, saved=source), layer_lock())
