"""spaCy's DocBin."""

from __future__ import annotations

import gc
import zlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from conjoin.document import Corpus, Document, Entity, Relation, Token
from conjoin.errors import DataError
from conjoin.readers import read_corpus, read_documents, write_documents

SAMPLE = Path(__file__).parents[1] / "data" / "docbin" / "sample.spacy"
REL, RELATIONS = ("._.", "rel", None, None), ("._.", "relations", None, None)

spacy_tokens = pytest.importorskip("spacy.tokens")


def triples(document: Document) -> list[tuple[str, str, str]]:
    return [(relation.type, relation.head.text, relation.tail.text) for relation in document.relations]


def spans(document: Document) -> list[tuple[str, str]]:
    return [(entity.type, entity.text) for entity in document.entities]


def kinds(corpus: Corpus) -> dict[str, int]:
    return dict(Counter(problem.kind for problem in corpus.problems))


def doc(words: str, *entities: tuple[int, int, str], **groups: Iterable[tuple[int, int, str]]) -> Any:
    """A spaCy document with entities by tokens and span groups."""
    from spacy.vocab import Vocab

    made = spacy_tokens.Doc(Vocab(), words=words.split(" "))
    made.ents = [spacy_tokens.Span(made, start, end, label=label) for start, end, label in entities]
    for name, group in groups.items():
        made.spans[name] = [spacy_tokens.Span(made, start, end, label=label) for start, end, label in group]
    return made


def stored(folder: Path, *docs: Any) -> Path:
    spacy_tokens.DocBin(docs=docs, store_user_data=True).to_disk(folder / "a.spacy")
    return folder / "a.spacy"


def ada(user_data: Any = None, key: Any = RELATIONS, **groups: Any) -> Any:
    made = doc("Ada Quill left Onno .", (0, 2, "Peop"), (3, 4, "Loc"), **groups)
    if user_data is not None:
        made.user_data[key] = user_data
    return made


def test_sample() -> None:
    corpus = read_corpus(SAMPLE)
    first, second, third = corpus.documents
    assert triples(first) == [("Live_In", "Ada Quill", "Port Onno"), ("Work_For", "Ada Quill", "Tarn")]
    assert first.relations[1].score == 0.75
    # the entities of the second overlap, so that they stand in a group beside doc.ents
    assert spans(second) == [("Adverse-Effect", "velorin poisoning"), ("Adverse-Effect", "strikes"), ("Drug", "velorin")]
    assert len(second.relations) == 2
    assert (third.text, third.words, third.id) == ("Nothing  happened.", ["Nothing", "happened", "."], "d3")
    assert kinds(corpus) == {"overlapping-entity": 1}


def test_the_tutorials_relations(tmp_path: Path) -> None:
    rel = {(0, 3): {"Live_In": 1.0, "Left": 0.7, "Kill": 0.0}, (3, 0): {"Live_In": 0.4}, (0, 0): {}}
    corpus = read_corpus(stored(tmp_path, ada(rel, REL)))
    document = corpus.documents[0]
    assert triples(document) == [("Live_In", "Ada Quill", "Onno"), ("Left", "Ada Quill", "Onno")]
    assert [relation.score for relation in document.relations] == [None, 0.7]
    assert kinds(corpus) == {"low-score": 1}


def test_scores_of_a_component_are_numpys(tmp_path: Path) -> None:
    import numpy

    corpus = read_corpus(stored(tmp_path, ada({(0, 3): {"Live_In": numpy.float32(0.75)}}, REL)))
    assert corpus.documents[0].relations[0].score == 0.75


def test_what_the_tutorials_scorer_needs_is_written(tmp_path: Path) -> None:
    from spacy.vocab import Vocab

    first, last = Entity("Peop", 0, 1), Entity("Loc", 2, 3)
    document = Document.from_words(["Ada", "left", "Onno"], [first, last], [Relation("Live_In", first, last)])
    write_documents([document], tmp_path / "a.spacy", "docbin")
    (made,) = spacy_tokens.DocBin().from_disk(tmp_path / "a.spacy").get_docs(Vocab())
    assert [(span.text, span.label_) for span in made.ents] == [("Ada", "Peop"), ("Onno", "Loc")]
    assert made.user_data[REL] == {(0, 0): {}, (0, 2): {"Live_In": 1.0}, (2, 0): {}, (2, 2): {}}
    assert made.user_data[RELATIONS] == ({"type": "Live_In", "head": (0, 1, "Peop"), "tail": (2, 3, "Loc")},)


def test_groups(tmp_path: Path) -> None:
    path = stored(tmp_path, ada(sc=[(0, 2, "Peop"), (1, 2, "Name")], other=[(2, 3, "Verb")]))
    plain = read_corpus(path)
    assert spans(plain.documents[0]) == [("Peop", "Ada Quill"), ("Loc", "Onno")]
    assert [(problem.kind, problem.loss) for problem in plain.problems] == [("unread-spans", True)] * 2
    usual = read_corpus(path, options={"groups": "sc"})
    assert spans(usual.documents[0])[2:] == [("Name", "Quill")]
    assert "group 'other' of doc.spans is not read; it has 1 spans" in usual.problems[0].message
    assert spans(read_corpus(path, options={"groups": "all"}).documents[0])[2:] == [("Name", "Quill"), ("Verb", "left")]


def test_white_space_tokens_are_no_words(tmp_path: Path) -> None:
    made = doc("Ada \n\n left", (0, 1, "Peop"), (2, 3, "Verb"))
    made.user_data[REL] = {(0, 2): {"R": 1.0}}
    (document,) = read_corpus(stored(tmp_path, made))
    assert (document.words, triples(document)) == (["Ada", "left"], [("R", "Ada", "left")])


@pytest.mark.parametrize(("user_data", "key", "kind"), [
    (3, RELATIONS, "malformed-relations"), ([3], RELATIONS, "malformed-relation"),
    ([{"type": "R", "head": [0, 2], "tail": [3, 4, "Loc"]}], RELATIONS, "malformed-relation"),
    ([{"type": "R", "head": [0, 1, "Peop"], "tail": [3, 4, "Loc"]}], RELATIONS, "relation-end"),
    ([{"type": "R", "head": [0, 2, "Peop"], "tail": [0, 2, "Peop"]}], RELATIONS, "self-relation"),
    ([{"type": "R", "head": [0, 2, "Peop"], "tail": [3, 4, "Loc"]}] * 2, RELATIONS, "duplicate-relation"),
    (3, REL, "malformed-relation"), ({3: {}}, REL, "malformed-relation"), ({(0, 3): 1.0}, REL, "malformed-relation"),
    ({(0, 2): {"R": 1.0}}, REL, "relation-end"), ({(0, 3): {"R": "yes"}}, REL, "malformed-score"),
    ({(0, 3): {"R": float("nan")}}, REL, "malformed-score"),
])
def test_what_is_wrong(user_data: Any, key: Any, kind: str, tmp_path: Path) -> None:
    path = stored(tmp_path, ada(user_data, key))
    with pytest.raises(DataError, match=r"a\.spacy: document 1: .*--lenient"):
        read_corpus(path)
    corpus = read_corpus(path, lenient=True)
    assert [problem.kind for problem in corpus.problems if problem.repair] == [kind]
    assert len(corpus.documents[0].relations) == (kind == "duplicate-relation")


@pytest.mark.parametrize("raw", [
    b"", b"text", SAMPLE.read_bytes()[:50], zlib.compress(b""), zlib.compress(b"text"), zlib.compress(b"\x81\xa1a\x01"),
    zlib.compress(b"\xc0"), zlib.compress(zlib.decompress(SAMPLE.read_bytes()).replace(b"relations", b"\xc1elations")),
])
def test_files_that_are_no_docbin(raw: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.spacy").write_bytes(raw)
    with pytest.raises(DataError, match=r"a\.spacy: is no DocBin that spaCy can read"):
        read_corpus(tmp_path / "a.spacy", "docbin", lenient=True)
    assert gc.isenabled()  # which srsly switches off while it reads


def test_what_it_cannot_hold(tmp_path: Path) -> None:
    text = "Ada, left"
    scored = Document(text, (Token("Ada", 0, 3), Token("left", 5, 9)), (Entity("Peop", 0, 1, score=0.5),))
    problems = write_documents([scored], tmp_path / "a.spacy", "docbin")
    assert [problem.kind for problem in problems] == ["words", "score"]
    (read,), _ = read_documents(tmp_path / "a.spacy")
    assert (read.text, read.words, read.entities) == (text, ["Ada", ",", "left"], scored.entities)
    with pytest.raises(DataError, match="type that is empty"):
        write_documents([Document.from_words(["a"], [Entity("", 0, 1)])], tmp_path / "a.spacy", "docbin")
