"""JSON in files: an object on each line, or one list; and the values in it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from conjoin.document import Token
from conjoin.errors import DataError
from conjoin.readers.lines import content, lines
from conjoin.readers.problems import Place, Problems


def objects(path: Path, problems: Problems) -> Iterator[tuple[Place, dict[str, Any]]]:
    """The place and object of each line; blank lines are skipped, malformed ones are repairs."""
    for number, text in lines(path, problems):
        place = Place(path, problems, number)
        if not text.strip():
            continue
        value, wrong, _ = _parse(text)
        if wrong:
            place.repair("malformed-json", f"malformed JSON {wrong}", "leaves the line out")
        elif isinstance(value, dict):
            yield place, value
        else:
            place.repair("malformed-document", "the line is no JSON object", "leaves the line out")


def text_objects(path: Path, problems: Problems, keys: Sequence[str] = ("text",)) -> Iterator[tuple[Place, dict[str, Any]]]:
    """As `objects`, for objects with a string under one of the keys; the others are repairs."""
    for place, value in objects(path, problems):
        if any(isinstance(value.get(key), str) for key in keys):
            yield place, value
        else:
            place.repair("malformed-document", f"the line is no JSON object with a string '{keys[0]}'",
                         "leaves the line out")


def json_list(path: Path, problems: Problems, what: str, *,
              single: Callable[[dict[str, Any]], bool] | None = None) -> list[Any]:
    """The items of a file that is one JSON list; an object that is a `single` item may stand alone.

    Raises `DataError`, which says `what` the file should be, for any other file, in lenient reading too.
    """
    value, wrong, line = _parse(content(path, problems))
    if wrong:
        raise DataError(f"{path}{line}: malformed JSON {wrong}; correct the file")
    if single and isinstance(value, dict) and single(value):
        return [value]
    if not isinstance(value, list):
        raise DataError(f"{path}: the file is no JSON list; {what}")
    return value


def _parse(text: str) -> tuple[Any, str, str]:
    """The value, or what is wrong with the JSON and, where known, the line of the error (`:3`)."""
    try:
        return json.loads(text), "", ""
    except json.JSONDecodeError as error:
        return None, f"at column {error.colno} ({error.msg})", f":{error.lineno}"
    except ValueError:
        return None, "(a number of thousands of digits)", ""
    except RecursionError:
        return None, "(nested too deeply)", ""


def list_field(value: Mapping[str, Any], field: str, place: Place) -> list[Any]:
    """The list in a field of an object; empty when it is absent, null or, after a repair, no list."""
    items = value.get(field)
    if items is None or isinstance(items, list):
        return items or []
    place.repair(f"malformed-{field}", f"'{field}' is no list", "reads none")
    return []


def token_list(text: str, items: Any, span: Callable[[Any], Any], form: str, place: Place) -> list[Token] | None:
    """The words of a text from its field `tokens`; None when it is absent or, after a repair, an item is malformed.

    `span` returns the pair of characters in an item, `form` says what an item looks like.
    """
    if items is None:
        return None
    tokens: list[Token] = []
    position = 0
    for item in items if isinstance(items, list) else [items]:
        match span(item):
            case [int(start), int(end)] if position <= start < end <= len(text):
                tokens.append(Token(text[start:end], start, end))
                position = end
            case _:
                place.repair("malformed-tokens", f"'tokens' has {json.dumps(item)[:60]}, which is no {form} in order "
                             f"within the {len(text)} characters of the text",
                             "splits the text into words itself", loss=False)
                return None
    return tokens


def id_text(value: Any) -> str:
    """An id as text; empty when it is null or absent."""
    return "" if value is None else str(value)


def is_words(value: Any) -> bool:
    """True for a list of words, none of them empty."""
    return isinstance(value, list) and all(isinstance(word, str) and word for word in value)


def finite_score(score: Any) -> float | None:
    """A score as a float; None when it is no finite number."""
    try:
        return float(score) if isinstance(score, int | float) and math.isfinite(score) else None
    except OverflowError:  # a whole number beyond every float
        return None
