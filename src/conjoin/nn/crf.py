"""Decoding of tag sequences under legal transitions."""

from __future__ import annotations

import torch
from torch import Tensor


def viterbi(emissions: Tensor, lengths: Tensor, starts: Tensor, transitions: Tensor, ends: Tensor) -> Tensor:
    """The best tag sequence of every row.

    emissions: [batch, word, tag]; lengths: [batch], at least 1; starts, ends: [tag]; transitions: [tag before, tag
    after] → tags [batch, word], 0 beyond a row's length. Scores add up; a forbidden step is minus infinity.
    """
    batch, words, _ = emissions.shape
    best = emissions[:, 0] + starts  # [batch, tag]
    back = []
    for word in range(1, words):
        step, origin = (best.unsqueeze(2) + transitions).max(1)  # [batch, tag]
        alive = (lengths > word).unsqueeze(1)
        best = torch.where(alive, step + emissions[:, word], best)
        back.append(origin)
    tag = (best + ends).argmax(1)  # [batch]
    tags = emissions.new_zeros(batch, words, dtype=torch.long)
    for word in range(words - 1, -1, -1):
        tags[:, word] = torch.where(lengths > word, tag, 0)
        if word:
            came_from = back[word - 1].gather(1, tag.unsqueeze(1)).squeeze(1)
            tag = torch.where(lengths > word, came_from, tag)
    return tags
