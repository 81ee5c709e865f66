"""DyGIE++ and CrossRE: JSON lines whose entities and relations are numbers of words, the last included."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from conjoin.document import Document, Entity, Problem, Relation
from conjoin.errors import DataError
from conjoin.readers import Problems, load, read_corpus, read_documents, write_documents

DATA = Path(__file__).parents[1] / "data"
ADA = ["Ada", "Quill", "left", "Onno"]


def kinds(found: tuple[Problem, ...] | list[Problem]) -> dict[str, int]:
    return dict(Counter(problem.kind for problem in found))


def triples(documents: Any) -> list[tuple[str, str, str]]:
    return [(relation.type, relation.head.text, relation.tail.text) for document in documents
            for relation in document.relations]


def spans(documents: Any) -> list[tuple[str, str]]:
    return [(entity.type, entity.text) for document in documents for entity in document.entities]


def written(path: Path, *values: Any) -> Path:
    path.write_text("".join(json.dumps(value) + "\n" for value in values))
    return path


def leniently(path: Path, format: str, strict: str) -> tuple[tuple[Document, ...], list[Problem]]:
    """The documents and repairs of a file that strict reading refuses with the words `strict`."""
    with pytest.raises(DataError, match=strict):
        read_corpus(path, format)
    problems = Problems(lenient=True)
    return load(path, problems, format).documents, [problem for problem in problems.entries if problem.repair]


def test_dygie_sample() -> None:
    corpus = read_corpus(DATA / "dygie" / "sample.json")
    assert corpus.format == "dygie"
    assert [document.id for document in corpus] == ["quill#1", "quill#2", "bea#1"]
    assert corpus.documents[1].text == "Then she joined Tarn in Vell ."
    assert spans(corpus) == [("Peop", "Ada Quill"), ("Loc", "Port Onno"), ("Org", "Tarn"), ("Loc", "Vell"), ("Peop", "Bea"),
                             ("Peop", "Cid")]
    assert triples(corpus) == [("Live_In", "Ada Quill", "Port Onno"), ("OrgBased_In", "Tarn", "Vell"),
                               ("Kill", "Bea", "Cid")]
    assert [(problem.kind, problem.line, problem.loss, problem.repair) for problem in corpus.problems] == [
        ("relation-across-sentences", 1, True, False), ("unread-field", None, False, False),
        ("unread-clusters", None, True, False), ("unread-events", None, True, False)]
    assert "sentence 2: relation Work_For from words 0 to 1 to words 9 to 9" in corpus.problems[0].message


def test_dygie_without_annotations_and_with_predictions(tmp_path: Path) -> None:
    path = written(tmp_path / "a.json", {"doc_key": 7, "sentences": [ADA], "predicted_ner": [[[0, 1, "X", 9.1, 0.9]]],
                                         "dataset": "d", "clusters": [], "events": [[]], "ner": None},
                   {"doc_key": None, "sentences": [["x"]], "ner": [[[0, 0, "X", 9.1, 0.9]]], "relations": [[]]},
                   {"sentences": []})
    corpus = read_corpus(path)
    assert [document.id for document in corpus] == ["7#1", "#1"]
    assert spans(corpus) == [("X", "x")]
    assert kinds(corpus.problems) == {"unread-field": 1, "unread-column": 1}
    assert corpus.problems[0].message == "fields that are not read: dataset, predicted_ner"


def test_dygie_broken(tmp_path: Path) -> None:
    path = written(
        tmp_path / "a.json",
        {"doc_key": "a", "sentences": [ADA, [], ["She", "ran"]],
         "ner": [[[0, 1, "P"], [3, 4, "L"], [2, 1, "X"], [0, 1, ""], [0, 1], "x", [0, 1, "P"], ["0", 1, "P"]], [],
                 [[4, 4, "P"]]],
         "relations": [[[0, 1, 3, 3, "R"], [0, 1, 0, 1, "R"], [0, 1, 4, 4, "R"], [0, 1, 90, 91, "R"], [0, 1, "R"], {}],
                       [], []]},
        {"sentences": [["a", ""]]}, {"sentences": ["a"]}, {"doc_key": "x"}, [1], {"sentences": [["b"]], "relation": [[]]},
        {"sentences": [["c"], ["d"]], "ner": [[[0, 0, "X"]]], "relations": 3}, {"sentences": [["e"]], "ner": [3]},
    )
    with path.open("a") as file:
        file.write('{"sentences": [["a"]\n')
    documents, repairs = leniently(path, "dygie", r"a\.json:1: sentence 1: entity L has words 3 to 4 .end inclusive., the "
                                                  r"sentence has 0 to 3; correct it, or use --lenient")
    assert [document.id for document in documents] == ["a#1", "a#3", "#1", "#1", "#2", "#1"]
    assert spans(documents) == [("P", "Ada Quill"), ("P", "She"), ("X", "c")]
    assert triples(documents) == []
    assert kinds(repairs) == {
        "span-out-of-range": 2, "malformed-entity": 4, "duplicate-entity": 1, "empty-sentence": 1, "relation-end": 2,
        "self-relation": 1, "malformed-relation": 2, "malformed-document": 4, "malformed-json": 1, "misspelt-field": 1,
        "malformed-ner": 2, "malformed-relations": 1}
    messages = [problem.message for problem in repairs]
    assert any("entity 5, [0, 1], is no [first word, last word, type]" in message for message in messages)
    assert any("relation R points at words 90 to 91, which are no entity" in message for message in messages)
    assert any("'ner' has lists for 1 sentences, the text has 2 sentences" in message for message in messages)


@pytest.mark.parametrize("format", ["dygie", "crossre"])
def test_entities_on_the_same_words(format: str, tmp_path: Path) -> None:
    both = Document.from_words(ADA, [Entity("P", 0, 2), Entity("Q", 0, 2), Entity("L", 3, 4)], id="a#1")
    first, second, place = both.entities
    path = tmp_path / "a.json"
    assert write_documents([both.annotated(both.entities, [Relation("R", first, place)])], path, format) == ()
    corpus = read_corpus(path, format)
    assert spans(corpus) == [("P", "Ada Quill"), ("Q", "Ada Quill"), ("L", "Onno")]
    assert corpus.documents[0].relations[0].head.type == "P"
    assert kinds(corpus.problems) == {"overlapping-entity": 1, "ambiguous-argument": 1}
    assert "which are P and Q; it is given to the first" in corpus.problems[0].message
    ambiguous = both.annotated(both.entities, [Relation("R", place, second)])
    with pytest.raises(DataError, match="relation R needs Q 'Ada Quill', whose words are P too, and the format"):
        write_documents([ambiguous], path, format)
    problems = write_documents([ambiguous], path, format, lenient=True)
    assert [(problem.kind, problem.loss) for problem in problems] == [("ambiguous-argument", False)]


def test_dygie_groups_the_sentences_of_a_text(tmp_path: Path) -> None:
    def sentence(id: str) -> Document:
        ada, onno = Entity("P", 0, 2), Entity("L", 3, 4)
        return Document.from_words(ADA, [ada, onno], [Relation("R", ada, onno)], id=id)

    path = tmp_path / "a.json"
    ids = ["a#1", "a#2", "b#1", "b#3", "b#2", "c", "", "a#1", "x#0", "y#01", "c#4"]
    problems = write_documents(map(sentence, ids), path, "dygie")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["doc_key"], len(line["sentences"])) for line in lines] == [
        ("a", 2), ("b", 2), ("b-2", 1), ("c", 1), ("document-5", 1), ("a-2", 1), ("x#0", 1), ("y#01", 1), ("c-2", 1)]
    assert lines[0]["ner"] == [[[0, 1, "P"], [3, 3, "L"]], [[4, 5, "P"], [7, 7, "L"]]]
    assert lines[0]["relations"] == [[[0, 1, 3, 3, "R"]], [[4, 5, 7, 7, "R"]]]
    assert kinds(list(problems)) == {"sentence-name": 8}
    assert "document 'b#3': it will be read as 'b#2'" in problems[0].message
    read, _ = read_documents(path)
    assert [document.words for document in read] == [ADA] * len(ids)
    assert read[1] == sentence("a#2")


def test_crossre_sample() -> None:
    corpus = read_corpus(DATA / "crossre" / "sample-train.json")
    assert corpus.format == "crossre"
    assert [document.id for document in corpus.train] == ["town-1", "town-2", "town-3"]
    assert triples(corpus) == [("physical", "Ada Quill", "Port Onno"), ("origin", "Ada Quill", "Port Onno"),
                               ("physical", "Tarn Mills", "Vell")]
    assert spans(corpus)[-1] == ("organisation", "Tarn Mills of Vell")
    assert kinds(corpus.problems) == {"overlapping-entity": 2, "unread-column": 1}
    assert corpus.problems[-1].message == ("columns of relations that are not read: 1 explanations, 1 marks of "
                                           "uncertainty, 1 marks of syntactic ambiguity")


def test_crossre_broken(tmp_path: Path) -> None:
    path = written(
        tmp_path / "a.json",
        {"doc_key": "a", "sentence": ADA, "ner": [[0, 1, "P"], [3, 4, "L"], [0]], "relations": [[0, 1, 9, 9, "R"], [1]]},
        {"sentence": []}, {"sentence": [""]}, {"sentence": "Ada"},
        {"doc_key": None, "sentence": ["b"], "ner": 3, "relation": []},
    )
    documents, repairs = leniently(path, "crossre", r"a\.json:1: entity L has words 3 to 4 .end inclusive., the sentence")
    assert [(document.id, len(document.entities)) for document in documents] == [("a", 1), ("", 0)]
    assert kinds(repairs) == {"span-out-of-range": 1, "malformed-entity": 1, "relation-end": 1, "malformed-relation": 1,
                              "empty-sentence": 1, "malformed-document": 2, "malformed-ner": 1, "misspelt-field": 1}


def test_crossre_writes_all_columns(tmp_path: Path) -> None:
    ada, onno = Entity("P", 0, 2), Entity("L", 3, 4)
    write_documents([Document.from_words(ADA, [ada, onno], [Relation("R", ada, onno)], id="a")], tmp_path / "a", "crossre")
    assert json.loads((tmp_path / "a").read_text()) == {
        "doc_key": "a", "sentence": ADA, "ner": [[0, 1, "P"], [3, 3, "L"]],
        "relations": [[0, 1, 3, 3, "R", "", False, False]]}


@pytest.mark.parametrize("format", ["dygie", "crossre"])
def test_types_without_a_name(format: str, tmp_path: Path) -> None:
    document = Document.from_words(ADA, [Entity("", 0, 2), Entity("L", 3, 4)], id="a#1")
    problems = write_documents([document, Document("", ())], tmp_path / "a", format, lenient=True)
    assert kinds(list(problems)) == {"type-name": 1, "empty-sentence": 1}
    assert spans(read_corpus(tmp_path / "a")) == [("L", "Onno")]
