"""Files of one JSON object per line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from conjoin.readers.lines import lines
from conjoin.readers.problems import Problems


def objects(path: Path, problems: Problems) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a file and their line numbers; blank lines are skipped, malformed ones are repairs."""
    for number, text in lines(path, problems):
        if not text.strip():
            continue
        value, wrong = _parsed(text)
        if wrong:
            problems.repair(path, number, "malformed-json", f"malformed JSON {wrong}", "leaves the line out")
        elif isinstance(value, dict):
            yield number, value
        else:
            problems.repair(path, number, "malformed-document", "the line is no JSON object", "leaves the line out")


def _parsed(text: str) -> tuple[Any, str]:
    """The value, and what is wrong with the text if it is no JSON."""
    try:
        return json.loads(text), ""
    except json.JSONDecodeError as error:
        return None, f"at column {error.colno} ({error.msg})"
    except ValueError:
        return None, "(a number of thousands of digits)"
    except RecursionError:
        return None, "(nested too deeply)"
