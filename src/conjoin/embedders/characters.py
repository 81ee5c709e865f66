"""Vectors of words from their characters."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from conjoin.embedders.embedder import Features, Texts, word_counts
from conjoin.nn.recurrent import CELLS, Cell, last_states

SAVED = "characters.json"
PADDING, UNKNOWN = 0, 1
MOST_CHARACTERS = 64  # of a longer "word" the first and the last half of so many are read


class CharacterEmbedder(nn.Module):
    """The last states of a bidirectional RNN over the characters of a word, both ways (Lample et al. 2016, Fig. 4;
    Crone 2020 §3.1).

    Each distinct word of a batch is read once. Characters that the training data lack share one vector, which training
    meets by reading a character as unknown with the probability `masking`; a larger one keeps it from learning names by
    heart.
    """

    def __init__(
        self, alphabet: str, *, embedding_size: int, size: int, cell: Cell, masking: float = 0.005
    ) -> None:
        super().__init__()
        self.alphabet = alphabet
        self.index = {character: number for number, character in enumerate(alphabet, start=UNKNOWN + 1)}
        self.table = nn.Embedding(len(alphabet) + 2, embedding_size, padding_idx=PADDING)
        self.layer = CELLS[cell](embedding_size, size, batch_first=True, bidirectional=True)
        self.width = 2 * size
        self.masking = masking

    sizes = staticmethod(word_counts)

    def features(self, texts: Texts) -> Features:
        """→ `characters` [distinct word, character], `lengths` [distinct word], `words` [batch, word]: the number of
        each word among the distinct ones, counted from 1, 0 for padding."""
        distinct = {word: number for number, word in enumerate(dict.fromkeys(w for words in texts for w in words))}
        spelt = [self._spell(word) for word in distinct] or [[UNKNOWN]]
        longest = max((len(words) for words in texts), default=0)
        rows = [[1 + distinct[word] for word in words] + [0] * (longest - len(words)) for words in texts]
        widest = max(map(len, spelt))
        return {
            "characters": torch.tensor([row + [PADDING] * (widest - len(row)) for row in spelt], dtype=torch.long),
            "lengths": torch.tensor([len(row) for row in spelt], dtype=torch.long),
            "words": torch.tensor(rows, dtype=torch.long).reshape(len(rows), longest),
        }

    def _spell(self, word: str) -> list[int]:
        if len(word) > MOST_CHARACTERS:
            half = MOST_CHARACTERS // 2
            word = word[:half] + word[-half:]
        return [self.index.get(character, UNKNOWN) for character in word] or [UNKNOWN]

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """features as from `features` → [batch, word, width]; zeros beyond a text's words."""
        characters = features["characters"]
        if self.training and self.masking:
            hidden = torch.rand(characters.shape, device=characters.device) < self.masking
            characters = torch.where(hidden & (characters != PADDING), UNKNOWN, characters)
        vectors = last_states(self.layer, self.table(characters), features["lengths"])  # [distinct word, width]
        nothing = vectors.new_zeros(1, self.width)
        return torch.cat([nothing, vectors])[features["words"]]

    def save(self, folder: Path) -> None:
        """Write the alphabet."""
        (folder / SAVED).write_text(json.dumps(self.alphabet, ensure_ascii=True) + "\n", encoding="utf-8")


def alphabet_of(texts: Iterable[Iterable[str]]) -> str:
    """All characters of the words, each once, in order of their code points."""
    return "".join(sorted({character for words in texts for word in words for character in word}))


def saved_alphabet(folder: Path) -> str:
    """The alphabet of a saved model."""
    value: str = json.loads((folder / SAVED).read_text(encoding="utf-8"))
    return value
