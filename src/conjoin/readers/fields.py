"""The keys of JSON objects: which is a misspelling of which, and what is wrong with those that are needed."""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Mapping
from typing import Any

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


def wrong_key(item: Any, wanted: Wanted) -> str:
    """The first thing wrong with an object that lacks one of the wanted keys or has it with a value of another kind."""
    if not isinstance(item, dict):
        return f"{json.dumps(item)[:40]} is no object"
    for key, (types, kind) in wanted.items():
        if key not in item:
            near = [name for name, meant in misspelt(item, wanted, wanted).items() if meant == key]
            return f"'{key}' is missing" + (f" (is '{near[0]}' meant to be it?)" if near else "")
        if not isinstance(item[key], types):
            return f"'{key}' is {json.dumps(item[key])[:40]}, which is no {kind}"
    return "'type' is empty"
