"""Entities `[first, last, type]` and relations `[first, last, first, last, type]`, with indices of words.

The last word is inclusive. A relation names the words of its arguments, so entities on the same words are ambiguous.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from conjoin.document import Document, Entity
from conjoin.readers.document_builder import DocumentBuilder
from conjoin.readers.problems import Place

MISSING = ("relation-end", "words {}, which are no entity")


def add_entities(builder: DocumentBuilder, items: Iterable[Any], *, offset: int = 0) -> int:
    """Add the entities of a sentence that starts at word `offset`; returns how many have more than three columns."""
    further = 0
    for number, item in enumerate(items, start=1):
        match item:
            case [int(first), int(last), str(type), *rest] if type:
                _add_entity(builder, type, first, last, number, offset)
                further += bool(rest)
            case _:
                builder.place.repair("malformed-entity", f"entity {number}, {json.dumps(item)[:40]}, is no [first "
                                     "word, last word, type]", "leaves it out")
    return further


def _add_entity(builder: DocumentBuilder, type: str, first: int, last: int, number: int, offset: int) -> None:
    count = len(builder.tokens)
    if not offset <= first <= last < offset + count:
        builder.place.repair("span-out-of-range", f"entity {type} has words {first} to {last} (end inclusive), the "
                             f"sentence has {offset} to {offset + count - 1}", "leaves the entity out")
        return
    words = _words(first, last)
    # of several entities on the same words, relations go to the first
    key = words if words not in builder.keys else (words, number)
    builder.entity(key, type, first - offset, last + 1 - offset)


def _words(first: int, last: int) -> str:
    return f"{first} to {last}"


def add_relations(builder: DocumentBuilder, items: Iterable[Any], *, offset: int = 0, total: int) -> Iterator[list[Any]]:
    """Add the relations of a sentence in a text of `total` words; yields the columns after the type of each."""
    for number, item in enumerate(items, start=1):
        match item:
            case [int(a), int(b), int(c), int(d), str(type), *rest] if type:
                _add_relation(builder, type, (a, b), (c, d), offset, total)
                yield rest
            case _:
                builder.place.repair("malformed-relation", f"relation {number}, {json.dumps(item)[:60]}, is no [first "
                                     "word, last word, first word, last word, type]", "leaves it out")


def _add_relation(builder: DocumentBuilder, type: str, head: tuple[int, int], tail: tuple[int, int], offset: int,
                  total: int) -> None:
    stop = offset + len(builder.tokens)
    within = [0 <= first <= last < total for first, last in (head, tail)]
    here = [offset <= first <= last < stop for first, last in (head, tail)]
    if all(within) and not all(here):
        builder.place.note("relation-across-sentences", f"relation {type} from words {_words(*head)} to words "
                           f"{_words(*tail)} leaves the sentence and is left out", loss=True)
        return
    for first, last in (head, tail):
        span = first - offset, last + 1 - offset
        types = [entity.type for entity in builder.entities if (entity.start, entity.end) == span]
        if len(types) > 1:
            builder.place.note("ambiguous-argument", f"relation {type} names words {_words(first, last)}, which are "
                               f"{' and '.join(types)}; it is given to the first")
    builder.relation(type, _words(*head), _words(*tail))


def entity_rows(document: Document, *, offset: int = 0) -> list[list[Any]]:
    """A row `[first, last, type]` for each entity."""
    return [[entity.start + offset, entity.end - 1 + offset, entity.type] for entity in document.entities]


def relation_rows(document: Document, place: Place, *, offset: int = 0) -> list[list[Any]]:
    """A row for each relation; an argument that is not the first entity on its words is a repair."""
    first: dict[tuple[int, int], Entity] = {}
    for entity in document.entities:
        first.setdefault((entity.start, entity.end), entity)
    rows = []
    for relation in document.relations:
        row: list[Any] = []
        for entity in (relation.head, relation.tail):
            row += [entity.start + offset, entity.end - 1 + offset]
            other = first[entity.start, entity.end]
            if other != entity:
                place.repair("ambiguous-argument", f"relation {relation.type} needs {entity.type} '{entity.text}', whose "
                             f"words are {other.type} too, and the format names words only",
                             f"writes it as a relation of {other.type}", loss=False)
        rows.append([*row, relation.type])
    return rows
