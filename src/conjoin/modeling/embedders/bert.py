"""BERT as a saved model uses it to annotate, computed here: importing transformers takes longer than all that torch needs.

The numbers are those of transformers' `BertModel`, to the bit (tested), and the weights have its names.
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

CONFIG, TOKENIZER, TOKENIZER_CONFIG = "config.json", "tokenizer.json", "tokenizer_config.json"
# What makes a configuration another computation than the one below, and the value with which it does not.
AS_HERE = {"model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute", "is_decoder": False,
           "add_cross_attention": False}


def saved_bert(folder: Path) -> tuple[BertEncoder, SavedTokenizer] | None:
    """The encoder, without its weights, and the tokenizer of a saved model's folder; None where it is no plain BERT, or
    damaged, of which transformers says more."""
    try:
        text = (folder / CONFIG).read_text(encoding="utf-8")
        values = json.loads(text)
        if "model_type" not in values or any(values.get(key, plain) != plain for key, plain in AS_HERE.items()):
            return None
        tokenizer = SavedTokenizer.read(folder)
        return None if tokenizer is None else (BertEncoder(SavedConfig(text, values)), tokenizer)
    except Exception:  # noqa: BLE001  # tokenizers raises nothing more exact
        return None


class SavedConfig(SimpleNamespace):
    """The values of a config.json, and its text, to be written as it was."""

    def __init__(self, text: str, values: dict[str, Any]) -> None:
        super().__init__(**values)
        self._text = text

    def save_pretrained(self, folder: Path) -> None:
        """Write the file into a folder."""
        (folder / CONFIG).write_text(self._text, encoding="utf-8")

    def to_json_string(self) -> str:
        """The text of the file."""
        return self._text


@dataclass(frozen=True, slots=True)
class SavedTokenizer:
    """What a tokenizer of transformers has of use here, and its files."""

    backend_tokenizer: Tokenizer
    pad_token_id: int | None
    unk_token_id: int | None
    mask_token_id: int | None
    model_max_length: int
    files: dict[str, bytes]

    @classmethod
    def read(cls, folder: Path) -> SavedTokenizer | None:
        """From a folder that transformers has written; None where its settings do not name the special pieces."""
        files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name != CONFIG}
        settings = json.loads(files.get(TOKENIZER_CONFIG, b"{}"))
        backend = Tokenizer.from_buffer(files[TOKENIZER])
        names = [settings.get(f"{which}_token") for which in ("pad", "unk", "mask")]
        if not all(isinstance(name, str) for name in names) or not isinstance(settings.get("model_max_length"), int):
            return None
        padding, unknown, mask = map(backend.token_to_id, names)
        return cls(backend, padding, unknown, mask, settings["model_max_length"], files)

    def convert_ids_to_tokens(self, numbers: list[int]) -> list[str | None]:
        """The pieces of numbers."""
        return [self.backend_tokenizer.id_to_token(number) for number in numbers]

    def save_pretrained(self, folder: Path) -> None:
        """Write the files into a folder, as they were."""
        for name, content in self.files.items():
            (folder / name).write_bytes(content)


@dataclass(frozen=True, slots=True)
class Encoded:
    """What an encoder makes of windows: states [window, piece, width], of all layers where asked for (the input embeddings
    first), and attention [window, head, piece, piece] of all layers where asked for."""

    last_hidden_state: Tensor
    hidden_states: tuple[Tensor, ...] | None
    attentions: tuple[Tensor, ...] | None


class BertEncoder(nn.Module):
    """BERT's encoder (Devlin et al. 2019) without dropout, which is for training alone."""

    def __init__(self, config: SavedConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = Embeddings(config)
        self.encoder = Layers(config)

    def get_input_embeddings(self) -> nn.Embedding:
        """The table of pieces."""
        return self.embeddings.word_embeddings

    def train(self, mode: bool = True) -> BertEncoder:
        """Raises `ModelError`: a model that was loaded is not trained on."""
        if mode:
            raise ModelError("this model was loaded to annotate, not to train it; train a new one from its settings, with "
                             "conjoin train or conjoin.train")
        super().train(False)
        return self

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        *,
        inputs_embeds: Tensor | None = None,
        output_hidden_states: bool = False,
        output_attentions: bool = False,
    ) -> Encoded:
        """input_ids: [window, piece], or inputs_embeds: [window, piece, width]; attention_mask: [window, piece], 0 for
        padding."""
        vectors = self.embeddings.word_embeddings(input_ids) if inputs_embeds is None else inputs_embeds
        states = self.embeddings(vectors)
        seen = None if attention_mask is None or attention_mask.all() else attention_mask[:, None, None].bool()
        layers, attentions = [states], []
        for layer in self.encoder.layer:
            if output_attentions:
                attentions.append(layer.attention.weights(states, seen))  # type: ignore[union-attr, operator]
            states = layer(states, seen)
            if output_hidden_states:
                layers.append(states)
        return Encoded(states, tuple(layers) if output_hidden_states else None,
                       tuple(attentions) if output_attentions else None)


class Embeddings(nn.Module):
    """Pieces, their places and the one kind of text there is here."""

    def __init__(self, config: SavedConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.word_embeddings = nn.Embedding(config.vocab_size, width, padding_idx=config.pad_token_id)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, width)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, width)
        self.LayerNorm = nn.LayerNorm(width, eps=config.layer_norm_eps)

    def forward(self, vectors: Tensor) -> Tensor:
        """vectors of pieces: [window, piece, width] → the same."""
        places = self.position_embeddings.weight[: vectors.shape[1]]
        states: Tensor = self.LayerNorm(vectors + self.token_type_embeddings.weight[0] + places)
        return states


class Layers(nn.Module):
    """All layers, under the name that their weights have."""

    def __init__(self, config: SavedConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))


class Layer(nn.Module):
    """Attention, then a network for each piece, each added to what it was given and normalised."""

    def __init__(self, config: SavedConfig) -> None:
        super().__init__()
        self.attention = Attention(config)
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(config.hidden_size, config.intermediate_size)})
        self.output = Added(config.intermediate_size, config)

    def forward(self, states: Tensor, seen: Tensor | None) -> Tensor:
        """states: [window, piece, width]; seen: [window, 1, 1, piece] → [window, piece, width]."""
        states = self.attention(states, seen)
        result: Tensor = self.output(gelu(self.intermediate["dense"](states)), states)
        return result


class Attention(nn.Module):
    """Every piece looks at all pieces of its window, by several heads."""

    def __init__(self, config: SavedConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.heads = config.num_attention_heads
        self.self = nn.ModuleDict({name: nn.Linear(width, width) for name in ("query", "key", "value")})
        self.output = Added(width, config)

    def forward(self, states: Tensor, seen: Tensor | None) -> Tensor:
        """As for `Layer`."""
        query, key, value = (self._headed(states, name) for name in ("query", "key", "value"))
        found = scaled_dot_product_attention(query, key, value, attn_mask=seen)
        result: Tensor = self.output(found.transpose(1, 2).flatten(2), states)
        return result

    def weights(self, states: Tensor, seen: Tensor | None) -> Tensor:
        """How much each piece looks at each: [window, head, piece, piece]."""
        query, key = self._headed(states, "query"), self._headed(states, "key")
        scores: Tensor = query @ key.transpose(2, 3) * query.shape[-1] ** -0.5
        if seen is not None:
            scores = scores.masked_fill(~seen, torch.finfo(scores.dtype).min)
        return scores.softmax(-1)

    def _headed(self, states: Tensor, name: str) -> Tensor:
        """[window, piece, width] → [window, head, piece, width of a head]."""
        made: Tensor = self.self[name](states).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        return made


class Added(nn.Module):
    """A linear map whose result is added to what there was, and normalised."""

    def __init__(self, width: int, config: SavedConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(width, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, change: Tensor, states: Tensor) -> Tensor:
        """change: [window, piece, width]; states: [window, piece, width of the encoder] → as states."""
        result: Tensor = self.LayerNorm(self.dense(change) + states)
        return result
