"""Vectors that depend on the word alone: pre-trained word vectors, and casing."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from conjoin.embedders.embedder import Features, as_tensors
from conjoin.errors import ModelError
from conjoin.features.arrays import Texts
from conjoin.features.casing import CASINGS, CasingReader
from conjoin.features.vector_table import VectorTable
from conjoin.features.words import WordReader

LOGGER = logging.getLogger("conjoin")
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
        self.width = vectors.shape[1]
        self.reader = WordReader(words, width=self.width, table=table)
        self.sizes = self.reader.sizes
        self.register_buffer("vectors", vectors)

    @classmethod
    def from_table(cls, table: VectorTable, texts: Iterable[Iterable[str]]) -> WordVectors:
        """Take from a table the vectors of the words of the training data, as spelt there and in lower case."""
        spelt = dict.fromkeys(word for words in texts for word in words)
        found = {
            word: torch.from_numpy(vector)
            for word in dict.fromkeys(form for word in spelt for form in (word, word.lower()))
            if (vector := table.find(word)) is not None
        }
        vectors = torch.stack(list(found.values())) if found else torch.zeros(0, table.width)
        return cls(found, vectors, table=table)

    def features(self, texts: Texts) -> Features:
        """As `WordReader.arrays`."""
        return as_tensors(self.reader.arrays(texts))

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """→ [batch, word, width]."""
        words, others = features["words"], features["others"]
        result = self.vectors.new_zeros(*words.shape, self.width)
        for table, places in ((self.vectors, words - 1), (others, words - 1 - len(self.vectors))):
            if len(table):
                held = (places >= 0) & (places < len(table))
                result = torch.where(held.unsqueeze(2), table[places.clamp(0, len(table) - 1)], result)
        return result

    def save(self, folder: Path) -> None:
        """Write the words, in the order of their vectors."""
        value = {"width": self.width, "words": list(self.reader.index)}
        (folder / SAVED).write_text(json.dumps(value, ensure_ascii=True) + "\n", encoding="utf-8")


def saved_words(folder: Path, *, source: str, cache: Path) -> WordVectors:
    """The word vectors of a saved model, still without their values, with the table of `source` if it is still there."""
    value = json.loads((folder / SAVED).read_text(encoding="utf-8"))
    table = _table_at_hand(source, cache, int(value["width"]))
    return WordVectors(value["words"], torch.zeros(len(value["words"]), value["width"]), table=table)


def _table_at_hand(source: str, cache: Path, width: int) -> VectorTable | None:
    """The table that a model was trained with, or a warning. It was then read from the same path; a file that lies there
    now may be another one, of which the width is all that can be told."""
    try:
        table = VectorTable.open(source, cache=cache)
        wrong = f"its vectors have {table.width} values, the model's {width}" if table.width != width else ""
    except (ModelError, OSError) as error:
        wrong = str(error).partition(";")[0]
    if not wrong:
        return table
    LOGGER.warning("the word vectors %s are left out (%s): words that the training data lack have none; put the file back, "
                   "or do without them", source, wrong)
    return None


class CasingEmbedder(nn.Module):
    """The casing of a word, one-hot (Crone 2020, eq. 1)."""

    width = len(CASINGS)

    def __init__(self) -> None:
        super().__init__()
        self.reader = CasingReader()
        self.sizes = self.reader.sizes

    def features(self, texts: Texts) -> Features:
        """As `CasingReader.arrays`."""
        return as_tensors(self.reader.arrays(texts))

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """→ [batch, word, casing]."""
        return functional.one_hot(features["casings"], len(CASINGS) + 1)[..., 1:].float()

    def save(self, folder: Path) -> None:
        """Nothing to write."""
