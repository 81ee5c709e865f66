"""Word splitting with character offsets."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Literal

from conjoin.document import Document, Token

BYTE_ORDER_MARK = "\ufeff"  # files begin with it, and joining them leaves it in the middle; it belongs to no word
Hyphens = Literal["cut", "whole"]

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
    """Split a sentence into words.

    Every character except white space (and byte-order marks) is in exactly one word. Punctuation, brackets, quotes, per
    cent and currency signs are words, and so are `'s` and `n't`, as in the Penn Treebank. Numbers (`1,234.5`, `11:30`),
    dotted abbreviations (`U.S.`), initials (`J.`) and known abbreviations (`Inc.`) are one word.

    With the hyphens `cut`, compounds are split (`Leeds - based`), so that a name in them can be annotated, but not before
    digits (`IL-2`) or after leading digits (`5-FU`, `43-year`); with `whole` they are not.
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


def without_spaces(text: str) -> str:
    """The text without white space, to compare texts whose spacing differs."""
    return "".join(text.split())


def learn_hyphens(documents: Iterable[Document]) -> Hyphens:
    """The value of `hyphens` for the words of these documents: `whole` with more compounds than single hyphens."""
    compounds = hyphens = 0
    for document in documents:
        for token in document.tokens:
            hyphens += token.text == "-"
            compounds += _COMPOUND.search(token.text) is not None
    return "whole" if compounds > hyphens else "cut"


def _compounds(tokens: Sequence[Token]) -> list[Token]:
    """The words, where a hyphen without blanks joins its neighbours to one word."""
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
    """The end of the last letter or digit of a text; a full stop after it ends the sentence."""
    index = len(text)
    while index and not text[index - 1].isalnum():
        index -= 1
    return index


def _is_abbreviation(word: str) -> bool:
    return word in _ABBREVIATIONS or (len(word) == 1 and word.isupper())
