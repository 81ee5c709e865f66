"""Raw text → sentences → words with character offsets; windows over long sentences; merging back.

Sentences come from sentencex (Wikimedia), paragraph by paragraph, with a thin layer of rules that rejoins what it cuts
in news and medical text. To cut too much costs relations across the cut, to cut too little costs nothing but
length, so a doubtful boundary is dropped.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, TypeVar

import sentencex

from conjoin.document import Document, Entity, Relation, Token
from conjoin.errors import DataError, SettingError

BYTE_ORDER_MARK = "\ufeff"  # files begin with it, and joining them leaves it in the middle; it belongs to no word
Hyphens = Literal["cut", "whole"]
_Scored = TypeVar("_Scored", Entity, Relation)


@dataclass(frozen=True, slots=True)
class Unit:
    """A piece of a text to annotate: a sentence, or one of the overlapping windows over a long one.

    `document.text` is the text from character `char_offset` on, and its first word is word `word_offset` of the text.
    The words `core_start` to `core_end` (end exclusive, counted in the unit) are this unit's own: every word of the
    text is in the core of exactly one unit; the words around the core are context that a neighbour owns.
    """

    document: Document
    char_offset: int
    word_offset: int
    core_start: int
    core_end: int


def split(
    text: str,
    *,
    id: str = "",
    max_words: int = 300,
    overlap: int = 50,
    language: str = "en",
    hyphens: Hyphens = "cut",
    bounds: Sequence[tuple[int, int]] | None = None,
) -> list[Unit]:
    """The sentences of a text in order, as units to annotate; one longer than `max_words` gives several windows.

    Neighbouring windows share at least `overlap` words (one less if that is odd). The units of a text with an `id` are
    called `id#1`, `id#2`, … `hyphens` is as for `words`. `bounds` are the sentences as pairs of characters, where they are
    known. Text without any visible character gives no unit. Raises `SettingError` when the overlap does not fit into a
    window.
    """
    if not 0 <= overlap < max_words:
        raise SettingError(f"overlap is {overlap} words and max_words {max_words}; the overlap must be smaller")
    units: list[Unit] = []
    word_offset = 0
    for start, end in sentences(text, language=language) if bounds is None else bounds:
        tokens = words(text[start:end], hyphens=hyphens)
        for window in _windows(tokens, max_words, overlap // 2):
            name = f"{id}#{len(units) + 1}" if id else ""
            units.append(_unit(text, start, word_offset, tokens, window, name))
        word_offset += len(tokens)
    return units


def merge(text: str, units: Sequence[Unit], annotated: Sequence[Document], *, id: str = "") -> Document:
    """One document over the whole text from the annotated documents of its units, which are in the order of `units`.

    An entity is taken from the unit in whose core its first word lies. Where two windows disagree at their seam, an
    entity that ends at the edge of its window gives way to a longer one of its type from the next window, and an entity
    from the next window that overlaps one reaching over the seam is dropped unless both windows have it. A relation is
    kept when any window has it and both its entities were kept; of equal annotations the highest score counts. Raises
    `DataError` when documents and units do not fit.
    """
    _check_units(text, units, annotated)
    if len(units) == 1 and units[0].document.text == text:
        return annotated[0].named(id)
    tokens = [
        token.moved(unit.char_offset) for unit in units for token in unit.document.tokens[unit.core_start : unit.core_end]
    ]
    found = [
        _best([_shifted(entity, unit.word_offset) for entity in document.entities])
        for unit, document in zip(units, annotated, strict=True)
    ]
    kept = _kept(units, found)
    best = _best([entity for group in found for entity in group.values()])
    relations: dict[Relation, Relation] = {}
    for unit, document in zip(units, annotated, strict=True):
        for relation in document.relations:
            head, tail = _shifted(relation.head, unit.word_offset), _shifted(relation.tail, unit.word_offset)
            if head in kept and tail in kept:
                moved = Relation(relation.type, head, tail, relation.score)
                relations[moved] = _higher(relations.get(moved), moved)
    return Document(text, tuple(tokens), tuple(best[entity] for entity in kept), tuple(relations.values()), id)


# --- sentences ---------------------------------------------------------------------------------------------------

_BREAK = r"\n\r\v\f\x1c-\x1e\x85\u2028\u2029"
_LINE = re.compile(f"[^{_BREAK}]+")
_LINE_END = re.compile(f"\r\n|[{_BREAK}]")
_LIST_ITEM = re.compile(r"\s*(?:[-*+•‣◦·]\s|#+\s|\(?\d{1,3}[.)]\s|\(?[a-zA-Z]\)\s)")
_CONTINUES = ",;:-–—(&/"  # a line that ends so goes on
_GOES_ON = frozenset({"a", "an", "and", "at", "by", "for", "from", "in", "of", "on", "or", "the", "to", "with"})
_SHORT_LINE = 40  # characters; nobody wraps prose more narrowly

# What sentencex reads as markup or cannot take (1.0.32 panics on white space of several bytes and refuses lone
# surrogates), and stand-ins of equal length.
_STAND_INS = {ord("<"): "=", ord(">"): "="}
_STAND_INS |= {code: " " for code in range(0x3001) if chr(code).isspace()}
_STAND_INS |= dict.fromkeys(range(0xD800, 0xE000), "x")

_NAME_TITLES = "Ms Messrs Mme Mlle Atty Amb Asst Cmdr Supt Det Jos Geo Wm Chas Thos"
_BEFORE_A_NAME = frozenset(_NAME_TITLES.split())
_NUMBER_TITLES = "Eq Eqs Vol Vols Nos Sec Ch Art Tab Ref Refs No no vol approx ca cf pp p"
_BEFORE_A_NUMBER = frozenset(_NUMBER_TITLES.split())
_TIME = re.compile(r"[ap]\.?m\.\s*$", re.IGNORECASE)
_AFTER_TIME = re.compile(r"(?:[A-Z]{1,2}[SDM]?T|UTC|on|to|local|(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day)\b")
_LAST_WORD = re.compile(r"(\w+)\.\s*$")
_INNER_INITIAL = re.compile(r"\w[-.]?\w\.$")
_ONLY_MARKER = re.compile(r"\s*\(?(?:\d{1,3}|[a-zA-Z])[.)]\s*$")
_NEVER_FIRST = ";,:)]}”»"
_QUOTES = "\"'’"
_QUOTED = re.compile(r"[.?!][\"'”’]+\s*$")
_LOOK_BACK = 24  # characters: enough for every rule that looks at the end of the piece before


def sentences(text: str, *, language: str = "en") -> list[tuple[int, int]]:
    """Where each sentence starts and ends in the text, without the white space around it.

    A blank line ends a sentence, and so does a form feed or a paragraph separator. A single line break does only where
    the author meant it: before a list item, after a `#` heading, or before a capital or digit when the next word would
    still have fitted on the line (headings, addresses, verse); otherwise the lines are wrapped prose. A byte-order mark
    counts as white space, wherever it stands.
    """
    text = text.replace(BYTE_ORDER_MARK, " ")
    found = []
    for start, end in _blocks(text):
        cuts = [start, *_cuts(text[start:end], start, language), end]
        for left, right in pairwise(cuts):
            piece = text[left:right]
            body = piece.strip()
            if body:
                begin = left + len(piece) - len(piece.lstrip())
                found.append((begin, begin + len(body)))
    return found


def _blocks(text: str) -> Iterator[tuple[int, int]]:
    """Stretches of text that a sentence cannot leave: paragraphs, and within them headings and list items."""
    for lines in _paragraphs(text):
        width = max(_SHORT_LINE, *(end - start for start, end in lines))
        begin = lines[0][0]
        for (start, end), (next_start, next_end) in pairwise(lines):
            if _breaks(text[start:end].strip(), text[next_start:next_end].strip(), width):
                yield begin, end
                begin = next_start
        yield begin, lines[-1][1]


def _paragraphs(text: str) -> Iterator[list[tuple[int, int]]]:
    """Runs of lines without a blank one between them, each line as its characters."""
    lines: list[tuple[int, int]] = []
    for match in _LINE.finditer(text):
        if match[0].isspace():
            continue
        if lines:
            gap = text[lines[-1][1] : match.start()]
            if "\f" in gap or "\u2029" in gap or len(_LINE_END.findall(gap)) > 1:
                yield lines
                lines = []
        lines.append(match.span())
    if lines:
        yield lines


def _breaks(line: str, following: str, width: int) -> bool:
    """Whether the line break between two lines of a paragraph ends a sentence."""
    if _LIST_ITEM.match(following + " ") or line.startswith("#"):
        return True
    first = following.split(maxsplit=1)[0][:width]
    if line[-1] in _CONTINUES or line.rsplit(maxsplit=1)[-1] in _GOES_ON:
        return False
    if not (first[0].isupper() or first[0].isdigit()):
        return False
    return len(line) + 1 + len(first) <= width


def _cuts(block: str, offset: int, language: str) -> list[int]:
    """The starts of all sentences of a block but the first, counted in the whole text."""
    cuts: list[int] = []
    begin = 0
    boundaries = sentencex.get_sentence_boundaries(language, block.translate(_STAND_INS))  # type: ignore[attr-defined]
    starts = [boundary["start_index"] for boundary in boundaries[1:]]
    for start, end in pairwise([*starts, len(block)]):
        if not _belongs_together(block[max(begin, start - _LOOK_BACK) : start], block[start:end]):
            cuts.append(offset + start)
            begin = start
    return cuts


def _belongs_together(before: str, after: str) -> bool:
    """Whether a boundary that sentencex sees is none; `before` may be cut off on its left."""
    if not any(character.isalnum() for character in after):  # a stray quote, ' ;', '...'
        return True
    if _ONLY_MARKER.match(before):  # '1.' and the item it numbers
        return True
    if after[0] in _NEVER_FIRST:
        return True
    touching = not before[-1].isspace()
    if touching and (after[0] in _QUOTES or _INNER_INITIAL.search(before)):  # 'say?|" he asked', 'R-S.|C.'
        return True
    if _TIME.search(before) and _AFTER_TIME.match(after):
        return True
    if _QUOTED.search(before) and after[0].islower():  # '"Why?" he asked'
        return True
    last = _LAST_WORD.search(before)
    if last is None:
        return False
    return last[1] in _BEFORE_A_NAME or (last[1] in _BEFORE_A_NUMBER and after[0].isdigit())


# --- words -------------------------------------------------------------------------------------------------------

# Vowel signs and accents, which Python's \w leaves out, and the invisible joiners inside words.
_MARKS = "".join(
    re.escape(chr(code)) for code in range(0x300, 0x3100) if unicodedata.category(chr(code)).startswith("M")
) + r"\u00ad\u200c\u200d\u2060\ufe00-\ufe0f\U0001f3fb-\U0001f3ff"
# Scripts written without blanks: each character is a word, so that any name in them can be annotated.
_UNSPACED = (r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
             r"\U00020000-\U0003ffff")
_LETTER = rf"[^\W\d_{_UNSPACED}]"
_SIGN = rf"(?:[^\W_{_UNSPACED}]|(?<=\w)[{_MARKS}]|(?<=[{_MARKS}])[{_MARKS}])"
_SUFFIX = r"(?:s|S|ll|LL|re|RE|ve|VE|d|D|m|M)(?!\w)"

_WORD = re.compile(
    rf"""
      [A-Za-z]++(?=[ ,])                                                 # most words; what follows would match them too
    | (?:https?://|www\.)[^\s<>"]*[\w/]
    | [\w.+%-]{{1,64}}@[\w-]{{1,64}}(?:\.[\w-]{{1,64}})+
    | (?:{_LETTER}\.){{2,}}(?:{_LETTER}(?!\w))? | {_LETTER}(?:\.{_LETTER})+(?!\w) | Ph\.D\.     # U.S. p.m. U.S
    | \d+(?:[.,:/]\d+)+(?:-(?=\w){_SIGN}+)?                                   # 1,234.5 11:30 3,4-dihydroxy
    | (?P<stopped>{_LETTER}{{1,7}}\.(?![\w.]))
    | n['’]t(?!\w) | N['’]T(?!\w) | ['’]{_SUFFIX}
    | {_SIGN}+?(?=n['’]t(?!\w)|N['’]T(?!\w))
    | (?:\d+-)?{_SIGN}+(?:-\d{_SIGN}*|_+{_SIGN}+|&{_SIGN}+|['’](?!{_SUFFIX}){_SIGN}+)*          # O'Brien IL-2 5-FU
    | [{_UNSPACED}][{_MARKS}]*
    | [\U0001f1e6-\U0001f1ff]{{2}}
    | \.{{2,}} | -{{2,}} | ={{2,}} | \*{{2,}} | _{{2,}} | \#{{2,}} | ~{{2,}} | !{{2,}} | \?{{2,}} | `` | ''
    | [\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069]+               # invisible
    | \S[{_MARKS}]*(?:(?<=\u200d)[^\s\w][{_MARKS}]*)*                          # any other mark; joined emoji
    """,
    re.VERBOSE,
)

# Abbreviations that keep their stop inside a sentence. At its end the stop is split off: so do 38 of the 55 CoNLL04
# sentences that end so, and either span can then be annotated. Dotted ones (U.S.) always keep it.
_ABBREVIATION_LIST = """
    Mr Mrs Ms Dr Drs Prof Rev Hon Gov Sen Sens Rep Reps Gen Lt Col Maj Capt Cmdr Adm Sgt Cpl Pvt Supt Amb Atty Det Pres
    Jr Sr Esq St Ste Mt Ft Pt Ave Blvd Rd Inc Corp Co Cos Ltd Bros Assn Dept Univ Messrs Mme Mlle Jos Geo Wm Chas
    Jan Feb Mar Apr Jun Jul Aug Sept Sep Oct Nov Dec Mon Tue Tues Wed Thu Thur Thurs Fri Sat Sun
    Ala Ariz Ark Calif Colo Conn Del Fla Ga Ida Ill Ind Kan Ky La Mass Md Mich Minn Miss Mo Mont Neb Nev Okla Ore Pa
    Penn Tenn Tex Vt Va Wash Wis Wyo vs etc al cf ca approx dept est vol pp no No Vol Vols Nos Eq Eqs Fig Figs Ref Refs
    Art Sec Ch
"""
_COMPOUND = re.compile(rf"{_LETTER}-{_LETTER}")
_ABBREVIATIONS = frozenset(_ABBREVIATION_LIST.split())


def words(text: str, *, hyphens: Hyphens = "cut") -> list[Token]:
    """The words of a sentence with their characters.

    Every character is in exactly one word, save white space and byte-order marks, which count as white space.
    Punctuation, brackets, quotes, per cent and currency signs are words of their own, and so are `'s` and `n't`, as in
    the Penn Treebank. Numbers (`1,234.5`, `11:30`), dotted abbreviations (`U.S.`), initials (`J.`) and known
    abbreviations (`Inc.`) stay whole. Compounds are split at the hyphen (`Leeds - based`), so that a name inside can be
    annotated, save before digits (`IL-2`) and after leading digits (`5-FU`, `43-year`); with hyphens `whole` they are not.
    """
    text = text.replace(BYTE_ORDER_MARK, " ")
    end = _last_word_end(text)
    tokens = []
    for match in _WORD.finditer(text):
        start, stop = match.span()
        if match.lastgroup == "stopped" and (stop > end or not _is_abbreviation(match[0][:-1])):
            tokens.append(Token(text[start : stop - 1], start, stop - 1))
            start = stop - 1
        tokens.append(Token(text[start:stop], start, stop))
    return tokens if hyphens == "cut" else _compounds(tokens)


def squeezed(text: str) -> str:
    """The text without white space, which files and tools change: what is left tells whether two texts are the same."""
    return "".join(text.split())


def learn_hyphens(documents: Iterable[Document]) -> Hyphens:
    """Whether annotated words hold compounds whole (`Leeds-based`) more often than hyphens stand alone."""
    whole = alone = 0
    for document in documents:
        for token in document.tokens:
            alone += token.text == "-"
            whole += _COMPOUND.search(token.text) is not None
    return "whole" if whole > alone else "cut"


def _compounds(tokens: Sequence[Token]) -> list[Token]:
    """The words with those joined again that a hyphen without blanks connects."""
    result: list[Token] = []
    open_hyphen = False
    for token in tokens:
        last = result[-1] if result else None
        touches = last is not None and last.char_end == token.char_start
        hyphen = token.text == "-" and touches and last is not None and last.text[-1].isalnum()
        if last is not None and touches and (hyphen or (open_hyphen and token.text[0].isalnum())):
            result[-1] = Token(last.text + token.text, last.char_start, token.char_end)
        else:
            result.append(token)
        open_hyphen = hyphen
    return result


def _last_word_end(text: str) -> int:
    """The end of the last letter or digit of a text: a stop from there on ends the sentence."""
    index = len(text)
    while index and not text[index - 1].isalnum():
        index -= 1
    return index


def _is_abbreviation(word: str) -> bool:
    return word in _ABBREVIATIONS or (len(word) == 1 and word.isupper())


# --- windows -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Window:
    """Words `start` to `end` of a sentence; the window's own are `core_start` to `core_end`."""

    start: int
    end: int
    core_start: int
    core_end: int


def _windows(tokens: Sequence[Token], max_words: int, context: int) -> Iterator[_Window]:
    """Windows with at least `context` words around a core, whose cores lie side by side."""
    start = core_start = 0
    while start + max_words < len(tokens):
        end = start + max_words
        core_end = _cut(tokens, max(core_start + 1, end - 2 * context), end - context)
        yield _Window(start, end, core_start, core_end)
        start, core_start = core_end - context, core_end
    yield _Window(start, len(tokens), core_start, len(tokens))


def _cut(tokens: Sequence[Token], low: int, high: int) -> int:
    """The last place from `low` to `high` right after punctuation, else `high`."""
    for index in range(high, low - 1, -1):
        if tokens[index - 1].text in (".", ",", ";", ":", "!", "?", "--", "–", "—", "。", "、", "，"):
            return index
    return high


def _unit(text: str, offset: int, word_offset: int, tokens: Sequence[Token], window: _Window, id: str) -> Unit:
    own = tokens[window.start : window.end]
    begin, end = own[0].char_start, own[-1].char_end
    document = Document(text[offset + begin : offset + end], tuple(token.moved(-begin) for token in own), id=id)
    return Unit(document, offset + begin, word_offset + window.start,
                window.core_start - window.start, window.core_end - window.start)


# --- merging -----------------------------------------------------------------------------------------------------


def _check_units(text: str, units: Sequence[Unit], annotated: Sequence[Document]) -> None:
    if len(units) != len(annotated):
        raise DataError(f"{len(units)} units but {len(annotated)} annotated documents; give one for each, in order")
    for index, (unit, document) in enumerate(zip(units, annotated, strict=True)):
        if not text.startswith(unit.document.text, unit.char_offset):
            raise DataError(f"unit {index} is not from this text; merge with the text that was split")
        if document.tokens != unit.document.tokens:
            raise DataError(f"unit {index}: the annotated document has other words; give the documents of the units "
                            "in the same order")


def _shifted(entity: Entity, words: int) -> Entity:
    return Entity(entity.type, entity.start + words, entity.end + words, entity.score)


def _higher(one: _Scored | None, other: _Scored) -> _Scored:
    if one is None or one.score is None:
        return other
    return one if other.score is None or one.score >= other.score else other


def _best(entities: Sequence[Entity]) -> dict[Entity, Entity]:
    """Each entity once, with its highest score."""
    best: dict[Entity, Entity] = {}
    for entity in entities:
        best[entity] = _higher(best.get(entity), entity)
    return best


def _kept(units: Sequence[Unit], found: Sequence[dict[Entity, Entity]]) -> dict[Entity, None]:
    """The entities to keep, in order: each unit's own, the seams between windows mended."""
    kept: dict[Entity, None] = {}
    crossing: list[Entity] = []
    for index, (unit, entities) in enumerate(zip(units, found, strict=True)):
        low, high = unit.word_offset + unit.core_start, unit.word_offset + unit.core_end
        edge = unit.word_offset + len(unit.document.tokens)
        crossing = [entity for entity in crossing if entity.end > low]
        before = found[index - 1] if index else {}
        after = found[index + 1] if index + 1 < len(units) and units[index + 1].word_offset < edge else {}
        own = [entity for entity in entities if low <= entity.start < high]
        own = [entity for entity in own if entity in before or not any(entity.overlaps(other) for other in crossing)]
        own = [_whole(entity, after) if entity.end == edge else entity for entity in own]
        kept |= dict.fromkeys(own)
        crossing += own
    return kept


def _whole(entity: Entity, after: dict[Entity, Entity]) -> Entity:
    """The entity, or the longest of its type from the next window that goes on where this one was cut."""
    longer = [
        other for other in after if other.type == entity.type and other.end > entity.end and entity.overlaps(other)
    ]
    return entity if entity in after else max(longer, key=lambda other: other.end - other.start, default=entity)
