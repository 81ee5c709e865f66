"""Rows of unequal lengths as arrays, and what every featuriser can do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Texts = Sequence[Sequence[str]]
Arrays = dict[str, NDArray[Any]]


class Featuriser(Protocol):
    """Words to arrays, without weights; it can be written as JSON and read back (`featurisers.load_featuriser`)."""

    def sizes(self, texts: Texts) -> list[int]:
        """The cost of each text, by which batches are filled: pieces, or words where there are none."""

    def arrays(self, texts: Texts) -> Arrays:
        """The arrays of a batch of texts, each a list of words."""

    def to_json(self) -> dict[str, Any]:
        """Its kind, settings and vocabulary."""


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
