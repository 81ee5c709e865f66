"""conjoin's own format: one JSON object per line, offsets in characters. `Document.to_json_line` writes it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from conjoin.document import Document, Token
from conjoin.readers.fields import NAME, NUMBER, STRING, Fields, wrong_key
from conjoin.readers.format import Format, Options
from conjoin.readers.objects import finite_score, list_field, text_objects
from conjoin.readers.overlap import RULES
from conjoin.readers.problems import Problems
from conjoin.readers.standoff import Standoff

_ANNOTATION = ("tokens", "entities", "relations")
_FIELDS = {"id", "text", *_ANNOTATION}
_ENTITY = {"type": STRING, "char_start": NUMBER, "char_end": NUMBER}
_RELATION = {"type": STRING, "head": NAME, "tail": NAME}


@dataclass(frozen=True, slots=True)
class _Line:
    """One object of the file and where it stands."""

    value: dict[str, Any]
    path: Path
    number: int
    problems: Problems

    def items(self, field: str) -> list[Any]:
        return list_field(self.value, field, self.path, self.number, self.problems)

    def repair(self, kind: str, wrong: str, mending: str, *, loss: bool = True) -> None:
        self.problems.repair(self.path, self.number, kind, wrong, mending, loss=loss)


def read(path: Path, problems: Problems, options: Options) -> Iterator[Document]:
    fields = Fields(path, problems, _FIELDS)
    for number, value in text_objects(path, problems):
        fields.check(value, _ANNOTATION, number)
        yield document_of(value, path, number, problems, options["overlap"])
    fields.note_unread()


def document_of(value: dict[str, Any], path: Path, number: int, problems: Problems, overlap: str) -> Document:
    """The document of one object, which has a string `text`; `number` is its line."""
    return _document(_Line(value, path, number, problems), overlap)


def _document(line: _Line, overlap: str) -> Document:
    text = line.value["text"]
    standoff = Standoff(text, id=_id(line.value.get("id")), path=line.path, line=line.number, problems=line.problems,
                        tokens=_tokens(line))
    _add_entities(standoff, line)
    _add_relations(standoff, line)
    return standoff.document(overlap)


def _id(value: Any) -> str:
    return "" if value is None else str(value)


def _tokens(line: _Line) -> list[Token] | None:
    """The words that the line gives, if it does."""
    text, given = line.value["text"], line.value.get("tokens")
    if given is None:
        return None
    tokens: list[Token] = []
    position = 0
    for item in given if isinstance(given, list) else [given]:
        match item:
            case [int(start), int(end)] if position <= start < end <= len(text):
                tokens.append(Token(text[start:end], start, end))
                position = end
            case _:
                line.repair("malformed-tokens", f"'tokens' has {json.dumps(item)[:40]}, which is no [char_start, "
                            f"char_end] in order within the {len(text)} characters of the text",
                            "splits the text into words itself", loss=False)
                return None
    return tokens


def _add_entities(standoff: Standoff, line: _Line) -> None:
    entities = line.items("entities")
    written = {_id(item.get("id")) for item in entities if isinstance(item, dict)}
    for number, item in enumerate(entities, start=1):
        match item:
            case {"type": str(type), "char_start": int(start), "char_end": int(end)} if type:
                own = _id(item.get("id")) or (number if f"e{number}" in written else f"e{number}")
                score = _score(item, f"entity {number}", line)
                standoff.entity(own, type, start, end, line=line.number, said=item.get("text"), score=score)
            case _:
                line.repair("malformed-entity", f"entity {number} needs type, char_start and char_end: "
                            f"{wrong_key(item, _ENTITY)}", "leaves it out")


def _score(item: dict[str, Any], what: str, line: _Line) -> float | None:
    score = item.get("score")
    if score is None:
        return None
    if finite_score(score) is None:
        line.repair("malformed-score", f"the score of {what} is no finite number", "leaves the score out", loss=False)
    return finite_score(score)


def _add_relations(standoff: Standoff, line: _Line) -> None:
    for number, item in enumerate(line.items("relations"), start=1):
        match item:
            case {"type": str(type), "head": str() | int() as head, "tail": str() | int() as tail} if type:
                standoff.relation(type, str(head), str(tail), line=line.number,
                                  score=_score(item, f"relation {number}", line))
            case _:
                line.repair("malformed-relation", f"relation {number} needs type, head and tail (ids of entities): "
                            f"{wrong_key(item, _RELATION)}", "leaves it out")


def write(documents: Iterable[Document], file: TextIO, path: Path, problems: Problems) -> None:
    for document in documents:
        file.write(document.to_json_line() + "\n")


def sniff(head: str) -> bool:
    return re.match(r"\s*\{", head) is not None and re.search(r'"text"\s*:', head) is not None


FORMAT = Format("jsonl", "conjoin's own: one JSON object per line, entities in characters", (".jsonl", ".ndjson"),
                sniff, read, write, options={"overlap": tuple(RULES)})
