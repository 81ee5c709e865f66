"""BERT for annotation without transformers, whose import takes seconds.

Results equal those of transformers' `BertModel` to the bit, and the weights have the same names.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention

from conjoin.errors import ModelError
from conjoin.modeling.nn.containers import module_list

CONFIG, TOKENIZER, TOKENIZER_CONFIG = "config.json", "tokenizer.json", "tokenizer_config.json"
# The values of a configuration that this module computes.
SUPPORTED = {"model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute", "is_decoder": False,
             "add_cross_attention": False}


def saved_bert(folder: Path) -> tuple[BertEncoder, SavedTokenizer] | None:
    """The encoder of a saved model, without its weights, and its tokenizer; None if it is not a plain BERT or is damaged,
    which transformers reports better."""
    try:
        text = (folder / CONFIG).read_text(encoding="utf-8")
        values = json.loads(text)
        if "model_type" not in values or any(values.get(key, value) != value for key, value in SUPPORTED.items()):
            return None
        tokenizer = SavedTokenizer.read(folder)
        return None if tokenizer is None else (BertEncoder(BertConfig(text, values)), tokenizer)
    except Exception:  # noqa: BLE001  # tokenizers raises nothing more exact
        return None


class BertConfig(SimpleNamespace):
    """The values of a config.json, and its text."""

    def __init__(self, text: str, values: dict[str, Any]) -> None:
        super().__init__(**values)
        self._text = text

    def save_pretrained(self, folder: Path) -> None:
        (folder / CONFIG).write_text(self._text, encoding="utf-8")

    def to_json_string(self) -> str:
        return self._text


@dataclass(frozen=True, slots=True)
class SavedTokenizer:
    """The attributes of a tokenizer of transformers that are used here, and its files."""

    backend_tokenizer: Tokenizer
    pad_token_id: int | None
    unk_token_id: int | None
    mask_token_id: int | None
    model_max_length: int
    files: dict[str, bytes]

    @classmethod
    def read(cls, folder: Path) -> SavedTokenizer | None:
        """Read a folder that transformers wrote; None if its settings do not name the special pieces."""
        files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name != CONFIG}
        settings = json.loads(files.get(TOKENIZER_CONFIG, b"{}"))
        backend = Tokenizer.from_buffer(files[TOKENIZER])
        names = [settings.get(f"{kind}_token") for kind in ("pad", "unk", "mask")]
        if not all(isinstance(name, str) for name in names) or not isinstance(settings.get("model_max_length"), int):
            return None
        padding, unknown, mask = map(backend.token_to_id, names)
        return cls(backend, padding, unknown, mask, settings["model_max_length"], files)

    def convert_ids_to_tokens(self, numbers: list[int]) -> list[str | None]:
        return [self.backend_tokenizer.id_to_token(number) for number in numbers]

    def save_pretrained(self, folder: Path) -> None:
        for name, content in self.files.items():
            (folder / name).write_bytes(content)


@dataclass(frozen=True, slots=True)
class EncoderOutput:
    """The output of an encoder; the last two only on request."""

    last_hidden_state: Tensor  # [window, piece, width]
    hidden_states: tuple[Tensor, ...] | None  # the same of each layer, the input embeddings first
    attentions: tuple[Tensor, ...] | None  # [window, head, piece, piece] of each layer


class BertEncoder(nn.Module):
    """The encoder of BERT (Devlin et al. 2019) without dropout."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = Embeddings(config)
        self.encoder = Layers(config)

    def get_input_embeddings(self) -> nn.Embedding:
        return self.embeddings.word_embeddings

    def train(self, mode: bool = True) -> BertEncoder:
        """Raises `ModelError` for `mode=True`: there is no dropout."""
        if mode:
            raise ModelError("this model was loaded for annotation; train a new one with conjoin train or conjoin.train")
        super().train(False)
        return self

    def forward(
        self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None, *,
        inputs_embeds: Tensor | None = None, output_hidden_states: bool = False, output_attentions: bool = False,
    ) -> EncoderOutput:
        """input_ids: [window, piece], or inputs_embeds: [window, piece, width]; attention_mask: [window, piece], 0 for
        padding, or None without any."""
        vectors = self.embeddings.word_embeddings(input_ids) if inputs_embeds is None else inputs_embeds
        states = self.embeddings(vectors)
        mask = None if attention_mask is None or attention_mask.all() else attention_mask[:, None, None].bool()
        layers, attentions = [states], []
        for layer in self.encoder.layer:
            if output_attentions:
                attentions.append(layer.attention.weights(states, mask))
            states = layer(states, mask)
            if output_hidden_states:
                layers.append(states)
        return EncoderOutput(states, tuple(layers) if output_hidden_states else None,
                             tuple(attentions) if output_attentions else None)


class Embeddings(nn.Module):
    """Embeddings of pieces, positions and the first token type, normalised."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.word_embeddings = nn.Embedding(config.vocab_size, width, padding_idx=config.pad_token_id)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, width)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, width)
        self.LayerNorm = nn.LayerNorm(width, eps=config.layer_norm_eps)

    def forward(self, vectors: Tensor) -> Tensor:
        """vectors: [window, piece, width] → the same."""
        positions = self.position_embeddings.weight[: vectors.shape[1]]
        states: Tensor = self.LayerNorm(vectors + self.token_type_embeddings.weight[0] + positions)
        return states


class Layers(nn.Module):
    """All layers, under the names of their weights."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.layer = module_list(Layer(config) for _ in range(config.num_hidden_layers))


class Layer(nn.Module):
    """Self-attention and a feed-forward network, each with a residual connection and normalisation."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.attention = Attention(config)
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(config.hidden_size, config.intermediate_size)})
        self.output = ResidualOutput(config.intermediate_size, config)

    def forward(self, states: Tensor, mask: Tensor | None) -> Tensor:
        """states: [window, piece, width]; mask: [window, 1, 1, piece] → [window, piece, width]."""
        states = self.attention(states, mask)
        result: Tensor = self.output(gelu(self.intermediate["dense"](states)), states)
        return result


class Attention(nn.Module):
    """Multi-head self-attention over the pieces of a window."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.heads = config.num_attention_heads
        self.self = nn.ModuleDict({name: nn.Linear(width, width) for name in ("query", "key", "value")})
        self.output = ResidualOutput(width, config)

    def forward(self, states: Tensor, mask: Tensor | None) -> Tensor:
        query, key, value = (self._split_heads(states, name) for name in ("query", "key", "value"))
        attended = scaled_dot_product_attention(query, key, value, attn_mask=mask)
        result: Tensor = self.output(attended.transpose(1, 2).flatten(2), states)
        return result

    def weights(self, states: Tensor, mask: Tensor | None) -> Tensor:
        """Attention weights [window, head, piece, piece]."""
        query, key = self._split_heads(states, "query"), self._split_heads(states, "key")
        scores: Tensor = query @ key.transpose(2, 3) * query.shape[-1] ** -0.5
        if mask is not None:
            scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
        return scores.softmax(-1)

    def _split_heads(self, states: Tensor, name: str) -> Tensor:
        """[window, piece, width] → [window, head, piece, width of a head]."""
        projected: Tensor = self.self[name](states).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        return projected


class ResidualOutput(nn.Module):
    """A linear map, residual connection and normalisation."""

    def __init__(self, width: int, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(width, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, inputs: Tensor, states: Tensor) -> Tensor:
        """inputs: [window, piece, inner width]; states: [window, piece, width] → [window, piece, width]."""
        result: Tensor = self.LayerNorm(self.dense(inputs) + states)
        return result
