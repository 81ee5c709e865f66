"""Entity and relation types, symmetric relations and the argument types a relation may take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from conjoin.document import Document, Relation
from conjoin.errors import DataError, SettingError, unknown_name


@dataclass(frozen=True, slots=True)
class Schema:
    """The labels of a task.

    `signatures` maps a relation type to the (head type, tail type) pairs it may connect; a relation type that is absent
    from it may connect anything. `symmetric` relations hold both ways and are compared in canonical order.
    """

    entity_types: tuple[str, ...]
    relation_types: tuple[str, ...] = ()
    symmetric: frozenset[str] = frozenset()
    signatures: Mapping[str, frozenset[tuple[str, str]]] = field(default_factory=dict)

    @classmethod
    def from_documents(cls, documents: Iterable[Document], *, symmetric: Iterable[str] = ()) -> Schema:
        """The schema that annotated documents show: types sorted by name, signatures as seen.

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
        return cls(
            tuple(sorted(entity_types)),
            tuple(sorted(signatures)),
            symmetric,
            {type: frozenset(pairs) for type, pairs in signatures.items()},
        )

    def allows(self, relation_type: str, head_type: str, tail_type: str) -> bool:
        """Whether a relation of this type may connect a head and a tail of these types."""
        pairs = self.signatures.get(relation_type)
        if pairs is None or (head_type, tail_type) in pairs:
            return True
        return relation_type in self.symmetric and (tail_type, head_type) in pairs

    def canonical(self, relation: Relation) -> Relation:
        """The relation itself, or for a symmetric type the one whose head stands first."""
        return canonical(relation, self.symmetric)

    def check(self, documents: Iterable[Document]) -> None:
        """Raise `DataError` for the first document that uses a type the schema does not know."""
        for number, document in enumerate(documents, start=1):
            name = f"document '{document.id}'" if document.id else f"document {number}"
            for entity in document.entities:
                _check_type("entity", entity.type, self.entity_types, name)
            for relation in document.relations:
                _check_type("relation", relation.type, self.relation_types, name)

    def to_json(self) -> dict[str, Any]:
        return {
            "entity_types": list(self.entity_types),
            "relation_types": list(self.relation_types),
            "symmetric": sorted(self.symmetric),
            "signatures": {type: sorted(map(list, pairs)) for type, pairs in sorted(self.signatures.items())},
        }

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
    """The relation itself, or for a symmetric type the one whose head stands first in the text."""
    if relation.type not in symmetric:
        return relation
    head, tail = relation.head, relation.tail
    if (tail.start, tail.end, tail.type) < (head.start, head.end, head.type):
        head, tail = tail, head
    return Relation(relation.type, head, tail, relation.score)
