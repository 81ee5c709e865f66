"""Word vectors from characters."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from conjoin.config.options import Cell
from conjoin.features.arrays import Texts
from conjoin.features.characters import PADDING, SAVED, UNKNOWN, CharacterFeaturiser
from conjoin.modeling.embedders.embedder import Features, as_tensors
from conjoin.modeling.nn.recurrent import CELLS, last_states


class CharacterEmbedder(nn.Module):
    """The last states of a bidirectional RNN over the characters of a word (Lample et al. 2016, Fig. 4; Crone 2020 §3.1).

    Each distinct word of a batch is computed once.

    Args:
        alphabet: The characters of the training data; all others share the vector of the unknown character.
        size: Of the RNN in each direction.
        masking: Probability in training of replacing a character by the unknown one, which trains its vector and keeps
            the model from learning names by heart.
    """

    shows_spelling = True

    def __init__(self, alphabet: str, *, embedding_size: int, size: int, cell: Cell, masking: float = 0.005) -> None:
        super().__init__()
        self.featuriser = CharacterFeaturiser(alphabet)
        self.sizes = self.featuriser.sizes
        self.table = nn.Embedding(len(alphabet) + 2, embedding_size, padding_idx=PADDING)
        self.layer = CELLS[cell](embedding_size, size, batch_first=True, bidirectional=True)
        self.width = 2 * size
        self.masking = masking

    def parts(self) -> Iterator[tuple[str, nn.Module]]:
        yield "", self

    def features(self, texts: Texts) -> Features:
        return as_tensors(self.featuriser.arrays(texts))

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """features of `features` → [batch, word, width]; zeros for padding."""
        characters = features["characters"]
        if self.training and self.masking:
            hidden = torch.rand(characters.shape, device=characters.device) < self.masking
            characters = torch.where(hidden & (characters != PADDING), UNKNOWN, characters)
        vectors = last_states(self.layer, self.table(characters), features["lengths"])  # [distinct word, width]
        none = vectors.new_zeros(1, self.width)
        return torch.cat([none, vectors])[features["words"]]

    def save(self, folder: Path) -> None:
        (folder / SAVED).write_text(json.dumps(self.featuriser.alphabet, ensure_ascii=True) + "\n", encoding="utf-8")


def alphabet_of(texts: Iterable[Iterable[str]]) -> str:
    """The distinct characters of the words, sorted."""
    return "".join(sorted({character for words in texts for word in words for character in word}))
