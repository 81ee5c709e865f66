"""Documents with their tokens, entities and relations, and corpora of documents.

Gold and predicted annotations have the same type, so evaluation is set arithmetic over two lists of documents.
Spans are in words, `start` inclusive and `end` exclusive; `char_start` and `char_end` are the same in characters.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from textwrap import shorten
from typing import Any, ClassVar

from conjoin.errors import DataError

SPLITS = ("train", "dev", "test")


@dataclass(frozen=True, slots=True)
class Token:
    """A word and its place in the text: `document.text[char_start:char_end] == text`."""

    text: str
    char_start: int
    char_end: int

    def moved(self, characters: int) -> Token:
        """The same word, with its offsets increased by a number of characters."""
        return Token(self.text, self.char_start + characters, self.char_end + characters) if characters else self


@dataclass(frozen=True, slots=True)
class Entity:
    """A typed span of words.

    Entities are compared by type, `start` and `end` only. A `Document` fills in `char_start`, `char_end` and `text`, so
    `Entity("Peop", 0, 2)` is enough.
    """

    type: str
    start: int
    end: int
    score: float | None = field(default=None, compare=False)
    char_start: int = field(default=-1, compare=False)
    char_end: int = field(default=-1, compare=False)
    text: str = field(default="", compare=False)

    def overlaps(self, other: Entity) -> bool:
        """True when the two entities share a word."""
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
    """An annotated unit of text: a sentence or more.

    In a notebook a document shows itself with marked entities and arcs for relations.

    Args:
        text: The raw text.
        tokens: Its words, in order.
        entities: Typed spans of words; they may overlap.
        relations: Typed pairs of these entities.
        id: A name for the document; may be empty.

    Raises:
        DataError: When a token, entity or relation does not fit the text.

    Examples:
        >>> document = Document.from_words(["Ann", "lives", "in", "Bonn"], [Entity("Peop", 0, 1), Entity("Loc", 3, 4)])
        >>> document
        Document('Ann lives in Bonn', words=4, entities=2, relations=0)
    """

    text: str
    tokens: tuple[Token, ...]
    entities: tuple[Entity, ...] = ()
    relations: tuple[Relation, ...] = ()
    id: str = ""

    _repr_html_: ClassVar[Callable[[Document], str]]  # the view in a notebook, set in conjoin/__init__.py: it draws

    def __post_init__(self) -> None:
        object.__setattr__(self, "tokens", tuple(self.tokens))
        self._check_tokens()
        self._annotate(self.entities, self.relations)

    @classmethod
    def from_words(cls, words: Iterable[str], entities: Iterable[Entity] = (), relations: Iterable[Relation] = (), *,
                   id: str = "") -> Document:
        """A document whose text is its words with one blank between them."""
        tokens = []
        position = 0
        for word in words:
            tokens.append(Token(word, position, position + len(word)))
            position += len(word) + 1
        text = " ".join(token.text for token in tokens)
        return cls(text, tuple(tokens), tuple(entities), tuple(relations), id)

    def __repr__(self) -> str:
        beginning = shorten(self.text[:200], 60, placeholder=" …")
        counts = f"words={len(self.tokens)}, entities={len(self.entities)}, relations={len(self.relations)}"
        return f"Document({beginning!r}, {f'id={self.id!r}, ' if self.id else ''}{counts})"

    @property
    def words(self) -> list[str]:
        """The text of each token."""
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
        """The document as the value of one line of conjoin's JSONL, with the characters of each word if `tokens`."""
        ids = {entity: f"e{number}" for number, entity in enumerate(self.entities, start=1)}
        value: dict[str, Any] = {"id": self.id, "text": self.text}
        if tokens:
            value["tokens"] = [[token.char_start, token.char_end] for token in self.tokens]
        value["entities"] = [
            {"id": ids[entity], "type": entity.type, "char_start": entity.char_start, "char_end": entity.char_end,
             "text": entity.text} | score_json(entity.score)
            for entity in self.entities
        ]
        value["relations"] = [
            {"type": relation.type, "head": ids[relation.head], "tail": ids[relation.tail]} | score_json(relation.score)
            for relation in self.relations
        ]
        return value

    def to_json_line(self, *, tokens: bool = True) -> str:
        """`to_json` as one line of text, without a newline at its end."""
        return json.dumps(self.to_json(tokens=tokens), ensure_ascii=False)

    def to_rows(self) -> list[dict[str, Any]]:
        """The annotations as flat rows, one for each entity and then one for each relation, for tables.

        Every row has `document` (the id), `kind` ("entity" or "relation"), `type` and `score` (None without one).
        A row of an entity also has `id` (unique in the document), `text`, `char_start` and `char_end` (end exclusive),
        a row of a relation `head`, `head_type`, `head_id`, `tail`, `tail_type` and `tail_id`.

        Examples:
            A table of all relations in pandas:

            >>> rows = pandas.DataFrame(row for document in documents for row in document.to_rows())
            >>> relations = rows[rows.kind == "relation"].dropna(axis="columns", how="all")
        """
        ids = {entity: f"e{number}" for number, entity in enumerate(self.entities, start=1)}
        rows: list[dict[str, Any]] = [
            {"document": self.id, "kind": "entity", "id": id, "type": entity.type, "text": entity.text,
             "char_start": entity.char_start, "char_end": entity.char_end, "score": entity.score}
            for entity, id in ids.items()
        ]
        for relation in self.relations:
            head, tail = relation.head, relation.tail
            rows.append({"document": self.id, "kind": "relation", "type": relation.type,
                         "head": head.text, "head_type": head.type, "head_id": ids[head],
                         "tail": tail.text, "tail_type": tail.type, "tail_id": ids[tail], "score": relation.score})
        return rows


def at_least(score: float | None, threshold: float) -> bool:
    """True when a score reaches the threshold; an annotation without a score always does."""
    return score is None or score >= threshold


def score_json(score: float | None) -> dict[str, float]:
    """The field `score` of an annotation in JSON, with four decimals; empty without a score."""
    return {} if score is None else {"score": round(score, 4)}


@dataclass(frozen=True, slots=True)
class Problem:
    """A remark on a file that was read or written.

    Args:
        path: The file.
        line: The line in it, from 1, if it is known.
        kind: A short name that problems are counted by, such as `overlapping-entity`.
        message: One sentence for this place.
        loss: True when the documents lack an annotation that the file has.
        repair: True when the file is wrong there; strict reading and writing stop at a repair.
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
    """Documents by split.

    Args:
        splits: Name (`train`, `dev`, `test`, or `all` for a file that names no split) → documents.
        problems: Repairs and notes from reading the files.
        format: Name of the format that the files were in.
    """

    splits: Mapping[str, tuple[Document, ...]]
    problems: tuple[Problem, ...] = ()
    format: str = ""

    def __repr__(self) -> str:
        parts = [f"{split}={len(documents)}" for split, documents in self.splits.items()]
        parts += [f"format={self.format!r}"] if self.format else []
        parts += [f"problems={len(self.problems)}"] if self.problems else []
        return f"Corpus({', '.join(parts)})"

    @property
    def train(self) -> tuple[Document, ...]:
        """The documents of the split `train`; empty without one."""
        return self.splits.get("train", ())

    @property
    def dev(self) -> tuple[Document, ...]:
        """The documents of the split `dev`; empty without one."""
        return self.splits.get("dev", ())

    @property
    def test(self) -> tuple[Document, ...]:
        """The documents of the split `test`; empty without one."""
        return self.splits.get("test", ())

    @property
    def documents(self) -> tuple[Document, ...]:
        """The documents of all splits, one split after the other."""
        return tuple(document for documents in self.splits.values() for document in documents)

    def __iter__(self) -> Iterator[Document]:
        return iter(self.documents)

    def __len__(self) -> int:
        return sum(len(documents) for documents in self.splits.values())


def documents_digest(documents: Iterable[Document]) -> str:
    """A SHA-256 digest of the documents and their order."""
    digest = hashlib.sha256()
    for document in documents:
        digest.update(document.to_json_line().encode("utf-8", "surrogatepass") + b"\n")
    return digest.hexdigest()


def entity_between(document: Document, type: str, char_start: int, char_end: int) -> Entity | None:
    """The entity whose words cover exactly these characters, end exclusive; None when it would cut a word."""
    start = _word_index(document.tokens, char_start, at_start=True)
    last = _word_index(document.tokens, char_end, at_start=False)
    if start is None or last is None or last < start:
        return None
    return Entity(type, start, last + 1)


def _word_index(tokens: Sequence[Token], position: int, *, at_start: bool) -> int | None:
    """The index of the word that starts (or ends) at a character, or None."""
    edge = attrgetter("char_start" if at_start else "char_end")
    index = bisect_left(tokens, position, key=edge)
    return index if index < len(tokens) and edge(tokens[index]) == position else None
