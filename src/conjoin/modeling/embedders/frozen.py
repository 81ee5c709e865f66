"""Frozen encoders: cached vectors of their layers, and a trained mix of these."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from conjoin.errors import ModelError
from conjoin.features.arrays import Featuriser, Texts
from conjoin.modeling.embedders.embedder import Features, pad_words
from conjoin.modeling.embedders.feature_cache import FeatureCache, FeatureFile
from conjoin.modeling.embedders.transformer import TransformerEmbedder
from conjoin.modeling.nn.layers import LayerMix

_FILE_LOCK = threading.Lock()  # one thread at a time reads or writes a feature file


class LayeredEncoder(Protocol):
    """A pre-trained encoder with one vector per word and layer."""

    width: int
    layer_count: int

    @property
    def transformer(self) -> TransformerEmbedder | None:
        """The transformer inside, or None for ELMo."""

    def sizes(self, texts: Texts) -> list[int]: ...

    def vectors(self, texts: Texts) -> list[Tensor]:
        """[word, layer, width] of each text, on the CPU."""

    def settings(self) -> str:
        """All settings that its vectors depend on."""

    def save(self, folder: Path) -> None:
        """Write all but the weights into a model folder."""

    def parameters(self) -> Iterator[nn.Parameter]: ...
    def state_dict(self) -> Mapping[str, Tensor]: ...
    def eval(self) -> Any: ...


class FrozenEmbedder(nn.Module):
    """A frozen encoder with a trained mix of its layers (Crone 2020 §3.1 and footnote 1; Peters et al. 2018, eq. 1).

    In training, vectors are rounded to half precision, cached or not. Cached ones were computed in other batches, which
    changes their last bits: runs with and without a cache agree to about a thousandth. Outside training and without a
    cache, the layers of a transformer are mixed as they are computed, without rounding.
    """

    def __init__(self, encoder: LayeredEncoder, *, cache: FeatureCache | None = None) -> None:
        super().__init__()
        self.encoder = encoder
        for parameter in encoder.parameters():
            parameter.requires_grad_(False)
        self.mix = LayerMix(encoder.layer_count) if encoder.layer_count > 1 else None
        self.width = encoder.width
        self.cache = cache
        self._file: FeatureFile | None = None

    def train(self, mode: bool = True) -> FrozenEmbedder:
        """Switch all but the encoder to training."""
        super().train(mode)
        self.encoder.eval()
        return self

    @property
    def featuriser(self) -> Featuriser:
        if self.encoder.transformer is None:
            raise ModelError("models with ELMo cannot be exported; use the model with torch")
        return self.encoder.transformer.featuriser

    def parts(self) -> Iterator[tuple[str, nn.Module]]:
        yield "", self
        if self.encoder.transformer is not None:
            yield from self.encoder.transformer.parts()

    def sizes(self, texts: Texts) -> list[int]:
        return self.encoder.sizes(texts)

    def features(self, texts: Texts) -> Features:
        """`layers` [batch, word, layer, width] in half precision; or those of the transformer, to be mixed directly."""
        if not self.training and self.cache is None and self.encoder.transformer is not None:
            return self.encoder.transformer.features(texts)
        return {"layers": pad_words([torch.from_numpy(rows) for rows in self._rows(texts)])}

    def _rows(self, texts: Texts) -> Sequence[np.ndarray]:
        """[word, layer, width] of each text, from the cache or computed."""
        if self.cache is None:
            return self._compute(texts)
        with _FILE_LOCK:
            return self._cached_rows(self.cache, texts)

    def _cached_rows(self, cache: FeatureCache, texts: Texts) -> Sequence[np.ndarray]:
        if self._file is None:
            self._file = cache.open(self.fingerprint(), (self.encoder.layer_count, self.width))
        vectors = [self._file.get(words) for words in texts]
        missing = [words for words, rows in zip(texts, vectors, strict=True) if rows is None]
        computed = self._compute(missing) if missing else []
        if missing:
            self._file.add(missing, computed)
        remaining = iter(computed)
        return [next(remaining) if rows is None else rows for rows in vectors]

    @torch.no_grad()
    def _compute(self, texts: Texts) -> list[np.ndarray]:
        return [rows.half().numpy() for rows in self.encoder.vectors(texts)]

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        if "layers" not in features and self.encoder.transformer is not None:
            return self.encoder.transformer.mixed(features, self.mix)
        layers = features["layers"]
        return layers[..., 0, :].float() if self.mix is None else self.mix(layers)

    def fingerprint(self) -> str:
        """A digest of the weights and settings that the vectors depend on."""
        digest = hashlib.blake2b(self.encoder.settings().encode(), digest_size=16)
        for name, value in sorted(self.encoder.state_dict().items()):
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def save(self, folder: Path) -> None:
        self.encoder.save(folder)


class FrozenTransformer(nn.Module):
    """All layers of a Hugging Face encoder, or the last one."""

    def __init__(self, transformer: TransformerEmbedder, *, all_layers: bool) -> None:
        super().__init__()
        self.transformer = transformer
        self.all_layers = all_layers
        self.width = transformer.width
        self.layer_count = transformer.layer_count if all_layers else 1

    def sizes(self, texts: Texts) -> list[int]:
        return self.transformer.sizes(texts)

    def vectors(self, texts: Texts) -> list[Tensor]:
        """[word, layer, width] of each text, on the CPU; layer 0 is the input embedding."""
        features = {name: value.to(self.transformer.device) for name, value in self.transformer.features(texts).items()}
        with torch.autocast(self.transformer.device.type, enabled=False):
            layers = self.transformer.layers(features) if self.all_layers else self.transformer(features).unsqueeze(2)
        return [rows[: len(words)].cpu() for rows, words in zip(layers, texts, strict=True)]

    def settings(self) -> str:
        transformer = self.transformer
        pieces = transformer.featuriser
        parts = [transformer.word_pooling, pieces.window, pieces.overlap, self.all_layers, pieces.tokenizer.to_str()]
        return repr(["transformer", *parts, transformer.encoder.config.to_json_string()])

    def save(self, folder: Path) -> None:
        self.transformer.save(folder)
