"""Rows of unequal lengths as arrays, and the arrays of several readers under one roof."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Texts = Sequence[Sequence[str]]
Arrays = dict[str, NDArray[Any]]


class Reader(Protocol):
    """Words to arrays."""

    def sizes(self, texts: Texts) -> list[int]:
        """The cost of each text, by which batches are filled: pieces, or words where there are none."""

    def arrays(self, texts: Texts) -> Arrays:
        """The arrays of a batch of texts, each a list of words."""


class JoinedReader:
    """Several readers as one; their arrays are named `reader.array`."""

    def __init__(self, parts: Mapping[str, Reader]) -> None:
        self.parts = dict(parts)

    def sizes(self, texts: Texts) -> list[int]:
        """The largest cost that any part names."""
        return [max(costs) for costs in zip(*(part.sizes(texts) for part in self.parts.values()), strict=True)]

    def arrays(self, texts: Texts) -> Arrays:
        """The arrays of all parts."""
        return joined({name: part.arrays(texts) for name, part in self.parts.items()})


def joined(parts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Of several groups of named values one, with the names `group.name`."""
    return {f"{name}.{key}": value for name, group in parts.items() for key, value in group.items()}


def padded(rows: Sequence[Sequence[int]], filler: int = 0) -> NDArray[np.int64]:
    """Rows of whole numbers as one array [row, longest], with a filler beyond their ends."""
    longest = max(map(len, rows), default=0)
    table = np.full((len(rows), longest), filler, dtype=np.int64)
    for number, row in enumerate(rows):
        table[number, : len(row)] = row
    return table


def word_counts(texts: Texts) -> list[int]:
    """The words of each text: the cost of what reads no pieces."""
    return [len(words) for words in texts]
