"""Raw text → units to annotate: sentences, or overlapping windows over a long one; and merging their annotations back."""

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

    `document.text` is the text from character `char_offset` on, and its first word is word `word_offset` of the text.
    The words `core_start` to `core_end` (end exclusive, counted in the unit) are this unit's own: every word of the
    text is in the core of exactly one unit; the words around the core are context that a neighbour owns.
    """

    document: Document
    char_offset: int
    word_offset: int
    core_start: int
    core_end: int


def split(
    text: str,
    *,
    id: str = "",
    max_words: int = 300,
    overlap: int = 50,
    language: str = "en",
    hyphens: Hyphens = "cut",
    bounds: Sequence[tuple[int, int]] | None = None,
) -> list[Unit]:
    """The sentences of a text in order, as units to annotate; one longer than `max_words` gives several windows.

    Neighbouring windows share at least `overlap` words (one less if that is odd). The units of a text with an `id` are
    called `id#1`, `id#2`, … `hyphens` is as for `words`. `bounds` are the sentences as pairs of characters, where they are
    known. Text without any visible character gives no unit. Raises `SettingError` when the overlap does not fit into a
    window.
    """
    if not 0 <= overlap < max_words:
        raise SettingError(f"overlap is {overlap} words and max_words {max_words}; the overlap must be smaller")
    units: list[Unit] = []
    word_offset = 0
    for start, end in sentences(text, language=language) if bounds is None else bounds:
        tokens = words(text[start:end], hyphens=hyphens)
        for window in _windows(tokens, max_words, overlap // 2):
            name = f"{id}#{len(units) + 1}" if id else ""
            units.append(_unit(text, start, word_offset, tokens, window, name))
        word_offset += len(tokens)
    return units


def merge(text: str, units: Sequence[Unit], annotated: Sequence[Document], *, id: str = "") -> Document:
    """One document over the whole text from the annotated documents of its units, which are in the order of `units`.

    An entity is taken from the unit in whose core its first word lies. Where two windows disagree at their seam, an
    entity that ends at the edge of its window gives way to a longer one of its type from the next window, and an entity
    from the next window that overlaps one reaching over the seam is dropped unless both windows have it. A relation is
    kept when any window has it and both its entities were kept; of equal annotations the highest score counts. Raises
    `DataError` when documents and units do not fit.
    """
    _check_units(text, units, annotated)
    if len(units) == 1 and units[0].document.text == text:
        return annotated[0].named(id)
    tokens = [
        token.moved(unit.char_offset) for unit in units for token in unit.document.tokens[unit.core_start : unit.core_end]
    ]
    found = [
        _best([_shifted(entity, unit.word_offset) for entity in document.entities])
        for unit, document in zip(units, annotated, strict=True)
    ]
    kept = _kept(units, found)
    best = _best([entity for group in found for entity in group.values()])
    relations: dict[Relation, Relation] = {}
    for unit, document in zip(units, annotated, strict=True):
        for relation in document.relations:
            head, tail = _shifted(relation.head, unit.word_offset), _shifted(relation.tail, unit.word_offset)
            if head in kept and tail in kept:
                moved = Relation(relation.type, head, tail, relation.score)
                relations[moved] = _higher(relations.get(moved), moved)
    return Document(text, tuple(tokens), tuple(best[entity] for entity in kept), tuple(relations.values()), id)


@dataclass(frozen=True, slots=True)
class _Window:
    """Words `start` to `end` of a sentence; the window's own are `core_start` to `core_end`."""

    start: int
    end: int
    core_start: int
    core_end: int


def _windows(tokens: Sequence[Token], max_words: int, context: int) -> Iterator[_Window]:
    """Windows with at least `context` words around a core, whose cores lie side by side."""
    start = core_start = 0
    while start + max_words < len(tokens):
        end = start + max_words
        core_end = _cut(tokens, max(core_start + 1, end - 2 * context), end - context)
        yield _Window(start, end, core_start, core_end)
        start, core_start = core_end - context, core_end
    yield _Window(start, len(tokens), core_start, len(tokens))


def _cut(tokens: Sequence[Token], low: int, high: int) -> int:
    """The last place from `low` to `high` right after punctuation, else `high`."""
    for index in range(high, low - 1, -1):
        if tokens[index - 1].text in (".", ",", ";", ":", "!", "?", "--", "–", "—", "。", "、", "，"):
            return index
    return high


def _unit(text: str, offset: int, word_offset: int, tokens: Sequence[Token], window: _Window, id: str) -> Unit:
    own = tokens[window.start : window.end]
    begin, end = own[0].char_start, own[-1].char_end
    document = Document(text[offset + begin : offset + end], tuple(token.moved(-begin) for token in own), id=id)
    return Unit(document, offset + begin, word_offset + window.start,
                window.core_start - window.start, window.core_end - window.start)


def _check_units(text: str, units: Sequence[Unit], annotated: Sequence[Document]) -> None:
    if len(units) != len(annotated):
        raise DataError(f"{len(units)} units but {len(annotated)} annotated documents; give one for each, in order")
    for index, (unit, document) in enumerate(zip(units, annotated, strict=True)):
        if not text.startswith(unit.document.text, unit.char_offset):
            raise DataError(f"unit {index} is not from this text; merge with the text that was split")
        if document.tokens != unit.document.tokens:
            raise DataError(f"unit {index}: the annotated document has other words; give the documents of the units "
                            "in the same order")


def _shifted(entity: Entity, words: int) -> Entity:
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


def _kept(units: Sequence[Unit], found: Sequence[dict[Entity, Entity]]) -> dict[Entity, None]:
    """The entities to keep, in order: each unit's own, the seams between windows mended."""
    kept: dict[Entity, None] = {}
    crossing: list[Entity] = []
    for index, (unit, entities) in enumerate(zip(units, found, strict=True)):
        low, high = unit.word_offset + unit.core_start, unit.word_offset + unit.core_end
        edge = unit.word_offset + len(unit.document.tokens)
        crossing = [entity for entity in crossing if entity.end > low]
        before = found[index - 1] if index else {}
        after = found[index + 1] if index + 1 < len(units) and units[index + 1].word_offset < edge else {}
        own = [entity for entity in entities if low <= entity.start < high]
        own = [entity for entity in own if entity in before or not any(entity.overlaps(other) for other in crossing)]
        own = [_whole(entity, after) if entity.end == edge else entity for entity in own]
        kept |= dict.fromkeys(own)
        crossing += own
    return kept


def _whole(entity: Entity, after: dict[Entity, Entity]) -> Entity:
    """The entity, or the longest of its type from the next window that goes on where this one was cut."""
    longer = [
        other for other in after if other.type == entity.type and other.end > entity.end and entity.overlaps(other)
    ]
    return entity if entity in after else max(longer, key=lambda other: other.end - other.start, default=entity)
