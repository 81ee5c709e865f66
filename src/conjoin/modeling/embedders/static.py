"""Vectors that depend on the word alone: pre-trained word vectors, and casing."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from conjoin.errors import ModelError
from conjoin.features.arrays import Texts
from conjoin.features.casing import CASINGS, CasingFeaturiser
from conjoin.features.vector_table import VectorTable
from conjoin.features.words import WordFeaturiser
from conjoin.modeling.embedders.embedder import Features, as_tensors

LOGGER = logging.getLogger("conjoin")
SAVED = "words.json"
DIGESTED_WORDS = 200  # as many vectors tell one file from another


class WordVectors(nn.Module):
    """Frozen word vectors (GloVe in Crone 2020 §3.1).

    The vectors of the training data's words are part of the model; other words are looked up in `table`, the file of
    all vectors, when it is at hand. A word that neither knows is tried in lower case, then has the vector 0.
    `coverage`, of a new model: how many distinct words of the training data have a vector, and how many there are.
    """

    vectors: Tensor

    def __init__(self, words: Iterable[str], vectors: Tensor, *, table: VectorTable | None = None) -> None:
        """words: those of the training data that have a vector; vectors: [word, width]."""
        super().__init__()
        self.width = vectors.shape[1]
        self.coverage: tuple[int, int] | None = None
        self.featuriser = WordFeaturiser(words, width=self.width, table=table)
        self.sizes = self.featuriser.sizes
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
        embedder = cls(found, vectors, table=table)
        embedder.coverage = sum(word in found or word.lower() in found for word in spelt), len(spelt)
        return embedder

    def parts(self) -> Iterator[tuple[str, nn.Module]]:
        """The embedder itself."""
        yield "", self

    def features(self, texts: Texts) -> Features:
        """As `WordFeaturiser.arrays`."""
        return as_tensors(self.featuriser.arrays(texts))

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
        """Write the words, in the order of their vectors, and what tells the file of these vectors from others."""
        words = list(self.featuriser.index)
        rows = self.vectors.cpu().float().numpy()
        value = {"width": self.width, "words": words, "digest": _digest(rows[number] for number in _some(words))}
        (folder / SAVED).write_text(json.dumps(value, ensure_ascii=True) + "\n", encoding="utf-8")


def word_coverage(model: nn.Module) -> tuple[int, int] | None:
    """How many distinct words of the training data have a word vector in a new model, and how many there are."""
    return next((part.coverage for part in model.modules() if isinstance(part, WordVectors)), None)


def _some(words: Sequence[str]) -> range:
    """The numbers of some of the words, evenly spread."""
    return range(0, len(words), max(1, len(words) // DIGESTED_WORDS))


def _digest(vectors: Iterable[NDArray[np.float32]]) -> str:
    digest = hashlib.sha256()
    for vector in vectors:
        digest.update(np.ascontiguousarray(vector, dtype="<f4").tobytes())
    return digest.hexdigest()[:16]


def saved_words(folder: Path, *, source: str, cache: Path) -> WordVectors:
    """The word vectors of a saved model, still without their values, with the table of `source` if it is still there."""
    value = json.loads((folder / SAVED).read_text(encoding="utf-8"))
    words, width = value["words"], int(value["width"])
    table, wrong, remedy = _table_at_hand(source, cache)
    if table is not None:
        wrong = _difference(table, words, width, value.get("digest"))
        remedy = "put the file that the model was trained with there"
    if wrong:
        LOGGER.warning("the word vectors %s are left out (%s): words that the training data lack have none; %s, or do "
                       "without them", source, wrong, remedy)
    return WordVectors(words, torch.zeros(len(words), width), table=None if wrong else table)


def _table_at_hand(source: str, cache: Path) -> tuple[VectorTable | None, str, str]:
    """The table that lies where a model was trained with one; or what is wrong, and the remedy."""
    if not Path(source).expanduser().exists():
        return None, "no such file", "put the file back"
    try:
        return VectorTable.open(source, cache=cache), "", ""
    except ModelError as error:
        return None, str(error).partition(";")[0], "the file is there but damaged: download it again"
    except OSError as error:
        return None, error.strerror or str(error), "see that it is a file that may be read"


def _difference(table: VectorTable, words: Sequence[str], width: int, digest: str | None) -> str:
    """How a table differs from that which a model was trained with; one saved without a digest knows the width alone."""
    if table.width != width:
        return f"its vectors have {table.width} values, the model's {width}"
    found = [table.find(words[number]) for number in _some(words)]
    if digest is not None and digest != _digest(vector for vector in found if vector is not None):
        return "its vectors of the training data's words are not the model's"
    return ""


class CasingEmbedder(nn.Module):
    """The casing of a word, one-hot (Crone 2020, eq. 1)."""

    width = len(CASINGS)
    shows_spelling = False

    def __init__(self) -> None:
        super().__init__()
        self.featuriser = CasingFeaturiser()
        self.sizes = self.featuriser.sizes

    def parts(self) -> Iterator[tuple[str, nn.Module]]:
        """The embedder itself."""
        yield "", self

    def features(self, texts: Texts) -> Features:
        """As `CasingFeaturiser.arrays`."""
        return as_tensors(self.featuriser.arrays(texts))

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """→ [batch, word, casing]."""
        return functional.one_hot(features["casings"], len(CASINGS) + 1)[..., 1:].float()

    def save(self, folder: Path) -> None:
        """Nothing to write."""
