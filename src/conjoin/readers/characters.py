"""Annotations that are given in characters: words that fit them, cutting a word where a boundary falls inside it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import pairwise

from conjoin.document import Token
from conjoin.text.words import BYTE_ORDER_MARK


def trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """The span without white space (and byte-order marks) at its edges; empty when there is nothing else in it."""
    span = text[start:end].replace(BYTE_ORDER_MARK, " ")
    first = start + len(span) - len(span.lstrip())
    return first, max(first, start + len(span.rstrip()))


def word_around(tokens: Sequence[Token], position: int) -> Token | None:
    """The word that a boundary at this character would cut in two, or None."""
    index = bisect_left(tokens, position, key=lambda token: token.char_end)
    if index < len(tokens) and tokens[index].char_start < position < tokens[index].char_end:
        return tokens[index]
    return None


def cut(text: str, tokens: Sequence[Token], positions: Iterable[int]) -> list[Token]:
    """The words, cut in two wherever one of the positions falls inside."""
    inside = sorted({position for position in positions if word_around(tokens, position)})
    if not inside:
        return list(tokens)
    pieces: list[Token] = []
    for token in tokens:
        first = bisect_left(inside, token.char_start)
        last = bisect_left(inside, token.char_end)
        edges = [token.char_start, *inside[first:last], token.char_end]
        pieces += [Token(text[a:b], a, b) for a, b in pairwise(edges)]
    return pieces


def code_units(text: str) -> list[int]:
    """The character that each UTF-16 code unit of the text belongs to, and the length of the text after the last.

    JavaScript counts in code units, of which an emoji has two.
    """
    return [*(index for index, character in enumerate(text) for _ in range(1 + (ord(character) > 0xFFFF))), len(text)]


def beyond_16_bits(text: str) -> bool:
    """Whether some character has two UTF-16 code units, so that counting in these gives other numbers."""
    return any(ord(character) > 0xFFFF for character in text)
