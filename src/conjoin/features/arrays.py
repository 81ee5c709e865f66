"""The interface of featurisers, and padded arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Texts = Sequence[Sequence[str]]
Arrays = dict[str, NDArray[Any]]


class Featuriser(Protocol):
    """Words to arrays, without weights; saved as JSON and loaded by `featurisers.load_featuriser`."""

    def sizes(self, texts: Texts) -> list[int]:
        """The cost of each text, by which batches are filled: pieces, or words where there are none."""

    def arrays(self, texts: Texts) -> Arrays:
        """The arrays of a batch of texts, each a list of words."""

    def to_json(self) -> dict[str, Any]:
        """Its kind, settings and vocabulary."""


def joined(parts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Groups of named values as one, with names `group.name`."""
    return {f"{name}.{key}": value for name, group in parts.items() for key, value in group.items()}


def padded(
    rows: Sequence[Sequence[int] | NDArray[np.int64]], filler: int = 0, *, min_length: int = 0
) -> NDArray[np.int64]:
    """Rows of integers as one array [row, longest], padded with a filler."""
    table = np.full((len(rows), max(min_length, *map(len, rows), 0)), filler, dtype=np.int64)
    for number, row in enumerate(rows):
        table[number, : len(row)] = row
    return table


def word_counts(texts: Texts) -> list[int]:
    """The words of each text: the cost of a featuriser without pieces."""
    return [len(words) for words in texts]
