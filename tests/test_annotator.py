"""The annotator over a back end written by hand, and its uncertainty over a trained model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from conjoin.annotator import Annotator, Thresholds
from conjoin.config.presets import load_config
from conjoin.decoding.decoder import build_decoder
from conjoin.decoding.spans import Floats, Numbers, Spans
from conjoin.decoding.tags import TagScores
from conjoin.document import Document, Entity, Relation
from conjoin.evaluation.calibration import Calibration
from conjoin.extractor import Extractor
from conjoin.parallel.threads import Compute
from conjoin.schema import Schema

SCHEMA = Schema(("Name",), ("Before",))
SURE, UNSURE = math.log(9), math.log(3)  # a word in capitals is a name with 9/10, any other capitalised one with 3/4


class Capitals:
    """Single capitalised words are names; a name stands before each one after it, with 3/5 under softmax."""

    compute = Compute(8)

    def __init__(self) -> None:
        self.batches: list[int] = []

    def sizes(self, documents: Sequence[Document]) -> list[int]:
        return [len(document.tokens) for document in documents]

    def collate(self, documents: Sequence[Document]) -> list[list[str]]:
        self.batches.append(len(documents))
        return [document.words for document in documents]

    def entity_scores(self, batch: list[list[str]]) -> tuple[TagScores, list[list[str]]]:
        emissions = np.full((len(batch), max(map(len, batch)), 3), -99, dtype=np.float32)  # O, B, I
        emissions[..., 0] = 0
        for row, words in enumerate(batch):
            for place, word in enumerate(words):
                if word[:1].isupper():
                    emissions[row, place, 1] = SURE if word.isupper() else UNSURE
        return TagScores(emissions, np.array([len(words) for words in batch])), batch

    def relation_scores(self, state: list[list[str]], spans: Spans, pairs: Numbers) -> Floats:
        forwards = spans.starts[pairs[0]] < spans.starts[pairs[1]]
        return np.stack([np.zeros(len(forwards)), np.where(forwards, math.log(1.5), -99)], axis=1).astype(np.float32)


def annotator_of(
    *settings: str, calibration: Calibration | None = None, thresholds: Thresholds | None = None
) -> Annotator:
    config = load_config("conjoin-base", ["entities.scheme=bio", "relations.constrain=false", *settings])
    return Annotator(Capitals(), build_decoder(config, SCHEMA), calibration, thresholds or Thresholds())


def document(text: str) -> Document:
    return Document.from_words(text.split(), id=text)


TEXTS = ["a OSLO b Rome", "", "c", "Rome d e f g OSLO", "OSLO"]


def test_scores_become_documents_in_their_order() -> None:
    annotator = annotator_of()
    results = annotator.annotate([document(text) for text in TEXTS])
    assert [result.id for result in results] == TEXTS
    assert [[(e.text, pytest.approx(e.score, abs=1e-6)) for e in result.entities] for result in results] == [
        [("OSLO", 0.9), ("Rome", 0.75)], [], [], [("Rome", 0.75), ("OSLO", 0.9)], [("OSLO", 0.9)]
    ]
    relations = [[(r.head.text, r.tail.text, pytest.approx(r.score)) for r in result.relations] for result in results]
    assert relations == [[("OSLO", "Rome", 0.6)], [], [], [("Rome", "OSLO", 0.6)], []]
    assert len(annotator.backend.batches) > 1, "of at most 8 words, padding included"  # type: ignore[attr-defined]
    assert annotator.annotate([]) == []


def test_gold_entities_are_kept() -> None:
    first, second = Entity("Name", 0, 1), Entity("Name", 2, 4)
    gold = Document.from_words(["a", "b", "c", "d"], [first, second], [Relation("Before", second, first)])
    [result] = annotator_of().annotate([gold], gold_entities=True)
    assert result.entities == (first, second)
    assert result.relations == (Relation("Before", first, second),)
    assert annotator_of().annotate([gold]) == [gold.bare()]


def test_calibration_and_thresholds_come_last() -> None:
    names = document("OSLO Rome")
    [strict] = annotator_of(thresholds=Thresholds(entities=0.8)).annotate([names])
    assert [e.text for e in strict.entities] == ["OSLO"] and not strict.relations
    half = Calibration({"entities": 0.5, "relations": 1.0}, {"entities": {}, "relations": {}})
    [calibrated] = annotator_of(calibration=half).annotate([names])
    # odds 9 and 3 squared: 81/82 and 9/10
    assert [e.score for e in calibrated.entities] == pytest.approx([81 / 82, 9 / 10], abs=1e-5)
    both = annotator_of(calibration=half, thresholds=Thresholds(entities=0.8))
    assert len(both.annotate([names])[0].entities) == 2, "thresholds are for calibrated scores"
    [own] = both.uncalibrated(None).annotate([names])
    assert [e.score for e in own.entities] == pytest.approx([0.9, 0.75], abs=1e-5)
    assert not both.uncalibrated(0.7).annotate([names])[0].relations


def test_candidates_of_a_calibration_come_out_of_the_decoder() -> None:
    """So that the minimum score of each type decides."""
    names, temperatures, own = document("OSLO Rome"), {"entities": 1.0, "relations": 1.0}, "relations.threshold=0.7"
    assert not annotator_of(own).annotate([names])[0].relations, "0.6 is below the decoder's own threshold"
    for min_score, count in ((0.59, 1), (0.61, 0)):
        calibration = Calibration(temperatures, {"entities": {}, "relations": {"Before": min_score}}, 0.05)
        annotator = annotator_of(own, calibration=calibration)
        assert annotator.uncertainty([names]).tolist() == annotator_of(own).uncertainty([names]).tolist()
        assert len(annotator.annotate([names])[0].relations) == count


def test_without_relation_types() -> None:
    annotator = annotator_of()
    alone = replace(annotator, decoder=replace(annotator.decoder, relations=None))
    [result] = alone.annotate([document("OSLO Rome")])
    assert len(result.entities) == 2 and not result.relations
    assert alone.uncertainty([document("OSLO Rome")])[0] == pytest.approx([0.35, 0], abs=1e-6)


def test_uncertainty_by_hand() -> None:
    # A name is wrong with 1/10 or 1/4, a plain word never; forwards 2/5 to be wrong, backwards nothing.
    expected = [[0.35, 0.4], [0, 0], [0, 0], [0.35, 0.4], [0.1, 0]]
    annotator = annotator_of()
    assert annotator.uncertainty([document(text) for text in TEXTS]) == pytest.approx(np.array(expected), abs=1e-6)
    assert annotator.uncertainty([]).shape == (0, 2)


def test_uncertainty_of_a_model_is_that_of_its_probabilities(trained_run: Path, documents: list[Document]) -> None:
    """Each document alone: words by the probability of their best tag, which is legal here; pairs by their decisions."""
    annotator = Extractor.load(trained_run, device="cpu").annotator
    together = annotator.uncertainty([*documents, Document("", ()), document("Oslo")])
    relations = annotator.decoder.relations
    assert relations is not None and relations.decision == "softmax"
    for number, one in enumerate(documents):
        scores, state = annotator.backend.entity_scores(annotator.backend.collate([one]))
        weights = np.exp(scores.emissions[0])
        assert together[number, 0] == pytest.approx((1 - weights.max(1) / weights.sum(1)).sum(), abs=1e-4)
        spans, pairs = relations.candidates([annotator.annotate_batch([one])[0].entities])
        possible = np.pad(relations.possible(spans, pairs), ((0, 0), (1, 0)), constant_values=True)
        weights = np.exp(annotator.backend.relation_scores(state, spans, pairs)) * possible
        assert together[number, 1] == pytest.approx((1 - weights.max(1) / weights.sum(1)).sum(), abs=1e-4)
    assert together.shape == (5, 2) and (together >= 0).all() and together[:3].any()
    assert together[3].tolist() == [0, 0]
