"""Checks of the keys of JSON objects: misspelt, unread, missing and malformed ones."""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from conjoin.readers.problems import Place

STRING = ((str,), "string")
NUMBER = ((int,), "whole number")
NAME = ((str, int), "string or whole number")
Required = Mapping[str, tuple[tuple[type, ...], str]]


def misspellings(value: Mapping[str, Any], required: Collection[str], known: Collection[str]) -> dict[str, str]:
    """Misspelt key → the key meant: keys that are not `known` and resemble a required key that is absent."""
    absent = [key for key in required if key not in value]
    corrections = {}
    for key in value.keys() - known if absent else ():
        nearest = difflib.get_close_matches(key.lower(), absent, n=1, cutoff=0.7)  # 'entity' and 'entities' have 0.71
        if nearest:
            corrections[key] = nearest[0]
    return dict(sorted(corrections.items()))


@dataclass(slots=True)
class Fields:
    """Checks the fields of the objects in one file: misspelt ones are repairs, unknown ones a note at the end.

    `known` are the fields that the reader reads, `noun` is the word for a field in messages.
    """

    place: Place
    known: Collection[str]
    noun: str = "field"
    unread: set[str] = field(default_factory=set)

    def check(self, value: Mapping[str, Any], required: Collection[str], place: Place | None = None) -> None:
        """Check the fields of one object, at a place of the file, for misspellings of `required` ones."""
        wrong = misspellings(value, required, self.known)
        for key, meant in wrong.items():
            (place or self.place).repair("misspelt-field", f"{self.noun} '{key}' is not read; did you mean '{meant}'?",
                                         "leaves it out")
        self.unread |= value.keys() - self.known - wrong.keys()

    def note_unread(self) -> None:
        """Note the unknown fields of all objects."""
        if self.unread:
            self.place.note("unread-field", f"{self.noun}s that are not read: {', '.join(sorted(self.unread))}")


def wrong_key(item: Any, required: Required) -> str:
    """The first error in an object: not an object, a required key missing, or a value of another kind.

    Otherwise the value of the first required key, the type, is empty.
    """
    if not isinstance(item, dict):
        return f"{json.dumps(item)[:40]} is no object"
    for key, (types, kind) in required.items():
        if key not in item:
            near = [name for name, meant in misspellings(item, required, required).items() if meant == key]
            return f"'{key}' is missing" + (f" (is '{near[0]}' meant to be it?)" if near else "")
        if not isinstance(item[key], types):
            return f"'{key}' is {json.dumps(item[key])[:40]}, which is no {kind}"
    return f"'{next(iter(required))}' is empty"
