"""What every embedder can do, and several of them as one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from conjoin.features.arrays import Arrays, Featuriser, Texts, joined
from conjoin.features.featurisers import JoinedFeaturiser

Features = dict[str, Tensor]


class Embedder(Protocol):
    """Words to vectors: `features` on the CPU, then the module itself on the device."""

    width: int

    @property
    def featuriser(self) -> Featuriser:
        """Makes the arrays of `features`, also for an export. Raises `ModelError` for an embedder without one."""

    def parts(self) -> Iterator[tuple[str, nn.Module]]:
        """The embedder itself and all embedders inside, each with the prefix of its features (`own_features`)."""

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
        self.members = nn.ModuleDict(parts)
        self.width = sum(int(part.width) for part in parts.values())  # type: ignore[arg-type, misc]

    @property
    def featuriser(self) -> Featuriser:
        """Those of all members."""
        return JoinedFeaturiser({name: part.featuriser for name, part in self.members.items()})  # type: ignore[misc]

    def parts(self) -> Iterator[tuple[str, nn.Module]]:
        """The embedder itself and all embedders inside, with the prefixes of their features."""
        yield "", self
        for name, member in self.members.items():
            yield from ((f"{name}.{inner}", part) for inner, part in member.parts())  # type: ignore[operator]

    def sizes(self, texts: Texts) -> list[int]:
        """The largest cost that any member names."""
        return [max(costs) for costs in zip(*(part.sizes(texts) for part in self.members.values()), strict=True)]  # type: ignore[operator]

    def features(self, texts: Texts) -> Features:
        """The features of all parts, named `part.feature`."""
        return features_of(self.members, texts)

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """→ [batch, word, width]."""
        return torch.cat([part(own_features(f"{name}.", features)).float() for name, part in self.members.items()], dim=-1)

    def save(self, folder: Path) -> None:
        """Every part writes its own."""
        for part in self.members.values():
            part.save(folder)  # type: ignore[operator]


def as_tensors(arrays: Arrays) -> Features:
    """Arrays as tensors over the same memory."""
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def features_of(parts: Mapping[str, nn.Module] | nn.ModuleDict, texts: Texts) -> Features:
    """The features of several embedders, named `part.feature`."""
    return joined({name: part.features(texts) for name, part in parts.items()})  # type: ignore[operator]


def own_features(prefix: str, features: Mapping[str, Tensor]) -> Features:
    """The features of one part, under its own names. `prefix` is that of their names, such as `words.`."""
    return {key.removeprefix(prefix): value for key, value in features.items() if key.startswith(prefix)}


def pad_words(rows: Sequence[Tensor]) -> Tensor:
    """Rows [word, …] of any lengths as one tensor [batch, word, …], zeros beyond a row's words."""
    return nn.utils.rnn.pad_sequence(list(rows), batch_first=True)
