"""JSON objects in files: one on each line, or the items of one list."""

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
    """The objects of a file and their line numbers; blank lines are skipped, malformed ones are repairs."""
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
    """`objects` that have a string under one of the keys; the others are repairs."""
    for number, value in objects(path, problems):
        if any(isinstance(value.get(key), str) for key in keys):
            yield number, value
        else:
            problems.repair(path, number, "malformed-document", f"the line is no JSON object with a string '{keys[0]}'",
                            "leaves the line out")


def listed(
    path: Path, problems: Problems, what: str, *, single: Callable[[dict[str, Any]], bool] | None = None
) -> list[Any]:
    """The items of a file that is one JSON list; `what` says what such a file holds, `single` which object may stand
    alone as the only item.

    Raises `DataError`, also in lenient reading, when the file is something else.
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
    """The value, what is wrong with the text if it is no JSON, and on which line of it, if that is known (`:3`)."""
    try:
        return json.loads(text), "", ""
    except json.JSONDecodeError as error:
        return None, f"at column {error.colno} ({error.msg})", f":{error.lineno}"
    except ValueError:
        return None, "(a number of thousands of digits)", ""
    except RecursionError:
        return None, "(nested too deeply)", ""


def items(value: Mapping[str, Any], field: str, path: Path, line: int | None, problems: Problems) -> list[Any]:
    """The list under a field of an object; none when it is absent or null, and, after the repair is said, no list."""
    found = value.get(field)
    if found is None or isinstance(found, list):
        return found or []
    problems.repair(path, line, f"malformed-{field}", f"'{field}' is no list", "reads none")
    return []


def finite(score: Any) -> float | None:
    """A score as a float; None when it is no number, or not a finite one."""
    try:
        return float(score) if isinstance(score, int | float) and math.isfinite(score) else None
    except OverflowError:  # a whole number beyond every float
        return None
