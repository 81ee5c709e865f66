"""Prodigy's JSONL of relations."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from conjoin.document import Corpus, Document, Entity, Relation, Token
from conjoin.errors import DataError
from conjoin.readers import read_corpus, read_documents, write_documents

DATA = Path(__file__).parents[1] / "data" / "prodigy"
TOKENS = [{"text": "Ada", "start": 0, "end": 3, "id": 0}, {"text": "Quill", "start": 4, "end": 9, "id": 1},
          {"text": "left", "start": 10, "end": 14, "id": 2}, {"text": "Onno", "start": 15, "end": 19, "id": 3}]
ADA = {"start": 0, "end": 9, "token_start": 0, "token_end": 1, "label": "Peop"}
ONNO = {"start": 15, "end": 19, "token_start": 3, "token_end": 3, "label": "Loc"}


def triples(document: Document) -> list[tuple[str, str, str]]:
    return [(relation.type, relation.head.text, relation.tail.text) for relation in document.relations]


def kinds(corpus: Corpus) -> dict[str, int]:
    return dict(Counter(problem.kind for problem in corpus.problems))


def arrow(head: Any = 1, child: Any = 3, label: Any = "Live_In", **more: Any) -> dict[str, Any]:
    return {"head": head, "child": child, "label": label, **more}


def file(folder: Path, **fields: Any) -> Path:
    path = folder / "a.jsonl"
    task = {"text": "Ada Quill left Onno", "tokens": TOKENS, "spans": [ADA, ONNO], "relations": [arrow()],
            "answer": "accept"}
    path.write_text(json.dumps(task | fields) + "\n")
    return path


def test_sample() -> None:
    corpus = read_corpus(DATA / "sample.jsonl")
    assert corpus.format == "prodigy"
    first, second, third = corpus.documents
    assert "\n" in first.text  # of which spaCy makes a token, and which is no word
    assert first.words == ["Ada", "Quill", "left", "Port", "Onno", "for", "Tarn", "."]
    assert triples(first) == [("Live_In", "Ada Quill", "Port Onno"), ("Work_For", "Ada Quill", "Tarn")]
    assert triples(second) == [("Live_In", "Željko", "Ölm")]  # by head and child alone
    assert not third.entities
    assert [(problem.kind, problem.loss) for problem in corpus.problems] == [
        ("answer-reject", True), ("answer-ignore", False)]


@pytest.mark.parametrize("relation", [
    arrow(), arrow(0, 3), arrow(head_span=ADA, child_span=ONNO),
    arrow(99, 98, head_span=ADA, child_span={"start": 15, "end": 19}),
    arrow(99, 3, head_span={"token_start": 0, "token_end": 1}),
])
def test_the_ends_of_a_relation(relation: dict[str, Any], tmp_path: Path) -> None:
    corpus = read_corpus(file(tmp_path, relations=[relation]))
    assert (triples(corpus.documents[0]), corpus.problems) == ([("Live_In", "Ada Quill", "Onno")], ())


def test_spans_with_one_end(tmp_path: Path) -> None:
    """Only head_span tells which of two overlapping spans is meant."""
    quill = ADA | {"start": 4, "token_start": 1}
    relation = arrow(head_span=quill, child_span=ONNO)
    corpus = read_corpus(file(tmp_path, spans=[ADA, quill, ONNO], relations=[relation]), lenient=True)
    assert triples(corpus.documents[0]) == [("Live_In", "Quill", "Onno")]


def test_without_tokens_and_answer(tmp_path: Path) -> None:
    corpus = read_corpus(file(tmp_path, tokens=None, answer="accept"))
    assert corpus.documents[0].words == ["Ada", "Quill", "left", "Onno"]
    path = tmp_path / "b.jsonl"
    path.write_text(json.dumps({"text": "Ada left", "spans": [ADA | {"end": 3}], "id": 7}) + "\n")
    (document,) = read_corpus(path).documents
    assert (document.id, document.entities[0].text) == ("7", "Ada")


def test_a_text_that_is_annotated_twice(tmp_path: Path) -> None:
    path = file(tmp_path, _input_hash=12)
    path.write_text(path.read_text() * 2)
    corpus = read_corpus(path)
    assert (len(corpus), kinds(corpus)) == (2, {"annotated-twice": 1})


def test_sentences_of_given_words(tmp_path: Path) -> None:
    text = "Ada can't. Onno won't."
    tokens = [{"start": start, "end": end} for start, end in ((0, 3), (4, 9), (9, 10), (11, 15), (16, 21), (21, 22))]
    path = file(tmp_path, text=text, tokens=tokens, relations=[],
                spans=[{"start": 0, "end": 3, "label": "Peop"}, {"start": 11, "end": 15, "label": "Peop"}])
    corpus = read_corpus(path, options={"sentences": "split"})
    assert [document.words for document in corpus] == [["Ada", "can't", "."], ["Onno", "won't", "."]]
    assert [len(document.entities) for document in corpus] == [1, 1]


@pytest.mark.parametrize("fields", [
    {"spans": [ADA | {"label": None}, ONNO]}, {"relations": [arrow(label=None)]},
    {"relations": [arrow(2, 3, head_span={"start": 10, "end": 14, "token_start": 2, "token_end": 2, "label": None})]},
])
def test_what_has_no_label_is_noted(fields: dict[str, Any], tmp_path: Path) -> None:
    corpus = read_corpus(file(tmp_path, **fields))
    assert set(kinds(corpus)) == {"no-label"}
    assert all(problem.loss for problem in corpus.problems)
    assert not corpus.documents[0].relations


@pytest.mark.parametrize(("fields", "kind"), [
    ({"answer": "maybe"}, "malformed-document"), ({"tokens": 3}, "malformed-tokens"), ({"tokens": [3]}, "malformed-tokens"),
    ({"tokens": TOKENS[::-1]}, "malformed-tokens"), ({"spans": {}, "relations": []}, "malformed-spans"),
    ({"spans": [3, ADA, ONNO]}, "malformed-entity"),
    ({"spans": [ADA | {"start": "0"}], "relations": []}, "malformed-entity"),
    ({"spans": [ADA, ONNO, ONNO | {"end": 99}]}, "span-out-of-range"), ({"spans": [ADA, ADA, ONNO]}, "duplicate-entity"),
    ({"spans": [ADA | {"end": 8}, ONNO]}, "inside-word"),
    ({"relations": 3}, "malformed-relations"), ({"relations": [3]}, "malformed-relation"),
    ({"relations": [{"label": "R"}]}, "malformed-relation"), ({"relations": [arrow(2)]}, "relation-end"),
    ({"relations": [arrow(1, 1)]}, "self-relation"), ({"relations": [arrow(), arrow()]}, "duplicate-relation"),
    ({"text": None}, "malformed-document"),
])
def test_what_is_wrong(fields: dict[str, Any], kind: str, tmp_path: Path) -> None:
    path = file(tmp_path, **fields)
    with pytest.raises(DataError, match=r"a\.jsonl:1: .*--lenient"):
        read_corpus(path, "prodigy")
    corpus = read_corpus(path, "prodigy", lenient=True)
    assert [problem.kind for problem in corpus.problems if problem.repair] == [kind]


def test_what_is_written(tmp_path: Path) -> None:
    ada, onno = Entity("Peop", 0, 2, score=0.5), Entity("Loc", 3, 4)
    document = Document("Ada Quill left  Onno", tuple(Token(*word) for word in (
        ("Ada", 0, 3), ("Quill", 4, 9), ("left", 10, 14), ("Onno", 16, 20))), (ada, onno),
        (Relation("Live_In", ada, onno, score=0.75),), "n-1")
    assert write_documents([document], tmp_path / "a.jsonl", "prodigy") == ()
    task = json.loads((tmp_path / "a.jsonl").read_text())
    assert task["tokens"][1] == {"text": "Quill", "start": 4, "end": 9, "id": 1, "ws": True}
    assert task["tokens"][3]["ws"] is False
    assert task["spans"][0] == {"start": 0, "end": 9, "token_start": 0, "token_end": 1, "label": "Peop", "score": 0.5}
    (relation,) = task["relations"]
    assert (relation["head"], relation["child"], relation["label"]) == (1, 3, "Live_In")
    (read,), problems = read_documents(tmp_path / "a.jsonl")
    assert (read, problems) == (document, ())
    assert (read.entities[0].score, read.relations[0].score) == (0.5, 0.75)


def test_words_of_white_space_are_noted(tmp_path: Path) -> None:
    (problem,) = write_documents([Document("a b", (Token("a", 0, 1), Token(" ", 1, 2)))], tmp_path / "a.jsonl", "prodigy")
    assert (problem.kind, problem.loss) == ("words", False)
