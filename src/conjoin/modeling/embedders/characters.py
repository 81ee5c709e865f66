"""Vectors of words from their characters."""

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
    """The last states of a bidirectional RNN over the characters of a word, both ways (Lample et al. 2016, Fig. 4;
    Crone 2020 §3.1).

    Each distinct word of a batch is read once. Characters that the training data lack share one vector, which training
    meets by reading a character as unknown with the probability `masking`; a larger one keeps it from learning names by
    heart.
    """

    shows_spelling = True

    def __init__(
        self, alphabet: str, *, embedding_size: int, size: int, cell: Cell, masking: float = 0.005
    ) -> None:
        super().__init__()
        self.featuriser = CharacterFeaturiser(alphabet)
        self.sizes = self.featuriser.sizes
        self.table = nn.Embedding(len(alphabet) + 2, embedding_size, padding_idx=PADDING)
        self.layer = CELLS[cell](embedding_size, size, batch_first=True, bidirectional=True)
        self.width = 2 * size
        self.masking = masking

    def parts(self) -> Iterator[tuple[str, nn.Module]]:
        """The embedder itself."""
        yield "", self

    def features(self, texts: Texts) -> Features:
        """As `CharacterFeaturiser.arrays`."""
        return as_tensors(self.featuriser.arrays(texts))

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
        (folder / SAVED).write_text(json.dumps(self.featuriser.alphabet, ensure_ascii=True) + "\n", encoding="utf-8")


def alphabet_of(texts: Iterable[Iterable[str]]) -> str:
    """All characters of the words, each once, in order of their code points."""
    return "".join(sorted({character for words in texts for word in words for character in word}))
