"""The interface of embedders, and several joined into one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from conjoin.features.arrays import Arrays, Featuriser, Texts, joined
from conjoin.features.featurisers import JoinedFeaturiser
from conjoin.modeling.nn.containers import module_dict

Features = dict[str, Tensor]


class Embedder(Protocol):
    """Words to vectors: `features` on the CPU, then the module itself on the device."""

    width: int

    @property
    def featuriser(self) -> Featuriser:
        """Makes the arrays of `features`, also for exports. Raises `ModelError` for an embedder that has none."""

    def parts(self) -> Iterator[tuple[str, nn.Module]]:
        """The embedder itself and those inside it, each with the prefix of its features (`own_features`)."""

    def sizes(self, texts: Texts) -> list[int]:
        """The cost of each text, by which batches are filled: pieces, or words where there are none."""

    def features(self, texts: Texts) -> Features:
        """Tensors of a batch of texts, each a list of words."""

    def __call__(self, features: Mapping[str, Tensor]) -> Tensor:
        """features of `features` → [batch, word, width]; zeros for padding."""

    def save(self, folder: Path) -> None:
        """Write all but the weights into a model folder."""


class JoinedEmbedder(nn.Module):
    """Concatenates the vectors of several embedders (Crone 2020, eq. 1)."""

    def __init__(self, members: Mapping[str, Embedder]) -> None:
        super().__init__()
        self.members = module_dict(members)
        self.width = sum(member.width for member in members.values())

    @property
    def featuriser(self) -> Featuriser:
        return JoinedFeaturiser({name: member.featuriser for name, member in self.members.items()})

    def parts(self) -> Iterator[tuple[str, nn.Module]]:
        yield "", self
        for name, member in self.members.items():
            yield from ((f"{name}.{inner}", part) for inner, part in member.parts())

    def sizes(self, texts: Texts) -> list[int]:
        return [max(costs) for costs in zip(*(member.sizes(texts) for member in self.members.values()), strict=True)]

    def features(self, texts: Texts) -> Features:
        """The features of all members, named `member.feature`."""
        return joined({name: member.features(texts) for name, member in self.members.items()})

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        vectors = [member(own_features(f"{name}.", features)).float() for name, member in self.members.items()]
        return torch.cat(vectors, dim=-1)

    def save(self, folder: Path) -> None:
        for member in self.members.values():
            member.save(folder)


def as_tensors(arrays: Arrays) -> Features:
    """Arrays as tensors that share their memory."""
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def own_features(prefix: str, features: Mapping[str, Tensor]) -> Features:
    """The features whose names begin with a prefix, such as `words.`, without it."""
    return {key.removeprefix(prefix): value for key, value in features.items() if key.startswith(prefix)}


def pad_words(rows: Sequence[Tensor]) -> Tensor:
    """Rows [word, …] as one tensor [batch, word, …], padded with zeros."""
    return nn.utils.rnn.pad_sequence(list(rows), batch_first=True)
