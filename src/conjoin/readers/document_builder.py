"""Builds a `Document` from the annotations in a file and checks them on the way."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from conjoin.document import Document, Entity, Relation, Token
from conjoin.readers.overlap import RULES, overlapping_pairs
from conjoin.readers.problems import Place

UNKNOWN_ID = ("unknown-id", "'{}', which is no entity's id")


class DocumentBuilder:
    """Collects entities under the keys of the file (an id, an index, a last word) and relations between such keys.

    `missing` is the kind and the phrase of the problem that a relation names a key without an entity.
    """

    def __init__(self, text: str, tokens: Sequence[Token], place: Place, *, id: str,
                 missing: tuple[str, str] = UNKNOWN_ID) -> None:
        self.text, self.tokens, self.place = text, tuple(tokens), place
        self.id, self.missing = id, missing
        self.entities: dict[Entity, None] = {}
        self.relations: dict[Relation, None] = {}
        self.keys: dict[Hashable, Entity] = {}

    @classmethod
    def from_words(cls, words: Sequence[str], place: Place, *, id: str, missing: tuple[str, str]) -> DocumentBuilder:
        """A builder for the text of these words, with one blank between two."""
        document = Document.from_words(words)
        return cls(document.text, document.tokens, place, id=id, missing=missing)

    def entity(self, key: Hashable, type: str, start: int, end: int, *, line: int | None = None,
               score: float | None = None) -> None:
        """Add an entity of words `start` to `end` (exclusive) that relations call `key`."""
        place = self.place.at(line)
        if not 0 <= start < end <= len(self.tokens):
            place.repair("span-out-of-range", f"entity {type} has words {start} to {end} (end exclusive), the sentence has "
                         f"{len(self.tokens)}", "leaves the entity out")
            return
        entity = Entity(type, start, end, score)
        if entity in self.entities:
            place.repair("duplicate-entity", f"entity {type} '{self._text_of(entity)}' is written twice", "keeps one",
                         loss=False)
        if key in self.keys:
            place.repair("duplicate-id", f"two entities are called '{key}'", "gives relations to the first", loss=False)
        self.entities.setdefault(entity)
        self.keys.setdefault(key, entity)

    def relation(self, type: str, head: Hashable, tail: Hashable, *, line: int | None = None,
                 score: float | None = None) -> None:
        """Add a relation between the entities with these keys."""
        place = self.place.at(line)
        for key in (head, tail):
            if key not in self.keys:
                kind, phrase = self.missing
                place.repair(kind, f"relation {type} points at {phrase.format(key)}", "leaves the relation out")
                return
        relation = Relation(type, self.keys[head], self.keys[tail], score)
        names = self._text_of(relation.head), self._text_of(relation.tail)
        if relation.head == relation.tail:
            place.repair("self-relation", f"relation {type} connects '{names[0]}' with itself", "leaves it out")
        elif relation in self.relations:
            place.repair("duplicate-relation", f"relation {type} from '{names[0]}' to '{names[1]}' is written twice",
                         "keeps one", loss=False)
        else:
            self.relations[relation] = None

    def build(self, overlap: str = "keep") -> Document:
        """The document under the overlap rule of that name; overlaps and removed annotations are noted."""
        whole = Document(self.text, self.tokens, tuple(self.entities), tuple(self.relations), self.id)
        pairs = list(overlapping_pairs(whole))
        if not pairs:
            return whole
        for first, second in pairs:
            self.place.note("overlapping-entity",
                            f"{first.type} '{first.text}' and {second.type} '{second.text}' share words")
        document = RULES[overlap](whole)
        self._note_removed(whole, document, overlap)
        return document

    def _note_removed(self, whole: Document, document: Document, rule: str) -> None:
        for entity in whole.entities:
            if entity not in document.entities:
                self.place.note("removed-entity", f"overlap={rule} leaves out {entity.type} '{entity.text}'", loss=True)
        for relation in whole.relations:
            if relation not in document.relations:
                self.place.note("removed-relation", f"overlap={rule} leaves out {relation.type} from "
                                f"'{relation.head.text}' to '{relation.tail.text}'", loss=True)
        if whole.relations and not document.relations:
            self.place.note("no-relation-left", f"overlap={rule} leaves no relation; the sentence stays")

    def _text_of(self, entity: Entity) -> str:
        return self.text[self.tokens[entity.start].char_start : self.tokens[entity.end - 1].char_end]
