"""doccano's JSONL."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from conjoin.document import Corpus, Document, Entity, Relation
from conjoin.errors import DataError
from conjoin.readers import detect, read_corpus, read_documents, write_documents

DATA = Path(__file__).parents[1] / "data" / "doccano"
WHOLE = {"sentences": "whole"}


def triples(document: Document) -> list[tuple[str, str, str]]:
    return [(relation.type, relation.head.text, relation.tail.text) for relation in document.relations]


def spans(document: Document) -> list[tuple[str, str]]:
    return [(entity.type, entity.text) for entity in document.entities]


def kinds(corpus: Corpus) -> dict[str, int]:
    return dict(Counter(problem.kind for problem in corpus.problems))


def line(folder: Path, **fields: Any) -> Path:
    path = folder / "a.jsonl"
    path.write_text(json.dumps({"id": 5, "text": "Ada left Onno."} | fields) + "\n")
    return path


def entity(id: Any = 1, label: Any = "Peop", start: Any = 0, end: Any = 3) -> dict[str, Any]:
    return {"id": id, "label": label, "start_offset": start, "end_offset": end}


def test_relation_form() -> None:
    corpus = read_corpus(DATA / "sample.jsonl")
    assert corpus.format == "doccano"
    first, second, third = corpus.documents  # the first text is two sentences that a relation joins
    assert [document.id for document in corpus] == ["71#1", "72#1", "73#1"]
    assert triples(first) == [("Live_In", "Ada Quill", "Port Onno"), ("Work_For", "Ada Quill", "Tarn")]
    assert spans(second) == [("Peop", "Željko"), ("Loc", "Ölm")]
    assert not third.entities
    assert kinds(corpus) == {"sentences-joined": 1}
    dropped = read_corpus(DATA / "sample.jsonl", options={"crossing": "drop"})
    assert [document.id for document in dropped][:2] == ["71#1", "71#2"]
    assert kinds(dropped) == {"relation-across-sentences": 1}


@pytest.mark.parametrize("key", ["label", "labels"])
def test_label_form(key: str, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text((DATA / "labels.jsonl").read_text().replace('"label"', f'"{key}"'))
    assert detect(tmp_path / "a.jsonl") == "doccano"
    corpus = read_corpus(tmp_path / "a.jsonl", options=WHOLE)
    assert [spans(document) for document in corpus] == [[("Peop", "Ada Quill"), ("Org", "Tarn")], [("Loc", "Ölm")], []]
    assert kinds(corpus) == {"unread-field": 1}


def test_older_exports(tmp_path: Path) -> None:
    path = line(tmp_path, annotations=[entity(label=2) | {"label_name": "Peop", "user": 1}, entity(2, 7, 9, 13)])
    assert spans(read_corpus(path).documents[0]) == [("Peop", "Ada"), ("7", "Onno")]
    path = line(tmp_path, text=None, data="Ada left.", label=[[0, 3, "Peop"]])
    assert spans(read_corpus(path).documents[0]) == [("Peop", "Ada")]
    path = line(tmp_path, entities=[[0, 3, "Peop"]])
    assert spans(read_corpus(path, "doccano").documents[0]) == [("Peop", "Ada")]


def test_a_label_name_that_is_null_is_none(tmp_path: Path) -> None:
    path = line(tmp_path, annotations=[entity() | {"label_name": None}])
    assert spans(read_corpus(path).documents[0]) == [("Peop", "Ada")]


def test_an_empty_label_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="start_offset and end_offset: 'label' is empty; correct it"):
        read_corpus(line(tmp_path, entities=[entity(label="")]))


def test_offsets_in_utf16_code_units(tmp_path: Path) -> None:
    path = line(tmp_path, text="😀😀 Ada left Onno 😀", entities=[entity(1, "Peop", 5, 8), entity(2, "Loc", 14, 18)])
    assert "offsets=utf-16" in read_corpus(path).problems[0].message
    corpus = read_corpus(path, options={"offsets": "utf-16"})
    assert (spans(corpus.documents[0]), corpus.problems) == ([("Peop", "Ada"), ("Loc", "Onno")], ())
    counted = line(tmp_path, text="😀 Ada", entities=[entity(1, "Peop", 2, 5)])
    assert spans(read_corpus(counted).documents[0]) == [("Peop", "Ada")]
    far = line(tmp_path, text="😀 Ada", entities=[entity(1, "Peop", 3, 99)])
    with pytest.raises(DataError, match="characters 3 to 99"):
        read_corpus(far, options={"offsets": "utf-16"})


@pytest.mark.parametrize(("fields", "kind"), [
    ({"entities": {}}, "malformed-entities"), ({"entities": [7]}, "malformed-entity"),
    ({"entities": [entity(label="")]}, "malformed-entity"), ({"entities": [entity(start="0")]}, "malformed-entity"),
    ({"label": ["good"]}, "malformed-entity"), ({"label": [[0, 3]]}, "malformed-entity"),
    ({"entities": [entity(end=99)]}, "span-out-of-range"), ({"entities": [entity(start=-1)]}, "span-out-of-range"),
    ({"entities": [entity(), entity(start=9, end=13)]}, "duplicate-id"),
    ({"entities": [entity(), entity(2)]}, "duplicate-entity"), ({"entities": [entity(end=4)]}, "white-space-edge"),
    ({"entities": [entity()], "relations": 3}, "malformed-relations"),
    ({"entities": [entity()], "relations": [{"from_id": 1}]}, "malformed-relation"),
    ({"entities": [entity()], "relations": [{"from_id": 1, "to_id": 8, "type": "R"}]}, "unknown-id"),
    ({"entities": [entity()], "relations": [{"from_id": 1, "to_id": 1, "type": "R"}]}, "self-relation"),
    ({"entities": [entity()], "relation": []}, "misspelt-field"), ({"text": 3}, "malformed-document"),
])
def test_what_is_wrong(fields: dict[str, Any], kind: str, tmp_path: Path) -> None:
    path = line(tmp_path, **fields)
    with pytest.raises(DataError, match=r"a\.jsonl:1: .*--lenient"):
        read_corpus(path, "doccano")
    assert [problem.kind for problem in read_corpus(path, "doccano", lenient=True).problems if problem.repair] == [kind]


@pytest.mark.parametrize("text", ['{"text": "a"', "[" * 20_000, "null", '"text"', '{"text": 1}'])
def test_lines_that_are_no_documents(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(text + "\n")
    with pytest.raises(DataError, match=r"a\.jsonl:1: "):
        read_corpus(tmp_path / "a.jsonl", "doccano")
    assert len(read_corpus(tmp_path / "a.jsonl", "doccano", lenient=True)) == 0


def test_what_is_written_can_be_imported(tmp_path: Path) -> None:
    """doccano wants ids that are whole numbers, and they are not repeated in a file."""
    ada, onno = Entity("Peop", 0, 1, score=0.5), Entity("Loc", 2, 3)
    document = Document.from_words(["Ada", "left", "Onno"], [ada, onno], [Relation("Live_In", ada, onno)], id="n-1")
    problems = write_documents([document, document], tmp_path / "a.jsonl", "doccano")
    assert Counter(problem.kind for problem in problems) == {"score": 2}
    rows = [json.loads(row) for row in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert [span["id"] for row in rows for span in row["entities"]] == [0, 1, 2, 3]
    assert rows[1]["entities"][0] == {"id": 2, "label": "Peop", "start_offset": 0, "end_offset": 3}
    assert rows[1]["relations"] == [{"id": 1, "from_id": 2, "to_id": 3, "type": "Live_In"}]
    assert read_documents(tmp_path / "a.jsonl", options=WHOLE)[0] == (document, document)


def test_words_that_are_not_conjoins_own_are_noted(tmp_path: Path) -> None:
    document = Document.from_words(["don't", "go"], id="x")
    (problem,) = write_documents([document], tmp_path / "a.jsonl", "doccano")
    assert (problem.kind, problem.loss) == ("words", False)
