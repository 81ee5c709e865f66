"""What is suggested: by hand, by the model's own probabilities, and through the command to a tool and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from conjoin.document import Document
from conjoin.errors import DataError, SettingError
from conjoin.experiments.active_learning import spread, suggest, word_vectors, worth
from conjoin.extractor import Extractor


@pytest.fixture(scope="module")
def extractor(trained_run: Path) -> Extractor:
    return Extractor.load(trained_run, device="cpu")


def test_value_by_hand() -> None:
    doubts = np.array([[2.0, 0.0], [1.0, 3.0], [0.0, 0.0]])  # means 1 and 1
    assert worth(doubts, [4, 16, 1]).tolist() == [1.0, 1.0, 0.0]
    assert worth(np.array([[1.0, 0.0]]), [1]).tolist() == [1.0], "a task without any doubt counts nothing"


def test_likeness_costs() -> None:
    vectors = word_vectors([["a", "b"], ["a", "b"], ["c", "d"]])
    values = np.array([1.0, 0.9, 0.5])
    assert spread(values, vectors, 2, 0.0) == [0, 1]
    assert spread(values, vectors, 2, 0.5) == [0, 2]
    assert spread(values, vectors, 9, 0.5) == [0, 2, 1]
    assert spread(np.zeros(3), vectors, 2, 0.5) == [0, 2]


def test_the_best_come_first_with_annotations(extractor: Extractor, documents: list[Document]) -> None:
    pool = [Document("", ()), *(document.bare() for document in documents)]
    found = suggest(extractor, pool, 2, diversity=0.0)
    values = worth(extractor.annotator.uncertainty(pool[1:]), [len(document.tokens) for document in pool[1:]])
    assert [one.place - 1 for one in found] == np.argsort(-values, kind="stable")[:2].tolist()
    assert [one.document for one in found] == extractor.annotate([pool[one.place] for one in found])
    assert len(suggest(extractor, pool, 99)) == len(documents), "never one without words"


def test_what_cannot_be_suggested(extractor: Extractor) -> None:
    with pytest.raises(DataError, match="the pool holds no text"):
        suggest(extractor, [Document("", ())], 1)
    with pytest.raises(SettingError, match="diversity from 0 to 1"):
        suggest(extractor, [], 1, diversity=2)
