"""Entity and relation types, symmetric relations and the argument types a relation may take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from conjoin.document import Document, Relation
from conjoin.errors import DataError, SettingError, unknown_name


@dataclass(frozen=True, slots=True)
class Schema:
    """The entity and relation types of a task.

    Args:
        entity_types: Entity types.
        relation_types: Relation types.
        symmetric: Relation types that hold both ways; they are compared in canonical order.
        signatures: Relation type → (head type, tail type) pairs that it may connect; an absent type may connect any.
    """

    entity_types: tuple[str, ...]
    relation_types: tuple[str, ...] = ()
    symmetric: frozenset[str] = frozenset()
    signatures: Mapping[str, frozenset[tuple[str, str]]] = field(default_factory=dict)

    @classmethod
    def from_documents(cls, documents: Iterable[Document], *, symmetric: Iterable[str] = ()) -> Schema:
        """The schema of annotated documents: types sorted by name, the argument types that occur.

        Raises `SettingError` for a symmetric type that no document has.
        """
        entity_types: set[str] = set()
        signatures: dict[str, set[tuple[str, str]]] = {}
        for document in documents:
            entity_types.update(entity.type for entity in document.entities)
            for relation in document.relations:
                signatures.setdefault(relation.type, set()).add((relation.head.type, relation.tail.type))
        symmetric = frozenset(symmetric)
        for type in sorted(symmetric - signatures.keys()):
            raise SettingError(unknown_name("symmetric relation type", type, signatures))
        return cls(tuple(sorted(entity_types)), tuple(sorted(signatures)), symmetric,
                   {type: frozenset(pairs) for type, pairs in signatures.items()})

    def allows(self, relation_type: str, head_type: str, tail_type: str) -> bool:
        """True when a relation of this type may connect a head and a tail of these types."""
        pairs = self.signatures.get(relation_type)
        if pairs is None or (head_type, tail_type) in pairs:
            return True
        return relation_type in self.symmetric and (tail_type, head_type) in pairs

    def canonical(self, relation: Relation) -> Relation:
        """The relation; one of a symmetric type with the argument that comes first as its head."""
        return canonical(relation, self.symmetric)

    def check(self, documents: Iterable[Document]) -> None:
        """Raise `DataError` for the first document with a type that is not in the schema."""
        for number, document in enumerate(documents, start=1):
            name = f"document '{document.id}'" if document.id else f"document {number}"
            for entity in document.entities:
                _check_type("entity", entity.type, self.entity_types, name)
            for relation in document.relations:
                _check_type("relation", relation.type, self.relation_types, name)

    def to_json(self) -> dict[str, Any]:
        """The schema as JSON values."""
        return {"entity_types": list(self.entity_types),
                "relation_types": list(self.relation_types),
                "symmetric": sorted(self.symmetric),
                "signatures": {type: sorted(map(list, pairs)) for type, pairs in sorted(self.signatures.items())}}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Schema:
        """The inverse of `to_json`; raises `DataError` when a key is missing or has another shape."""
        try:
            return cls(
                tuple(value["entity_types"]),
                tuple(value["relation_types"]),
                frozenset(value["symmetric"]),
                {type: frozenset((head, tail) for head, tail in pairs) for type, pairs in value["signatures"].items()},
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"schema: {type(error).__name__} at {error}; it needs entity_types, relation_types, "
                            "symmetric and signatures") from error


def _check_type(what: str, type: str, known: tuple[str, ...], name: str) -> None:
    if type not in known:
        raise DataError(f"{name}: {what} type '{type}' is not one of the model's: {', '.join(known) or 'it has none'}; "
                        "train a model on data with that type, or correct the data")


def canonical(relation: Relation, symmetric: frozenset[str]) -> Relation:
    """The relation; one of a symmetric type with the argument that comes first in the text as its head."""
    if relation.type not in symmetric:
        return relation
    head, tail = relation.head, relation.tail
    if (tail.start, tail.end, tail.type) < (head.start, head.end, head.type):
        head, tail = tail, head
    return Relation(relation.type, head, tail, relation.score)
