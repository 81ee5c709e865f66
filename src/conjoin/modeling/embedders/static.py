"""Vectors that depend on the word alone: pre-trained word vectors and casing."""

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
DIGESTED_WORDS = 200  # vectors in the digest that identifies a file


class WordVectors(nn.Module):
    """Frozen word vectors (GloVe in Crone 2020 §3.1).

    A word is looked up as spelt, then in lower case; without a match its vector is 0. Words of the training data and their
    vectors [word, width] are part of the model, others come from the `table` of the file.

    Attributes:
        coverage: Of a new model, how many distinct words of the training data have a vector, and how many there are.
    """

    vectors: Tensor

    def __init__(self, words: Iterable[str], vectors: Tensor, *, table: VectorTable | None = None) -> None:
        super().__init__()
        self.width = vectors.shape[1]
        self.coverage: tuple[int, int] | None = None
        self.featuriser = WordFeaturiser(words, width=self.width, table=table)
        self.sizes = self.featuriser.sizes
        self.register_buffer("vectors", vectors)

    @classmethod
    def from_table(cls, table: VectorTable, texts: Iterable[Iterable[str]]) -> WordVectors:
        """The vectors of the training data's words, as spelt and in lower case."""
        words = dict.fromkeys(word for words in texts for word in words)
        entries = {
            form: torch.from_numpy(vector)
            for form in dict.fromkeys(form for word in words for form in (word, word.lower()))
            if (vector := table.find(form)) is not None
        }
        vectors = torch.stack(list(entries.values())) if entries else torch.zeros(0, table.width)
        embedder = cls(entries, vectors, table=table)
        embedder.coverage = sum(word in entries or word.lower() in entries for word in words), len(words)
        return embedder

    def parts(self) -> Iterator[tuple[str, nn.Module]]:
        yield "", self

    def features(self, texts: Texts) -> Features:
        return as_tensors(self.featuriser.arrays(texts))

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        words, others = features["words"], features["others"]
        result = self.vectors.new_zeros(*words.shape, self.width)
        for table, places in ((self.vectors, words - 1), (others, words - 1 - len(self.vectors))):
            if len(table):
                inside = (places >= 0) & (places < len(table))
                result = torch.where(inside.unsqueeze(2), table[places.clamp(0, len(table) - 1)], result)
        return result

    def save(self, folder: Path) -> None:
        """Write the words in the order of their vectors, and a digest of the file of all vectors."""
        words = list(self.featuriser.index)
        rows = self.vectors.cpu().float().numpy()
        value = {"width": self.width, "words": words, "digest": _digest(rows[number] for number in _digested(words))}
        (folder / SAVED).write_text(json.dumps(value, ensure_ascii=True) + "\n", encoding="utf-8")


def word_coverage(model: nn.Module) -> tuple[int, int] | None:
    """The `coverage` of a new model's word vectors, or None without any."""
    return next((part.coverage for part in model.modules() if isinstance(part, WordVectors)), None)


def _digested(words: Sequence[str]) -> range:
    """The evenly spread numbers of the words in the digest."""
    return range(0, len(words), max(1, len(words) // DIGESTED_WORDS))


def _digest(vectors: Iterable[NDArray[np.float32]]) -> str:
    digest = hashlib.sha256()
    for vector in vectors:
        digest.update(np.ascontiguousarray(vector, dtype="<f4").tobytes())
    return digest.hexdigest()[:16]


def saved_words(folder: Path, *, source: str, cache: Path) -> WordVectors:
    """The word vectors of a saved model, without values, with the table of `source` if it still exists and fits."""
    value = json.loads((folder / SAVED).read_text(encoding="utf-8"))
    words, width = value["words"], int(value["width"])
    table, problem, remedy = _open_table(source, cache)
    if table is not None:
        problem = _difference(table, words, width, value.get("digest"))
        remedy = "put the file that the model was trained with there"
    if problem:
        LOGGER.warning("the word vectors %s are not used (%s), so that words outside the training data have none; %s, or "
                       "ignore this", source, problem, remedy)
    return WordVectors(words, torch.zeros(len(words), width), table=None if problem else table)


def _open_table(source: str, cache: Path) -> tuple[VectorTable | None, str, str]:
    """The table of a file, or None with the problem and its remedy."""
    if not Path(source).expanduser().exists():
        return None, "no such file", "put the file back"
    try:
        return VectorTable.open(source, cache=cache), "", ""
    except ModelError as error:
        return None, str(error).partition(";")[0], "the file is there but damaged: download it again"
    except OSError as error:
        return None, error.strerror or str(error), "make the file readable"


def _difference(table: VectorTable, words: Sequence[str], width: int, digest: str | None) -> str:
    """How a table differs from that of the training; without a digest only the width is compared."""
    if table.width != width:
        return f"its vectors have {table.width} values, the model's {width}"
    vectors = [table.find(words[number]) for number in _digested(words)]
    if digest is not None and digest != _digest(vector for vector in vectors if vector is not None):
        return "it has other vectors for the words of the training data"
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
        yield "", self

    def features(self, texts: Texts) -> Features:
        return as_tensors(self.featuriser.arrays(texts))

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """→ [batch, word, casing]."""
        return functional.one_hot(features["casings"], len(CASINGS) + 1)[..., 1:].float()

    def save(self, folder: Path) -> None:
        """There is nothing to write."""
