"""Label Studio's JSON and JSON-MIN."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from conjoin.document import Corpus, Document, Entity, Relation
from conjoin.errors import DataError
from conjoin.readers import detect, read_corpus, read_documents, write_documents

DATA = Path(__file__).parents[1] / "data" / "labelstudio"
WHOLE = {"sentences": "whole"}
TEXT = "Ada left Onno."


def triples(document: Document) -> list[tuple[str, str, str]]:
    return [(relation.type, relation.head.text, relation.tail.text) for relation in document.relations]


def spans(document: Document) -> list[tuple[str, str]]:
    return [(entity.type, entity.text) for entity in document.entities]


def kinds(corpus: Corpus) -> dict[str, int]:
    return dict(Counter(problem.kind for problem in corpus.problems))


def region(id: Any = "a", start: Any = 0, end: Any = 3, labels: Any = ("Peop",), **more: Any) -> dict[str, Any]:
    return {"id": id, "type": "labels", "from_name": "label", "to_name": "text",
            "value": {"start": start, "end": end, "labels": list(labels), **more}}


def arrow(head: Any = "a", tail: Any = "b", labels: Any = ("Live_In",), **more: Any) -> dict[str, Any]:
    return {"type": "relation", "from_id": head, "to_id": tail, "labels": list(labels), **more}


ADA, ONNO = region(), region("b", 9, 13, ["Loc"])


def export(folder: Path, *results: Any, data: Any = None, **more: Any) -> Path:
    """A file of one task with one annotation."""
    path = folder / "a.json"
    task = {"id": 8, "annotations": [{"result": list(results)}], "data": {"text": TEXT} if data is None else data}
    path.write_text(json.dumps([task | more]))
    return path


def test_export() -> None:
    corpus = read_corpus(DATA / "sample.json", options=WHOLE)
    assert corpus.format == "labelstudio"
    first, second, third = corpus.documents  # the fourth task was cancelled
    assert [document.id for document in corpus] == ["12", "13", "14"]
    assert triples(first) == [("Live_In", "Ada Quill", "Port Onno"), ("Work_For", "Ada Quill", "Tarn")]  # one points left
    assert triples(second) == [("Met", "Bea", "Cid"), ("Met", "Cid", "Bea"), ("OrgBased_In", "Tarn", "Vell"),
                               ("Located_In", "Tarn", "Vell")]
    assert [entity.start for entity in second.entities if entity.text == "Vell"] == [5, 11]
    assert not third.entities
    assert kinds(corpus) == {"several-annotators": 1, "cancelled": 1, "not-annotated": 1}
    assert [len(document.entities) for document in read_corpus(DATA / "sample.json")] == [3, 3, 2, 0]


def test_annotators() -> None:
    last = read_corpus(DATA / "sample.json", options=WHOLE | {"annotator": "last"}).documents[1]
    assert (last.id, spans(last)) == ("13", [("Peop", "Bea")])
    each = read_corpus(DATA / "sample.json", options=WHOLE | {"annotator": "each"})
    assert [document.id for document in each] == ["12#1@2", "13#1@annotator@example.org", "13#1@4", "14#1@2"]
    assert "several-annotators" not in kinds(each)


@pytest.mark.parametrize(("sentences", "ids"), [
    ("whole", ["8#1@alice", "8#1@bob"]), ("split", ["8#1@alice", "8#2@alice", "8#1@bob", "8#2@bob"])])
def test_what_several_annotated_is_one_text_to_folds(sentences: str, ids: list[str], tmp_path: Path) -> None:
    annotations = [{"result": [ADA], "completed_by": name} for name in ("alice", "bob")]
    path = export(tmp_path, annotations=annotations, data={"text": "Ada left. Bea stayed."})
    corpus = read_corpus(path, options={"annotator": "each", "sentences": sentences})
    assert [document.id for document in corpus] == ids


def test_ground_truth_goes_first(tmp_path: Path) -> None:
    annotations = [{"result": [ADA]}, {"result": [ONNO], "ground_truth": True}, {"result": []}]
    path = export(tmp_path, annotations=annotations)
    corpus = read_corpus(path)
    assert spans(corpus.documents[0]) == [("Loc", "Onno")]
    assert "of 3 annotations the ground truth is read" in corpus.problems[0].message
    assert corpus.problems[0].loss


def test_predictions(tmp_path: Path) -> None:
    corpus = read_corpus(DATA / "sample.json", options=WHOLE | {"predictions": "yes"})
    assert [(entity.text, entity.score) for entity in corpus.documents[3].entities] == [("Ölm", 0.75)]
    assert kinds(corpus) == {"several-annotators": 1, "cancelled": 1, "prediction": 1}
    task = {"data": {"text": TEXT}, "predictions": [{"model_version": "m", "result": [ADA]}]}
    (tmp_path / "a.json").write_text(json.dumps([task, task | {"annotations": []}]))
    corpus = read_corpus(tmp_path / "a.json")  # the first was made for import, the second is an export
    assert [spans(document) for document in corpus] == [[("Peop", "Ada")]]
    assert kinds(corpus) == {"prediction": 1, "not-annotated": 1}
    done = export(tmp_path, ADA, predictions=[{"result": [ONNO]}])
    assert spans(read_corpus(done, options={"predictions": "yes"}).documents[0]) == [("Peop", "Ada")]


def test_json_min() -> None:
    assert detect(DATA / "min.json") == "labelstudio"
    corpus = read_corpus(DATA / "min.json", options=WHOLE)
    assert [(document.id, spans(document)) for document in corpus] == [
        ("12", [("Peop", "Ada Quill"), ("Org", "Tarn")]), ("13", [("Loc", "Ölm")]), ("14", [])]
    assert kinds(corpus) == {"no-relations": 1, "several-annotators": 1}
    last = read_corpus(DATA / "min.json", options=WHOLE | {"annotator": "last"})
    assert spans(last.documents[1]) == [("Peop", "Željko")]


def test_old_completions(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps([{"id": 1, "data": {"text": TEXT}, "completions": [{"result": [ADA]}]}]))
    assert spans(read_corpus(tmp_path / "a.json").documents[0]) == [("Peop", "Ada")]


def test_the_text_is_found_by_what_entities_say(tmp_path: Path) -> None:
    data = {"about": "a long line about the text, longer than it is", "body": TEXT, "id": "n7"}
    corpus = read_corpus(export(tmp_path, region(text="Ada left", end=8), data=data))
    assert (corpus.documents[0].text, corpus.documents[0].id) == (TEXT, "n7#1")
    for odd in ({"body": 3}, {"body": "other"}):
        with pytest.raises(DataError, match=r"a\.json: task 8: its 'data' has no text that all of its entities agree"):
            read_corpus(export(tmp_path, region(text="Ada"), data=odd))


def test_offsets_in_utf16_code_units(tmp_path: Path) -> None:
    data = {"text": "😀😀 Ada left Onno"}
    path = export(tmp_path, region("a", 5, 8, text="Ada"), region("b", 12, 16, ["Loc"], text="Onno"), data=data)
    corpus = read_corpus(path)  # the first counts code units, the second characters
    assert spans(corpus.documents[0]) == [("Peop", "Ada"), ("Loc", "Onno")]
    assert kinds(corpus) == {"utf-16-offsets": 1}


def test_other_white_space_in_the_copy_is_no_disagreement(tmp_path: Path) -> None:
    path = export(tmp_path, region(end=8, text="Ada left"), data={"text": "Ada\nleft Onno"})
    assert read_corpus(path).problems == ()


def test_several_labels(tmp_path: Path) -> None:
    both = read_corpus(export(tmp_path, region(labels=["Peop", "Boss"]), ONNO, arrow())).documents[0]
    assert spans(both) == [("Peop", "Ada"), ("Boss", "Ada"), ("Loc", "Onno")]
    assert both.relations[0].head.type == "Peop"
    corpus = read_corpus(export(tmp_path, ADA, region(labels=["Boss"]), ONNO, arrow()))  # two sets of labels, one region
    assert (corpus.documents[0], kinds(corpus)) == (both, {"several-labels": 1, "overlapping-entity": 1})


@pytest.mark.parametrize(("results", "kind"), [
    ([{"id": "c", "type": "choices", "value": {"choices": ["good"]}}], "unread-result"),
    ([{"id": "c", "type": "choices", "value": {}}, ADA, arrow("a", "c")], "no-label"),
    ([region(labels=[])], "no-label"), ([region(labels=[]), ONNO, arrow()], "no-label"),
    ([ADA, ONNO, arrow(labels=[])], "no-label"),
    ([ADA, ONNO, {"type": "relation", "from_id": "a", "to_id": "b", "direction": "right"}], "no-label"),
])
def test_what_a_document_cannot_hold_is_noted(results: list[Any], kind: str, tmp_path: Path) -> None:
    corpus = read_corpus(export(tmp_path, *results))
    assert {problem.kind for problem in corpus.problems} - {"unread-result"} <= {kind}
    assert kind in kinds(corpus)
    assert all(problem.loss and not problem.repair for problem in corpus.problems)
    assert not corpus.documents[0].relations


@pytest.mark.parametrize(("results", "kind"), [
    (["x"], "malformed-result"), ([{"id": "a"}], "malformed-result"), ([{"id": "a", "type": "labels"}], "malformed-result"),
    ([region(start="/p[1]")], "malformed-result"), ([region(end=99)], "span-out-of-range"),
    ([region(text="Bea")], "text-disagrees"), ([region(end=4)], "white-space-edge"),
    ([ADA, region(start=9, end=13)], "duplicate-id"), ([ADA, region("b")], "duplicate-entity"),
    ([ADA, arrow()], "unknown-id"), ([ADA, arrow("a", "a")], "self-relation"),
    ([ADA, ONNO, arrow(), arrow()], "duplicate-relation"), ([ADA, arrow(tail=None)], "malformed-relation"),
    ([ADA, ONNO, arrow(direction="up")], "malformed-relation"),
])
def test_what_is_wrong(results: list[Any], kind: str, tmp_path: Path) -> None:
    path = export(tmp_path, *results)
    with pytest.raises(DataError, match=r"a\.json: task 8: .*--lenient"):
        read_corpus(path, "labelstudio")
    corpus = read_corpus(path, "labelstudio", lenient=True)
    assert [problem.kind for problem in corpus.problems if problem.repair] == [kind]


@pytest.mark.parametrize(("tasks", "kind"), [
    ([3], "malformed-task"), ([{"data": "text"}], "malformed-task"), ([{"id": 1}], "malformed-task"),
    ([{"data": {"text": "a"}, "annotations": {}}], "malformed-annotations"),
    ([{"data": {"text": "a"}, "annotations": [{"result": None}]}], "malformed-annotation"),
    ([{"data": {"text": "a"}, "predictions": [4]}], "malformed-predictions"),
])
def test_malformed_tasks(tasks: list[Any], kind: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(tasks))
    with pytest.raises(DataError, match=r"a\.json: .*--lenient"):
        read_corpus(tmp_path / "a.json", "labelstudio")
    corpus = read_corpus(tmp_path / "a.json", "labelstudio", lenient=True)
    assert ([problem.kind for problem in corpus.problems if problem.repair], len(corpus)) == ([kind], 0)


@pytest.mark.parametrize("text", ['[{"data": {}', '{"data": {"text": "a"}}', "[" * 20_000, "[1" + "0" * 5000 + "]"])
def test_files_that_are_no_list(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError, match=r"a\.json"):
        read_corpus(tmp_path / "a.json", "labelstudio", lenient=True)


def test_what_is_written_can_be_imported(tmp_path: Path) -> None:
    """As Label Studio's own check of predictions has it: regions with from_name, to_name, type and value; relations with
    type, direction and ids of regions, one for a pair."""
    ada, onno = Entity("Peop", 0, 1, score=0.5), Entity("Loc", 2, 3)
    document = Document.from_words(["Ada", "left", "Onno"], [ada, onno], [
        Relation("Live_In", ada, onno, score=0.25), Relation("Seen", onno, ada), Relation("Left", ada, onno)], id="n-1")
    problems = write_documents([document], tmp_path / "a.json", "labelstudio")
    assert [problem.kind for problem in problems] == ["score"]  # of the relation
    (task,) = json.loads((tmp_path / "a.json").read_text())
    assert task["data"] == {"text": "Ada left Onno", "id": "n-1"}
    (prediction,) = task["predictions"]
    assert prediction["model_version"] == "conjoin"
    assert prediction["result"] == [
        {"id": "e1", "from_name": "label", "to_name": "text", "type": "labels", "score": 0.5,
         "value": {"start": 0, "end": 3, "text": "Ada", "labels": ["Peop"]}},
        {"id": "e2", "from_name": "label", "to_name": "text", "type": "labels",
         "value": {"start": 9, "end": 13, "text": "Onno", "labels": ["Loc"]}},
        {"type": "relation", "from_id": "e1", "to_id": "e2", "direction": "right", "labels": ["Live_In", "Left"]},
        {"type": "relation", "from_id": "e2", "to_id": "e1", "direction": "right", "labels": ["Seen"]},
    ]
    (read,), notes = read_documents(tmp_path / "a.json", options=WHOLE)
    assert (set(read.relations), read.entities[0].score) == (set(document.relations), 0.5)
    assert [note.kind for note in notes] == ["prediction"]


def test_json_min_without_times_and_ids_of_annotations(tmp_path: Path) -> None:
    span = {"start": 0, "end": 3, "text": "Ada", "labels": ["Peop"]}
    (tmp_path / "a.json").write_text(json.dumps([{"id": 1, "text": TEXT, "label": [span], "annotator": 1}]))
    assert detect(tmp_path / "a.json") == "labelstudio"
    assert spans(read_corpus(tmp_path / "a.json").documents[0]) == [("Peop", "Ada")]


def test_a_task_that_is_not_in_a_list(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"id": 1, "annotations": [{"result": [ADA]}], "data": {"text": TEXT}},
                                                indent=1))
    assert detect(tmp_path / "a.json") == "labelstudio"
    assert spans(read_corpus(tmp_path / "a.json").documents[0]) == [("Peop", "Ada")]


def test_an_empty_list_is_of_no_format(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(" []\n")
    with pytest.raises(DataError, match="an empty list may be of any format"):
        detect(tmp_path / "a.json")


@pytest.mark.parametrize("whole", [[], [{"id": 1, "data": {"text": TEXT}, "annotations": [{"result": [ADA]}]}]])
def test_a_broken_task_makes_no_json_min(whole: list[Any], tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps([*whole, {"id": 2, "annotations": [{"result": [ADA]}]}]))
    corpus = read_corpus(tmp_path / "a.json", "labelstudio", lenient=True)
    assert len(corpus.documents) == len(whole)
    assert kinds(corpus) == {"malformed-task": 1}
