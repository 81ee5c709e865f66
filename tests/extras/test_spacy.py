"""The spaCy component: the extractor's entities and relations on spaCy's tokens, within its sentences."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from conjoin import Extractor
from conjoin.document import Document, Entity, Relation, Token
from conjoin.errors import ModelError

spacy = pytest.importorskip("spacy")
pytestmark = pytest.mark.filterwarnings("ignore")  # spaCy's own

from spacy.tokens import DocBin  # noqa: E402

from conjoin.extras.spacy import Component, make_component  # noqa: E402

OSWALD = "Lee Oswald shot Kennedy in Dallas."


@pytest.fixture
def nlp(trained_run: Path):  # type: ignore[no-untyped-def]
    nlp = spacy.blank("en")
    nlp.add_pipe("conjoin", config={"model": str(trained_run)})
    return nlp


class StandIn:
    """Finds entities at fixed characters; records the sentences it gets."""

    def __init__(self, *spans: tuple[str, int, int], relate: bool = True) -> None:
        self.spans, self.relate = spans, relate
        self.sentences: list[object] = []

    @property
    def pipeline(self) -> StandIn:
        return self

    def extract(self, texts: Sequence[tuple[str, str]], *, sentences: list[object]) -> list[Document]:
        self.sentences += sentences
        return [self.document(text) for _, text in texts]

    def document(self, text: str) -> Document:
        tokens = [Token(letter, place, place + 1) for place, letter in enumerate(text) if letter.strip()]
        starts = [token.char_start for token in tokens]
        entities = [Entity(type, starts.index(start), starts.index(end - 1) + 1, 0.9) for type, start, end in self.spans]
        relations = [Relation("next", *entities[:2], 0.75)] if self.relate and len(entities) > 1 else []
        return Document(text, tuple(tokens), tuple(entities), tuple(relations))


def with_stand_in(*spans: tuple[str, int, int]):  # type: ignore[no-untyped-def]
    nlp = spacy.blank("en")
    component = nlp.add_pipe("conjoin")
    component._extractor = stand_in = StandIn(*spans)
    return nlp, component, stand_in


def test_the_document_has_the_extractors_annotations(nlp, trained_run: Path) -> None:  # type: ignore[no-untyped-def]
    expected = Extractor.load(trained_run)(OSWALD)
    doc = nlp(OSWALD)
    assert expected.entities and expected.relations
    assert [(span.label_, span.text, span._.score) for span in doc.ents] == [
        (entity.type, entity.text, entity.score) for entity in expected.entities
    ]
    assert [(head.text, type, tail.text, score) for head, type, tail, score in doc._.relation_spans] == [
        (relation.head.text, relation.type, relation.tail.text, relation.score) for relation in expected.relations
    ]
    assert not nlp.get_pipe("conjoin").misalignments
    texts = [OSWALD, "", "Nothing here", f"{OSWALD} {OSWALD}"] * 3
    piped = list(nlp.pipe(texts, batch_size=5))
    assert [doc.text for doc in piped] == texts
    assert [len(doc.ents) for doc in piped[:4]] == [len(nlp(text).ents) for text in texts[:4]]
    assert "mark" in spacy.displacy.render(doc, style="ent")


@pytest.mark.long
def test_the_factory_needs_no_import() -> None:
    code = "import spacy; n = spacy.blank('de'); n.add_pipe('conjoin'); print(n.pipe_names, n.analyze_pipes()['problems'])"
    result = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["['conjoin']", "{'conjoin':", "[]}"]


def test_saved_with_its_model(nlp, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    nlp.to_disk(tmp_path / "pipeline")
    nlp.config["components"]["conjoin"]["model"] = "gone"
    nlp.to_disk(tmp_path / "pipeline")  # again, when the first model is gone
    again = spacy.load(tmp_path / "pipeline")
    assert again.get_pipe("conjoin").folder == tmp_path / "pipeline" / "conjoin"
    assert [span.text for span in again(OSWALD).ents] == [span.text for span in nlp(OSWALD).ents]
    bin_ = DocBin(docs=[again(OSWALD)], store_user_data=True)
    (saved,) = DocBin().from_bytes(bin_.to_bytes()).get_docs(again.vocab)
    assert list(saved._.relations) == again(OSWALD)._.relations  # a DocBin makes lists tuples


def test_sentences_of_spacy_are_respected() -> None:
    nlp, _, stand_in = with_stand_in()
    text = "  Apples fell. Cats slept.\n\nDogs ran off. "
    nlp(text)
    assert stand_in.sentences == [None], "none are set"
    nlp.add_pipe("sentencizer", first=True)
    doc = nlp(text)
    (bounds,) = stand_in.sentences[1:]
    assert [text[start:end] for start, end in bounds] == [sentence.text.strip() for sentence in doc.sents]  # type: ignore[attr-defined]
    assert len(bounds) == 3  # type: ignore[arg-type]


def test_given_sentences_are_kept(trained_run: Path) -> None:
    extractor = Extractor.load(trained_run)
    text = f"{OSWALD} {OSWALD}"
    whole, half = extractor.pipeline.extract([("", text)] * 2, sentences=[None, [(0, len(OSWALD))]])
    assert whole == extractor(text)
    assert half.tokens[-1].char_end == len(OSWALD)
    assert half.entities == extractor(OSWALD).entities


def test_an_entity_within_a_token_is_widened_and_counted() -> None:
    text = "X-ray of Leeds"  # spaCy: X, -, ray, of, Leeds
    nlp, component, _ = with_stand_in(("part", 9, 12), ("whole", 0, 5))
    doc = nlp(text)
    assert [(span.text, span.label_) for span in doc.ents] == [("X-ray", "whole"), ("Leeds", "part")]
    assert component.misalignments == {"widened": 1}
    assert doc._.relations == [{"type": "next", "head": (4, 5, "part"), "tail": (0, 3, "whole"), "score": 0.75}]


def test_two_entities_of_one_token_become_one() -> None:
    nlp, component, _ = with_stand_in(("part", 0, 3), ("part", 3, 5))
    doc = nlp("Leeds")
    assert [span.text for span in doc.ents] == ["Leeds"]
    assert component.misalignments == {"widened": 2, "lost": 1}
    assert doc._.relations == [], "no relation of an entity to itself"


def test_overlapping_entities_are_a_group_of_spans() -> None:
    nlp, _, _ = with_stand_in(("city", 9, 14), ("phrase", 0, 14))
    doc = nlp("Museum - Leeds")
    assert [span.label_ for span in doc.ents] == ["phrase"]
    assert [span.label_ for span in doc.spans["conjoin"]] == ["phrase", "city"]


def test_missing_models(tmp_path: Path) -> None:
    nlp = spacy.blank("en")
    nlp.add_pipe("conjoin")
    with pytest.raises(ModelError, match=r"'conjoin' has no model; .*nlp.add_pipe"):
        nlp("x")
    with pytest.raises(ModelError, match=r"'conjoin' has no model; .*nlp.add_pipe"):
        nlp.get_pipe("conjoin").to_disk(tmp_path / "x")
    late = make_component(nlp, "late", str(tmp_path / "gone"), 0.0, 0.0)
    assert isinstance(late, Component)
    with pytest.raises(ModelError, match="gone"):
        late(nlp.make_doc("x"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="empty"):
        make_component(nlp, "now", str(tmp_path / "empty"), 0.0, 0.0)
