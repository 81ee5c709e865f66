"""Documents: what they fill in, what they refuse, JSON out, corpora, and finding words by character."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conjoin.document import Corpus, Document, Entity, Problem, Relation, Token, documents_digest, entity_between
from conjoin.errors import DataError

WORDS = ["Jack", "Ruby", "lived", "in", "Dallas"]
RUBY, DALLAS = Entity("Peop", 0, 2, 0.98765), Entity("Loc", 4, 5)
DOCUMENT = Document.from_words(WORDS, [RUBY, DALLAS], [Relation("Live_In", RUBY, DALLAS, 0.5)], id="d1")


@st.composite
def documents(draw: st.DrawFn) -> Document:
    """Any text cut into words of any length with any gaps, with entities and relations on them."""
    text = draw(st.text(max_size=40))
    cuts = sorted(draw(st.sets(st.integers(0, len(text)), max_size=12)))
    spans = [span for span in pairwise(cuts) if draw(st.booleans())]
    tokens = tuple(Token(text[start:end], start, end) for start, end in spans)
    entities: list[Entity] = []
    relations: list[Relation] = []
    if tokens:
        ends = st.integers(0, len(tokens) - 1)
        for first, last, type in draw(st.lists(st.tuples(ends, ends, st.sampled_from("AB")), max_size=5)):
            entities.append(Entity(type, min(first, last), max(first, last) + 1))
    if entities:
        arguments = st.sampled_from(entities)
        relations = draw(st.lists(st.builds(Relation, st.sampled_from("rs"), arguments, arguments), max_size=4))
    return Document(text, tokens, tuple(entities), tuple(relations), draw(st.text(max_size=3)))


def test_places_are_filled_in() -> None:
    assert DOCUMENT.text == "Jack Ruby lived in Dallas"
    assert DOCUMENT.words == WORDS
    ruby, dallas = DOCUMENT.entities
    assert (ruby.text, ruby.char_start, ruby.char_end) == ("Jack Ruby", 0, 9)
    assert (dallas.text, dallas.char_start, dallas.char_end) == ("Dallas", 19, 25)
    assert DOCUMENT.relations[0].tail.text == "Dallas"
    assert DOCUMENT.relations[0].head.score == 0.98765


def test_duplicates_count_once() -> None:
    twice = DOCUMENT.annotated([RUBY, DALLAS, RUBY], [Relation("r", RUBY, DALLAS), Relation("r", RUBY, DALLAS)])
    assert (len(twice.entities), len(twice.relations)) == (2, 1)


def test_bare() -> None:
    bare = DOCUMENT.bare()
    assert (bare.entities, bare.relations, bare.tokens, bare.id) == ((), (), DOCUMENT.tokens, "d1")


@pytest.mark.parametrize(
    "tokens",
    [
        (Token("ab", 0, 2), Token("b", 1, 2)),  # overlapping
        (Token("", 0, 0),),  # empty
        (Token("bc", 1, 3), Token("a", 0, 1)),  # out of order
        (Token("abcd", 0, 4),),  # beyond the text
        (Token("abx", 0, 3),),  # other characters
    ],
)
def test_words_must_fit_the_text(tokens: tuple[Token, ...]) -> None:
    with pytest.raises(DataError, match="document 'x': word"):
        Document("abc", tokens, id="x")


@pytest.mark.parametrize(("start", "end"), [(0, 0), (2, 1), (-1, 1), (4, 6)])
def test_entities_must_fit_the_words(start: int, end: int) -> None:
    with pytest.raises(DataError, match="the text has 5"):
        DOCUMENT.annotated([Entity("Loc", start, end)], [])


def test_relations_must_join_entities() -> None:
    with pytest.raises(DataError, match="relation Live_In points at Loc 4-5"):
        DOCUMENT.annotated([RUBY], [Relation("Live_In", RUBY, DALLAS)])


def test_json_by_hand() -> None:
    assert DOCUMENT.to_json() == {
        "id": "d1",
        "text": "Jack Ruby lived in Dallas",
        "tokens": [[0, 4], [5, 9], [10, 15], [16, 18], [19, 25]],
        "entities": [
            {"id": "e1", "type": "Peop", "char_start": 0, "char_end": 9, "text": "Jack Ruby", "score": 0.9877},
            {"id": "e2", "type": "Loc", "char_start": 19, "char_end": 25, "text": "Dallas"},
        ],
        "relations": [{"type": "Live_In", "head": "e1", "tail": "e2", "score": 0.5}],
    }
    assert "tokens" not in DOCUMENT.to_json(tokens=False)


@given(documents())
def test_json_holds_the_whole_document(document: Document) -> None:
    line = document.to_json_line()
    assert "\n" not in line
    value = json.loads(line)
    tokens = tuple(Token(value["text"][start:end], start, end) for start, end in value["tokens"])
    bare = Document(value["text"], tokens, id=value["id"])
    entities = {
        row["id"]: entity_between(bare, row["type"], row["char_start"], row["char_end"]) for row in value["entities"]
    }
    found = [entity for entity in entities.values() if entity]
    relations = [
        Relation(row["type"], head, tail)
        for row in value["relations"]
        if (head := entities[row["head"]]) and (tail := entities[row["tail"]])
    ]
    assert bare.annotated(found, relations) == document


@given(documents())
def test_entities_lie_where_their_words_do(document: Document) -> None:
    for entity in document.entities:
        assert document.text[entity.char_start : entity.char_end] == entity.text
        assert entity_between(document, entity.type, entity.char_start, entity.char_end) == entity


def test_entity_between_needs_word_edges() -> None:
    assert entity_between(DOCUMENT, "Peop", 0, 9) == Entity("Peop", 0, 2)
    assert entity_between(DOCUMENT, "Peop", 0, 8) is None
    assert entity_between(DOCUMENT, "Peop", 1, 9) is None
    assert entity_between(DOCUMENT, "Peop", 5, 4) is None
    assert entity_between(Document("", ()), "Peop", 0, 0) is None


def test_corpus() -> None:
    other = Document.from_words(["x"])
    corpus = Corpus({"train": (DOCUMENT,), "test": (other,)}, format="spert")
    assert (corpus.train, corpus.dev, corpus.test) == ((DOCUMENT,), (), (other,))
    assert list(corpus) == [DOCUMENT, other]
    assert len(corpus) == 2


def test_problem() -> None:
    assert str(Problem("a.tsv", 3, "kind", "what happened")) == "a.tsv:3: what happened"
    assert str(Problem("a.tsv", None, "kind", "what happened")) == "a.tsv: what happened"


def test_a_digest_tells_documents_apart() -> None:
    bare = DOCUMENT.bare()
    seen = [(), (DOCUMENT,), (bare,), (DOCUMENT, bare), (bare, DOCUMENT), (DOCUMENT, DOCUMENT)]
    assert len({documents_digest(documents) for documents in seen}) == len(seen)
    assert documents_digest([DOCUMENT]) == documents_digest([Document.from_words(
        WORDS, [Entity("Peop", 0, 2, 0.98765), DALLAS], [Relation("Live_In", RUBY, DALLAS, 0.5)], id="d1")])


def test_documents_and_corpora_show_themselves_on_one_line() -> None:
    assert repr(DOCUMENT) == str(DOCUMENT)
    assert DOCUMENT.id in repr(DOCUMENT) and "entities=2, relations=1" in repr(DOCUMENT)
    long = Document.from_words(["a\nb", *["word"] * 1000])
    assert "\n" not in repr(long) and len(repr(long)) < 124 and "words=1001" in repr(long)
    corpus = Corpus({"train": (DOCUMENT,), "dev": ()}, (Problem("a", None, "kind", "message"),), "spert")
    assert repr(corpus) == str(corpus) == "Corpus(train=1, dev=0, format='spert', problems=1)"


def test_rows_are_one_for_each_annotation() -> None:
    ruby, dallas, relation = DOCUMENT.to_rows()
    assert (ruby["document"], ruby["kind"], ruby["id"], ruby["text"]) == ("d1", "entity", "e1", "Jack Ruby")
    assert (dallas["char_start"], dallas["char_end"], dallas["score"]) == (19, 25, None)
    assert relation == {
        "document": "d1", "kind": "relation", "type": "Live_In", "head": "Jack Ruby", "head_type": "Peop", "head_id": "e1",
        "tail": "Dallas", "tail_type": "Loc", "tail_id": "e2", "score": 0.5,
    }
    json.dumps(DOCUMENT.to_rows())


def test_rows_become_a_data_frame() -> None:
    pandas = pytest.importorskip("pandas")
    rows = pandas.DataFrame(row for document in [DOCUMENT, DOCUMENT.bare()] for row in document.to_rows())
    relations = rows[rows.kind == "relation"].dropna(axis="columns", how="all")
    assert relations[["head", "tail"]].values.tolist() == [["Jack Ruby", "Dallas"]]
    assert "text" not in relations
