"""SpERT JSON (Eberts & Ulges 2020): a list of objects with `tokens`, `entities` and `relations` by index."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

from conjoin.document import Document
from conjoin.readers.document_builder import DocumentBuilder
from conjoin.readers.fields import NUMBER, STRING, Fields, wrong_key
from conjoin.readers.format import Format, Options
from conjoin.readers.objects import id_text, is_words, json_list
from conjoin.readers.overlap import RULES
from conjoin.readers.problems import Place, Problems
from conjoin.readers.writing import documents_with_words, write_json_list

_ANNOTATION = ("tokens", "entities", "relations")
_FIELDS = {*_ANNOTATION, "orig_id"}
_ENTITY = {"type": STRING, "start": NUMBER, "end": NUMBER}
_RELATION = {"type": STRING, "head": NUMBER, "tail": NUMBER}
_NEEDS = "it needs a list 'tokens' of words and lists 'entities' and 'relations' of objects"


def read(path: Path, problems: Problems, options: Options) -> Iterator[Document]:
    fields = Fields(Place(path, problems), _FIELDS)
    for number, value in enumerate(json_list(path, problems, "SpERT JSON is a list of sentences")):
        place = Place(path, problems, label=f"sentence {number}: ")
        if _well_formed(value):
            fields.check(value, _ANNOTATION, place)
        document = document_of(value, place, options["overlap"])
        if document is not None:
            yield document
    fields.note_unread()


def _well_formed(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    tokens, parts = value.get("tokens"), [value.get("entities", []), value.get("relations", [])]
    return is_words(tokens) and all(isinstance(part, list) and all(isinstance(item, dict) for item in part)
                                    for part in parts)


def document_of(value: Any, place: Place, overlap: str) -> Document | None:
    """The document of one sentence; None after the repair of one that is malformed or has no words."""
    if not _well_formed(value):
        place.repair("malformed-sentence", _NEEDS, "leaves it out")
    elif not value["tokens"]:
        place.repair("empty-sentence", "it has no words", "leaves it out", loss=False)
    else:
        return _document(value, place, overlap)
    return None


def _document(value: dict[str, Any], place: Place, overlap: str) -> Document:
    builder = DocumentBuilder.from_words(value["tokens"], place, id=id_text(value.get("orig_id")),
                                         missing=("relation-out-of-range", "entity number {}, which is none"))
    for number, item in enumerate(value.get("entities", [])):
        match item:
            case {"type": str(type), "start": int(start), "end": int(end)} if type:
                builder.entity(number, type, start, end)
            case _:
                place.repair("malformed-entity", f"entity {number} needs type, start and end: {wrong_key(item, _ENTITY)}",
                             "leaves it out")
    for number, item in enumerate(value.get("relations", [])):
        match item:
            case {"type": str(type), "head": int(head), "tail": int(tail)} if type:
                builder.relation(type, head, tail)
            case _:
                place.repair("malformed-relation", f"relation {number} needs type, head and tail: "
                             f"{wrong_key(item, _RELATION)}", "leaves it out")
    return builder.build(overlap)


def write(documents: Iterable[Document], file: TextIO, path: Path, problems: Problems) -> None:
    write_json_list((_value(document) for document, _ in documents_with_words(documents, path, problems)), file)


def _value(document: Document) -> dict[str, Any]:
    numbers = {entity: number for number, entity in enumerate(document.entities)}
    return {
        "tokens": document.words,
        "entities": [{"type": e.type, "start": e.start, "end": e.end} for e in document.entities],
        "relations": [{"type": r.type, "head": numbers[r.head], "tail": numbers[r.tail]} for r in document.relations],
        # the published files number their sentences with integers
        "orig_id": int(document.id) if re.fullmatch(r"0|[1-9][0-9]{0,15}", document.id) else document.id,
    }


def sniff(beginning: str) -> bool:
    return re.match(r"\s*\[\s*\{", beginning) is not None and '"tokens"' in beginning


FORMAT = Format("spert", "SpERT JSON: a list of sentences with tokens, entities and relations by index", (".json",),
                sniff, read, write, options={"overlap": tuple(RULES)})
