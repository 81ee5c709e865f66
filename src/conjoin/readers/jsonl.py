"""conjoin's own format: one JSON object per line, offsets in characters. `Document.to_json_line` writes it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from conjoin.document import Document, Token, entity_between
from conjoin.readers.characters import cut, trimmed, word_around
from conjoin.readers.draft import Draft
from conjoin.readers.fields import NAME, NUMBER, STRING, misspelt, wrong_key
from conjoin.readers.format import Format, Options
from conjoin.readers.lines import lines
from conjoin.readers.overlap import RULES
from conjoin.readers.problems import Problems
from conjoin.text import words

_ANNOTATION = ("tokens", "entities", "relations")
_FIELDS = {"id", "text", *_ANNOTATION}
_ENTITY = {"type": STRING, "char_start": NUMBER, "char_end": NUMBER}
_RELATION = {"type": STRING, "head": NAME, "tail": NAME}


@dataclass(frozen=True, slots=True)
class _Span:
    id: Hashable  # the number of the entity where nothing names it
    type: str
    char_start: int
    char_end: int
    score: float | None


@dataclass(frozen=True, slots=True)
class _Line:
    """One object of the file and where it stands."""

    value: dict[str, Any]
    path: Path
    number: int
    problems: Problems

    def repair(self, kind: str, wrong: str, mending: str, *, loss: bool = True) -> None:
        self.problems.repair(self.path, self.number, kind, wrong, mending, loss=loss)


def read(path: Path, problems: Problems, options: Options) -> Iterator[Document]:
    unread: set[str] = set()
    for number, text in lines(path, problems):
        if not text.strip():
            continue
        value = _object(text, path, number, problems)
        if value is None:
            continue
        line = _Line(value, path, number, problems)
        wrong = misspelt(value, _ANNOTATION, _FIELDS)
        for field, meant in wrong.items():
            line.repair("misspelt-field", f"field '{field}' is not read; did you mean '{meant}'?", "leaves it out")
        unread |= set(value) - _FIELDS - wrong.keys()
        yield _document(line, options.get("overlap", "keep"))
    if unread:
        problems.note(path, None, "unread-field", f"fields that are not read: {', '.join(sorted(unread))}")


def _object(text: str, path: Path, number: int, problems: Problems) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        problems.repair(path, number, "malformed-json", f"malformed JSON at column {error.colno} ({error.msg})",
                        "leaves the line out")
        return None
    except ValueError:
        problems.repair(path, number, "malformed-json", "malformed JSON (a number of thousands of digits)",
                        "leaves the line out")
        return None
    except RecursionError:
        problems.repair(path, number, "malformed-json", "malformed JSON (nested too deeply)", "leaves the line out")
        return None
    if not isinstance(value, dict) or not isinstance(value.get("text"), str):
        problems.repair(path, number, "malformed-document", "the line is no JSON object with a string 'text'",
                        "leaves the line out")
        return None
    return value


def _document(line: _Line, overlap: str) -> Document:
    text = line.value["text"]
    tokens = _tokens(line)
    if not tokens:
        line.problems.note(line.path, line.number, "empty-sentence", "the text has no words; the document stays")
    spans = list(_spans(line, Document(text, tuple(tokens))))
    for span in spans:
        _check_boundaries(span, tokens, line)
    tokens = cut(text, tokens, (edge for span in spans for edge in (span.char_start, span.char_end)))
    draft = Draft(text, tokens, id=_id(line.value.get("id")), path=line.path, line=line.number, problems=line.problems)
    bare = Document(text, tuple(tokens))
    for span in spans:
        entity = entity_between(bare, span.type, span.char_start, span.char_end)
        if entity is None:
            line.repair("span-without-words", f"entity {span.type} '{text[span.char_start : span.char_end]}' does not "
                        "start and end with one of the given words", "leaves the entity out")
        else:
            draft.entity(span.id, span.type, entity.start, entity.end, line=line.number, score=span.score)
    _add_relations(draft, line)
    return draft.finish(overlap)


def _id(value: Any) -> str:
    return "" if value is None else str(value)


def _tokens(line: _Line) -> list[Token]:
    text, given = line.value["text"], line.value.get("tokens")
    if given is None:
        return words(text)
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
                return words(text)
    return tokens


def _items(line: _Line, field: str) -> list[Any]:
    value = line.value.get(field)
    if value is None:
        return []
    if not isinstance(value, list):
        line.repair(f"malformed-{field}", f"'{field}' is no list", "reads none")
        return []
    return value


def _spans(line: _Line, bare: Document) -> Iterator[_Span]:
    items = _items(line, "entities")
    written = {_id(item.get("id")) for item in items if isinstance(item, dict)}
    for number, item in enumerate(items, start=1):
        match item:
            case {"type": str(type), "char_start": int(start), "char_end": int(end)} if type:
                own = _id(item.get("id")) or (number if f"e{number}" in written else f"e{number}")
                score = _score(item, f"entity {number}", line)
                span = _in_text(_Span(own, type, start, end, score), item, line)
                span = span and _trimmed(span, line, bare)
                if span is not None:
                    yield span
            case _:
                line.repair("malformed-entity", f"entity {number} needs type, char_start and char_end: "
                            f"{wrong_key(item, _ENTITY)}", "leaves it out")


def _in_text(span: _Span, item: dict[str, Any], line: _Line) -> _Span | None:
    """The span, or None when it leaves the text; the file's own copy of the entity's text must agree."""
    text = line.value["text"]
    if not 0 <= span.char_start < span.char_end <= len(text):
        line.repair("span-out-of-range", f"entity {span.type} has characters {span.char_start} to {span.char_end} "
                    f"(end exclusive), the text has {len(text)}", "leaves the entity out")
        return None
    found = text[span.char_start : span.char_end]
    if item.get("text", found) != found:
        line.repair("text-disagrees", f"entity {span.type} says '{item['text']}', the text has '{found}' at characters "
                    f"{span.char_start} to {span.char_end} (count characters, not bytes)", "trusts the offsets",
                    loss=False)
    return span


def _trimmed(span: _Span, line: _Line, bare: Document) -> _Span | None:
    """The span without white space at its edges, unless it covers given words exactly; None when nothing is left."""
    if entity_between(bare, span.type, span.char_start, span.char_end) is not None:
        return span
    text = line.value["text"]
    found = text[span.char_start : span.char_end]
    start, end = trimmed(text, span.char_start, span.char_end)
    if start == end:
        line.repair("span-without-words", f"entity {span.type} covers white space only", "leaves the entity out")
        return None
    if (start, end) != (span.char_start, span.char_end):
        line.repair("white-space-edge", f"entity {span.type} '{found}' starts or ends with white space",
                    "moves the edge to the word", loss=False)
    return _Span(span.id, span.type, start, end, span.score)


def _score(item: dict[str, Any], what: str, line: _Line) -> float | None:
    score = item.get("score")
    if score is None:
        return None
    try:
        if isinstance(score, int | float) and math.isfinite(score):
            return float(score)
    except OverflowError:
        pass  # a whole number beyond every float
    line.repair("malformed-score", f"the score of {what} is no finite number", "leaves the score out", loss=False)
    return None


def _check_boundaries(span: _Span, tokens: list[Token], line: _Line) -> None:
    for edge in (span.char_start, span.char_end):
        token = word_around(tokens, edge)
        if token is not None:
            found = line.value["text"][span.char_start : span.char_end]
            line.repair("inside-word", f"entity {span.type} '{found}' begins or ends inside the word '{token.text}'",
                        "cuts the word there, so that nothing is lost", loss=False)


def _add_relations(draft: Draft, line: _Line) -> None:
    for number, item in enumerate(_items(line, "relations"), start=1):
        match item:
            case {"type": str(type), "head": str() | int() as head, "tail": str() | int() as tail} if type:
                draft.relation(type, str(head), str(tail), line=line.number,
                               score=_score(item, f"relation {number}", line))
            case _:
                line.repair("malformed-relation", f"relation {number} needs type, head and tail (ids of entities): "
                            f"{wrong_key(item, _RELATION)}", "leaves it out")


def write(documents: Iterable[Document], file: TextIO, path: Path, problems: Problems) -> None:
    for document in documents:
        file.write(document.to_json_line() + "\n")


def sniff(head: str) -> bool:
    return re.match(r"\s*\{", head) is not None and '"text"' in head


FORMAT = Format("jsonl", "conjoin's own: one JSON object per line, entities in characters", (".jsonl", ".ndjson"),
                sniff, read, write, options={"overlap": tuple(RULES)})
