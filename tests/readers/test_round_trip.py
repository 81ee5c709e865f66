"""read(write(x)) == x, wherever the format can hold x."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conjoin.document import Document, Entity, Relation, Token
from conjoin.errors import DataError
from conjoin.readers import read_documents, write_documents
from conjoin.text.words import words

TYPES = st.sampled_from(["Peop", "Loc", "Adverse-Effect", "Größe", "a b"])
RELATIONS = st.sampled_from(["Kill", "Live_In", "it's", 'a "b"', "wirkt auf"])
COLUMN_TEXT = st.characters(exclude_categories=["Cs"], exclude_characters="\t\n\r")


@st.composite
def annotations_of(draw: Any, length: int, *, nested: bool) -> tuple[list[Entity], list[Relation]]:
    entities: dict[Entity, None] = {}
    position = 0
    for _ in range(draw(st.integers(0, 5)) if length else 0):
        if not nested and position >= length:
            break
        start = draw(st.integers(0 if nested else position, length - 1))
        position = draw(st.integers(start + 1, length))
        entities.setdefault(Entity(draw(TYPES), start, position))
    pairs = [(head, tail) for head in entities for tail in entities if head != tail]
    relations = draw(st.lists(st.builds(lambda type, pair: Relation(type, *pair), RELATIONS, st.sampled_from(pairs)),
                              max_size=5, unique=True)) if pairs else []
    return list(entities), relations


@st.composite
def worded(draw: Any, *, nested: bool) -> Document:
    """A document that is its words with one blank between them."""
    words = draw(st.lists(st.text(COLUMN_TEXT, min_size=1, max_size=6), min_size=1, max_size=8))
    id = draw(st.text(COLUMN_TEXT, max_size=6))
    return Document.from_words(words, *draw(annotations_of(len(words), nested=nested)), id=id)


@st.composite
def anything(draw: Any) -> Document:
    """Any text, words anywhere in it, entities that overlap."""
    text = draw(st.text(max_size=30))
    edges = sorted(draw(st.sets(st.integers(0, len(text)), max_size=12)))
    tokens = [Token(text[a:b], a, b) for a, b in zip(edges[::2], edges[1::2], strict=False)]
    entities, relations = draw(annotations_of(len(tokens), nested=True))
    return Document(text, tuple(tokens), tuple(entities), tuple(relations), draw(st.text(max_size=6)))


def by_last_word(document: Document) -> Document:
    """Relations in the only order that columns can hold: by the last word of the head."""
    return document.annotated(document.entities, sorted(document.relations, key=lambda relation: relation.head.end))


@st.composite
def in_characters(draw: Any) -> Document:
    """A text in conjoin's own words."""
    text = draw(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
    tokens = words(text)
    entities, relations = draw(annotations_of(len(tokens), nested=True))
    return Document(text, tuple(tokens), tuple(entities), tuple(relations), draw(st.text(COLUMN_TEXT, max_size=6)))


def by_pair(document: Document) -> Document:
    """Relations with those of one pair beside each other."""
    pairs = list(dict.fromkeys((relation.head, relation.tail) for relation in document.relations))
    return document.annotated(document.entities, sorted(
        document.relations, key=lambda relation: pairs.index((relation.head, relation.tail))))


@st.composite
def without_white_words(draw: Any) -> Document:
    """Any text, words anywhere in it that are not white space only."""
    document = draw(anything())
    tokens = [token for token in document.tokens if not token.text.isspace()]
    entities, relations = draw(annotations_of(len(tokens), nested=True))
    return Document(document.text, tuple(tokens), tuple(entities), tuple(relations), draw(st.text(COLUMN_TEXT, max_size=6)))


@st.composite
def tokenised(draw: Any) -> Document:
    """Words with nothing but white space between them, as spaCy has them."""
    text, tokens = "", []
    word_and_space = st.tuples(st.text(COLUMN_TEXT, min_size=1, max_size=5), st.text(" \n\u3000", max_size=3))
    for word, space in draw(st.lists(word_and_space, max_size=6)):
        if not word.isspace():
            tokens.append(Token(word, len(text), len(text) + len(word)))
            text += word + space
    entities, relations = draw(annotations_of(len(tokens), nested=True))
    return Document(text, tuple(tokens), tuple(entities), tuple(relations), draw(st.text(COLUMN_TEXT, max_size=6)))


def unordered(document: Document) -> Document:
    """Entities in the order of the text, which is all that spaCy keeps of it."""
    return document.annotated(sorted(document.entities, key=lambda e: (e.start, e.end, e.type)), document.relations)


def there_and_back(documents: list[Document], name: str, **options: str) -> None:
    assert list(read_back(documents, name, **options)) == documents


def read_back(documents: list[Document], name: str, **options: str) -> tuple[Document, ...]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a"
        write_documents(documents, path, name)
        read, _ = read_documents(path, name, options=options)
    return read


@settings(deadline=None)
@given(st.lists(worded(nested=False), max_size=3))
def test_bekoulis(documents: list[Document]) -> None:
    there_and_back([by_last_word(document) for document in documents], "bekoulis")


@settings(deadline=None)
@given(st.lists(worded(nested=True), max_size=3))
def test_spert(documents: list[Document]) -> None:
    there_and_back(documents, "spert")


@settings(deadline=None)
@given(st.lists(anything(), max_size=3))
def test_jsonl(documents: list[Document]) -> None:
    there_and_back(documents, "jsonl")


def by_words(document: Document) -> Document:
    """The document without relations of an entity that is not the first on its words."""
    first: dict[tuple[int, int], Entity] = {}
    for entity in document.entities:
        first.setdefault((entity.start, entity.end), entity)
    named = set(first.values())
    return document.annotated(document.entities, [relation for relation in document.relations
                                                  if relation.head in named and relation.tail in named])


@settings(deadline=None, max_examples=50)
@given(st.lists(worded(nested=True), max_size=3))
def test_crossre(documents: list[Document]) -> None:
    there_and_back([by_words(document) for document in documents], "crossre")


@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(st.text(min_size=1, max_size=3), st.lists(worded(nested=True), min_size=1, max_size=3)),
                max_size=3, unique_by=lambda text: text[0]))
def test_dygie(texts: list[tuple[str, list[Document]]]) -> None:
    there_and_back([replace(by_words(sentence), id=f"{key}#{number}") for key, sentences in texts
                    for number, sentence in enumerate(sentences, start=1)], "dygie")


@settings(deadline=None)
@given(st.lists(in_characters(), max_size=3))
def test_doccano(documents: list[Document]) -> None:
    there_and_back(documents, "doccano", sentences="whole")


@settings(deadline=None)
@given(st.lists(in_characters(), max_size=3))
def test_labelstudio(documents: list[Document]) -> None:
    there_and_back([by_pair(document) for document in documents], "labelstudio", sentences="whole")


@settings(deadline=None)
@given(st.lists(without_white_words(), max_size=3))
def test_prodigy(documents: list[Document]) -> None:
    there_and_back(documents, "prodigy")


@settings(deadline=None)
@given(st.lists(tokenised(), max_size=3))
def test_docbin(documents: list[Document]) -> None:
    pytest.importorskip("spacy")
    read = read_back(documents, "docbin")
    assert [unordered(document) for document in read] == [unordered(document) for document in documents]


@settings(deadline=None, max_examples=50)
@given(st.lists(anything(), max_size=3))
def test_huggingface(documents: list[Document]) -> None:
    pytest.importorskip("datasets")
    there_and_back(documents, "huggingface")


@pytest.mark.parametrize("name", ["bekoulis", "spert", "jsonl", "crossre", "prodigy"])
def test_scores_and_ids(name: str) -> None:
    there_and_back([Document.from_words(["a"], id=id) for id in ("0", "007", "12", "x 1", "")], name)


def test_which_scores_a_format_does_not_hold(tmp_path: Path) -> None:
    ada, onno = Entity("Peop", 0, 1, score=0.5), Entity("Loc", 2, 3, score=0.5)
    scored = Document.from_words(["Ada", "left", "Onno"], [ada, onno], [Relation("Left", ada, onno, score=0.5)])
    for format, lost in (("labelstudio", "no scores of relations"), ("docbin", "no scores of entities"),
                         ("spert", "no scores")):
        if format == "docbin":
            pytest.importorskip("spacy")
        found = write_documents([scored], tmp_path / format, format)
        told = [problem.message for problem in found if problem.kind == "score"]
        assert told == [f"document 1: the format holds {lost}"]


def test_a_document_without_id_is_called_by_its_number(tmp_path: Path) -> None:
    documents = [Document.from_words(["Ada"]), Document.from_words([])]
    for format in ("spert", "bekoulis", "dygie", "crossre"):
        with pytest.raises(DataError, match="document 2: it has no words"):
            write_documents(documents, tmp_path / format, format)
