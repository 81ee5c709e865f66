"""The keys of JSON objects: which is a misspelling of which, and what is wrong with those that are needed."""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conjoin.readers.problems import Problems

STRING = ((str,), "string")
NUMBER = ((int,), "whole number")
NAME = ((str, int), "string or whole number")
Wanted = Mapping[str, tuple[tuple[type, ...], str]]


def misspelt(value: Mapping[str, Any], wanted: Collection[str], known: Collection[str]) -> dict[str, str]:
    """Key → the key of `wanted` that it stands for, it seems: keys not `known` that are close to one that is absent."""
    absent = [key for key in wanted if key not in value]
    found = {}
    for key in value.keys() - known if absent else ():
        nearest = difflib.get_close_matches(key.lower(), absent, n=1, cutoff=0.7)  # 'entity' and 'entities' have 0.71
        if nearest:
            found[key] = nearest[0]
    return dict(sorted(found.items()))


@dataclass(slots=True)
class Fields:
    """The fields of the objects in a file: a misspelt one is a repair, others that are not `known` are noted in the end.

    `noun` is what the format calls them.
    """

    path: Path
    problems: Problems
    known: Collection[str]
    noun: str = "field"
    unread: set[str] = field(default_factory=set)

    def check(self, value: Mapping[str, Any], wanted: Collection[str], line: int | None = None, *, label: str = "") -> None:
        """Look at the fields of one object, of which those `wanted` may be misspelt; `label` stands before messages."""
        wrong = misspelt(value, wanted, self.known)
        for key, meant in wrong.items():
            self.problems.repair(self.path, line, "misspelt-field", f"{label}{self.noun} '{key}' is not read; did you mean "
                                 f"'{meant}'?", "leaves it out")
        self.unread |= value.keys() - self.known - wrong.keys()

    def note(self) -> None:
        """Note what was not read."""
        if self.unread:
            self.problems.note(self.path, None, "unread-field", f"{self.noun}s that are not read: "
                               f"{', '.join(sorted(self.unread))}")


def wrong_key(item: Any, wanted: Wanted) -> str:
    """The first thing wrong with an object that lacks one of the wanted keys or has it with a value of another kind; else
    the first of them, its type, is empty."""
    if not isinstance(item, dict):
        return f"{json.dumps(item)[:40]} is no object"
    for key, (types, kind) in wanted.items():
        if key not in item:
            near = [name for name, meant in misspelt(item, wanted, wanted).items() if meant == key]
            return f"'{key}' is missing" + (f" (is '{near[0]}' meant to be it?)" if near else "")
        if not isinstance(item[key], types):
            return f"'{key}' is {json.dumps(item[key])[:40]}, which is no {kind}"
    return f"'{next(iter(wanted))}' is empty"
