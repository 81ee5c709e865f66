"""Entities `[first, last, type]` and relations `[first, last, first, last, type]`, given by numbers of words.

The last word is included. A relation names the words of its arguments: of two entities on the same words it cannot say
which is meant.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from conjoin.document import Document, Entity
from conjoin.readers.document_builder import Draft
from conjoin.readers.problems import Problems
from conjoin.readers.writing import called

MISSING = ("relation-end", "words {}, which are no entity")


def add_entities(draft: Draft, items: Iterable[Any], *, offset: int = 0) -> int:
    """Add the entities, whose words are counted from `offset` on; returns how many have further columns."""
    further = 0
    for number, item in enumerate(items, start=1):
        match item:
            case [int(first), int(last), str(type), *rest] if type:
                _add_entity(draft, type, first, last, number, offset)
                further += bool(rest)
            case _:
                draft.repair(draft.line, "malformed-entity", f"entity {number}, {json.dumps(item)[:40]}, is no [first "
                             "word, last word, type]", "leaves it out")
    return further


def _add_entity(draft: Draft, type: str, first: int, last: int, number: int, offset: int) -> None:
    count = len(draft.tokens)
    if not offset <= first <= last < offset + count:
        draft.repair(draft.line, "span-out-of-range", f"entity {type} has words {first} to {last} (end inclusive), the "
                     f"sentence has {offset} to {offset + count - 1}", "leaves the entity out")
        return
    words = _words(first, last)
    # of several entities on the same words, relations go to the first
    key = words if words not in draft.keys else (words, number)
    draft.entity(key, type, first - offset, last + 1 - offset, line=draft.line)


def _words(first: int, last: int) -> str:
    return f"{first} to {last}"


def add_relations(draft: Draft, items: Iterable[Any], *, offset: int = 0, total: int) -> Iterator[list[Any]]:
    """Add the relations of a sentence in a text of `total` words; yields the further columns of each."""
    for number, item in enumerate(items, start=1):
        match item:
            case [int(a), int(b), int(c), int(d), str(type), *rest] if type:
                _add_relation(draft, type, (a, b), (c, d), offset, total)
                yield rest
            case _:
                draft.repair(draft.line, "malformed-relation", f"relation {number}, {json.dumps(item)[:60]}, is no [first "
                             "word, last word, first word, last word, type]", "leaves it out")


def _add_relation(draft: Draft, type: str, head: tuple[int, int], tail: tuple[int, int], offset: int, total: int) -> None:
    stop = offset + len(draft.tokens)
    within = [0 <= first <= last < total for first, last in (head, tail)]
    here = [offset <= first <= last < stop for first, last in (head, tail)]
    if all(within) and not all(here):
        draft.note(draft.line, "relation-across-sentences", f"relation {type} from words {_words(*head)} to words "
                   f"{_words(*tail)} leaves the sentence and is left out", loss=True)
        return
    for first, last in (head, tail):
        span = first - offset, last + 1 - offset
        types = [entity.type for entity in draft.entities if (entity.start, entity.end) == span]
        if len(types) > 1:
            draft.note(draft.line, "ambiguous-argument", f"relation {type} names words {_words(first, last)}, which are "
                       f"{' and '.join(types)}; it is given to the first")
    draft.relation(type, _words(*head), _words(*tail), line=draft.line)


def entity_rows(document: Document, *, offset: int = 0) -> list[list[Any]]:
    return [[entity.start + offset, entity.end - 1 + offset, entity.type] for entity in document.entities]


def relation_rows(document: Document, path: Path, problems: Problems, *, offset: int = 0) -> list[list[Any]]:
    """A row for each relation; one whose argument is not the first entity on its words is a repair, and written."""
    first: dict[tuple[int, int], Entity] = {}
    for entity in document.entities:
        first.setdefault((entity.start, entity.end), entity)
    rows = []
    for relation in document.relations:
        row: list[Any] = []
        for entity in (relation.head, relation.tail):
            row += [entity.start + offset, entity.end - 1 + offset]
            named = first[entity.start, entity.end]
            if named != entity:
                problems.repair(path, None, "ambiguous-argument", f"{called(document)}: relation {relation.type} "
                                f"needs {entity.type} '{entity.text}', whose words are {named.type} too, and the format "
                                "names words only", f"writes it, as one of {named.type}", loss=False)
        rows.append([*row, relation.type])
    return rows
