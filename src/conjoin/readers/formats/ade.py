"""DRUG-AE.rel, the original ADE corpus (Gurulingappa et al. 2012): one relation per line, offsets within the abstract.

The file does not give the start of a sentence in its abstract: it is the one that agrees with all rows of the sentence.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from conjoin.document import Document, entity_between
from conjoin.readers.characters import cut_words, trim, word_across
from conjoin.readers.document_builder import DocumentBuilder
from conjoin.readers.format import Format, Options
from conjoin.readers.lines import lines
from conjoin.readers.overlap import RULES
from conjoin.readers.problems import Place, Problems
from conjoin.text.words import words

_EFFECT, _DRUG, _RELATION = "Adverse-Effect", "Drug", "Adverse-Effect"


@dataclass(frozen=True, slots=True)
class _Mention:
    type: str
    text: str
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class _Row:
    line: int
    effect: _Mention
    drug: _Mention


def read(path: Path, problems: Problems, options: Options) -> Iterator[Document]:
    """Sentences in the order of their first row; the id is the PubMed id and the sentence's number in it, from 1."""
    numbers: Counter[str] = Counter()
    for (pubmed, sentence), rows in _groups(path, problems).items():
        numbers[pubmed] += 1
        place = Place(path, problems, rows[0].line)
        yield _document(f"{pubmed}_{numbers[pubmed]}", sentence, rows, place, options)


def _groups(path: Path, problems: Problems) -> dict[tuple[str, str], list[_Row]]:
    groups: dict[tuple[str, str], list[_Row]] = {}
    for number, line in lines(path, problems):
        match line.partition("|")[0], *line.partition("|")[2].rsplit("|", 6):
            case pubmed, sentence, effect, begin, end, drug, drug_begin, drug_end if (
                all(map(str.isdecimal, (begin, end, drug_begin, drug_end))) and effect and drug and sentence.strip()
            ):
                row = _Row(number, _Mention(_EFFECT, effect, int(begin), int(end)),
                           _Mention(_DRUG, drug, int(drug_begin), int(drug_end)))
                groups.setdefault((pubmed, sentence), []).append(row)
            case _ if line.strip():
                problems.repair(path, number, "malformed-row", f"'{line[:60]}' is not PubMed id, sentence, effect, "
                                "begin, end, drug, begin, end, separated by |", "leaves the relation out")
    return groups


def _document(id: str, sentence: str, rows: list[_Row], place: Place, options: Options) -> Document:
    spans = _spans(sentence, rows, place)
    tokens = words(sentence)
    edges = [edge for span in spans.values() for edge in span]
    for word in dict.fromkeys(word_across(tokens, edge) for edge in edges):
        if word is not None:
            place.note("word-cut", f"'{word.text}' is cut where an entity begins or ends in it")
    bare = Document(sentence, tuple(cut_words(sentence, tokens, edges)))
    builder = DocumentBuilder(sentence, bare.tokens, place, id=id,
                              missing=("text-disagrees", "{0.type} '{0.text}', which was left out"))
    for mention, (start, end) in spans.items():
        entity = entity_between(bare, mention.type, start, end)
        if entity is not None:
            builder.entity(mention, mention.type, entity.start, entity.end)
    for row in rows:
        pair = (row.drug, row.effect) if options["direction"] == "drug-effect" else (row.effect, row.drug)
        builder.relation(_RELATION, *pair, line=row.line)
    return builder.build(options["overlap"])


def _spans(sentence: str, rows: list[_Row], place: Place) -> dict[_Mention, tuple[int, int]]:
    """The characters of each mention in the sentence; those that do not agree with the text are left out."""
    offset, *others = _offsets(sentence, rows)
    if others:
        place.note("ambiguous-start", f"the sentence fits its abstract at character {offset} and at {others[0]}; the first "
                   "is taken")
    spans: dict[_Mention, tuple[int, int]] = {}
    for row in rows:
        for mention in (row.effect, row.drug):
            if mention not in spans and _agrees(mention, sentence, offset, place.at(row.line)):
                spans[mention] = trim(sentence, mention.begin - offset, mention.end - offset)
    return spans


def _offsets(sentence: str, rows: list[_Row]) -> list[int]:
    """The starts of the sentence in its abstract that agree with most mentions, in order; one start in all of ADE."""
    votes: Counter[int] = Counter()
    for mention in {mention for row in rows for mention in (row.effect, row.drug)}:
        votes.update(mention.begin - match.start() for match in re.finditer(f"(?={re.escape(mention.text)})", sentence))
    return sorted(start for start in votes if votes[start] == max(votes.values())) or [0]


def _agrees(mention: _Mention, sentence: str, offset: int, place: Place) -> bool:
    begin = mention.begin - offset
    if begin >= 0 and mention.text.strip() and sentence[begin : mention.end - offset] == mention.text:
        return True
    place.repair("text-disagrees", f"{mention.type} '{mention.text}' is not at characters {mention.begin} to {mention.end} "
                 "of the abstract, by the other rows of its sentence", "leaves it out with its relations")
    return False


def sniff(beginning: str) -> bool:
    return re.match(r"\d+\|[^\n]+\|\d+\|\d+\|[^\n|]+\|\d+\|\d+\n", beginning) is not None


FORMAT = Format("ade", "DRUG-AE.rel of the ADE corpus: a relation per line, offsets within the abstract", (".rel",), sniff,
                read, options={"overlap": tuple(RULES), "direction": ("effect-drug", "drug-effect")})
