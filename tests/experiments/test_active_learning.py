"""What is suggested: by hand, by the model's own probabilities, and through the command to a tool and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from conjoin.modeling.heads.spans import Spans

from conjoin.document import Document, Entity
from conjoin.errors import DataError, ModelError, SettingError
from conjoin.experiments.active_learning import doubts_of, spread, suggest, word_vectors, worth
from conjoin.extractor import Extractor
from conjoin.modeling.joint import JointModel


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


def test_doubts_are_those_of_the_probabilities(extractor: Extractor, documents: list[Document]) -> None:
    """Each document alone: words by the probability of the tag that is chosen, pairs by their decision."""
    model = extractor.model
    assert isinstance(model, JointModel) and model.relations is not None
    together = doubts_of(extractor, documents)
    for number, document in enumerate(documents):
        with torch.inference_mode():
            batch = model.collate([document], gold=False)
            states = model.shared(model.embedder(batch.features).float(), batch.lengths)
            emissions = model.entities(model.entity_stack(states, batch.lengths))
            tags = model.entities._decode(emissions, batch.lengths)[0]
            own = emissions.softmax(-1).gather(2, tags.unsqueeze(2)) if model.entities.crf is None else None
        assert own is not None
        assert together[number, 0] == pytest.approx(float((1 - own).sum()), abs=1e-4)
        assert together[number, 1] >= 0


@pytest.mark.parametrize("decision", ["softmax", "sigmoid"])
def test_both_decisions_tell_their_doubts(
    decision: str, extractor: Extractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scores of zero: as likely as NEG, or one half each."""
    head = extractor.model.relations  # type: ignore[attr-defined]
    monkeypatch.setattr(head, "decision", decision)
    scores = torch.zeros(1, len(head.types) + (decision == "softmax"))
    peop = Entity("Peop", 0, 1), Entity("Peop", 1, 2)
    spans = Spans.of([peop], extractor.schema.entity_types, torch.device("cpu"))
    pairs = torch.tensor([[0], [1]])
    possible = int(head._possible(spans, pairs).sum())
    expected = 1 - 1 / (1 + possible) if decision == "softmax" else 0.5 * possible
    assert possible > 0
    assert float(head.doubts(scores, spans, pairs)) == pytest.approx(expected)


def test_the_best_come_first_with_annotations(extractor: Extractor, documents: list[Document]) -> None:
    pool = [Document("", ()), *(document.bare() for document in documents)]
    found = suggest(extractor, pool, 2, diversity=0.0)
    values = worth(doubts_of(extractor, pool[1:]), [len(document.tokens) for document in pool[1:]])
    assert [one.place - 1 for one in found] == np.argsort(-values, kind="stable")[:2].tolist()
    assert [one.document for one in found] == extractor.annotate([pool[one.place] for one in found])
    assert len(suggest(extractor, pool, 99)) == len(documents), "never one without words"


def test_what_cannot_be_suggested(extractor: Extractor) -> None:
    with pytest.raises(DataError, match="the pool holds no text"):
        suggest(extractor, [Document("", ())], 1)
    with pytest.raises(SettingError, match="diversity from 0 to 1"):
        suggest(extractor, [], 1, diversity=2)
    with pytest.raises(ModelError, match="an export does not tell"):
        doubts_of(Extractor(object(), extractor.config), [])  # type: ignore[arg-type]
