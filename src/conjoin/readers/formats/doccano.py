"""JSONL of doccano, one text a line, offsets in characters.

With relations (`JSONL(relation)`): `entities` with id, label, start_offset and end_offset, `relations` with from_id, to_id
and type (github.com/doccano/doccano, pull requests 1703 and 1823). Without: triples [start, end, label] under `label`,
in older versions `labels`, or objects under `annotations`.

Where it does not count grapheme clusters, doccano counts UTF-16 code units, so that every emoji shifts what follows by
one (issue 2290); `offsets=utf-16` undoes that.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from conjoin.document import Document, Entity
from conjoin.readers.characters import beyond_16_bits, code_units
from conjoin.readers.fields import NAME, NUMBER, STRING, Fields, wrong_key
from conjoin.readers.format import Format, Options
from conjoin.readers.objects import id_text, list_field, text_objects
from conjoin.readers.overlap import RULES
from conjoin.readers.problems import Place, Problems
from conjoin.readers.standoff import SPLIT_OPTIONS, Standoff
from conjoin.readers.writing import documents_with_characters, note_scores

_TEXTS = ("text", "data")  # `data` in versions 1.5 to 1.7
_SPANS = ("entities", "label", "labels", "annotations")
_FIELDS = {"id", *_TEXTS, *_SPANS, "relations", "Comments"}
_ENTITY = {"label": NAME, "start_offset": NUMBER, "end_offset": NUMBER}
_RELATION = {"type": STRING, "from_id": NAME, "to_id": NAME}


def read(path: Path, problems: Problems, options: Options) -> Iterator[Document]:
    fields = Fields(Place(path, problems), _FIELDS)
    for place, value in text_objects(path, problems, _TEXTS):
        fields.check(value, () if value.keys() & set(_SPANS[1:]) else ("entities", "relations"), place)
        yield from _standoff(value, place, options).documents(options)
    fields.note_unread()


def _standoff(value: Mapping[str, Any], place: Place, options: Options) -> Standoff:
    text = next(value[key] for key in _TEXTS if isinstance(value.get(key), str))
    standoff = Standoff(text, place, id=id_text(value.get("id")))
    units = code_units(text) if options["offsets"] == "utf-16" and beyond_16_bits(text) else None
    spans = [span for field in _SPANS for span in list_field(value, field, place)]
    for number, span in enumerate(spans, start=1):
        _add_entity(standoff, number, span, units)
    if spans and units is None and beyond_16_bits(text):
        place.note("emoji", "the text has characters, such as emoji, that doccano may count twice; if entities are "
                   "shifted, read it with offsets=utf-16")
    for number, item in enumerate(list_field(value, "relations", place), start=1):
        match item:
            case {"type": str(type), "from_id": str() | int() as head, "to_id": str() | int() as tail} if type:
                standoff.relation(type, str(head), str(tail))
            case _:
                place.repair("malformed-relation", f"relation {number} needs type, from_id and to_id: "
                             f"{wrong_key(item, _RELATION)}", "leaves it out")
    return standoff


def _add_entity(standoff: Standoff, number: int, span: Any, units: list[int] | None) -> None:
    match span:
        case [int(start), int(end), str() | int() as label] if label != "":
            key: Any = number
        case {"start_offset": int(start), "end_offset": int(end), "label": str() | int() as label} if label != "":
            key = id_text(span.get("id")) or number
            label = span.get("label_name") or label
        case _:
            standoff.place.repair("malformed-entity", f"entity {number} is neither [start, end, label] nor an object with "
                                  f"label, start_offset and end_offset: {wrong_key(span, _ENTITY)}", "leaves it out")
            return
    if units is not None and 0 <= start < end < len(units):
        start, end = units[start], units[end]
    standoff.entity(key, str(label), start, end)


def write(documents: Iterable[Document], file: TextIO, path: Path, problems: Problems) -> None:
    entities = relations = 0  # doccano wants whole numbers as ids, and none twice in a file
    for document, place in documents_with_characters(documents, path, problems):
        note_scores((*document.entities, *document.relations), place)
        ids = {entity: entities + number for number, entity in enumerate(document.entities)}
        file.write(json.dumps(_value(document, ids, relations), ensure_ascii=False) + "\n")
        entities, relations = entities + len(document.entities), relations + len(document.relations)


def _value(document: Document, ids: Mapping[Entity, int], first: int) -> dict[str, Any]:
    return {"id": document.id,
            "text": document.text,
            "entities": [{"id": ids[e], "label": e.type, "start_offset": e.char_start, "end_offset": e.char_end}
                         for e in document.entities],
            "relations": [{"id": number, "from_id": ids[r.head], "to_id": ids[r.tail], "type": r.type}
                          for number, r in enumerate(document.relations, start=first)]}


def sniff(beginning: str) -> bool:
    if not re.match(r"\s*\{", beginning):
        return False
    if re.search(r'"start_offset"\s*:', beginning):
        return True
    return re.search(r'"labels?"\s*:\s*\[\s*(\]|\[\s*\d+\s*,)', beginning) is not None and '"entities"' not in beginning


FORMAT = Format("doccano", "doccano's JSONL: one text per line, entities in characters, relations by id", (".jsonl",),
                sniff, read, write, options={**SPLIT_OPTIONS, "offsets": ("characters", "utf-16"), "overlap": tuple(RULES)})
