"""The casing of words, for encoders that do not see it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from conjoin.features.arrays import Arrays, Texts, padded, word_counts

CASINGS = ("numeric", "lower", "upper", "initial upper", "mainly numeric", "contains digit", "other")


@lru_cache(maxsize=2**16)
def casing(word: str) -> int:
    """The index of a word's casing in `CASINGS` (Crone 2020, eq. 1; the paper does not list its classes).

    `numeric`: digits alone; `mainly numeric`: more than half digits; `contains digit`: any other word with a digit;
    `lower`, `upper`: all letters are; `initial upper`: the first character is; `other`: no letters, or anything else.
    """
    digits = sum(character.isdigit() for character in word)
    if digits:
        if digits == len(word):
            return CASINGS.index("numeric")
        return CASINGS.index("mainly numeric" if 2 * digits > len(word) else "contains digit")
    if word.islower():
        return CASINGS.index("lower")
    if word.isupper():
        return CASINGS.index("upper")
    return CASINGS.index("initial upper" if word[:1].isupper() else "other")


class CasingFeaturiser:
    """The casing of each word."""

    kind = "casing"
    sizes = staticmethod(word_counts)

    def arrays(self, texts: Texts) -> Arrays:
        """`casings` [batch, word], from 1, 0 for padding."""
        return {"casings": padded([[1 + casing(word) for word in words] for words in texts])}

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind}
