"""Which texts to annotate next: those that a model is least sure of in both tasks, and that differ from one another.

The doubt of a sentence is the expected number of its words with a wrong tag, and of wrong decisions on its pairs of
entities (the least confidence of Settles & Craven 2008, summed over decisions). Each is divided by its mean over the pool,
so that both tasks count alike, and their sum by the square root of the number of words, which is between the most doubt a
sentence and the most doubt a word. Of the best, those are taken one by one whose words are least like those of the ones
taken before (maximal marginal relevance, Carbonell & Goldstein 1998).
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

LOOKED_AT = 10  # times as many as are wanted are compared with one another


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A document of the pool as the model annotates it, its place in the pool, and what it is worth."""

    document: Document
    place: int
    value: float
    words_in_doubt: float
    pairs_in_doubt: float


def suggest(extractor: Extractor, pool: Sequence[Document], count: int, *, diversity: float = 0.5) -> list[Suggestion]:
    """The `count` documents of a pool that are worth most, best first, with the model's annotations.

    `diversity` from 0 (doubt alone) to 1 says how much likeness to what was taken before costs. Documents are sentences, or
    what else was annotated as one; those without words are never suggested. Raises `SettingError`, `DataError` for an empty
    pool.
    """
    if count < 1 or not 0 <= diversity <= 1:
        raise SettingError("take a count of at least 1 and a diversity from 0 to 1")
    places = [place for place, document in enumerate(pool) if document.tokens]
    if not places:
        raise DataError("the pool holds no text; give texts that are not annotated yet")
    doubts = extractor.annotator.uncertainty([pool[place] for place in places])
    values = worth(doubts, [len(pool[place].tokens) for place in places])
    order = np.argsort(-values, kind="stable")[: LOOKED_AT * count]
    vectors = word_vectors([pool[places[index]].words for index in order.tolist()])
    taken = [int(order[index]) for index in spread(values[order], vectors, count, diversity)]
    annotated = extractor.annotate([pool[places[index]] for index in taken])
    return [
        Suggestion(document, places[index], float(values[index]), *doubts[index].tolist())
        for index, document in zip(taken, annotated, strict=True)
    ]


def worth(doubts: NDArray[np.float64], lengths: Sequence[int]) -> NDArray[np.float64]:
    """The value of each document: its doubts, each over its mean, over the square root of its words."""
    means = doubts.mean(0)
    shares = np.divide(doubts, means, out=np.zeros_like(doubts), where=means > 0)
    value: NDArray[np.float64] = shares.sum(1) / np.sqrt(np.maximum(np.array(lengths), 1))
    return value


def word_vectors(texts: Sequence[Sequence[str]]) -> list[Mapping[str, float]]:
    """The words of each text, lower case, weighed by how rare they are among the texts, as vectors of length 1."""
    bags = [Counter(word.lower() for word in words) for words in texts]
    found = Counter(word for bag in bags for word in bag)
    result: list[Mapping[str, float]] = []
    for bag in bags:
        weights = {word: count * math.log(1 + len(bags) / found[word]) for word, count in bag.items()}
        length = math.sqrt(sum(weight**2 for weight in weights.values())) or 1.0
        result.append({word: weight / length for word, weight in weights.items()})
    return result


def spread(
    values: NDArray[np.float64], vectors: Sequence[Mapping[str, float]], count: int, diversity: float
) -> list[int]:
    """Indices taken one by one: always the one with the most value, less its likeness to the most like of those taken."""
    scale = float(values.max(initial=0.0)) or 1.0
    likeness = np.zeros(len(values))
    open_ = np.ones(len(values), dtype=bool)
    taken: list[int] = []
    while len(taken) < min(count, len(values)):
        gains = np.where(open_, (1 - diversity) * values / scale - diversity * likeness, -np.inf)
        best = int(gains.argmax())
        taken.append(best)
        open_[best] = False
        chosen = vectors[best]
        for index in open_.nonzero()[0].tolist():
            like = sum(weight * chosen.get(word, 0.0) for word, weight in vectors[index].items())
            likeness[index] = max(likeness[index], like)
    return taken
