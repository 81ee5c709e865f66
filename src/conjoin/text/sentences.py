"""Sentence splitting.

Sentences come from sentencex (Wikimedia), paragraph by paragraph; a few rules rejoin its wrong cuts in news and medical
text. A wrong cut loses the relations across it, a missing one only makes a longer sentence, so doubtful cuts are dropped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

import sentencex

from conjoin.text.words import BYTE_ORDER_MARK

_BREAK = r"\n\r\v\f\x1c-\x1e\x85\u2028\u2029"
_LINE = re.compile(f"[^{_BREAK}]+")
_LINE_END = re.compile(f"\r\n|[{_BREAK}]")
_LIST_ITEM = re.compile(r"\s*(?:[-*+•‣◦·]\s|#+\s|\(?\d{1,3}[.)]\s|\(?[a-zA-Z]\)\s)")
_CONTINUES = ",;:-–—(&/"  # a line that ends so goes on
_GOES_ON = frozenset({"a", "an", "and", "at", "by", "for", "from", "in", "of", "on", "or", "the", "to", "with"})
_SHORT_LINE = 40  # characters; prose is not wrapped more narrowly

# Characters that sentencex reads as markup or cannot process (1.0.32 panics on white space of several bytes and refuses
# lone surrogates), and replacements of equal length.
_REPLACEMENTS = {ord("<"): "=", ord(">"): "="}
_REPLACEMENTS |= {code: " " for code in range(0x3001) if chr(code).isspace()}
_REPLACEMENTS |= dict.fromkeys(range(0xD800, 0xE000), "x")

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
    """Start and end (exclusive) of each sentence in characters, without the white space around it.

    A blank line, a form feed or a paragraph separator ends a sentence. A single line break ends one before a list item,
    after a `#` heading, and before a capital or digit when the next word would still have fitted on the line (headings,
    addresses, verse); other line breaks are those of wrapped prose. A byte-order mark counts as white space.
    """
    text = text.replace(BYTE_ORDER_MARK, " ")
    spans = []
    for start, end in _blocks(text):
        cuts = [start, *_cuts(text[start:end], start, language), end]
        for left, right in pairwise(cuts):
            piece = text[left:right]
            body = piece.strip()
            if body:
                begin = left + len(piece) - len(piece.lstrip())
                spans.append((begin, begin + len(body)))
    return spans


def _blocks(text: str) -> Iterator[tuple[int, int]]:
    """Stretches of text that contain whole sentences: paragraphs, headings, list items."""
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
    """True when the line break between two lines of a paragraph ends a sentence."""
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
    boundaries = sentencex.get_sentence_boundaries(language, block.translate(_REPLACEMENTS))  # type: ignore[attr-defined]
    starts = [boundary["start_index"] for boundary in boundaries[1:]]
    for start, end in pairwise([*starts, len(block)]):
        if not _belongs_together(block[max(begin, start - _LOOK_BACK) : start], block[start:end]):
            cuts.append(offset + start)
            begin = start
    return cuts


def _belongs_together(before: str, after: str) -> bool:
    """True when a boundary of sentencex is wrong; `before` is the end of the piece before it."""
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
