"""Splits raw text into units to annotate (sentences, or windows over long ones) and merges their annotations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from conjoin.document import Document, Entity, Relation, Token
from conjoin.errors import DataError, SettingError
from conjoin.text.sentences import sentences
from conjoin.text.words import Hyphens, words

_Scored = TypeVar("_Scored", Entity, Relation)


@dataclass(frozen=True, slots=True)
class Unit:
    """A piece of a text to annotate: a sentence, or one of the overlapping windows over a long one.

    Every word of the text is in the core of exactly one unit, from `core_start` to `core_end` (exclusive) in words of the
    unit; the words around a core are context. The offsets are those of the unit's start in the text.
    """

    document: Document
    char_offset: int
    word_offset: int
    core_start: int
    core_end: int


def split(text: str, *, id: str = "", max_words: int = 300, overlap: int = 50, language: str = "en",
          hyphens: Hyphens = "cut", bounds: Sequence[tuple[int, int]] | None = None) -> list[Unit]:
    """Split a text into units to annotate: its sentences, or windows over those longer than `max_words`.

    Args:
        text: The text; white space alone has no units.
        id: Id of the text; its units are called `id#1`, `id#2`, …
        max_words: Maximum words of a unit.
        overlap: Words that neighbouring windows share (one less if odd); smaller than `max_words`, or `SettingError`.
        language: ISO code for sentence splitting.
        hyphens: As for `words`.
        bounds: Start and end of each sentence in characters; without them the text is split into sentences.
    """
    if not 0 <= overlap < max_words:
        raise SettingError(f"overlap is {overlap} words and max_words {max_words}; the overlap must be smaller")
    units: list[Unit] = []
    word_offset = 0
    for start, end in sentences(text, language=language) if bounds is None else bounds:
        tokens = words(text[start:end], hyphens=hyphens)
        for window, core in _windows(tokens, max_words, overlap // 2):
            name = f"{id}#{len(units) + 1}" if id else ""
            units.append(_unit(text, start, word_offset, tokens, window, core, name))
        word_offset += len(tokens)
    return units


def merge(text: str, units: Sequence[Unit], documents: Sequence[Document], *, id: str = "") -> Document:
    """Merge the annotated documents of a text's units, in the same order, into one document over the whole text.

    An entity comes from the unit whose core has its first word. At the boundary of two windows, an entity that ends at
    the edge of its window is replaced by a longer one of its type from the next window; an entity of the next window
    that overlaps one crossing the boundary is dropped unless both windows have it. A relation stays when a window has it
    and both entities stay. Of equal annotations the highest score counts. Raises `DataError` for units of another text.
    """
    _check_units(text, units, documents)
    if len(units) == 1 and units[0].document.text == text:
        return documents[0].named(id)
    tokens = [token.moved(unit.char_offset) for unit in units
              for token in unit.document.tokens[unit.core_start : unit.core_end]]
    candidates = [_best([_shift(entity, unit.word_offset) for entity in document.entities])
                  for unit, document in zip(units, documents, strict=True)]
    entities = _merge_entities(units, candidates)
    best = _best([entity for group in candidates for entity in group.values()])
    relations: dict[Relation, Relation] = {}
    for unit, document in zip(units, documents, strict=True):
        for relation in document.relations:
            head, tail = _shift(relation.head, unit.word_offset), _shift(relation.tail, unit.word_offset)
            if head in entities and tail in entities:
                moved = Relation(relation.type, head, tail, relation.score)
                relations[moved] = _higher(relations.get(moved), moved)
    return Document(text, tuple(tokens), tuple(best[entity] for entity in entities), tuple(relations.values()), id)


def _windows(tokens: Sequence[Token], max_words: int, context: int) -> Iterator[tuple[range, range]]:
    """The words of each window and of its core, with at least `context` words on both sides of adjacent cores."""
    start = core_start = 0
    while start + max_words < len(tokens):
        end = start + max_words
        core_end = _cut(tokens, max(core_start + 1, end - 2 * context), end - context)
        yield range(start, end), range(core_start, core_end)
        start, core_start = core_end - context, core_end
    yield range(start, len(tokens)), range(core_start, len(tokens))


def _cut(tokens: Sequence[Token], low: int, high: int) -> int:
    """The last position from `low` to `high` after punctuation, else `high`."""
    for index in range(high, low - 1, -1):
        if tokens[index - 1].text in (".", ",", ";", ":", "!", "?", "--", "–", "—", "。", "、", "，"):
            return index
    return high


def _unit(text: str, offset: int, word_offset: int, tokens: Sequence[Token], window: range, core: range, id: str) -> Unit:
    inside = tokens[window.start : window.stop]
    begin, end = inside[0].char_start, inside[-1].char_end
    document = Document(text[offset + begin : offset + end], tuple(token.moved(-begin) for token in inside), id=id)
    return Unit(document, offset + begin, word_offset + window.start,
                core.start - window.start, core.stop - window.start)


def _check_units(text: str, units: Sequence[Unit], documents: Sequence[Document]) -> None:
    if len(units) != len(documents):
        raise DataError(f"{len(units)} units but {len(documents)} annotated documents; give one for each, in order")
    for index, (unit, document) in enumerate(zip(units, documents, strict=True)):
        if not text.startswith(unit.document.text, unit.char_offset):
            raise DataError(f"unit {index} is not from this text; merge with the text that was split")
        if document.tokens != unit.document.tokens:
            raise DataError(f"unit {index}: the annotated document has other words; give the documents of the units "
                            "in the same order")


def _shift(entity: Entity, words: int) -> Entity:
    return Entity(entity.type, entity.start + words, entity.end + words, entity.score)


def _higher(one: _Scored | None, other: _Scored) -> _Scored:
    if one is None or one.score is None:
        return other
    return one if other.score is None or one.score >= other.score else other


def _best(entities: Sequence[Entity]) -> dict[Entity, Entity]:
    """Each entity once, with its highest score."""
    best: dict[Entity, Entity] = {}
    for entity in entities:
        best[entity] = _higher(best.get(entity), entity)
    return best


def _merge_entities(units: Sequence[Unit], candidates: Sequence[dict[Entity, Entity]]) -> dict[Entity, None]:
    """The entities of all units in order, with the boundaries between windows resolved."""
    merged: dict[Entity, None] = {}
    crossing: list[Entity] = []
    for index, (unit, entities) in enumerate(zip(units, candidates, strict=True)):
        low, high = unit.word_offset + unit.core_start, unit.word_offset + unit.core_end
        edge = unit.word_offset + len(unit.document.tokens)
        crossing = [entity for entity in crossing if entity.end > low]
        before = candidates[index - 1] if index else {}
        after = candidates[index + 1] if index + 1 < len(units) and units[index + 1].word_offset < edge else {}
        core = [entity for entity in entities if low <= entity.start < high]
        core = [entity for entity in core if entity in before or not any(entity.overlaps(other) for other in crossing)]
        core = [_longest(entity, after) if entity.end == edge else entity for entity in core]
        merged |= dict.fromkeys(core)
        crossing += core
    return merged


def _longest(entity: Entity, after: dict[Entity, Entity]) -> Entity:
    """The entity, or the longest of its type in the next window that overlaps it and ends later."""
    longer = [other for other in after if other.type == entity.type and other.end > entity.end and entity.overlaps(other)]
    return entity if entity in after else max(longer, key=lambda other: other.end - other.start, default=entity)
