"""Label Studio's JSON: a list of tasks, each with `data` and `annotations` or `predictions`, offsets in characters.

A result of type `labels` is an entity, one of type `relation` leads from one result's id to another's, with a direction
(labelstud.io/guide/task_format; docs/source/includes/result_format.md of HumanSignal/label-studio). JSON-MIN is read too;
it holds no relations (HumanSignal/label-studio, issue 1803). Written are tasks with `predictions`, as
labelstud.io/guide/predictions has them, for a labelling configuration whose tags are called `label` and `text`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, starmap
from pathlib import Path
from typing import Any, TextIO

from conjoin.document import Document, Relation, score_json
from conjoin.readers.characters import beyond_16_bits, code_units
from conjoin.readers.fields import NAME, NUMBER, wrong_key
from conjoin.readers.format import Format, Options
from conjoin.readers.objects import finite_score, json_list
from conjoin.readers.overlap import RULES
from conjoin.readers.problems import Place, Problems
from conjoin.readers.standoff import SPLIT_OPTIONS, Standoff
from conjoin.readers.writing import documents_with_characters, note_scores, write_json_list
from conjoin.text.words import without_spaces

_LABELS = ("label", "text", "labels")  # from_name, to_name and type of our entities
_MODEL = "conjoin"  # the model_version of our predictions
_ANNOTATIONS = ("annotations", "completions", "predictions")
_SPAN = {"start": NUMBER, "end": NUMBER}
_RELATION = {"from_id": NAME, "to_id": NAME}


@dataclass(frozen=True, slots=True)
class _Task:
    value: dict[str, Any]
    place: Place


def read(path: Path, problems: Problems, options: Options) -> Iterator[Document]:
    items = json_list(path, problems, "Label Studio's JSON is a list of tasks", single=_has_results)
    tasks = [_Task(item, Place(path, problems, label=f"task {item.get('id', number)}: "))
             for number, item in enumerate(_whole_tasks(items, path, problems), start=1)]
    for task in tasks:
        for suffix, results in _annotations(task, options):
            standoff = _standoff(task, suffix, results)
            if standoff is not None:
                yield from standoff.documents(options)


def _whole_tasks(items: list[Any], path: Path, problems: Problems) -> Iterator[dict[str, Any]]:
    """The tasks of a file in JSON or JSON-MIN, where every annotation is an item and items with one id are one task."""
    minimal: dict[str, dict[str, Any]] = {}
    ordinary = any(isinstance(item, dict) and ("data" in item or _has_results(item)) for item in items)
    for number, item in enumerate(items, start=1):
        if isinstance(item, dict) and isinstance(item.get("data"), dict):
            yield item
        elif isinstance(item, dict) and not ordinary:
            task = _whole_task(item)
            known = minimal.setdefault(str(item.get("id", f"#{number}")), task)
            if known is not task:
                known["annotations"] += task["annotations"]
        else:
            needs = "it needs an object 'data'" + ("" if ordinary else " (JSON) or the fields of one (JSON-MIN)")
            problems.repair(path, None, "malformed-task", f"item {number} is no task: {needs}", "leaves it out")
    if minimal:
        problems.note(path, None, "no-relations", "JSON-MIN holds no relations; export as JSON to have them")
    yield from minimal.values()


def _has_results(item: Mapping[str, Any]) -> bool:
    """True for a task in JSON (not JSON-MIN) with annotations or predictions."""
    lists = [item[key] for key in _ANNOTATIONS if isinstance(item.get(key), list)]
    return any(isinstance(one, dict) and "result" in one for one in chain.from_iterable(lists))


def _whole_task(item: dict[str, Any]) -> dict[str, Any]:
    """An item of JSON-MIN as a task of JSON."""
    fields = [value for value in item.values() if isinstance(value, list)]
    spans = [span for field in fields for span in field if isinstance(span, dict) and "start" in span]
    results = [{"id": number, "type": _LABELS[2], "value": span} for number, span in enumerate(spans)]
    annotation = {"result": results, "completed_by": item.get("annotator"), "created_at": item.get("created_at")}
    data = {key: value for key, value in item.items() if key not in ("created_at", "updated_at", "annotator")}
    return {"id": item.get("id"), "data": data, "annotations": [annotation]}


def _annotations(task: _Task, options: Options) -> Iterator[tuple[str, list[Any]]]:
    """The annotations (or predictions) of a task to read: a suffix for the document's id, and the results."""
    rule = options["annotator"]
    # an exported task has annotations, perhaps an empty list; a task to be imported may have predictions only
    exported = not {"annotations", "completions"}.isdisjoint(task.value)
    annotations = list(_without_cancelled(task, _object_list(task, "annotations") + _object_list(task, "completions")))
    predictions = _object_list(task, "predictions")
    if annotations:
        yield from _by_annotator(task, annotations, rule, "annotation")
    elif predictions and (options["predictions"] == "yes" or not exported):
        task.place.note("prediction", "it has no annotation; a model's prediction is read")
        yield from _by_annotator(task, predictions, rule, "prediction")
    else:
        remedy = " (predictions=yes reads its predictions)" if predictions else ""
        task.place.note("not-annotated", f"it has no annotation and is left out{remedy}", loss=bool(predictions))


def _without_cancelled(task: _Task, annotations: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for annotation in annotations:
        if annotation.get("was_cancelled"):
            task.place.note("cancelled", "a cancelled annotation is not read", loss=bool(annotation.get("result")))
        else:
            yield annotation


def _object_list(task: _Task, key: str) -> list[dict[str, Any]]:
    value = task.value.get(key)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        task.place.repair(f"malformed-{key}", f"'{key}' is no list of objects", "reads none")
        return []
    return value


def _by_annotator(task: _Task, annotations: list[dict[str, Any]], rule: str, what: str) -> Iterator[tuple[str, list[Any]]]:
    """The first or last annotation, or each; those marked as ground truth go before the others."""
    truths = [annotation for annotation in annotations if annotation.get("ground_truth") is True]
    ordered = truths or annotations
    if all(isinstance(annotation.get("created_at"), str) for annotation in ordered):
        ordered = sorted(ordered, key=lambda annotation: str(annotation["created_at"]))
    selection = ordered if rule == "each" else ordered[:1] if rule == "first" else ordered[-1:]
    if len(selection) < len(annotations):
        which = "the ground truth" if truths and len(selection) == len(truths) else f"the {rule}"
        task.place.note("several-annotators", f"of {len(annotations)} {what}s {which} is read (annotator=first|last|each)",
                        loss=True)
    for number, annotation in enumerate(selection, start=1):
        results = annotation.get("result")
        if isinstance(results, list):
            yield f"@{_annotator(annotation, number)}" if rule == "each" else "", results
        else:
            task.place.repair("malformed-annotation", f"{what} {number} has no list 'result'", "leaves it out")


def _annotator(annotation: Mapping[str, Any], number: int) -> str:
    match annotation.get("completed_by", annotation.get("model_version")):
        case {"email": str(name)} | {"id": int() | str() as name} | (int() | str() as name):
            return str(name)
    return str(number)


@dataclass(frozen=True, slots=True)
class _Regions:
    """The text, id → characters of the regions that are entities, and ids of regions that are left out."""

    standoff: Standoff
    places: dict[str, tuple[int, int]]
    left_out: set[str]


def _standoff(task: _Task, suffix: str, results: list[Any]) -> Standoff | None:
    """The text with its results; None, after a repair, when there is no text."""
    data = task.value["data"]
    text = _text(data, results)
    if text is None:
        task.place.repair("malformed-task", "its 'data' has no text that all of its entities agree with", "leaves it out")
        return None
    id = next((str(id) for id in (data.get("id"), task.value.get("id")) if isinstance(id, str | int)), "")
    standoff = Standoff(text, task.place, id=id, suffix=suffix)
    regions = _Regions(standoff, {}, set())
    arrows: list[dict[str, Any]] = []
    for number, result in enumerate(results, start=1):
        if isinstance(result, dict) and result.get("type") == "relation":
            arrows.append(result)  # they may stand before what they connect
        else:
            _add_region(regions, number, result)
    for arrow in arrows:
        _add_relation(regions, arrow)
    return standoff


def _text(data: Mapping[str, Any], results: list[Any]) -> str | None:
    """The field `text`, or the longest string in the data that contains the entities' copies of their text."""
    if isinstance(data.get("text"), str):
        return str(data["text"])
    values = [result["value"] for result in results if isinstance(result, dict) and isinstance(result.get("value"), dict)]
    copies = [copy for copy in (value.get("text") for value in values) if isinstance(copy, str)]
    texts = [text for text in data.values() if isinstance(text, str) and all(copy in text for copy in copies)]
    return max(texts, key=len, default=None)


def _add_region(regions: _Regions, number: int, result: Any) -> None:
    standoff = regions.standoff
    match result:
        case {"type": "labels", "value": {"start": int(start), "end": int(end)}}:
            _add_entity(regions, number, result, start, end)
        case {"type": "labels"}:
            standoff.place.repair("malformed-result", f"result {number} needs a 'value' with start and end: "
                                  f"{wrong_key(result.get('value', {}), _SPAN)}", "leaves it out")
        case {"type": str(type)}:
            standoff.place.note("unread-result", f"a result of type {type} is not read", loss=True)
            regions.left_out.add(str(result.get("id")))
        case _:
            standoff.place.repair("malformed-result", f"result {number} is no object with a 'type'", "leaves it out")


def _add_entity(regions: _Regions, number: int, result: Mapping[str, Any], start: int, end: int) -> None:
    standoff, id = regions.standoff, str(result.get("id", number))
    labels, copy = _names(result["value"].get("labels")), result["value"].get("text")
    if not labels:
        standoff.place.note("no-label", f"the result at characters {start} to {end} has no label and is left out",
                            loss=True)
        regions.left_out.add(id)
        return
    if isinstance(copy, str):
        start, end = _characters(standoff, start, end, copy)
        if without_spaces(standoff.text[start:end]) == without_spaces(copy):
            copy = None  # the copy has other white space, at line ends
    again = regions.places.get(id) == (start, end)  # another set of labels for the same region
    if len(labels) > 1 or again:
        standoff.place.note("several-labels", f"'{standoff.text[start:end]}' has several labels, which are an entity each; "
                            "relations go to the first")
    regions.places.setdefault(id, (start, end))
    for place, label in enumerate(labels):
        key: Any = (number, place) if place or again else id
        standoff.entity(key, label, start, end, copy=copy, score=finite_score(result.get("score")))


def _names(labels: Any) -> list[str]:
    return [label for label in labels if isinstance(label, str) and label] if isinstance(labels, list) else []


def _characters(standoff: Standoff, start: int, end: int, copy: str) -> tuple[int, int]:
    """Offsets in characters.

    Older versions counted UTF-16 code units (HumanSignal/label-studio, issue 1347), which are assumed where only they
    agree with the copy of the text.
    """
    text = standoff.text
    if text[start:end] != copy and beyond_16_bits(text):
        units = code_units(text)
        if 0 <= start < end < len(units) and text[units[start] : units[end]] == copy:
            standoff.place.note("utf-16-offsets", f"'{copy}' is counted in UTF-16 code units, in which an emoji is two; "
                                "converted")
            return units[start], units[end]
    return start, end


def _add_relation(regions: _Regions, arrow: Mapping[str, Any]) -> None:
    standoff, direction = regions.standoff, arrow.get("direction", "right")
    match arrow:
        case {"from_id": str() | int() as start, "to_id": str() | int() as end}:
            head, tail = str(start), str(end)
        case _:
            standoff.place.repair("malformed-relation", "a relation needs from_id and to_id: "
                                  f"{wrong_key(arrow, _RELATION)}", "leaves it out")
            return
    labels = _names(arrow.get("labels"))
    if not labels or regions.left_out & {head, tail}:
        why = "goes with what it connects" if labels else "has no label and is left out"
        standoff.place.note("no-label", f"the relation from '{head}' to '{tail}' {why}", loss=True)
        return
    if direction not in ("right", "left", "bi"):
        standoff.place.repair("malformed-relation", f"the relation from '{head}' to '{tail}' has direction "
                              f"{json.dumps(direction)[:40]}, which is not right, left or bi",
                              "reads it as right", loss=False)
    for label in labels:
        if direction != "left":
            standoff.relation(label, head, tail)
        if direction in ("left", "bi"):
            standoff.relation(label, tail, head)


def write(documents: Iterable[Document], file: TextIO, path: Path, problems: Problems) -> None:
    write_json_list(starmap(_value, documents_with_characters(documents, path, problems)), file)


def _value(document: Document, place: Place) -> dict[str, Any]:
    note_scores(document.relations, place, of="relations")
    from_name, to_name, type = _LABELS
    ids = {entity: f"e{number}" for number, entity in enumerate(document.entities, start=1)}
    results: list[dict[str, Any]] = [
        {"id": ids[e], "from_name": from_name, "to_name": to_name, "type": type,
         "value": {"start": e.char_start, "end": e.char_end, "text": e.text, "labels": [e.type]}}
        | score_json(e.score)
        for e in document.entities
    ]
    pairs: dict[tuple[str, str], list[Relation]] = {}  # a pair has one arrow, which carries all labels
    for relation in document.relations:
        pairs.setdefault((ids[relation.head], ids[relation.tail]), []).append(relation)
    results += [{"type": "relation", "from_id": head, "to_id": tail, "direction": "right",
                 "labels": [relation.type for relation in relations]} for (head, tail), relations in pairs.items()]
    return {"data": {"text": document.text} | ({"id": document.id} if document.id else {}),
            "predictions": [{"model_version": _MODEL, "result": results}]}


def sniff(beginning: str) -> bool:
    def has(keys: str, opening: str = "") -> bool:
        return re.search(rf'"({keys})"\s*:\s*{opening}', beginning) is not None

    if re.match(r"\s*\{", beginning):  # a single task
        return has("|".join(_ANNOTATIONS), r"\[") and has("data", r"\{") and has("result", r"\[")
    if not re.match(r"\s*\[\s*\{", beginning):
        return False
    if re.match(r'\s*\[\s*\{\s*("id"\s*:\s*\d+\s*,\s*)?"data"\s*:\s*\{', beginning):
        return True
    if has("|".join(_ANNOTATIONS), r"\[") and has("result|data"):
        return True
    keys = ("annotation_id", "annotator"), ("start", "end", "labels", "text"), ("annotator", "text")
    return '"tokens"' not in beginning and any(all(map(has, names)) for names in keys)


FORMAT = Format("labelstudio", "Label Studio's JSON: tasks with annotations (or predictions), entities in characters",
                (".json",), sniff, read, write,
                options={"annotator": ("first", "last", "each"), "predictions": ("no", "yes"),
                         **SPLIT_OPTIONS,
                         "overlap": tuple(RULES)})
