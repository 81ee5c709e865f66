"""What every embedder can do, and several of them as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from conjoin.features.arrays import Arrays, Texts, joined

Features = dict[str, Tensor]


class Embedder(Protocol):
    """Words to vectors: `features` on the CPU, then the module itself on the device."""

    width: int

    def sizes(self, texts: Texts) -> list[int]:
        """The cost of each text, by which batches are filled: pieces, or words where there are none."""

    def features(self, texts: Texts) -> Features:
        """Tensors of a batch of texts, each a list of words."""

    def __call__(self, features: Mapping[str, Tensor]) -> Tensor:
        """features as from `features` → [batch, word, width]; zeros beyond a text's words."""

    def save(self, folder: Path) -> None:
        """Write into a model folder what `weights.safetensors` does not hold."""


class JoinedEmbedder(nn.Module):
    """The vectors of several embedders joined: v = v¹ ∘ v² ∘ … (Crone 2020, eq. 1)."""

    def __init__(self, parts: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleDict(parts)
        self.width = sum(int(part.width) for part in parts.values())  # type: ignore[arg-type, misc]

    def sizes(self, texts: Texts) -> list[int]:
        """The largest cost that any part names."""
        return [max(costs) for costs in zip(*(part.sizes(texts) for part in self.parts.values()), strict=True)]  # type: ignore[operator]

    def features(self, texts: Texts) -> Features:
        """The features of all parts, named `part.feature`."""
        return features_of(self.parts, texts)

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """→ [batch, word, width]."""
        return torch.cat([part(own_features(name, features)).float() for name, part in self.parts.items()], dim=-1)

    def save(self, folder: Path) -> None:
        """Every part writes its own."""
        for part in self.parts.values():
            part.save(folder)  # type: ignore[operator]


def as_tensors(arrays: Arrays) -> Features:
    """Arrays as tensors over the same memory."""
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def features_of(parts: Mapping[str, nn.Module] | nn.ModuleDict, texts: Texts) -> Features:
    """The features of several embedders, named `part.feature`."""
    return joined({name: part.features(texts) for name, part in parts.items()})  # type: ignore[operator]


def own_features(part: str, features: Mapping[str, Tensor]) -> Features:
    """Of features as from `features_of` those of one part, under the names that it gave them."""
    prefix = f"{part}."
    return {key.removeprefix(prefix): value for key, value in features.items() if key.startswith(prefix)}


def pad_words(rows: Sequence[Tensor]) -> Tensor:
    """Rows [word, …] of any lengths as one tensor [batch, word, …], zeros beyond a row's words."""
    return nn.utils.rnn.pad_sequence(list(rows), batch_first=True)
