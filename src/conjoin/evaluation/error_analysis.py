"""The errors of a model by kind and cause."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from conjoin.document import Document, Entity, Relation
from conjoin.errors import DataError
from conjoin.schema import canonical

# Kind → meaning. Every wrong or missed entity or relation has one kind; a prediction and the gold annotation that it is
# matched with are one error.
KINDS: Mapping[str, str] = {
    "entity-type": "an entity has the right words and another type",
    "entity-boundary": "an entity has the right type and other words, some of them shared",
    "entity-both": "an entity has another type and other words, some of them shared",
    "entity-missed": "nothing was predicted where an entity is",
    "entity-spurious": "an entity was predicted where none is",
    "relation-entity": "a relation is right except for an argument, which is one of the wrong entities",
    "relation-type": "the arguments are right and related in another way",
    "relation-direction": "head and tail are exchanged",
    "relation-missed-entity": "a relation was missed, and so was one of its arguments",
    "relation-missed": "a relation was missed between entities that were predicted",
    "relation-spurious-entity": "a relation was predicted that has a wrong entity as argument",
    "relation-spurious": "a relation was predicted between right entities that are not related",
}


@dataclass(frozen=True, slots=True)
class PredictionError:
    """One error: the gold annotation and the prediction, one of which may be absent."""

    kind: str
    gold: Entity | Relation | None
    predicted: Entity | Relation | None


@dataclass(frozen=True, slots=True)
class ErrorAnalysis:
    """Documents, gold and predicted, and the errors of each pair."""

    gold: tuple[Document, ...]
    predicted: tuple[Document, ...]
    errors: tuple[tuple[PredictionError, ...], ...]

    def counts(self) -> dict[str, int]:
        """The number of errors of each kind in `KINDS`."""
        counts = Counter(error.kind for errors in self.errors for error in errors)
        return {kind: counts[kind] for kind in KINDS}


def analyze_errors(gold: Sequence[Document], predicted: Sequence[Document], *,
                   symmetric: frozenset[str] = frozenset()) -> ErrorAnalysis:
    """The errors of predicted documents, paired by position; raises `DataError` where the words of a pair differ."""
    errors = (document_errors(*pair, symmetric=symmetric) for pair in zip(gold, predicted, strict=True))
    return ErrorAnalysis(tuple(gold), tuple(predicted), tuple(map(tuple, errors)))


def document_errors(gold: Document, predicted: Document, *,
                    symmetric: frozenset[str] = frozenset()) -> list[PredictionError]:
    """The errors in one document, those of entities first. Raises `DataError` as `analyze_errors` does."""
    if gold.words != predicted.words:
        name = f"document '{gold.id}'" if gold.id else f"the document without id that begins '{gold.text[:30]}'"
        raise DataError(f"{name}: gold and predicted have other words; annotate the gold documents")
    partners = _partners(gold.entities, predicted.entities)
    return [*_entity_errors(gold, predicted, partners), *_relation_errors(gold, predicted, partners, symmetric)]


def _partners(gold: Sequence[Entity], predicted: Sequence[Entity]) -> dict[Entity, Entity]:
    """Predicted entity → the gold entity that it is matched with, each gold entity once.

    Equal entities go first, then those on the same words, those that share most words, and those of the same type.
    """
    annotated = set(gold)
    partners = {entity: entity for entity in predicted if entity in annotated}
    pairs = [(_words(ours) == _words(theirs), _shared(ours, theirs), ours.type == theirs.type, ours, theirs)
             for theirs in dict.fromkeys(predicted) if theirs not in partners
             for ours in dict.fromkeys(gold) if ours.overlaps(theirs) and ours not in partners]
    pairs.sort(key=lambda pair: pair[:3], reverse=True)
    matched = set(partners.values())
    for _, _, _, ours, theirs in pairs:
        if theirs not in partners and ours not in matched:
            partners[theirs] = ours
            matched.add(ours)
    return partners


def _words(entity: Entity) -> tuple[int, int]:
    return entity.start, entity.end


def _shared(first: Entity, second: Entity) -> int:
    return min(first.end, second.end) - max(first.start, second.start)


def _entity_errors(gold: Document, predicted: Document, partners: Mapping[Entity, Entity]) -> Iterator[PredictionError]:
    for entity in dict.fromkeys(predicted.entities):
        partner = partners.get(entity)
        if partner is None:
            yield PredictionError("entity-spurious", None, entity)
        elif partner != entity:
            same_words = _words(partner) == _words(entity)
            kind = "entity-type" if same_words else "entity-boundary" if partner.type == entity.type else "entity-both"
            yield PredictionError(kind, partner, entity)
    matched = set(partners.values())
    for entity in dict.fromkeys(gold.entities):
        if entity not in matched:
            yield PredictionError("entity-missed", entity, None)


def _relation_errors(gold: Document, predicted: Document, partners: Mapping[Entity, Entity],
                     symmetric: frozenset[str]) -> Iterator[PredictionError]:
    """Errors of relations; each predicted relation is matched with the nearest gold one, each gold one once."""
    ours = {canonical(relation, symmetric): relation for relation in gold.relations}
    theirs = {canonical(relation, symmetric): relation for relation in predicted.relations}
    for key in ours.keys() & theirs.keys():
        del ours[key], theirs[key]
    for kind in ("relation-entity", "relation-direction", "relation-type"):
        for key, relation in list(theirs.items()):
            match = next((other for other in ours if _comes_near(kind, ours[other], relation, partners, symmetric)), None)
            if match is not None:
                yield PredictionError(kind, ours.pop(match), theirs.pop(key))
    right = {entity for entity, partner in partners.items() if entity == partner}
    for relation in ours.values():
        kind = "relation-missed" if {relation.head, relation.tail} <= right else "relation-missed-entity"
        yield PredictionError(kind, relation, None)
    for relation in theirs.values():
        kind = "relation-spurious" if {relation.head, relation.tail} <= right else "relation-spurious-entity"
        yield PredictionError(kind, None, relation)


def _comes_near(kind: str, ours: Relation, theirs: Relation, partners: Mapping[Entity, Entity],
                symmetric: frozenset[str]) -> bool:
    if kind == "relation-direction":
        return (theirs.type, theirs.tail, theirs.head) == (ours.type, ours.head, ours.tail)
    if kind == "relation-type":
        return {theirs.head, theirs.tail} == {ours.head, ours.tail} and theirs.type != ours.type
    arguments = partners.get(theirs.head), partners.get(theirs.tail)
    directions = [(ours.head, ours.tail)] + [(ours.tail, ours.head)] * (ours.type in symmetric)
    return theirs.type == ours.type and arguments in directions
