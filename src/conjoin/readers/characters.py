"""Spans of characters: trimming them, and cutting words at their boundaries."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import pairwise

from conjoin.document import Token
from conjoin.text.words import BYTE_ORDER_MARK


def trim(text: str, start: int, end: int) -> tuple[int, int]:
    """The span without white space and byte-order marks at its edges; empty when it holds nothing else."""
    span = text[start:end].replace(BYTE_ORDER_MARK, " ")
    first = start + len(span) - len(span.lstrip())
    return first, max(first, start + len(span.rstrip()))


def word_across(tokens: Sequence[Token], position: int) -> Token | None:
    """The word that a boundary at this character cuts in two, or None."""
    index = bisect_left(tokens, position, key=lambda token: token.char_end)
    if index < len(tokens) and tokens[index].char_start < position < tokens[index].char_end:
        return tokens[index]
    return None


def cut_words(text: str, tokens: Sequence[Token], positions: Iterable[int]) -> list[Token]:
    """The words, cut at every position that falls inside a word."""
    inside = sorted({position for position in positions if word_across(tokens, position)})
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
    """The index of the character of each UTF-16 code unit, then the length of the text.

    JavaScript counts in code units; an emoji has two.
    """
    return [*(index for index, character in enumerate(text) for _ in range(1 + (ord(character) > 0xFFFF))), len(text)]


def beyond_16_bits(text: str) -> bool:
    """True when some character has two UTF-16 code units, so that offsets in code units differ from characters."""
    return any(ord(character) > 0xFFFF for character in text)
