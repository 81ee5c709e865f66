"""What is suggested: by hand, by the model's own probabilities, and through the command to a tool and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from conjoin.document import Document
from conjoin.errors import DataError, MissingExtraError, SettingError
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


def test_uncertainty_is_that_of_the_probabilities(extractor: Extractor, documents: list[Document]) -> None:
    """Each document alone: words by the probability of their best tag, which is legal here; pairs by their decisions."""
    annotator = extractor.annotator
    together = annotator.uncertainty(documents)
    relations = annotator.decoder.relations
    assert relations is not None and relations.decision == "softmax"
    for number, document in enumerate(documents):
        scores, state = annotator.backend.entity_scores(annotator.backend.collate([document]))
        weights = np.exp(scores.emissions[0])
        right = weights.max(1) / weights.sum(1)
        assert together[number, 0] == pytest.approx((1 - right).sum(), abs=1e-4)
        spans, pairs = relations.candidates([annotator.annotate_batch([document])[0].entities])
        of_pairs = annotator.backend.relation_scores(state, spans, pairs)
        possible = np.pad(relations.possible(spans, pairs), ((0, 0), (1, 0)), constant_values=True)
        weights = np.exp(of_pairs) * possible
        assert together[number, 1] == pytest.approx((1 - weights.max(1) / weights.sum(1)).sum(), abs=1e-4)
    assert together.shape == (3, 2) and (together >= 0).all() and together.any()


def test_uncertainty_does_not_know_the_batch(extractor: Extractor, documents: list[Document]) -> None:
    pool = [Document("", ()), *documents, Document.from_words(["Oslo"])]
    together = extractor.annotator.uncertainty(pool)
    alone = np.concatenate([extractor.annotator.uncertainty([document]) for document in pool])
    assert together == pytest.approx(alone, abs=1e-4)
    assert together[0].tolist() == [0, 0]
    assert extractor.annotator.uncertainty([]).shape == (0, 2)


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


def test_an_export_suggests_what_its_model_suggests(
    extractor: Extractor, trained_run: Path, documents: list[Document], tmp_path: Path
) -> None:
    onnx = pytest.importorskip("conjoin.extras.onnx", exc_type=MissingExtraError)
    onnx.export(trained_run, tmp_path / "export")
    exported = Extractor.load(tmp_path / "export")
    uncertain = [one.annotator.uncertainty(documents) for one in (extractor, exported)]
    assert uncertain[1] == pytest.approx(uncertain[0], abs=2e-3)
    ours, theirs = (suggest(one, documents, 2) for one in (extractor, exported))
    assert [one.place for one in theirs] == [one.place for one in ours]
    assert [one.document for one in theirs] == [one.document for one in ours]
