"""Builds a `Document` from the annotations in a file and checks them on the way."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from pathlib import Path

from conjoin.document import Document, Entity, Relation, Token
from conjoin.readers.overlap import RULES, overlapping_pairs
from conjoin.readers.problems import Problems


class DocumentBuilder:
    """Collects entities under the keys of the file (an id, an index, a last word) and relations between such keys.

    Args:
        text: The text.
        tokens: Its words.
        id: Id of the document.
        path: The file, for messages.
        line: Line of the text in it, if it is known.
        problems: Collects the problems.
        missing: Kind and phrase of the problem "a relation names a key without an entity" in this format.
        label: Beginning of every message, for files where lines do not identify the place.
    """

    def __init__(
        self,
        text: str,
        tokens: Sequence[Token],
        *,
        id: str,
        path: Path,
        line: int | None,
        problems: Problems,
        missing: tuple[str, str] = ("unknown-id", "'{}', which is no entity's id"),
        label: str = "",
    ) -> None:
        self.text, self.tokens, self.id = text, tuple(tokens), id
        self.path, self.line, self.problems = path, line, problems
        self.missing, self.label = missing, label
        self.entities: dict[Entity, None] = {}
        self.relations: dict[Relation, None] = {}
        self.keys: dict[Hashable, Entity] = {}

    @classmethod
    def from_words(
        cls,
        words: Sequence[str],
        *,
        id: str,
        path: Path,
        line: int | None,
        problems: Problems,
        missing: tuple[str, str],
        label: str = "",
    ) -> DocumentBuilder:
        """A builder for the text of these words, with one blank between two."""
        plain = Document.from_words(words)
        return cls(plain.text, plain.tokens, id=id, path=path, line=line, problems=problems, missing=missing,
                   label=label)

    def repair(self, line: int | None, kind: str, wrong: str, action: str, *, loss: bool = True) -> None:
        """Record an error in the file; see `Problems.repair`."""
        self.problems.repair(self.path, line, kind, self.label + wrong, action, loss=loss)

    def note(self, line: int | None, kind: str, message: str, *, loss: bool = False) -> None:
        """Record a remark; see `Problems.note`."""
        self.problems.note(self.path, line, kind, self.label + message, loss=loss)

    def entity(self, key: Hashable, type: str, start: int, end: int, *, line: int | None,
               score: float | None = None) -> None:
        """Add an entity of words `start` to `end` (exclusive) that relations call `key`."""
        if not 0 <= start < end <= len(self.tokens):
            self.repair(line, "span-out-of-range", f"entity {type} has words {start} to {end} (end exclusive), "
                        f"the sentence has {len(self.tokens)}", "leaves the entity out")
            return
        entity = Entity(type, start, end, score)
        if entity in self.entities:
            self.repair(line, "duplicate-entity", f"entity {type} '{self._text_of(entity)}' is written twice",
                        "keeps one", loss=False)
        if key in self.keys:
            self.repair(line, "duplicate-id", f"two entities are called '{key}'", "gives relations to the first",
                        loss=False)
        self.entities.setdefault(entity)
        self.keys.setdefault(key, entity)

    def relation(self, type: str, head: Hashable, tail: Hashable, *, line: int | None,
                 score: float | None = None) -> None:
        """Add a relation between the entities with these keys."""
        for key in (head, tail):
            if key not in self.keys:
                kind, phrase = self.missing
                self.repair(line, kind, f"relation {type} points at {phrase.format(key)}", "leaves the relation out")
                return
        relation = Relation(type, self.keys[head], self.keys[tail], score)
        if relation.head == relation.tail:
            self.repair(line, "self-relation", f"relation {type} connects '{self._text_of(relation.head)}' with itself",
                        "leaves it out")
        elif relation in self.relations:
            self.repair(line, "duplicate-relation", f"relation {type} from '{self._text_of(relation.head)}' to "
                        f"'{self._text_of(relation.tail)}' is written twice", "keeps one", loss=False)
        else:
            self.relations[relation] = None

    def build(self, overlap: str = "keep") -> Document:
        """The document under the overlap rule of that name; overlaps and removed annotations are noted."""
        whole = Document(self.text, self.tokens, tuple(self.entities), tuple(self.relations), self.id)
        pairs = list(overlapping_pairs(whole))
        if not pairs:
            return whole
        for first, second in pairs:
            self.note(self.line, "overlapping-entity",
                      f"{first.type} '{first.text}' and {second.type} '{second.text}' share words")
        document = RULES[overlap](whole)
        self._note_removed(whole, document, overlap)
        return document

    def _note_removed(self, whole: Document, document: Document, rule: str) -> None:
        for entity in whole.entities:
            if entity not in document.entities:
                self.note(self.line, "removed-entity", f"overlap={rule} leaves out {entity.type} '{entity.text}'",
                          loss=True)
        for relation in whole.relations:
            if relation not in document.relations:
                self.note(self.line, "removed-relation", f"overlap={rule} leaves out {relation.type} from "
                          f"'{relation.head.text}' to '{relation.tail.text}'", loss=True)
        if whole.relations and not document.relations:
            self.note(self.line, "no-relation-left", f"overlap={rule} leaves no relation; the sentence stays")

    def _text_of(self, entity: Entity) -> str:
        return self.text[self.tokens[entity.start].char_start : self.tokens[entity.end - 1].char_end]
