"""Frozen encoders: their layers are computed once a text, kept, and mixed by trained weights."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from conjoin.errors import ModelError
from conjoin.features.arrays import Featuriser, Texts
from conjoin.modeling.embedders.embedder import Features, pad_words
from conjoin.modeling.embedders.feature_cache import FeatureCache, FeatureFile
from conjoin.modeling.embedders.transformer import TransformerEmbedder
from conjoin.modeling.nn.layers import LayerMix

_reading = threading.Lock()  # a file of vectors is read and added to by one thread at a time


class LayeredEncoder(Protocol):
    """A pre-trained encoder that gives every word one vector a layer."""

    width: int
    layer_count: int

    @property
    def transformer(self) -> TransformerEmbedder | None:
        """The transformer inside, which mixes the layers of vectors that are used once by itself; None for ELMo."""

    def sizes(self, texts: Texts) -> list[int]:
        """The cost of each text."""

    def vectors(self, texts: Texts) -> list[Tensor]:
        """[word, layer, width] of each text, on the CPU."""

    def settings(self) -> str:
        """Whatever beside its weights changes its vectors."""

    def save(self, folder: Path) -> None:
        """Write into a model folder what the weights do not hold."""


class FrozenEmbedder(nn.Module):
    """A frozen encoder with a trained mix of its layers (Crone 2020 §3.1 and footnote 1; Peters et al. 2018, eq. 1).

    In training vectors are rounded to half precision whether they come from the cache or not. Those in the cache were
    computed among other texts, which changes their last bits: runs with and without it agree to about a thousandth, not to
    the bit. So do vectors that are used once: out of training and without a cache the layers of a transformer are mixed as
    they come, nothing rounded and nothing kept.
    """

    def __init__(self, encoder: LayeredEncoder, *, cache: FeatureCache | None = None) -> None:
        super().__init__()
        self.encoder = encoder
        for parameter in encoder.parameters():  # type: ignore[attr-defined]
            parameter.requires_grad_(False)
        self.mix = LayerMix(encoder.layer_count) if encoder.layer_count > 1 else None
        self.width = encoder.width
        self.cache = cache
        self._file: FeatureFile | None = None

    def train(self, mode: bool = True) -> FrozenEmbedder:
        """Switch to training; the encoder itself never does."""
        super().train(mode)
        self.encoder.eval()  # type: ignore[attr-defined]
        return self

    @property
    def featuriser(self) -> Featuriser:
        """The transformer's."""
        if self.encoder.transformer is None:
            raise ModelError("a model that reads ELMo is not exported; use it with torch")
        return self.encoder.transformer.featuriser

    def parts(self) -> Iterator[tuple[str, nn.Module]]:
        """The embedder itself and those inside."""
        yield "", self
        if self.encoder.transformer is not None:
            yield from self.encoder.transformer.parts()

    def sizes(self, texts: Texts) -> list[int]:
        """The cost of each text for the encoder."""
        return self.encoder.sizes(texts)

    def features(self, texts: Texts) -> Features:
        """→ `layers` [batch, word, layer, width], half precision; for vectors used once, the transformer's own features."""
        if not self.training and self.cache is None and self.encoder.transformer is not None:
            return self.encoder.transformer.features(texts)
        return {"layers": pad_words([torch.from_numpy(rows) for rows in self._rows(texts)])}

    def _rows(self, texts: Texts) -> Sequence[np.ndarray]:
        """[word, layer, width] of each text: from the cache, where it has them."""
        if self.cache is None:
            return self._computed(texts)
        with _reading:
            return self._kept(self.cache, texts)

    def _kept(self, cache: FeatureCache, texts: Texts) -> Sequence[np.ndarray]:
        if self._file is None:
            shape = (self.encoder.layer_count, self.width)
            self._file = cache.open(self.fingerprint(), shape)
        found = [self._file.get(words) for words in texts]
        missing = [number for number, rows in enumerate(found) if rows is None]
        if missing:
            computed = self._computed([texts[number] for number in missing])
            self._file.add([texts[number] for number in missing], computed)
            for number, rows in zip(missing, computed, strict=True):
                found[number] = rows
        return [rows for rows in found if rows is not None]

    @torch.no_grad()
    def _computed(self, texts: Texts) -> list[np.ndarray]:
        return [rows.half().numpy() for rows in self.encoder.vectors(texts)]

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """→ [batch, word, width]."""
        if "layers" not in features and self.encoder.transformer is not None:
            return self.encoder.transformer.mixed(features, self.mix)
        layers = features["layers"]
        return layers[..., 0, :].float() if self.mix is None else self.mix(layers)

    def fingerprint(self) -> str:
        """A digest of the encoder's weights and settings: vectors of equal fingerprints are equal."""
        digest = hashlib.blake2b(self.encoder.settings().encode(), digest_size=16)
        for name, value in sorted(self.encoder.state_dict().items()):  # type: ignore[attr-defined]
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def save(self, folder: Path) -> None:
        """The encoder writes its own."""
        self.encoder.save(folder)


class FrozenTransformer(nn.Module):
    """The layers of a Hugging Face encoder, all of them or the last one."""

    def __init__(self, transformer: TransformerEmbedder, *, all_layers: bool) -> None:
        super().__init__()
        self.transformer = transformer
        self.all_layers = all_layers
        self.width = transformer.width
        self.layer_count = transformer.layer_count if all_layers else 1

    def sizes(self, texts: Texts) -> list[int]:
        """As `PieceFeaturiser.sizes`."""
        return self.transformer.sizes(texts)

    def vectors(self, texts: Texts) -> list[Tensor]:
        """[word, layer, width] of each text, on the CPU; layer 0 is the input embedding."""
        features = {name: value.to(self.transformer.device) for name, value in self.transformer.features(texts).items()}
        with torch.autocast(self.transformer.device.type, enabled=False):
            layers = self.transformer.layers(features) if self.all_layers else self.transformer(features).unsqueeze(2)
        return [rows[: len(words)].cpu() for rows, words in zip(layers, texts, strict=True)]

    def settings(self) -> str:
        """Pooling, windows, layers and the tokenizer."""
        transformer = self.transformer
        pieces = transformer.featuriser
        parts = [transformer.word_pooling, pieces.window, pieces.overlap, self.all_layers, pieces.tokenizer.to_str()]
        return repr(["transformer", *parts, transformer.encoder.config.to_json_string()])  # type: ignore[union-attr, operator]

    def save(self, folder: Path) -> None:
        """Configuration and tokenizer."""
        self.transformer.save(folder)
