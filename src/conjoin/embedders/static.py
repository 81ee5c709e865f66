"""Vectors that depend on the word alone: pre-trained word vectors, and casing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from conjoin.embedders.casing import CASINGS, casing
from conjoin.embedders.embedder import Features, Texts, pad_words, word_counts
from conjoin.embedders.vector_table import VectorTable

SAVED = "words.json"


class WordVectors(nn.Module):
    """Frozen word vectors (GloVe in Crone 2020 §3.1).

    The vectors of the training data's words are part of the model; other words are looked up in `table`, the file of
    all vectors, when it is at hand. A word that neither knows is tried in lower case, then has the vector 0.
    """

    vectors: Tensor

    def __init__(self, words: Iterable[str], vectors: Tensor, *, table: VectorTable | None = None) -> None:
        """words: those of the training data that have a vector; vectors: [word, width]."""
        super().__init__()
        self.index = {word: number for number, word in enumerate(words)}
        self.register_buffer("vectors", vectors)
        self.table = table
        self.width = vectors.shape[1]

    @classmethod
    def from_table(cls, table: VectorTable, texts: Iterable[Iterable[str]]) -> WordVectors:
        """Take from a table the vectors of the words of the training data, as spelt there and in lower case."""
        spelt = dict.fromkeys(word for words in texts for word in words)
        found: Mapping[str, Tensor] = {
            word: vector
            for word in dict.fromkeys(form for word in spelt for form in (word, word.lower()))
            if (vector := table.find(word)) is not None
        }
        vectors = torch.stack(list(found.values())) if found else torch.zeros(0, table.width)
        return cls(found, vectors, table=table)

    sizes = staticmethod(word_counts)

    def find(self, word: str) -> Tensor | None:
        """The vector of a word as spelt or else in lower case [width], None when it has none."""
        for form in dict.fromkeys((word, word.lower())):
            if form in self.index:
                return self.vectors[self.index[form]].cpu()
            vector = self.table.find(form) if self.table is not None else None
            if vector is not None:
                return vector
        return None

    def features(self, texts: Texts) -> Features:
        """→ `vectors` [batch, word, width]."""
        unknown = torch.zeros(self.width)
        known: dict[str, Tensor] = {}
        for word in dict.fromkeys(word for words in texts for word in words):
            vector = self.find(word)
            known[word] = unknown if vector is None else vector
        empty = torch.zeros(0, self.width)
        return {"vectors": pad_words([torch.stack([known[w] for w in words]) if words else empty for words in texts])}

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """→ [batch, word, width]."""
        return features["vectors"]

    def save(self, folder: Path) -> None:
        """Write the words, in the order of their vectors."""
        value = {"width": self.width, "words": list(self.index)}
        (folder / SAVED).write_text(json.dumps(value, ensure_ascii=True) + "\n", encoding="utf-8")


def saved_words(folder: Path, *, table: VectorTable | None) -> WordVectors:
    """The word vectors of a saved model, still without their values."""
    value = json.loads((folder / SAVED).read_text(encoding="utf-8"))
    return WordVectors(value["words"], torch.zeros(len(value["words"]), value["width"]), table=table)


class CasingEmbedder(nn.Module):
    """The casing of a word, one-hot (Crone 2020, eq. 1)."""

    width = len(CASINGS)

    sizes = staticmethod(word_counts)

    def features(self, texts: Texts) -> Features:
        """→ `casings` [batch, word], counted from 1, 0 for padding."""
        rows = [torch.tensor([1 + casing(word) for word in words], dtype=torch.long) for words in texts]
        return {"casings": pad_words(rows)}

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """→ [batch, word, casing]."""
        return functional.one_hot(features["casings"], len(CASINGS) + 1)[..., 1:].float()

    def save(self, folder: Path) -> None:
        """Nothing to write."""
