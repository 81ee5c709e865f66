"""States of words from any Hugging Face encoder."""

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
from conjoin.modeling.embedders.encoder import SAVED, OpenedEncoder
from conjoin.modeling.embedders.static import CasingEmbedder
from conjoin.modeling.nn.graphs import exporting
from conjoin.modeling.nn.layers import LayerMix, row_means

InputEmbedder = CasingEmbedder | CharacterEmbedder
PADDED_TO = 8  # in training: few distinct lengths keep the memory of the matrix library's caches low


class TransformerEmbedder(nn.Module):
    """A pre-trained encoder with one state per word (Giorgi et al. 2019 §2).

    The paper says nothing about words of several pieces; here the first piece stands for the word, or the mean or
    maximum of its pieces. A text longer than the encoder takes is read in overlapping windows; a word's state comes from
    the window in which it stands farthest from an edge, so no word is ever dropped.

    `inputs` are embedders whose vectors of a word are added to the input embeddings of its pieces, each through a linear
    map that starts at zero: of casing, which an encoder without upper case otherwise cannot see, or of characters.
    `masking` hides pieces in training, with all that is added to their words but casing. With `mix` a word's state is a
    trained mix of its vectors in all layers, in place of the last one.
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
        self.encoder = encoder = opened.module
        self.tokenizer = tokenizer = opened.tokenizer
        self._collecting = opened.collecting
        self.word_pooling = word_pooling
        self.width = int(encoder.config.hidden_size)  # type: ignore[union-attr, arg-type]
        vocabulary = vocabulary_of(tokenizer)
        special = [*vocabulary.prefix, *vocabulary.suffix]
        self.special = [*special, vocabulary.padding]
        window = min(max_pieces, _position_limit(encoder, tokenizer)) - len(special)
        if window < 2 * MAX_PIECES_PER_WORD:
            raise SettingError(f"encoder.max_pieces = {max_pieces} leaves {window} pieces a window; take at least "
                               f"{2 * MAX_PIECES_PER_WORD + len(special)}")
        self.masking = masking
        inner = encoder.get_input_embeddings().weight.shape[1]  # type: ignore[operator]  # ELECTRA, ALBERT: narrower
        self.inputs = nn.ModuleDict({name: AddedInput(part, inner) for name, part in (inputs or {}).items()})
        self.featuriser = PieceFeaturiser(
            tokenizer.backend_tokenizer, vocabulary, window=window, overlap=min(overlap, window // 4),
            first_only=word_pooling == "first", inputs={name: part.featuriser for name, part in (inputs or {}).items()},
        )
        if masking and tokenizer.mask_token_id is None:
            raise SettingError("encoder.masking needs an encoder whose tokenizer has a mask piece; set it to 0")
        self.layer_count = 1 + int(encoder.config.num_hidden_layers)  # type: ignore[union-attr, arg-type]  # and the input
        self.mix = LayerMix(self.layer_count) if mix else None
        if not train_word_table:
            encoder.get_input_embeddings().weight.requires_grad_(False)  # type: ignore[operator]

    @property
    def device(self) -> torch.device:
        return next(self.encoder.parameters()).device

    def parts(self) -> Iterator[tuple[str, nn.Module]]:
        """The embedder itself and those of its inputs."""
        yield "", self
        for name, part in self.inputs.items():
            yield f"{name}.", part.embedder  # type: ignore[misc]

    def sizes(self, texts: Texts) -> list[int]:
        """As `PieceFeaturiser.sizes`."""
        return self.featuriser.sizes(texts)

    def features(self, texts: Texts) -> Features:
        """As `PieceFeaturiser.arrays`."""
        return as_tensors(self.featuriser.arrays(texts, padded_to=PADDED_TO if self.training else 1))

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """features as from `features` → [batch, word, width]; zeros beyond a text's words."""
        return self.mixed(features, self.mix)

    def mixed(self, features: Mapping[str, Tensor], mix: LayerMix | None) -> Tensor:
        """The vectors of words in the last layer, or in a mix of all: [batch, word, width]."""
        if mix is None:
            return self._words(self.encode(features).last_hidden_state, features["words"])
        if self.word_pooling == "max":
            words: Tensor = mix(self.layers(features))
            return words
        return self._words(mix.of(self._states(features)), features["words"])  # a mean of mixes is the mix of means

    def layers(self, features: Mapping[str, Tensor]) -> Tensor:
        """The vectors of words in all layers, the input embeddings first: [batch, word, layer, width]."""
        states = self._states(features)
        joined = self._words(torch.cat(states, dim=-1), features["words"])
        layers: Tensor = joined.unflatten(-1, (len(states), self.width))
        return layers

    def _states(self, features: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        with self._collecting:
            states: tuple[Tensor, ...] = self.encode(features, output_hidden_states=True).hidden_states
        return states

    def encode(self, features: Mapping[str, Tensor], **options: bool) -> Any:
        """What the encoder makes of the windows: its output object, with [window, piece, width] in it."""
        hides = self.training and self.masking > 0
        pieces = self._masked(features["pieces"]) if hides else features["pieces"]
        if not self.inputs:
            return self.encoder(input_ids=pieces, attention_mask=features["mask"], **options)
        vectors = self.encoder.get_input_embeddings()(pieces)  # type: ignore[operator]
        for name, part in self.inputs.items():
            piece_words = features["piece_words"]
            if hides and part.hidden_with_pieces:
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
        """Each piece, special ones aside, becomes the mask piece with probability `masking`: in training the model must
        then read the context of a name and cannot learn all names by heart. pieces: [window, piece] → the same."""
        chosen = torch.rand(pieces.shape, device=pieces.device) < self.masking
        special = torch.tensor(self.special, device=pieces.device)
        return torch.where(chosen & ~torch.isin(pieces, special), self.tokenizer.mask_token_id, pieces)

    def save(self, folder: Path) -> None:
        """Write the encoder's configuration, the tokenizer and what `inputs` write, all JSON; the weights are saved with
        the model's."""
        (folder / SAVED).mkdir()
        self.encoder.config.save_pretrained(folder / SAVED)  # type: ignore[union-attr, operator]
        self.tokenizer.save_pretrained(folder / SAVED)
        for part in self.inputs.values():
            part.embedder.save(folder)  # type: ignore[operator, union-attr]


class AddedInput(nn.Module):
    """The vectors of words from an embedder, mapped from zero into the space of the encoder's input embeddings.

    Casing still shows where a piece of the word is masked; anything that spells the word is hidden with it.
    """

    def __init__(self, embedder: InputEmbedder, width: int) -> None:
        super().__init__()
        self.embedder = embedder
        self.hidden_with_pieces = embedder.shows_spelling
        self.map = nn.Linear(embedder.width, width, bias=False)
        nn.init.zeros_(self.map.weight)  # at first the encoder reads what it was pre-trained on

    def forward(self, features: Mapping[str, Tensor], piece_words: Tensor) -> Tensor:
        """features: the embedder's; piece_words: [window, piece] numbers of words in the flattened batch, counted from 1, 0
        for none → [window, piece, width]."""
        vectors = self.map(self.embedder(features)).flatten(0, 1)  # [batch · word, width]
        nothing = vectors.new_zeros(1, vectors.shape[-1])
        return torch.cat([nothing, vectors])[piece_words]


def find_transformer(embedder: Embedder) -> tuple[str, TransformerEmbedder] | None:
    """The first transformer in an embedder, with the prefix of its features; None without one."""
    return next(((name, part) for name, part in embedder.parts() if isinstance(part, TransformerEmbedder)), None)


def vocabulary_of(tokenizer: Any) -> Vocabulary:
    """The special pieces that a tokenizer puts before and after a text, and those for padding and the unknown."""
    prefix, suffix = _special_pieces(tokenizer.backend_tokenizer)
    padding = tokenizer.pad_token_id or 0
    unknown = tokenizer.unk_token_id
    return Vocabulary(tuple(prefix), tuple(suffix), padding, padding if unknown is None else unknown)


def _special_pieces(tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """The special pieces that the tokenizer puts before and after a text; it neither cuts nor fills up from then on."""
    tokenizer.no_truncation()
    tokenizer.no_padding()
    inner = tokenizer.encode(["a"], is_pretokenized=True, add_special_tokens=False).ids
    whole = tokenizer.encode(["a"], is_pretokenized=True).ids
    for start in range(len(whole) - len(inner) + 1):
        if whole[start : start + len(inner)] == inner:
            return whole[:start], whole[start + len(inner) :]
    return [], []


def _position_limit(encoder: nn.Module, tokenizer: Any) -> int:
    """The longest input in pieces, special ones included."""
    config: Any = encoder.config
    limit = getattr(config, "max_position_embeddings", None) or 0
    if limit <= 0:
        return 512  # relative positions (XLNet): any length works, but the cost grows with its square
    table = next((part for name, part in encoder.named_modules() if name.endswith("position_embeddings")), None)
    padding = getattr(table, "padding_idx", None)  # RoBERTa and its kin count positions from the one after padding
    return int(min(limit - (0 if padding is None else padding + 1), max(tokenizer.model_max_length, 1)))
