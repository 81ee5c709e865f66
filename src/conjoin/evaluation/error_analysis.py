"""What kinds of mistakes predicted documents make, each with its cause."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from conjoin.document import Document, Entity, Relation
from conjoin.errors import DataError
from conjoin.schema import canonical

# Kind → what it means. Every wrong or missed entity or relation has exactly one; a prediction and the annotation that it
# was meant for are one mistake.
KINDS: Mapping[str, str] = {
    "entity-type": "an entity has the right words and another type",
    "entity-boundary": "an entity has the right type and other words, some of them shared",
    "entity-both": "an entity has another type and other words, some of them shared",
    "entity-missed": "nothing was predicted where an entity is",
    "entity-spurious": "an entity was predicted where none is",
    "relation-entity": "a relation is right but for an argument, which is one of the wrong entities",
    "relation-type": "the arguments are right and related in another way",
    "relation-direction": "head and tail are exchanged",
    "relation-missed-entity": "a relation was missed, and so was one of its arguments",
    "relation-missed": "a relation was missed between arguments that were found",
    "relation-spurious-entity": "a relation was predicted that has a wrong entity as argument",
    "relation-spurious": "a relation was predicted between right entities that are not related",
}


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake: what is annotated and what was predicted, either of which may be absent."""

    kind: str
    gold: Entity | Relation | None
    predicted: Entity | Relation | None


def mistakes(gold: Document, predicted: Document, *, symmetric: frozenset[str] = frozenset()) -> list[Mistake]:
    """All mistakes of one document, entities first.

    Raises `DataError` when the two documents are not split into the same words.
    """
    if gold.words != predicted.words:
        name = f"document '{gold.id}'" if gold.id else f"the document without id that begins '{gold.text[:30]}'"
        raise DataError(f"{name}: gold and predicted have other words; annotate the gold documents")
    partners = _partners(gold.entities, predicted.entities)
    return [*_entity_mistakes(gold, predicted, partners), *_relation_mistakes(gold, predicted, partners, symmetric)]


def summary(found: Sequence[Sequence[Mistake]]) -> dict[str, int]:
    """How many mistakes of each kind there are in the mistakes of some documents; every kind is named."""
    counts = Counter(mistake.kind for some in found for mistake in some)
    return {kind: counts[kind] for kind in KINDS}


def _partners(gold: Sequence[Entity], predicted: Sequence[Entity]) -> dict[Entity, Entity]:
    """Predicted entity → the gold entity it was meant for, each gold entity once: equal ones first, then those of the
    same words, then those that share most words, of equals with the same type."""
    annotated = set(gold)
    partners = {entity: entity for entity in predicted if entity in annotated}
    pairs = [
        (_words(ours) == _words(theirs), _shared(ours, theirs), ours.type == theirs.type, ours, theirs)
        for theirs in dict.fromkeys(predicted)
        if theirs not in partners
        for ours in dict.fromkeys(gold)
        if ours.overlaps(theirs) and ours not in partners
    ]
    pairs.sort(key=lambda pair: pair[:3], reverse=True)
    taken = set(partners.values())
    for _, _, _, ours, theirs in pairs:
        if theirs not in partners and ours not in taken:
            partners[theirs] = ours
            taken.add(ours)
    return partners


def _words(entity: Entity) -> tuple[int, int]:
    return entity.start, entity.end


def _shared(first: Entity, second: Entity) -> int:
    return min(first.end, second.end) - max(first.start, second.start)


def _entity_mistakes(gold: Document, predicted: Document, partners: Mapping[Entity, Entity]) -> Iterator[Mistake]:
    for entity in dict.fromkeys(predicted.entities):
        partner = partners.get(entity)
        if partner is None:
            yield Mistake("entity-spurious", None, entity)
        elif partner != entity:
            same_words = _words(partner) == _words(entity)
            kind = "entity-type" if same_words else "entity-boundary" if partner.type == entity.type else "entity-both"
            yield Mistake(kind, partner, entity)
    found = set(partners.values())
    for entity in dict.fromkeys(gold.entities):
        if entity not in found:
            yield Mistake("entity-missed", entity, None)


def _relation_mistakes(
    gold: Document, predicted: Document, partners: Mapping[Entity, Entity], symmetric: frozenset[str]
) -> Iterator[Mistake]:
    """Each predicted relation is matched with the annotated one it comes nearest to, every annotated one once."""
    ours = {canonical(relation, symmetric): relation for relation in gold.relations}
    theirs = {canonical(relation, symmetric): relation for relation in predicted.relations}
    for key in ours.keys() & theirs.keys():
        del ours[key], theirs[key]
    for kind in ("relation-entity", "relation-direction", "relation-type"):
        for key, relation in list(theirs.items()):
            match = next((other for other in ours if _comes_near(kind, ours[other], relation, partners, symmetric)), None)
            if match is not None:
                yield Mistake(kind, ours.pop(match), theirs.pop(key))
    right = {entity for entity, partner in partners.items() if entity == partner}
    for relation in ours.values():
        kind = "relation-missed" if {relation.head, relation.tail} <= right else "relation-missed-entity"
        yield Mistake(kind, relation, None)
    for relation in theirs.values():
        kind = "relation-spurious" if {relation.head, relation.tail} <= right else "relation-spurious-entity"
        yield Mistake(kind, None, relation)


def _comes_near(
    kind: str, ours: Relation, theirs: Relation, partners: Mapping[Entity, Entity], symmetric: frozenset[str]
) -> bool:
    if kind == "relation-direction":
        return (theirs.type, theirs.tail, theirs.head) == (ours.type, ours.head, ours.tail)
    if kind == "relation-type":
        arguments = {theirs.head, theirs.tail}
        return arguments == {ours.head, ours.tail} and theirs.type != ours.type
    meant = partners.get(theirs.head), partners.get(theirs.tail)
    ways = [(ours.head, ours.tail)] + [(ours.tail, ours.head)] * (ours.type in symmetric)
    return theirs.type == ours.type and meant in ways
