"""JSON in files: an object on each line, or one list; and the values in it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from conjoin.errors import DataError
from conjoin.readers.lines import content, lines
from conjoin.readers.problems import Problems


def objects(path: Path, problems: Problems) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number and object of each line; blank lines are skipped, malformed ones are repairs."""
    for number, text in lines(path, problems):
        if not text.strip():
            continue
        value, wrong, _ = _parsed(text)
        if wrong:
            problems.repair(path, number, "malformed-json", f"malformed JSON {wrong}", "leaves the line out")
        elif isinstance(value, dict):
            yield number, value
        else:
            problems.repair(path, number, "malformed-document", "the line is no JSON object", "leaves the line out")


def text_objects(
    path: Path, problems: Problems, keys: Sequence[str] = ("text",)
) -> Iterator[tuple[int, dict[str, Any]]]:
    """As `objects`, for objects with a string under one of the keys; the others are repairs."""
    for number, value in objects(path, problems):
        if any(isinstance(value.get(key), str) for key in keys):
            yield number, value
        else:
            problems.repair(path, number, "malformed-document", f"the line is no JSON object with a string '{keys[0]}'",
                            "leaves the line out")


def json_list(
    path: Path, problems: Problems, what: str, *, single: Callable[[dict[str, Any]], bool] | None = None
) -> list[Any]:
    """The items of a file that is one JSON list.

    Args:
        path: The file.
        problems: Collects the problems.
        what: What the file should be, for the error message.
        single: True for an object that may stand alone, without a list.

    Raises:
        DataError: When the file is no JSON list, in lenient reading too.
    """
    value, wrong, line = _parsed(content(path, problems))
    if wrong:
        raise DataError(f"{path}{line}: malformed JSON {wrong}; correct the file")
    if single and isinstance(value, dict) and single(value):
        return [value]
    if not isinstance(value, list):
        raise DataError(f"{path}: the file is no JSON list; {what}")
    return value


def _parsed(text: str) -> tuple[Any, str, str]:
    """The value, or what is wrong with the JSON and, where known, the line of the error (`:3`)."""
    try:
        return json.loads(text), "", ""
    except json.JSONDecodeError as error:
        return None, f"at column {error.colno} ({error.msg})", f":{error.lineno}"
    except ValueError:
        return None, "(a number of thousands of digits)", ""
    except RecursionError:
        return None, "(nested too deeply)", ""


def list_field(value: Mapping[str, Any], field: str, path: Path, line: int | None, problems: Problems) -> list[Any]:
    """The list in a field of an object; empty when it is absent, null or, after a repair, no list."""
    items = value.get(field)
    if items is None or isinstance(items, list):
        return items or []
    problems.repair(path, line, f"malformed-{field}", f"'{field}' is no list", "reads none")
    return []


def is_words(value: Any) -> bool:
    """True for a list of words, none of them empty."""
    return isinstance(value, list) and all(isinstance(word, str) and word for word in value)


def finite_score(score: Any) -> float | None:
    """A score as a float; None when it is no finite number."""
    try:
        return float(score) if isinstance(score, int | float) and math.isfinite(score) else None
    except OverflowError:  # a whole number beyond every float
        return None
