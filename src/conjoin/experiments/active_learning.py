"""Active learning: which texts to annotate next.

The best ones are those whose annotations the model is least certain of, in both tasks, and that differ from one another.
The uncertainty of a sentence is the expected number of its words with a wrong tag, and of wrong decisions on its pairs of
entities (least confidence, Settles & Craven 2008, summed over decisions). Each is divided by its mean over the pool, so
that both tasks count alike, and their sum by the square root of the number of words: between uncertainty by sentence,
which favours long ones, and by word, which favours short ones. Similar sentences are avoided by maximal marginal relevance
(Carbonell & Goldstein 1998).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from conjoin.document import Document
from conjoin.errors import DataError, SettingError
from conjoin.extractor import Extractor

COMPARED = 10  # so many times the wanted number are compared with one another

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A document of the pool to be annotated next, with the model's annotations, and its index in the pool.

    `value` is how much is to be learnt from it, before its likeness to others is taken off. Words with a wrong tag and
    wrong decisions on pairs of entities are expected numbers.
    """

    document: Document
    place: int
    value: float
    uncertain_words: float
    uncertain_pairs: float


def suggest(extractor: Extractor, pool: Sequence[Document], count: int, *, diversity: float = 0.5) -> list[Suggestion]:
    """Choose `count` documents of a pool for annotation, best first.

    Args:
        pool: Documents without annotations, best one sentence each; those without words are never suggested.
        diversity: From 0 (uncertainty alone) to 1: the weight of a document's likeness to those that are chosen already.

    Raises:
        SettingError: `count` or `diversity` is out of range.
        DataError: The pool holds no text.
    """
    if count < 1 or not 0 <= diversity <= 1:
        raise SettingError("take a count of at least 1 and a diversity from 0 to 1")
    places = [place for place, document in enumerate(pool) if document.tokens]
    if not places:
        raise DataError("the pool holds no text; give texts that are not annotated yet")
    uncertainty = extractor.annotator.uncertainty([pool[place] for place in places])
    values = annotation_values(uncertainty, [len(pool[place].tokens) for place in places])
    order = np.argsort(-values, kind="stable")[: COMPARED * count]
    vectors = word_vectors([pool[places[index]].words for index in order.tolist()])
    best = [int(order[index]) for index in diverse(values[order], vectors, count, diversity)]
    annotated = extractor.annotate([pool[places[index]] for index in best])
    return [
        Suggestion(document, places[index], float(values[index]), *uncertainty[index].tolist())
        for index, document in zip(best, annotated, strict=True)
    ]


def annotation_values(uncertainty: Floats, lengths: Sequence[int]) -> Floats:
    """The value of each document: its two uncertainties [document, 2], each over its mean, over the square root of its
    number of words."""
    means = uncertainty.mean(0)
    shares = np.divide(uncertainty, means, out=np.zeros_like(uncertainty), where=means > 0)
    value: Floats = shares.sum(1) / np.sqrt(np.maximum(np.array(lengths), 1))
    return value


def word_vectors(texts: Sequence[Sequence[str]]) -> list[Mapping[str, float]]:
    """The lower-cased words of each text as a sparse vector of length 1, rare words with the largest weights (tf-idf)."""
    counts = [Counter(word.lower() for word in words) for words in texts]
    frequencies = Counter(word for row in counts for word in row)
    vectors: list[Mapping[str, float]] = []
    for row in counts:
        weights = {word: count * math.log(1 + len(counts) / frequencies[word]) for word, count in row.items()}
        length = math.sqrt(sum(weight**2 for weight in weights.values())) or 1.0
        vectors.append({word: weight / length for word, weight in weights.items()})
    return vectors


def diverse(values: Floats, vectors: Sequence[Mapping[str, float]], count: int, diversity: float) -> list[int]:
    """Indices of valuable texts that differ, chosen one by one: always the one with the highest value, less its cosine to
    the most similar one chosen before."""
    scale = float(values.max(initial=0.0)) or 1.0
    similarity = np.zeros(len(values))
    free = np.ones(len(values), dtype=bool)
    indices: list[int] = []
    while len(indices) < min(count, len(values)):
        gains = np.where(free, (1 - diversity) * values / scale - diversity * similarity, -np.inf)
        best = int(gains.argmax())
        indices.append(best)
        free[best] = False
        for index in free.nonzero()[0].tolist():
            cosine = sum(weight * vectors[best].get(word, 0.0) for word, weight in vectors[index].items())
            similarity[index] = max(similarity[index], cosine)
    return indices
