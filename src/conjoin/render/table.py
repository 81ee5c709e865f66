"""Entities and relations as rows of strings, for a terminal table."""

from __future__ import annotations

from collections.abc import Iterable

from conjoin.document import Document

ENTITY_COLUMNS = ("document", "type", "text", "characters", "score")
RELATION_COLUMNS = ("document", "head", "type", "tail", "score")

# Control characters (escape sequences) of a text must not reach the terminal.
_CONTROL = dict.fromkeys((*range(0x20), *range(0x7F, 0xA0)), " ")


def entity_rows(documents: Iterable[Document]) -> list[tuple[str, ...]]:
    """One row per entity under `ENTITY_COLUMNS`; `characters` is `start-end`, the end exclusive."""
    return [(_line(document.id), _line(entity.type), _line(entity.text), f"{entity.char_start}-{entity.char_end}",
             score_text(entity.score))
            for document in documents for entity in document.entities]


def relation_rows(documents: Iterable[Document]) -> list[tuple[str, ...]]:
    """One row per relation under `RELATION_COLUMNS`; head and tail are their text."""
    return [(_line(document.id), _line(relation.head.text), _line(relation.type), _line(relation.tail.text),
             score_text(relation.score))
            for document in documents for relation in document.relations]


def score_text(score: float | None) -> str:
    """A score with two decimals, nothing for an annotation that has none."""
    return "" if score is None else f"{score:.2f}"


def _line(text: str) -> str:
    """The text on one line, without control characters."""
    return " ".join(text.translate(_CONTROL).split())
