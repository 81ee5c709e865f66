"""JSONL of Prodigy's relations interface (`rel.manual`), as `db-out` writes it: one task a line.

A task has `text`, `tokens`, `spans` and `relations` with `head` and `child`, and, where it was annotated, an `answer`:
`accept`, `reject` or `ignore` (prodi.gy/docs/api-interfaces). `head` and `child` are the last words of the spans they
stand for, as spaCy's relation tutorial reads them (explosion/projects, rel_component/scripts/parse_data.py);
`head_span` and `child_span` repeat those spans and go first here. `token_end` counts inclusively.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from conjoin.document import Document, Entity, score_json
from conjoin.readers.fields import NUMBER, STRING, Fields, wrong_key
from conjoin.readers.format import Format, Options
from conjoin.readers.objects import finite_score, list_field, text_objects, token_list
from conjoin.readers.overlap import RULES
from conjoin.readers.problems import Place, Problems
from conjoin.readers.standoff import SPLIT_OPTIONS, Standoff
from conjoin.readers.writing import with_places

_SPAN = {"label": STRING, "start": NUMBER, "end": NUMBER}
_RELATION = {"label": STRING, "head": NUMBER, "child": NUMBER}
_OWN = {"text", "tokens", "spans", "relations", "answer", "meta", "id"}


def read(path: Path, problems: Problems, options: Options) -> Iterator[Document]:
    fields = Fields(Place(path, problems), _OWN)
    hashes: set[int] = set()
    for place, task in text_objects(path, problems):
        if not _is_accepted(task, place):
            continue
        match task.get("_input_hash"):
            case int(hash) if hash in hashes:
                place.note("annotated-twice", "an earlier line has the same text; both are read")
            case int(hash):
                hashes.add(hash)
        fields.unread |= {key for key in task.keys() - _OWN if not key.startswith("_")}
        yield from _standoff(task, place).documents(options)
    fields.note_unread()


def _is_accepted(task: Mapping[str, Any], place: Place) -> bool:
    answer = task.get("answer", "accept")
    if answer in ("reject", "ignore"):
        place.note(f"answer-{answer}", f"the answer is {answer}; the task is left out", loss=bool(task.get("spans")))
    elif answer != "accept":
        place.repair("malformed-document", f"the answer is {json.dumps(answer)[:40]}, which is not accept, reject or "
                     "ignore", "leaves the line out")
    return bool(answer == "accept")


def _standoff(task: Mapping[str, Any], place: Place) -> Standoff:
    meta = task.get("meta")
    id = meta["id"] if isinstance(meta, dict) and "id" in meta else task.get("id")
    tokens = token_list(task["text"], task.get("tokens"), _token_span, "object with start and end", place)
    if tokens is not None:  # spaCy's tokens of white space are no words
        tokens = [token for token in tokens if not token.text.isspace()]
    standoff = Standoff(task["text"], place, id=str(id) if isinstance(id, str | int) else "", tokens=tokens,
                        missing=("relation-end", "{}, which is no entity"))
    spans = _Spans(standoff)
    for number, item in enumerate(list_field(task, "spans", place), start=1):
        spans.add(number, item)
    for number, item in enumerate(list_field(task, "relations", place), start=1):
        _add_relation(spans, number, item)
    return standoff


def _token_span(item: Any) -> list[Any]:
    return [item.get("start"), item.get("end")] if isinstance(item, dict) else []


@dataclass(frozen=True, slots=True)
class _Spans:
    """The spans of a task by their number, from 1."""

    standoff: Standoff
    values: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    unlabelled: set[int] = field(default_factory=set)

    def add(self, number: int, item: Any) -> None:
        place = self.standoff.place
        match item:
            case {"start": int(start), "end": int(end), "label": str(label)} if label:
                self.values[number] = item
                self.standoff.entity(f"span {number}", label, start, end, score=finite_score(item.get("score")))
            case {"start": int(start), "end": int(end)} if item.get("label") in (None, ""):
                self.values[number] = item
                self.unlabelled.add(number)
                place.note("no-label", f"the span at characters {start} to {end} has no label and is left out", loss=True)
            case _:
                place.repair("malformed-entity", f"span {number} needs label, start and end: "
                             f"{wrong_key(item, _SPAN)}", "leaves it out")

    def argument(self, relation: Mapping[str, Any], side: str) -> int | None:
        """The number of the span that is a relation's argument, `head` or `child`."""
        span = relation.get(f"{side}_span")
        if isinstance(span, dict):
            for keys in (("start", "end", "label"), ("start", "end"), ("token_start", "token_end")):
                number = self._first({key: span[key] for key in keys if key in span}) if keys[0] in span else None
                if number is not None:
                    return number
        last, first = (self._first({key: relation.get(side)}) for key in ("token_end", "token_start"))
        return first if last is None else last

    def _first(self, values: Mapping[str, Any]) -> int | None:
        return next((number for number, span in self.values.items()
                     if all(span.get(key) == value for key, value in values.items())), None)


def _add_relation(spans: _Spans, number: int, item: Any) -> None:
    standoff, place = spans.standoff, spans.standoff.place
    match item:
        case {"label": str(label), "head": int(head), "child": int(child)} if label:
            ends = [spans.argument(item, side) for side in ("head", "child")]
            keys = [f"word {index}" if end is None else f"span {end}"
                    for end, index in zip(ends, (head, child), strict=True)]
        case {"head": int(head), "child": int(child)} if item.get("label") in (None, ""):
            place.note("no-label", f"the relation between words {head} and {child} has no label and is left out", loss=True)
            return
        case _:
            place.repair("malformed-relation", f"relation {number} needs label, head and child: "
                         f"{wrong_key(item, _RELATION)}", "leaves it out")
            return
    unlabelled = any(end in spans.unlabelled if end is not None else _is_unlabelled(item.get(f"{side}_span"))
                     for end, side in zip(ends, ("head", "child"), strict=True))
    if unlabelled:
        place.note("no-label", f"relation {label} connects words that no labelled span covers and is left out", loss=True)
    else:
        standoff.relation(label, *keys, score=finite_score(item.get("score")))


def _is_unlabelled(span: Any) -> bool:
    """True for the copy of a word without a label, which Prodigy writes for an argument that is no span."""
    return isinstance(span, dict) and span.get("label") in (None, "")


def write(documents: Iterable[Document], file: TextIO, path: Path, problems: Problems) -> None:
    for document, place in with_places(documents, path, problems):
        if any(token.text.isspace() for token in document.tokens):
            place.note("words", "words of white space are none when read back")
        file.write(json.dumps(_value(document), ensure_ascii=False) + "\n")


def _value(document: Document) -> dict[str, Any]:
    spans = {entity: _span(entity) for entity in document.entities}
    return {"text": document.text,
            "tokens": [{"text": token.text, "start": token.char_start, "end": token.char_end, "id": number,
                        "ws": document.text[token.char_end : token.char_end + 1] == " "}
                       for number, token in enumerate(document.tokens)],
            "spans": [spans[entity] | score_json(entity.score) for entity in document.entities],
            "relations": [{"head": r.head.end - 1, "child": r.tail.end - 1, "head_span": spans[r.head],
                           "child_span": spans[r.tail], "label": r.type} | score_json(r.score) for r in document.relations],
            "meta": {"id": document.id} if document.id else {},
            "answer": "accept",
            "_view_id": "relations"}


def _span(entity: Entity) -> dict[str, Any]:
    return {"start": entity.char_start, "end": entity.char_end, "token_start": entity.start, "token_end": entity.end - 1,
            "label": entity.type}


def sniff(beginning: str) -> bool:
    keys = (r'"(token_start|token_end|_input_hash|_task_hash|_view_id|head_span|child_span)"\s*:'
            r'|"answer"\s*:\s*"(accept|reject|ignore)"')
    return re.match(r"\s*\{", beginning) is not None and re.search(keys, beginning) is not None


FORMAT = Format("prodigy", "Prodigy's JSONL of relations: one task per line with tokens, spans and relations", (".jsonl",),
                sniff, read, write, options={**SPLIT_OPTIONS, "sentences": ("whole", "split"), "overlap": tuple(RULES)})
