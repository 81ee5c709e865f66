"""Numbers of word vectors."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from conjoin.features.arrays import Arrays, Texts, padded, word_counts
from conjoin.features.vector_table import Vector, VectorTable


class WordFeaturiser:
    """Numbers of the words of a model, and vectors of other words from the table of a file.

    A word is looked up as spelt, then in lower case.
    """

    kind = "words"

    def __init__(self, words: Iterable[str], *, width: int, table: VectorTable | None = None) -> None:
        self.index = {word: number for number, word in enumerate(words)}
        self.width = width
        self.table = table

    sizes = staticmethod(word_counts)

    def to_json(self) -> dict[str, Any]:
        """The words of the model, without the table."""
        return {"kind": self.kind, "words": list(self.index), "width": self.width}

    def _find(self, word: str) -> int | Vector | None:
        """The number of a word among the model's own, or its vector in the table [width]; as spelt, or in lower case."""
        for form in dict.fromkeys((word, word.lower())):
            if form in self.index:
                return self.index[form]
            vector = self.table.find(form) if self.table is not None else None
            if vector is not None:
                return vector
        return None

    def arrays(self, texts: Texts) -> Arrays:
        """`words` [batch, word]: 0 for padding and words without a vector, then the model's words from 1, then those of
        `others` [other word, width], vectors from the table."""
        others: list[Vector] = []
        numbers: dict[str, int] = {}
        for word in dict.fromkeys(word for words in texts for word in words):
            match = self._find(word)
            if isinstance(match, np.ndarray):
                others.append(match)
                match = len(self.index) + len(others) - 1
            numbers[word] = 0 if match is None else 1 + match
        return {
            "words": padded([[numbers[word] for word in words] for words in texts]),
            "others": np.stack(others) if others else np.zeros((0, self.width), dtype=np.float32),
        }
