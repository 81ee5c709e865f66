"""PubTator (Wei et al. 2013), the format of the BC5CDR and BioRED corpora: title, abstract, mentions, relations.

`id|t|title` and `id|a|abstract` make one text, the abstract one character after the title. A mention is id, start, end,
text, type, identifier of its concept, separated by tabs. A relation is id, type, identifier, identifier: it connects
concepts, not mentions, so the option `pairs` decides which mentions it connects.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from conjoin.document import Document
from conjoin.readers.format import Format, Options
from conjoin.readers.lines import lines
from conjoin.readers.overlap import RULES
from conjoin.readers.problems import Place, Problems
from conjoin.readers.standoff import SENTENCE_OPTIONS, Standoff
from conjoin.text.sentences import sentences

_TEXT = re.compile(r"([^|\t]+)\|([a-z])\|(.*)")
_NO_CONCEPT = {"", "-", "-1"}


@dataclass(frozen=True, slots=True)
class _Mention:
    line: int
    start: int
    end: int
    text: str
    type: str
    concepts: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Relation:
    line: int = field(compare=False)
    type: str
    head: str
    tail: str


@dataclass(slots=True)
class _Article:
    id: str
    line: int
    parts: list[str] = field(default_factory=list)
    mentions: list[_Mention] = field(default_factory=list)
    relations: list[_Relation] = field(default_factory=list)
    further: int = 0  # rows with columns that are not read

    @property
    def text(self) -> str:
        return "\n".join(self.parts)


def read(path: Path, problems: Problems, options: Options) -> Iterator[Document]:
    """The sentences of all articles; the id is that of the article and the sentence's number in it, from 1."""
    identifiers = further = 0
    for article in _articles(path, problems):
        yield from _documents(article, path, problems, options)
        identifiers += sum(bool(mention.concepts) for mention in article.mentions)
        further += article.further
    if identifiers:
        problems.note(path, None, "unread-concepts", f"{identifiers} mentions have identifiers of concepts, which serve to "
                      "find the arguments of relations and are not kept")
    if further:
        problems.note(path, None, "unread-column", f"{further} mentions and relations have further columns, which are not "
                      "read")


def _articles(path: Path, problems: Problems) -> Iterator[_Article]:
    """The articles of a file; a title, or a text line with another id, opens one."""
    article: _Article | None = None
    for number, line in lines(path, problems):
        text = _TEXT.fullmatch(line)
        columns = line.split("\t")
        if text:
            if article is None or text[1] != article.id or text[2] == "t":
                if article:
                    yield article
                article = _Article(text[1], number)
            article.parts.append(text[3])
        elif article and columns[0] == article.id:
            _add_row(article, columns, number, path, problems)
        elif line.strip():
            problems.repair(path, number, "malformed-row", f"'{line[:60]}' is neither a text line (id|t|title) nor "
                            "a line of the article before it, separated by tabs", "leaves the line out")
    if article:
        yield article


def _add_row(article: _Article, columns: list[str], line: int, path: Path, problems: Problems) -> None:
    """Read a mention or a relation; columns after the known ones are left out."""
    match columns[1:]:
        case [start, end, text, type, *rest] if _number(start) and _number(end) and type:
            concepts = _concepts(rest[0] if rest else "")
            article.mentions.append(_Mention(line, int(start), int(end), text, type, concepts))
            article.further += any(rest[1:])
        case [type, head, tail, *rest] if type and head and tail and not type.isdecimal():
            article.relations.append(_Relation(line, type, head, tail))
            article.further += any(rest)
        case _:
            problems.repair(path, line, "malformed-row", "the line is neither a mention (id, start, end, text, type, "
                            "identifier) nor a relation (id, type, identifier, identifier), separated by tabs",
                            "leaves the line out")


def _number(column: str) -> bool:
    return column.isdecimal() and len(column) < 16


def _concepts(column: str) -> frozenset[str]:
    """The identifiers of a mention: the column, and the parts of one that names several (`D058186|D017093`)."""
    return frozenset({column, *re.split(r"[|;,]", column)} - _NO_CONCEPT)


def _documents(article: _Article, path: Path, problems: Problems, options: Options) -> Iterator[Document]:
    standoff = Standoff(article.text, Place(path, problems, article.line), id=article.id,
                        missing=("unknown-id", "mention {}, which was left out"))
    for key, mention in enumerate(article.mentions):
        standoff.entity(key, mention.type, mention.start, mention.end, line=mention.line, copy=mention.text)
    _add_relations(standoff, article, every=options["pairs"] == "all")
    yield from standoff.documents(options)


def _add_relations(standoff: Standoff, article: _Article, *, every: bool) -> None:
    """Give each relation between concepts to mentions of them: to every pair, or to the closest."""
    seen: set[_Relation] = set()
    connected: set[tuple[str, int, int]] = set()
    starts = [start for start, _ in sentences(article.text)] if article.relations else []
    for relation in article.relations:
        place = standoff.place.at(relation.line)
        about = f"relation {relation.type} from {relation.head} to {relation.tail}"
        if relation in seen:
            place.repair("duplicate-relation", f"{about} is written twice", "keeps one", loss=False)
            continue
        seen.add(relation)
        pairs = _pairs(relation, about, article.mentions, place)
        if pairs and not every:
            pairs = [min(pairs, key=lambda pair: _distance(article.mentions[pair[0]], article.mentions[pair[1]], starts))]
        for head, tail in pairs:
            if (relation.type, head, tail) in connected:
                place.note("merged-relation", f"{about} would connect two mentions that "
                           f"{relation.type} connects already; one is kept", loss=True)
            else:
                connected.add((relation.type, head, tail))
                standoff.relation(relation.type, head, tail, line=relation.line)


def _pairs(relation: _Relation, about: str, mentions: Sequence[_Mention], place: Place) -> list[tuple[int, int]]:
    """All pairs of a mention of the first concept and another one of the second."""
    ends = []
    for concept in (relation.head, relation.tail):
        # PubTator 3 writes the type before the identifier: Disease|MESH:D003866
        names = {concept, re.split(r"[|@]", concept, maxsplit=1)[-1]}
        keys = [key for key, mention in enumerate(mentions) if names & mention.concepts]
        if not keys:
            place.repair("unknown-id", f"{about} names {concept}, which is the identifier of no mention",
                         "leaves the relation out")
            return []
        ends.append(keys)
    pairs = [(head, tail) for head, tail in product(*ends) if head != tail]
    if not pairs:
        place.note("one-mention", f"{about} would connect a mention with itself and is left out", loss=True)
    return pairs


def _distance(head: _Mention, tail: _Mention, starts: Sequence[int]) -> tuple[int, int, int, int]:
    """A sort key for the distance of two mentions: sentence ends between them, characters, then their order."""
    sentence_ends = abs(bisect_right(starts, head.start) - bisect_right(starts, tail.start))
    return sentence_ends, max(head.start, tail.start) - min(head.end, tail.end), head.start, tail.start


def sniff(beginning: str) -> bool:
    return re.match(r"[^|\t\n]+\|[ta]\|", beginning.lstrip("\n")) is not None


FORMAT = Format("pubtator", "PubTator: title and abstract, mentions in characters, relations between concepts",
                (".txt", ".pubtator"), sniff, read,
                options={"pairs": ("closest", "all"), **SENTENCE_OPTIONS, "overlap": tuple(RULES)})
