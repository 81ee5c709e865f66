"""Entities that share words: what to do with them when a model cannot hold both."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from conjoin.document import Document, Entity


def overlapping_pairs(document: Document) -> list[tuple[Entity, Entity]]:
    """All pairs of entities that share a word, each once, in document order."""
    entities = document.entities
    pairs = []
    open_ones: list[int] = []  # those that begin before the place where the sweep is, and end after it
    for number in sorted(range(len(entities)), key=lambda index: entities[index].start):
        open_ones = [other for other in open_ones if entities[other].end > entities[number].start]
        pairs += [(min(other, number), max(other, number)) for other in open_ones]
        open_ones.append(number)
    return [(entities[first], entities[second]) for first, second in sorted(pairs)]


def keep(document: Document) -> Document:
    """The document as it is."""
    return document


def keep_longer(document: Document) -> Document:
    """Of overlapping entities only the longer (in words), of equal ones the earlier, then the first type by name.

    Relations that touch a removed entity go with it (Crone 2020, §4.1; the order for ties is ours).
    """
    kept: list[Entity] = []
    for entity in sorted(document.entities, key=lambda e: (e.start - e.end, e.start, e.type)):
        if not any(entity.overlaps(other) for other in kept):
            kept.append(entity)
    if len(kept) == len(document.entities):
        return document
    held = set(kept)
    relations = [relation for relation in document.relations if relation.head in held and relation.tail in held]
    return document.annotated([entity for entity in document.entities if entity in held], relations)


def drop_relations(document: Document) -> Document:
    """All entities, but no relation between two that overlap (as Giorgi et al. 2019 did on ADE)."""
    relations = [relation for relation in document.relations if not relation.head.overlaps(relation.tail)]
    return document.annotated(document.entities, relations)


RULES: Mapping[str, Callable[[Document], Document]] = {
    "keep": keep,
    "keep-longer": keep_longer,
    "drop-relations": drop_relations,
}
