"""The values everybody talks about: `Document` with its `Token`s, `Entity`s and `Relation`s, and `Corpus`.

Gold and predicted annotations have the same type, so evaluation is set arithmetic over two lists of documents.
Spans are in words, `start` inclusive and `end` exclusive; `char_start` and `char_end` are the same in characters.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from conjoin.errors import DataError

SPLITS = ("train", "dev", "test")


@dataclass(frozen=True, slots=True)
class Token:
    """A surface word and where it stands: `document.text[char_start:char_end] == text`."""

    text: str
    char_start: int
    char_end: int

    def moved(self, characters: int) -> Token:
        """The same word so many characters further on."""
        return Token(self.text, self.char_start + characters, self.char_end + characters) if characters else self


@dataclass(frozen=True, slots=True)
class Entity:
    """A typed span of words.

    Two entities are equal when type and words are; characters, text and score are carried along. A `Document` fills in
    `char_start`, `char_end` and `text` itself, so `Entity("Peop", 0, 2)` is all one has to write.
    """

    type: str
    start: int
    end: int
    score: float | None = field(default=None, compare=False)
    char_start: int = field(default=-1, compare=False)
    char_end: int = field(default=-1, compare=False)
    text: str = field(default="", compare=False)

    def overlaps(self, other: Entity) -> bool:
        """Whether the two share a word."""
        return self.start < other.end and other.start < self.end


@dataclass(frozen=True, slots=True)
class Relation:
    """A typed, directed pair of entities: `head` is the first argument, `tail` the second."""

    type: str
    head: Entity
    tail: Entity
    score: float | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Document:
    """An annotated unit of text: usually a sentence, sometimes more.

    Raises `DataError` when a token, entity or relation does not fit the text.
    """

    text: str
    tokens: tuple[Token, ...]
    entities: tuple[Entity, ...] = ()
    relations: tuple[Relation, ...] = ()
    id: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "tokens", tuple(self.tokens))
        self._check_tokens()
        self._annotate(self.entities, self.relations)

    @classmethod
    def from_words(
        cls,
        words: Iterable[str],
        entities: Iterable[Entity] = (),
        relations: Iterable[Relation] = (),
        *,
        id: str = "",
    ) -> Document:
        """A document whose text is its words with one blank between them."""
        tokens = []
        position = 0
        for word in words:
            tokens.append(Token(word, position, position + len(word)))
            position += len(word) + 1
        text = " ".join(token.text for token in tokens)
        return cls(text, tuple(tokens), tuple(entities), tuple(relations), id)

    @property
    def words(self) -> list[str]:
        return [token.text for token in self.tokens]

    def annotated(self, entities: Iterable[Entity], relations: Iterable[Relation]) -> Document:
        """The same text and words with other annotations."""
        copy = object.__new__(Document)
        for name in ("text", "tokens", "id"):  # checked already
            object.__setattr__(copy, name, getattr(self, name))
        copy._annotate(entities, relations)
        return copy

    def named(self, id: str) -> Document:
        """The same document with another id."""
        copy = object.__new__(Document)
        for name in ("text", "tokens", "entities", "relations"):  # checked already
            object.__setattr__(copy, name, getattr(self, name))
        object.__setattr__(copy, "id", id)
        return copy

    def bare(self) -> Document:
        """The same text and words without annotations."""
        return self.annotated((), ())

    def _annotate(self, entities: Iterable[Entity], relations: Iterable[Relation]) -> None:
        placed = {entity: self._place(entity) for entity in entities}
        object.__setattr__(self, "entities", tuple(placed.values()))
        attached = dict.fromkeys(self._attach(relation, placed) for relation in relations)
        object.__setattr__(self, "relations", tuple(attached))

    def _check_tokens(self) -> None:
        position = 0
        for index, token in enumerate(self.tokens):
            if not position <= token.char_start < token.char_end <= len(self.text):
                raise DataError(f"{self._name}: word {index} has characters {token.char_start} to {token.char_end}, "
                                f"which are empty, out of order or beyond the {len(self.text)} of the text")
            if self.text[token.char_start : token.char_end] != token.text:
                raise DataError(f"{self._name}: word {index} is '{token.text}' but the text has "
                                f"'{self.text[token.char_start : token.char_end]}' there")
            position = token.char_end

    def _place(self, entity: Entity) -> Entity:
        if not 0 <= entity.start < entity.end <= len(self.tokens):
            raise DataError(f"{self._name}: entity {entity.type} has words {entity.start} to {entity.end} "
                            f"(end exclusive), the text has {len(self.tokens)}")
        char_start = self.tokens[entity.start].char_start
        char_end = self.tokens[entity.end - 1].char_end
        text = self.text[char_start:char_end]
        return Entity(entity.type, entity.start, entity.end, entity.score, char_start, char_end, text)

    def _attach(self, relation: Relation, placed: Mapping[Entity, Entity]) -> Relation:
        for argument in (relation.head, relation.tail):
            if argument not in placed:
                raise DataError(f"{self._name}: relation {relation.type} points at {argument.type} "
                                f"{argument.start}-{argument.end}, which is no entity of this document")
        return Relation(relation.type, placed[relation.head], placed[relation.tail], relation.score)

    @property
    def _name(self) -> str:
        return f"document '{self.id}'" if self.id else "document"

    def to_json(self, *, tokens: bool = True) -> dict[str, Any]:
        """The document as conjoin's JSON: characters, entity ids, relations by id; with `tokens`, its words too."""
        ids = {entity: f"e{number}" for number, entity in enumerate(self.entities, start=1)}
        value: dict[str, Any] = {"id": self.id, "text": self.text}
        if tokens:
            value["tokens"] = [[token.char_start, token.char_end] for token in self.tokens]
        value["entities"] = [
            {"id": ids[entity], "type": entity.type, "char_start": entity.char_start, "char_end": entity.char_end,
             "text": entity.text} | _score(entity.score)
            for entity in self.entities
        ]
        value["relations"] = [
            {"type": relation.type, "head": ids[relation.head], "tail": ids[relation.tail]} | _score(relation.score)
            for relation in self.relations
        ]
        return value

    def to_json_line(self, *, tokens: bool = True) -> str:
        """`to_json` on one line, ending without a newline."""
        return json.dumps(self.to_json(tokens=tokens), ensure_ascii=False)


def reaches(score: float | None, least: float) -> bool:
    """Whether something scores at least so much; what has no score does."""
    return score is None or score >= least


def _score(score: float | None) -> dict[str, float]:
    return {} if score is None else {"score": round(score, 4)}


@dataclass(frozen=True, slots=True)
class Problem:
    """Something in a file that was repaired, left out or worth knowing.

    `kind` is a short name that is counted (`overlapping-entity`), `message` the sentence for this place. A `loss` is
    an annotation of the file that the documents do not hold; a `repair` stops strict reading and writing.
    """

    path: str
    line: int | None
    kind: str
    message: str
    loss: bool = True
    repair: bool = False

    def __str__(self) -> str:
        place = self.path if self.line is None else f"{self.path}:{self.line}"
        return f"{place}: {self.message}"


@dataclass(frozen=True, slots=True)
class Corpus:
    """Documents by split name (`train`, `dev`, `test`, or `all` for a file that names no split)."""

    splits: Mapping[str, tuple[Document, ...]]
    problems: tuple[Problem, ...] = ()
    format: str = ""

    @property
    def train(self) -> tuple[Document, ...]:
        return self.splits.get("train", ())

    @property
    def dev(self) -> tuple[Document, ...]:
        return self.splits.get("dev", ())

    @property
    def test(self) -> tuple[Document, ...]:
        return self.splits.get("test", ())

    @property
    def documents(self) -> tuple[Document, ...]:
        """All documents of all splits, in the order of the splits."""
        return tuple(document for documents in self.splits.values() for document in documents)

    def __iter__(self) -> Iterator[Document]:
        return iter(self.documents)

    def __len__(self) -> int:
        return sum(len(documents) for documents in self.splits.values())


def documents_digest(documents: Iterable[Document]) -> str:
    """The same for the same documents in the same order, and for no others."""
    digest = hashlib.sha256()
    for document in documents:
        digest.update(document.to_json_line().encode("utf-8", "surrogatepass") + b"\n")
    return digest.hexdigest()


def entity_between(document: Document, type: str, char_start: int, char_end: int) -> Entity | None:
    """The entity whose words cover exactly the characters from `char_start` to `char_end`, or None."""
    start = _word_index(document.tokens, char_start, at_start=True)
    last = _word_index(document.tokens, char_end, at_start=False)
    if start is None or last is None or last < start:
        return None
    return Entity(type, start, last + 1)


def _word_index(tokens: Sequence[Token], position: int, *, at_start: bool) -> int | None:
    """Binary search for the word that starts (or ends) at a character."""
    low, high = 0, len(tokens) - 1
    while low <= high:
        middle = (low + high) // 2
        found = tokens[middle].char_start if at_start else tokens[middle].char_end
        if found == position:
            return middle
        if found < position:
            low = middle + 1
        else:
            high = middle - 1
    return None
