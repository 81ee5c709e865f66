"""Word vectors from any Hugging Face encoder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from conjoin.config.options import WordPooling
from conjoin.errors import SettingError
from conjoin.features.arrays import Texts
from conjoin.features.pieces import MAX_PIECES_PER_WORD, PieceFeaturiser, Vocabulary
from conjoin.modeling.embedders.characters import CharacterEmbedder
from conjoin.modeling.embedders.embedder import Embedder, Features, as_tensors, own_features
from conjoin.modeling.embedders.encoder import SAVED, Encoder, OpenedEncoder
from conjoin.modeling.embedders.static import CasingEmbedder
from conjoin.modeling.nn.containers import module_dict
from conjoin.modeling.nn.graphs import exporting
from conjoin.modeling.nn.layers import LayerMix, row_means

InputEmbedder = CasingEmbedder | CharacterEmbedder
PADDED_TO = 8  # in training: few distinct lengths keep the caches of the matrix library small


class TransformerEmbedder(nn.Module):
    """A pre-trained encoder with one vector per word (Giorgi et al. 2019 §2).

    A text longer than the encoder's limit is split into overlapping windows; the vector of a word comes from the window
    in which it is farthest from an edge, so no word is ever dropped.

    Args:
        word_pooling: The first piece stands for the word, or the mean or maximum of its pieces; the paper does not say.
        max_pieces: Maximum size of a window, within the encoder's limit.
        overlap: Pieces shared by neighbouring windows.
        train_word_table: Whether the embeddings of the pieces are trained.
        masking: Share of pieces hidden in training, with all inputs of their words but casing.
        inputs: Embedders of words, such as casing for encoders that do not see it. Their vectors are added to the input
            embeddings of a word's pieces through linear maps that start at zero.
        mix: Use a trained mix of all layers instead of the last one.
    """

    def __init__(
        self,
        opened: OpenedEncoder,
        *,
        word_pooling: WordPooling = "first",
        max_pieces: int = 512,
        overlap: int = 64,
        train_word_table: bool = True,
        masking: float = 0.0,
        inputs: Mapping[str, InputEmbedder] | None = None,
        mix: bool = False,
    ) -> None:
        super().__init__()
        inputs = inputs or {}
        self.encoder: Encoder = opened.module
        encoder = self.encoder
        self.tokenizer = tokenizer = opened.tokenizer
        self._layer_lock = opened.layer_lock
        self.word_pooling = word_pooling
        self.width = int(encoder.config.hidden_size)
        vocabulary = vocabulary_of(tokenizer)
        special = [*vocabulary.prefix, *vocabulary.suffix]
        self.special = [*special, vocabulary.padding]
        window = min(max_pieces, _position_limit(encoder, tokenizer)) - len(special)
        if window < 2 * MAX_PIECES_PER_WORD:
            raise SettingError(f"encoder.max_pieces = {max_pieces} leaves {window} pieces a window; set it to at least "
                               f"{2 * MAX_PIECES_PER_WORD + len(special)}")
        self.masking = masking
        inner = encoder.get_input_embeddings().weight.shape[1]  # narrower than `width` in ELECTRA and ALBERT
        self.inputs = module_dict({name: AddedInput(part, inner) for name, part in inputs.items()})
        self.featuriser = PieceFeaturiser(
            tokenizer.backend_tokenizer, vocabulary, window=window, overlap=min(overlap, window // 4),
            first_only=word_pooling == "first", inputs={name: part.featuriser for name, part in inputs.items()},
        )
        if masking and tokenizer.mask_token_id is None:
            raise SettingError("encoder.masking needs an encoder whose tokenizer has a mask piece; set it to 0")
        self.layer_count = 1 + int(encoder.config.num_hidden_layers)  # with the input embeddings
        self.mix = LayerMix(self.layer_count) if mix else None
        if not train_word_table:
            encoder.get_input_embeddings().weight.requires_grad_(False)

    @property
    def device(self) -> torch.device:
        return next(self.encoder.parameters()).device

    def parts(self) -> Iterator[tuple[str, nn.Module]]:
        yield "", self
        for name, part in self.inputs.items():
            yield f"{name}.", part.embedder

    def sizes(self, texts: Texts) -> list[int]:
        return self.featuriser.sizes(texts)

    def features(self, texts: Texts) -> Features:
        return as_tensors(self.featuriser.arrays(texts, padded_to=PADDED_TO if self.training else 1))

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """features of `features` → [batch, word, width]; zeros for padding."""
        return self.mixed(features, self.mix)

    def mixed(self, features: Mapping[str, Tensor], mix: LayerMix | None) -> Tensor:
        """Word vectors of the last layer, or of a mix of all [batch, word, width]."""
        if mix is None:
            return self._words(self.encode(features).last_hidden_state, features["words"])
        if self.word_pooling == "max":
            words: Tensor = mix(self.layers(features))
            return words
        return self._words(mix.of(self._states(features)), features["words"])  # a mean of mixes is the mix of means

    def layers(self, features: Mapping[str, Tensor]) -> Tensor:
        """Word vectors of all layers, the input embeddings first [batch, word, layer, width]."""
        states = self._states(features)
        joined = self._words(torch.cat(states, dim=-1), features["words"])
        layers: Tensor = joined.unflatten(-1, (len(states), self.width))
        return layers

    def _states(self, features: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        with self._layer_lock:
            states: tuple[Tensor, ...] = self.encode(features, output_hidden_states=True).hidden_states
        return states

    def encode(self, features: Mapping[str, Tensor], **options: bool) -> Any:
        """The output object of the encoder for the windows, with states [window, piece, width]."""
        masks = self.training and self.masking > 0
        pieces = self._masked(features["pieces"]) if masks else features["pieces"]
        if not self.inputs:
            return self.encoder(input_ids=pieces, attention_mask=features["mask"], **options)
        vectors = self.encoder.get_input_embeddings()(pieces)
        for name, part in self.inputs.items():
            piece_words = features["piece_words"]
            if masks and part.hidden_with_pieces:
                piece_words = piece_words.masked_fill(torch.isin(piece_words, piece_words[pieces != features["pieces"]]), 0)
            vectors = vectors + part(own_features(f"{name}.", features), piece_words)
        return self.encoder(inputs_embeds=vectors, attention_mask=features["mask"], **options)

    def _words(self, output: Tensor, positions: Tensor) -> Tensor:
        """output: [window, piece, width]; positions: [batch, word, k], -1 for none → [batch, word, width]."""
        flat = output.reshape(-1, output.shape[-1])  # [window · piece, width]
        present = (positions >= 0).unsqueeze(-1)
        if self.word_pooling == "first":
            first: Tensor = flat[positions[..., 0].clamp(min=0)] * present[..., 0, :].to(flat.dtype)
            return first
        if self.word_pooling == "mean" and not exporting():
            return row_means(flat, positions)
        gathered = flat[positions.clamp(min=0)]  # [batch, word, k, width]
        if self.word_pooling == "mean":
            mean: Tensor = (gathered * present).sum(2) / present.sum(2).clamp(min=1)
            return mean
        largest: Tensor = gathered.masked_fill(~present, torch.finfo(gathered.dtype).min).max(2).values
        largest = largest * present.any(2)
        return largest

    def _masked(self, pieces: Tensor) -> Tensor:
        """The pieces, each but special ones replaced by the mask piece with probability `masking`, so that the model
        learns from the context of a name and not the name by heart. pieces: [window, piece] → the same."""
        draws = torch.rand(pieces.shape, device=pieces.device) < self.masking
        special = torch.tensor(self.special, device=pieces.device)
        return torch.where(draws & ~torch.isin(pieces, special), self.tokenizer.mask_token_id, pieces)

    def save(self, folder: Path) -> None:
        (folder / SAVED).mkdir()
        self.encoder.config.save_pretrained(folder / SAVED)
        self.tokenizer.save_pretrained(folder / SAVED)
        for part in self.inputs.values():
            part.embedder.save(folder)


class AddedInput(nn.Module):
    """Word vectors of an embedder, mapped to the space of the encoder's input embeddings.

    Casing remains visible where a piece of the word is masked; characters are hidden with it.
    """

    def __init__(self, embedder: InputEmbedder, width: int) -> None:
        super().__init__()
        self.embedder = embedder
        self.hidden_with_pieces = embedder.shows_spelling
        self.map = nn.Linear(embedder.width, width, bias=False)
        nn.init.zeros_(self.map.weight)  # at first the input is that of pre-training

    def forward(self, features: Mapping[str, Tensor], piece_words: Tensor) -> Tensor:
        """features: of the embedder; piece_words: [window, piece] word positions in the flattened batch, from 1, 0 for none
        → [window, piece, width]."""
        vectors = self.map(self.embedder(features)).flatten(0, 1)  # [batch · word, width]
        none = vectors.new_zeros(1, vectors.shape[-1])
        return torch.cat([none, vectors])[piece_words]


def find_transformer(embedder: Embedder) -> tuple[str, TransformerEmbedder] | None:
    """The prefix of features and the module of the first transformer in an embedder, or None."""
    return next(((name, part) for name, part in embedder.parts() if isinstance(part, TransformerEmbedder)), None)


def vocabulary_of(tokenizer: Any) -> Vocabulary:
    """The special pieces of a tokenizer."""
    prefix, suffix = _special_pieces(tokenizer.backend_tokenizer)
    padding, unknown = tokenizer.pad_token_id or 0, tokenizer.unk_token_id
    return Vocabulary(tuple(prefix), tuple(suffix), padding, padding if unknown is None else unknown)


def _special_pieces(tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """The special pieces before and after a text. Switches truncation and padding of the tokenizer off."""
    tokenizer.no_truncation()
    tokenizer.no_padding()
    inner = tokenizer.encode(["a"], is_pretokenized=True, add_special_tokens=False).ids
    outer = tokenizer.encode(["a"], is_pretokenized=True).ids
    for start in range(len(outer) - len(inner) + 1):
        if outer[start : start + len(inner)] == inner:
            return outer[:start], outer[start + len(inner) :]
    return [], []


def _position_limit(encoder: Encoder, tokenizer: Any) -> int:
    """Maximum pieces of an input, special ones included."""
    limit = getattr(encoder.config, "max_position_embeddings", None) or 0
    if limit <= 0:
        return 512  # relative positions (XLNet): any length works, but the cost grows with its square
    table = next((part for name, part in encoder.named_modules() if name.endswith("position_embeddings")), None)
    padding = getattr(table, "padding_idx", None)  # RoBERTa counts positions from the one after padding
    return int(min(limit - (0 if padding is None else padding + 1), max(tokenizer.model_max_length, 1)))
