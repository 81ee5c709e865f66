"""A text whose annotations are given in characters: spans are checked, words are cut to fit, sentences are made."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from conjoin.document import Document, Token, entity_between
from conjoin.readers.characters import cut_words, trim, word_across
from conjoin.readers.document_builder import DocumentBuilder
from conjoin.readers.problems import Problems
from conjoin.text.sentences import sentences
from conjoin.text.words import words

UNKNOWN_ID = ("unknown-id", "'{}', which is no entity's id")
# Options of the formats whose texts are longer than a sentence, the default first.
SENTENCE_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "sentences": ("split", "whole"),
    "crossing": ("join", "drop"),
    "discontinuous": ("drop", "cover"),
}


@dataclass(frozen=True, slots=True)
class _Span:
    key: Hashable
    type: str
    start: int
    end: int
    line: int | None
    score: float | None


@dataclass(frozen=True, slots=True)
class _Link:
    type: str
    head: Hashable
    tail: Hashable
    line: int | None
    score: float | None


class Standoff:
    """Collects entities in characters under the keys of the file, and relations between such keys.

    `tokens` are words that the file gives; without them the text is split into words. `missing` and `label` are those
    of `DocumentBuilder`. `suffix` ends the ids of the documents, where one text is annotated several times. What an entity or
    relation needs repaired is said when it is added, save what depends on the others: that is said by `document` or
    `documents`, which end the reading of this text.
    """

    def __init__(
        self,
        text: str,
        *,
        id: str,
        path: Path,
        line: int | None,
        problems: Problems,
        tokens: Sequence[Token] | None = None,
        missing: tuple[str, str] = UNKNOWN_ID,
        label: str = "",
        suffix: str = "",
    ) -> None:
        self.text, self.id, self.path, self.line, self.problems = text, id, path, line, problems
        self.suffix = suffix
        self.given = None if tokens is None else Document(text, tuple(tokens))
        self.missing, self.label = missing, label
        self._spans: dict[Hashable, _Span] = {}
        self._links: list[_Link] = []

    def repair(self, line: int | None, kind: str, wrong: str, mending: str, *, loss: bool = True) -> None:
        """Something is wrong with the file; see `Problems.repair`."""
        self.problems.repair(self.path, line, kind, self.label + wrong, mending, loss=loss)

    def note(self, line: int | None, kind: str, message: str, *, loss: bool = False) -> None:
        """Something worth knowing; see `Problems.note`."""
        self.problems.note(self.path, line, kind, self.label + message, loss=loss)

    def entity(
        self,
        key: Hashable,
        type: str,
        char_start: int,
        char_end: int,
        *,
        line: int | None = None,
        said: str | None = None,
        score: float | None = None,
    ) -> None:
        """Add an entity of the characters `char_start` to `char_end` (exclusive) that relations call `key`.

        `said` is the file's own copy of its text, which must agree.
        """
        if not 0 <= char_start < char_end <= len(self.text):
            self._out_of_range(type, char_start, char_end, line)
            return
        found = self.text[char_start:char_end]
        if said is not None and said != found:
            self.repair(line, "text-disagrees", f"entity {type} says '{said}', the text has '{found}' at characters "
                        f"{char_start} to {char_end} (count characters, not bytes)", "trusts the offsets", loss=False)
        start, end = self._trimmed(type, char_start, char_end, line)
        if start < end:
            self._add(_Span(key, type, start, end, line, score))

    def _out_of_range(self, type: str, char_start: int, char_end: int, line: int | None) -> None:
        self.repair(line, "span-out-of-range", f"entity {type} has characters {char_start} to {char_end} "
                    f"(end exclusive), the text has {len(self.text)}", "leaves the entity out")

    def _add(self, span: _Span) -> None:
        key = span.key
        if key in self._spans:
            self.repair(span.line, "duplicate-id", f"two entities are called '{key}'", "gives relations to the first",
                        loss=False)
            key = (key, len(self._spans))
        self._spans[key] = span

    def _trimmed(self, type: str, char_start: int, char_end: int, line: int | None) -> tuple[int, int]:
        """The span without white space at its edges, unless it covers given words exactly; empty when nothing is left."""
        if self.given is not None and entity_between(self.given, type, char_start, char_end) is not None:
            return char_start, char_end
        start, end = trim(self.text, char_start, char_end)
        if start == end:
            self.repair(line, "span-without-words", f"entity {type} covers white space only", "leaves the entity out")
        elif (start, end) != (char_start, char_end):
            self.repair(line, "white-space-edge", f"entity {type} '{self.text[char_start:char_end]}' starts or ends with "
                        "white space", "moves the edge to the word", loss=False)
        return start, end

    def discontinuous(
        self, key: Hashable, type: str, parts: Sequence[tuple[int, int]], how: str, *, line: int | None = None
    ) -> None:
        """Add an entity of several stretches of characters, which a `Document` cannot hold: `drop` leaves it out, `cover`
        takes everything from its first to its last character. Either is noted."""
        outside = [part for part in parts if not 0 <= part[0] < part[1] <= len(self.text)]
        if outside:
            self._out_of_range(type, *outside[0], line)
            return
        start, end = min(start for start, _ in parts), max(end for _, end in parts)
        shown = " … ".join(self.text[a:b] for a, b in sorted(parts))
        if how == "cover":
            self.note(line, "discontinuous-entity", f"entity {type} '{shown}' has gaps, which discontinuous=cover fills")
            self.entity(key, type, start, end, line=line)
        else:
            self.note(line, "discontinuous-entity", f"entity {type} '{shown}' has gaps and is left out with its relations "
                      "(discontinuous=cover fills them)", loss=True)
            self._add(_Span(key, type, start, start, line, None))  # remembered by its key, and empty

    def relation(
        self, type: str, head: Hashable, tail: Hashable, *, line: int | None = None, score: float | None = None
    ) -> None:
        """Add a relation between the entities with these keys; entities may follow."""
        self._links.append(_Link(type, head, tail, line, score))

    def document(self, overlap: str = "keep") -> Document:
        """The whole text as one document, after the named overlap rule."""
        tokens = words(self.text) if self.given is None else list(self.given.tokens)
        if not tokens:
            self.note(self.line, "empty-sentence", "the text has no words; the document stays")
        id = self._sentence_id(1) if self.suffix else self.id
        return self._stretch(0, len(self.text), tokens, id, list(self._spans), self._kept_links(), overlap)

    def documents(self, options: Mapping[str, str]) -> Iterator[Document]:
        """A document for each sentence (`sentences=split`), or the whole text as one.

        No sentence ends inside an entity. A relation between sentences joins them and all between them
        (`crossing=join`), or is left out; either is noted.
        """
        if options["sentences"] == "whole":
            yield self.document(options["overlap"])
            return
        pieces = self._sentences()
        if not pieces:
            self.note(self.line, "empty-sentence", "the text has no words; it is left out")
        homes = self._homes(pieces)
        owners, links = self._join(homes, len(pieces), join=options["crossing"] != "drop")
        keys_of: dict[int, list[Hashable]] = {}
        for key, (first, _) in homes.items():
            keys_of.setdefault(owners[first], []).append(key)
        links_of: dict[int, list[_Link]] = {}
        for link in links:
            links_of.setdefault(owners[homes[link.head][0]], []).append(link)
        for number, (first, last) in enumerate(_runs(owners), start=1):
            tokens = self._words(pieces[first : last + 1])
            yield self._stretch(pieces[first][0], pieces[last][1], tokens, self._sentence_id(number),
                                keys_of.get(first, []), links_of.get(first, []), options["overlap"])

    def _sentence_id(self, number: int) -> str:
        """Folds keep the documents of one text together by what stands before the `#`."""
        return f"{self.id}#{number}{self.suffix}"

    def _sentences(self) -> list[tuple[int, int]]:
        """Where the sentences start and end; none starts inside a given word."""
        pieces: list[tuple[int, int]] = []
        for start, end in sentences(self.text):
            if pieces and self.given is not None and word_across(self.given.tokens, start):
                start, _ = pieces.pop()
            pieces.append((start, end))
        return pieces

    def _words(self, pieces: Sequence[tuple[int, int]]) -> list[Token]:
        """The words of neighbouring sentences, counted from where the first begins."""
        start, end = pieces[0][0], pieces[-1][1]
        if self.given is None:
            found = [(begin, token) for begin, stop in pieces for token in words(self.text[begin:stop])]
        else:
            low = bisect_left(self.given.tokens, start, key=lambda token: token.char_start)
            high = bisect_right(self.given.tokens, end, key=lambda token: token.char_end)
            found = [(0, token) for token in self.given.tokens[low:high]]
        return [token.moved(begin - start) for begin, token in found]

    def _homes(self, pieces: Sequence[tuple[int, int]]) -> dict[Hashable, tuple[int, int]]:
        """The first and last sentence of each entity, in the order of the entities."""
        starts = [start for start, _ in pieces]
        return {
            key: (bisect_right(starts, span.start) - 1, bisect_right(starts, span.end - 1) - 1)
            for key, span in self._spans.items()
            if span.start < span.end
        }

    def _join(
        self, homes: Mapping[Hashable, tuple[int, int]], count: int, *, join: bool
    ) -> tuple[list[int], list[_Link]]:
        """For each of the sentences the first one it is joined with, and the relations that stay."""
        owners = list(range(count))
        for key, (first, last) in homes.items():
            if first != last:
                span = self._spans[key]
                self.note(span.line, "sentences-joined", f"entity {span.type} '{self.text[span.start : span.end]}' reaches "
                          "over the end of a sentence, which does not end there")
                _merge(owners, first, last)
        links = []
        for link in self._kept_links():
            ends = [*homes[link.head], *homes[link.tail]]
            if owners[min(ends)] == owners[max(ends)]:
                links.append(link)
            elif join:
                self.note(link.line, "sentences-joined", f"relation {link.type} crosses the end of a sentence; the "
                          "sentences are joined")
                _merge(owners, min(ends), max(ends))
                links.append(link)
            else:
                self.note(link.line, "relation-across-sentences", f"relation {link.type} crosses the end of a sentence and "
                          "is left out (crossing=join joins the sentences)", loss=True)
        return owners, links

    def _kept_links(self) -> list[_Link]:
        """The relations without those of entities that were left out on purpose; what points nowhere is repaired."""
        links = []
        for link in self._links:
            unknown = [key for key in (link.head, link.tail) if key not in self._spans]
            if unknown:
                kind, phrase = self.missing
                self.repair(link.line, kind, f"relation {link.type} points at {phrase.format(unknown[0])}",
                            "leaves the relation out")
            elif all(self._spans[key].start < self._spans[key].end for key in (link.head, link.tail)):
                links.append(link)
            else:
                self.note(link.line, "discontinuous-entity", f"relation {link.type} goes with its discontinuous entity",
                          loss=True)
        return links

    def _stretch(
        self,
        start: int,
        end: int,
        tokens: list[Token],
        id: str,
        keys: Sequence[Hashable],
        links: Sequence[_Link],
        overlap: str,
    ) -> Document:
        """The characters `start` to `end` as a document with these entities; `tokens` are counted from `start`."""
        text = self.text[start:end]
        named = {key: self._spans[key] for key in keys if self._spans[key].start < self._spans[key].end}
        spans = list(named.values())
        self._check_boundaries(spans, tokens, start)
        tokens = cut_words(text, tokens, (edge - start for span in spans for edge in (span.start, span.end)))
        bare = Document(text, tuple(tokens))
        builder = DocumentBuilder(text, tokens, id=id, path=self.path, line=self.line, problems=self.problems, missing=self.missing,
                                  label=self.label)
        for key, span in named.items():
            entity = entity_between(bare, span.type, span.start - start, span.end - start)
            if entity is None:
                self.repair(span.line, "span-without-words", f"entity {span.type} '{self.text[span.start : span.end]}' "
                            "does not start and end with one of the given words", "leaves the entity out")
            else:
                builder.entity(key, span.type, entity.start, entity.end, line=span.line, score=span.score)
        for link in links:
            builder.relation(link.type, link.head, link.tail, line=link.line, score=link.score)
        return builder.build(overlap)

    def _check_boundaries(self, spans: Sequence[_Span], tokens: Sequence[Token], start: int) -> None:
        for span in spans:
            for edge in (span.start, span.end):
                token = word_across(tokens, edge - start)
                if token is None:
                    continue
                wrong = (f"entity {span.type} '{self.text[span.start : span.end]}' begins or ends inside the word "
                         f"'{token.text}'")
                if self.given is None:
                    self.note(span.line, "inside-word", f"{wrong}, which is cut there")
                else:
                    self.repair(span.line, "inside-word", wrong, "cuts the word there, so that nothing is lost", loss=False)


def _merge(owners: list[int], first: int, last: int) -> None:
    """Join the sentences from `first` to `last`, and those already joined with either."""
    lowest, highest = owners[first], owners[last]
    for sentence in range(lowest, len(owners)):
        if sentence <= last or owners[sentence] == highest:
            owners[sentence] = lowest


def _runs(owners: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The first and last sentence of each group."""
    first = 0
    for index in range(1, len(owners) + 1):
        if index == len(owners) or owners[index] != owners[first]:
            yield first, index - 1
            first = index
