"""Rules for entities that share words, which some models cannot predict."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from conjoin.document import Document, Entity


def overlapping_pairs(document: Document) -> list[tuple[Entity, Entity]]:
    """The pairs of entities that share a word, each once, in document order."""
    entities = document.entities
    pairs = []
    active: list[int] = []  # entities that cover the current position of the sweep
    for number in sorted(range(len(entities)), key=lambda index: entities[index].start):
        active = [other for other in active if entities[other].end > entities[number].start]
        pairs += [(min(other, number), max(other, number)) for other in active]
        active.append(number)
    return [(entities[first], entities[second]) for first, second in sorted(pairs)]


def keep_longer(document: Document) -> Document:
    """Of overlapping entities the longest (in words); of equal length the first, then the first type by name.

    Relations of a removed entity are removed too (Crone 2020, §4.1; the order for ties is ours).
    """
    entities: set[Entity] = set()
    for entity in sorted(document.entities, key=lambda e: (e.start - e.end, e.start, e.type)):
        if not any(entity.overlaps(other) for other in entities):
            entities.add(entity)
    if len(entities) == len(document.entities):
        return document
    relations = [relation for relation in document.relations if {relation.head, relation.tail} <= entities]
    return document.annotated([entity for entity in document.entities if entity in entities], relations)


def drop_relations(document: Document) -> Document:
    """All entities, but no relation between two that overlap (as Giorgi et al. 2019 did on ADE)."""
    relations = [relation for relation in document.relations if not relation.head.overlaps(relation.tail)]
    return document.annotated(document.entities, relations)


RULES: Mapping[str, Callable[[Document], Document]] = {
    "keep": lambda document: document,
    "keep-longer": keep_longer,
    "drop-relations": drop_relations,
}
