"""Suggestions: values by hand, uncertainty by the model's own probabilities, the order of the best."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from conjoin.document import Document
from conjoin.errors import DataError, SettingError
from conjoin.experiments.active_learning import annotation_values, diverse, suggest, word_vectors
from conjoin.extractor import Extractor


@pytest.fixture(scope="module")
def extractor(trained_run: Path) -> Extractor:
    return Extractor.load(trained_run, device="cpu")


def test_value_by_hand() -> None:
    uncertainty = np.array([[2.0, 0.0], [1.0, 3.0], [0.0, 0.0]])  # means 1 and 1
    assert annotation_values(uncertainty, [4, 16, 1]).tolist() == [1.0, 1.0, 0.0]
    assert annotation_values(np.array([[1.0, 0.0]]), [1]).tolist() == [1.0], "a task without uncertainty counts nothing"


def test_likeness_costs() -> None:
    vectors = word_vectors([["a", "b"], ["a", "b"], ["c", "d"]])
    values = np.array([1.0, 0.9, 0.5])
    assert diverse(values, vectors, 2, 0.0) == [0, 1]
    assert diverse(values, vectors, 2, 0.5) == [0, 2]
    assert diverse(values, vectors, 9, 0.5) == [0, 2, 1]
    assert diverse(np.zeros(3), vectors, 2, 0.5) == [0, 2]


def test_uncertainty_of_words_is_that_of_their_tags(extractor: Extractor, documents: list[Document]) -> None:
    """Each document alone: one minus the probability of the predicted tag, summed over words."""
    model = extractor.model
    together = extractor.annotator.uncertainty(documents)
    for number, document in enumerate(documents):
        batch = model.collate([document], gold=False)
        with torch.inference_mode():
            states = model.shared(model.embedder(batch.features).float(), batch.lengths)
            probabilities = model.emissions(states, batch.lengths).softmax(-1)
        # The tags of a learnt document are legal as they are, so that decoding takes the most probable ones.
        assert together[number, 0] == pytest.approx(float((1 - probabilities.max(-1).values).sum()), abs=1e-4)
        assert together[number, 1] >= 0


def test_the_best_come_first_with_annotations(extractor: Extractor, documents: list[Document]) -> None:
    pool = [Document("", ()), *(document.bare() for document in documents)]
    suggestions = suggest(extractor, pool, 2, diversity=0.0)
    values = annotation_values(extractor.annotator.uncertainty(pool[1:]), [len(document.tokens) for document in pool[1:]])
    assert [suggestion.place - 1 for suggestion in suggestions] == np.argsort(-values, kind="stable")[:2].tolist()
    assert [one.document for one in suggestions] == extractor.annotate([pool[one.place] for one in suggestions])
    assert len(suggest(extractor, pool, 99)) == len(documents), "never one without words"


def test_what_cannot_be_suggested(extractor: Extractor) -> None:
    with pytest.raises(DataError, match="the pool holds no text"):
        suggest(extractor, [Document("", ())], 1)
    with pytest.raises(SettingError, match="diversity from 0 to 1"):
        suggest(extractor, [], 1, diversity=2)
