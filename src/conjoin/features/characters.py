"""The characters of words as numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from conjoin.features.arrays import Arrays, Texts, padded, word_counts

SAVED = "characters.json"
PADDING, UNKNOWN = 0, 1
MAX_CHARACTERS = 64  # of a longer "word" the first and last half of these are read


class CharacterFeaturiser:
    """The characters of each distinct word of a batch, as numbers of an alphabet."""

    kind = "characters"

    def __init__(self, alphabet: str) -> None:
        self.alphabet = alphabet
        self.index = {character: number for number, character in enumerate(alphabet, start=UNKNOWN + 1)}

    sizes = staticmethod(word_counts)

    def arrays(self, texts: Texts) -> Arrays:
        """`characters` [distinct word, character], `lengths` [distinct word] and `words` [batch, word], the numbers of
        distinct words from 1, 0 for padding."""
        distinct = {word: number for number, word in enumerate(dict.fromkeys(w for words in texts for w in words), start=1)}
        spellings = [self._spell(word) for word in distinct] or [[UNKNOWN]]
        return {
            "characters": padded(spellings, PADDING),
            "lengths": np.array([len(row) for row in spellings], dtype=np.int64),
            "words": padded([[distinct[word] for word in words] for words in texts]),
        }

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "alphabet": self.alphabet}

    def _spell(self, word: str) -> list[int]:
        if len(word) > MAX_CHARACTERS:
            half = MAX_CHARACTERS // 2
            word = word[:half] + word[-half:]
        return [self.index.get(character, UNKNOWN) for character in word] or [UNKNOWN]


def saved_alphabet(folder: Path) -> str:
    value: str = json.loads((folder / SAVED).read_text(encoding="utf-8"))
    return value
