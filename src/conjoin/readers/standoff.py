"""Builds documents from a text with annotations in characters: checks spans, cuts words to fit, splits sentences."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from conjoin.document import Document, Token, entity_between
from conjoin.readers.characters import cut_words, trim, word_across
from conjoin.readers.document_builder import UNKNOWN_ID, DocumentBuilder
from conjoin.readers.problems import Place
from conjoin.text.sentences import sentences
from conjoin.text.words import words

# Options of the formats whose texts are longer than a sentence, the default first.
SPLIT_OPTIONS: Mapping[str, tuple[str, ...]] = {"sentences": ("split", "whole"), "crossing": ("join", "drop")}
SENTENCE_OPTIONS = {**SPLIT_OPTIONS, "discontinuous": ("drop", "cover")}


@dataclass(frozen=True, slots=True)
class _Span:
    """An entity of characters `start` to `end`; an empty one is left out with its relations."""

    type: str
    start: int
    end: int
    place: Place
    score: float | None = None


@dataclass(frozen=True, slots=True)
class _Link:
    type: str
    head: Hashable
    tail: Hashable
    place: Place
    score: float | None


class Standoff:
    """Collects entities in characters under the keys of the file, and relations between such keys.

    Problems of one entity or relation are reported when it is added, problems between several of them by `document` or
    `documents`, which are called last.

    Args:
        id: Id of the document, or of the whole text if it is split into sentences.
        tokens: The words of the file; without them the text is split into words.
        missing: As for `DocumentBuilder`.
        suffix: End of the ids of the documents, for a text that is annotated several times.
    """

    def __init__(self, text: str, place: Place, *, id: str, tokens: Sequence[Token] | None = None,
                 missing: tuple[str, str] = UNKNOWN_ID, suffix: str = "") -> None:
        self.text, self.place, self.id = text, place, id
        self.missing, self.suffix = missing, suffix
        self.file_words = None if tokens is None else Document(text, tuple(tokens))
        self._spans: dict[Hashable, _Span] = {}
        self._links: list[_Link] = []

    def entity(self, key: Hashable, type: str, char_start: int, char_end: int, *, line: int | None = None,
               copy: str | None = None, score: float | None = None) -> None:
        """Add an entity of the characters `char_start` to `char_end` (exclusive) that relations call `key`.

        `copy` is the file's own copy of its text, which should be equal.
        """
        place = self.place.at(line)
        if not 0 <= char_start < char_end <= len(self.text):
            self._out_of_range(type, char_start, char_end, place)
            return
        covered = self.text[char_start:char_end]
        if copy is not None and copy != covered:
            place.repair("text-disagrees", f"entity {type} says '{copy}', the text has '{covered}' at characters "
                         f"{char_start} to {char_end} (count characters, not bytes)", "trusts the offsets", loss=False)
        start, end = self._trim(type, char_start, char_end, place)
        if start < end:
            self._add(key, _Span(type, start, end, place, score))

    def _out_of_range(self, type: str, char_start: int, char_end: int, place: Place) -> None:
        place.repair("span-out-of-range", f"entity {type} has characters {char_start} to {char_end} (end exclusive), the "
                     f"text has {len(self.text)}", "leaves the entity out")

    def _add(self, key: Hashable, span: _Span) -> None:
        if key in self._spans:
            span.place.repair("duplicate-id", f"two entities are called '{key}'", "gives relations to the first",
                              loss=False)
            key = (key, len(self._spans))
        self._spans[key] = span

    def _trim(self, type: str, char_start: int, char_end: int, place: Place) -> tuple[int, int]:
        """The span without white space at its edges, which is a repair unless the span fits words of the file."""
        if self.file_words is not None and entity_between(self.file_words, type, char_start, char_end) is not None:
            return char_start, char_end
        start, end = trim(self.text, char_start, char_end)
        if start == end:
            place.repair("span-without-words", f"entity {type} covers white space only", "leaves the entity out")
        elif (start, end) != (char_start, char_end):
            place.repair("white-space-edge", f"entity {type} '{self.text[char_start:char_end]}' starts or ends with white "
                         "space", "moves the edge to the word", loss=False)
        return start, end

    def discontinuous(self, key: Hashable, type: str, parts: Sequence[tuple[int, int]], rule: str, *,
                      line: int | None = None) -> None:
        """Add an entity of several stretches of characters, which a `Document` cannot hold.

        The rule `drop` leaves it out, `cover` takes all characters from its first to its last; both are noted.
        """
        place = self.place.at(line)
        outside = [part for part in parts if not 0 <= part[0] < part[1] <= len(self.text)]
        if outside:
            self._out_of_range(type, *outside[0], place)
            return
        start, end = min(start for start, _ in parts), max(end for _, end in parts)
        name = f"entity {type} '{' … '.join(self.text[a:b] for a, b in sorted(parts))}'"
        if rule == "cover":
            place.note("discontinuous-entity", f"{name} has gaps, which discontinuous=cover fills")
            self.entity(key, type, start, end, line=line)
        else:
            place.note("discontinuous-entity", f"{name} has gaps and is left out with its relations (discontinuous=cover "
                       "fills them)", loss=True)
            self._add(key, _Span(type, start, start, place))

    def relation(self, type: str, head: Hashable, tail: Hashable, *, line: int | None = None,
                 score: float | None = None) -> None:
        """Add a relation between the entities with these keys; they may be added later."""
        self._links.append(_Link(type, head, tail, self.place.at(line), score))

    def document(self, overlap: str = "keep") -> Document:
        """The whole text as one document, under the overlap rule of that name."""
        tokens = words(self.text) if self.file_words is None else list(self.file_words.tokens)
        if not tokens:
            self.place.note("empty-sentence", "the text has no words; the document stays")
        id = self._sentence_id(1) if self.suffix else self.id
        return self._build(0, len(self.text), tokens, id, list(self._spans), self._complete_links(), overlap)

    def documents(self, options: Mapping[str, str]) -> Iterator[Document]:
        """A document for each sentence (`sentences=split`), or the whole text as one.

        No sentence ends inside an entity. A relation between sentences joins them (`crossing=join`) or is left out;
        both are noted.
        """
        if options["sentences"] == "whole":
            yield self.document(options["overlap"])
            return
        pieces = self._sentences()
        if not pieces:
            self.place.note("empty-sentence", "the text has no words; it is left out")
        ranges = self._sentence_ranges(pieces)
        groups, links = self._join(ranges, len(pieces), join=options["crossing"] != "drop")
        keys_of: dict[int, list[Hashable]] = {}
        for key, (first, _) in ranges.items():
            keys_of.setdefault(groups[first], []).append(key)
        links_of: dict[int, list[_Link]] = {}
        for link in links:
            links_of.setdefault(groups[ranges[link.head][0]], []).append(link)
        for number, (first, last) in enumerate(_runs(groups), start=1):
            tokens = self._words(pieces[first : last + 1])
            yield self._build(pieces[first][0], pieces[last][1], tokens, self._sentence_id(number),
                              keys_of.get(first, []), links_of.get(first, []), options["overlap"])

    def _sentence_id(self, number: int) -> str:
        """The id of a sentence; cross-validation keeps documents with the same part before the `#` together."""
        return f"{self.id}#{number}{self.suffix}"

    def _sentences(self) -> list[tuple[int, int]]:
        """Start and end of each sentence; none starts inside a word of the file."""
        pieces: list[tuple[int, int]] = []
        for start, end in sentences(self.text):
            if pieces and self.file_words is not None and word_across(self.file_words.tokens, start):
                start, _ = pieces.pop()
            pieces.append((start, end))
        return pieces

    def _words(self, pieces: Sequence[tuple[int, int]]) -> list[Token]:
        """The words of neighbouring sentences, with offsets from the start of the first."""
        start, end = pieces[0][0], pieces[-1][1]
        if self.file_words is None:
            return [token.moved(begin - start) for begin, stop in pieces for token in words(self.text[begin:stop])]
        tokens = self.file_words.tokens
        low = bisect_left(tokens, start, key=lambda token: token.char_start)
        high = bisect_right(tokens, end, key=lambda token: token.char_end)
        return [token.moved(-start) for token in tokens[low:high]]

    def _sentence_ranges(self, pieces: Sequence[tuple[int, int]]) -> dict[Hashable, tuple[int, int]]:
        """The first and last sentence of each entity, in the order of the entities."""
        starts = [start for start, _ in pieces]
        return {key: (bisect_right(starts, span.start) - 1, bisect_right(starts, span.end - 1) - 1)
                for key, span in self._spans.items() if span.start < span.end}

    def _join(self, ranges: Mapping[Hashable, tuple[int, int]], count: int, *, join: bool) -> tuple[list[int], list[_Link]]:
        """For each sentence the first one of its group of joined sentences, and the relations inside groups."""
        groups = list(range(count))
        for key, (first, last) in ranges.items():
            if first != last:
                span = self._spans[key]
                span.place.note("sentences-joined", f"entity {span.type} '{self.text[span.start : span.end]}' extends over "
                                "the end of a sentence; the sentences are joined")
                _merge(groups, first, last)
        links = []
        for link in self._complete_links():
            ends = [*ranges[link.head], *ranges[link.tail]]
            if groups[min(ends)] == groups[max(ends)]:
                links.append(link)
            elif join:
                link.place.note("sentences-joined", f"relation {link.type} crosses the end of a sentence; the sentences "
                                "are joined")
                _merge(groups, min(ends), max(ends))
                links.append(link)
            else:
                link.place.note("relation-across-sentences", f"relation {link.type} crosses the end of a sentence and is "
                                "left out (crossing=join joins the sentences)", loss=True)
        return groups, links

    def _complete_links(self) -> list[_Link]:
        """The relations whose two entities are there; others are noted or, where a key is unknown, repairs."""
        links = []
        for link in self._links:
            unknown = [key for key in (link.head, link.tail) if key not in self._spans]
            if unknown:
                kind, phrase = self.missing
                link.place.repair(kind, f"relation {link.type} points at {phrase.format(unknown[0])}",
                                  "leaves the relation out")
            elif all(self._spans[key].start < self._spans[key].end for key in (link.head, link.tail)):
                links.append(link)
            else:
                link.place.note("discontinuous-entity", f"relation {link.type} goes with its discontinuous entity",
                                loss=True)
        return links

    def _build(self, start: int, end: int, tokens: list[Token], id: str, keys: Sequence[Hashable], links: Sequence[_Link],
               overlap: str) -> Document:
        """The characters `start` to `end` as a document; `tokens` have offsets from `start`."""
        text = self.text[start:end]
        spans = {key: self._spans[key] for key in keys if self._spans[key].start < self._spans[key].end}
        for span in spans.values():
            self._report_cuts(span, tokens, start)
        tokens = cut_words(text, tokens, (edge - start for span in spans.values() for edge in (span.start, span.end)))
        bare = Document(text, tuple(tokens))
        builder = DocumentBuilder(text, tokens, self.place, id=id, missing=self.missing)
        for key, span in spans.items():
            entity = entity_between(bare, span.type, span.start - start, span.end - start)
            if entity is None:
                span.place.repair("span-without-words", f"entity {span.type} '{self.text[span.start : span.end]}' does not "
                                  "start and end with a word of the file", "leaves the entity out")
            else:
                builder.entity(key, span.type, entity.start, entity.end, line=span.place.line, score=span.score)
        for link in links:
            builder.relation(link.type, link.head, link.tail, line=link.place.line, score=link.score)
        return builder.build(overlap)

    def _report_cuts(self, span: _Span, tokens: Sequence[Token], start: int) -> None:
        """Report each edge of an entity inside a word: a repair for words of the file, else a note."""
        for token in (word_across(tokens, edge - start) for edge in (span.start, span.end)):
            if token is None:
                continue
            wrong = f"entity {span.type} '{self.text[span.start : span.end]}' starts or ends inside the word '{token.text}'"
            if self.file_words is None:
                span.place.note("inside-word", f"{wrong}, which is cut there")
            else:
                span.place.repair("inside-word", wrong, "cuts the word there, so that nothing is lost", loss=False)


def _merge(groups: list[int], first: int, last: int) -> None:
    """Join the sentences from `first` to `last`, and those already joined with either."""
    lowest, highest = groups[first], groups[last]
    for sentence in range(lowest, len(groups)):
        if sentence <= last or groups[sentence] == highest:
            groups[sentence] = lowest


def _runs(groups: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The first and last sentence of each group."""
    first = 0
    for index in range(1, len(groups) + 1):
        if index == len(groups) or groups[index] != groups[first]:
            yield first, index - 1
            first = index
