"""conjoin's own format: one JSON object per line, offsets in characters. `Document.to_json_line` writes it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

from conjoin.document import Document
from conjoin.readers.fields import NAME, NUMBER, STRING, Fields, wrong_key
from conjoin.readers.format import Format, Options
from conjoin.readers.objects import finite_score, id_text, list_field, text_objects, token_list
from conjoin.readers.overlap import RULES
from conjoin.readers.problems import Place, Problems
from conjoin.readers.standoff import Standoff

_ANNOTATION = ("tokens", "entities", "relations")
_FIELDS = {"id", "text", *_ANNOTATION}
_ENTITY = {"type": STRING, "char_start": NUMBER, "char_end": NUMBER}
_RELATION = {"type": STRING, "head": NAME, "tail": NAME}


def read(path: Path, problems: Problems, options: Options) -> Iterator[Document]:
    fields = Fields(Place(path, problems), _FIELDS)
    for place, value in text_objects(path, problems):
        fields.check(value, _ANNOTATION, place)
        yield document_of(value, place, options["overlap"])
    fields.note_unread()


def document_of(value: dict[str, Any], place: Place, overlap: str) -> Document:
    """The document of one object, which has a string `text`."""
    tokens = token_list(value["text"], value.get("tokens"), lambda item: item, "[char_start, char_end]", place)
    standoff = Standoff(value["text"], place, id=id_text(value.get("id")), tokens=tokens)
    _add_entities(standoff, list_field(value, "entities", place))
    for number, item in enumerate(list_field(value, "relations", place), start=1):
        match item:
            case {"type": str(type), "head": str() | int() as head, "tail": str() | int() as tail} if type:
                standoff.relation(type, str(head), str(tail), score=_score(item, f"relation {number}", place))
            case _:
                place.repair("malformed-relation", f"relation {number} needs type, head and tail (ids of entities): "
                             f"{wrong_key(item, _RELATION)}", "leaves it out")
    return standoff.document(overlap)


def _add_entities(standoff: Standoff, entities: list[Any]) -> None:
    place = standoff.place
    ids = {id_text(item.get("id")) for item in entities if isinstance(item, dict)}
    for number, item in enumerate(entities, start=1):
        match item:
            case {"type": str(type), "char_start": int(start), "char_end": int(end)} if type:
                key = id_text(item.get("id")) or (number if f"e{number}" in ids else f"e{number}")
                score = _score(item, f"entity {number}", place)
                standoff.entity(key, type, start, end, copy=item.get("text"), score=score)
            case _:
                place.repair("malformed-entity", f"entity {number} needs type, char_start and char_end: "
                             f"{wrong_key(item, _ENTITY)}", "leaves it out")


def _score(item: dict[str, Any], name: str, place: Place) -> float | None:
    score = item.get("score")
    if score is not None and finite_score(score) is None:
        place.repair("malformed-score", f"the score of {name} is no finite number", "leaves the score out", loss=False)
    return finite_score(score)


def write(documents: Iterable[Document], file: TextIO, path: Path, problems: Problems) -> None:
    for document in documents:
        file.write(document.to_json_line() + "\n")


def sniff(beginning: str) -> bool:
    return re.match(r"\s*\{", beginning) is not None and re.search(r'"text"\s*:', beginning) is not None


FORMAT = Format("jsonl", "conjoin's own: one JSON object per line, entities in characters", (".jsonl", ".ndjson"),
                sniff, read, write, options={"overlap": tuple(RULES)})
