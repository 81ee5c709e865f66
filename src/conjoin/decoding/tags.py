"""Tags from emissions: best legal strings, and how probable stretches of them are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Chain:
    """The weights of first tags, steps and last tags; minus infinity where a step is illegal.

    starts, ends: [tag]; transitions: [tag before, tag after]. `trained` says whether they are those of a CRF.
    """

    starts: Floats
    transitions: Floats
    ends: Floats
    trained: bool


def decode(emissions: Floats, lengths: Numbers, chain: Chain | None) -> tuple[Numbers, Floats, Floats]:
    """Tags [batch, word], and what the probability of any stretch of them is made of: log p(tags of words i to j) =
    first[i] + later[i + 1] + … + later[j], both [batch, word].

    emissions: [batch, word, tag]; lengths: [batch], at least 1. Without a chain the best tag of each word is taken.
    """
    if chain is not None and chain.trained:
        tags = viterbi(emissions, lengths, chain)
        return tags, *_chosen(emissions, lengths, tags, chain)
    scores = emissions - _log_sum(emissions, axis=2)[..., None]
    tags = scores.argmax(2) if chain is None else viterbi(scores, lengths, chain)
    chosen = np.take_along_axis(scores, tags[..., None], axis=2)[..., 0]
    return tags, chosen, chosen


def viterbi(emissions: Floats, lengths: Numbers, chain: Chain) -> Numbers:
    """The best tag sequence of every row [batch, word], 0 beyond its length. Arguments as for `decode`."""
    batch, words, _ = emissions.shape
    into = chain.transitions.T[None]  # [1, tag after, tag before]
    alive = np.arange(words)[:, None] < lengths  # [word, batch]
    best = emissions[:, 0] + chain.starts  # [batch, tag]
    back = []
    for word in range(1, words):
        ways = best[:, None, :] + into  # [batch, tag after, tag before]
        origin = ways.argmax(2)
        best = np.where(alive[word][:, None], ways.max(2) + emissions[:, word], best)
        back.append(origin)
    rows = np.arange(batch)
    tag = (best + chain.ends).argmax(1)
    tags = np.zeros((batch, words), dtype=np.int64)
    for word in range(words - 1, 0, -1):
        tags[:, word] = np.where(alive[word], tag, 0)
        tag = np.where(alive[word], back[word - 1][rows, tag], tag)
    tags[:, 0] = tag
    return tags


def _chosen(emissions: Floats, lengths: Numbers, tags: Numbers, chain: Chain) -> tuple[Floats, Floats]:
    """Of a CRF: log p(tag) of each word, and log p(tag | tag before), given the whole text; both [batch, word]."""
    forwards, backwards, partition = _forward_backward(emissions, lengths, chain)
    of_tag = tags[..., None]
    marginals = forwards + backwards - partition[:, None, None]
    first = np.take_along_axis(marginals, of_tag, axis=2)[..., 0]
    after = np.take_along_axis(backwards + emissions, of_tag, axis=2)[..., 0][:, 1:]
    before = np.take_along_axis(backwards, of_tag, axis=2)[..., 0][:, :-1]
    later = np.zeros_like(first)
    later[:, 1:] = chain.transitions[tags[:, :-1], tags[:, 1:]] + after - before
    return first, later


def _forward_backward(emissions: Floats, lengths: Numbers, chain: Chain) -> tuple[Floats, Floats, Floats]:
    """As `nn.crf.forward_backward`: forward and backward [batch, word, tag], partition [batch]."""
    batch, words, _ = emissions.shape
    mirror = np.maximum(lengths[:, None] - 1 - np.arange(words), 0)[..., None]  # [batch, word, 1]
    both = np.stack([emissions, np.take_along_axis(emissions, mirror, axis=1)])  # [way, batch, word, tag]
    into = np.stack([chain.transitions.T, chain.transitions])[:, None]  # [way, 1, tag after, tag before]
    table = np.empty_like(both)
    table[:, :, 0] = sums = both[:, :, 0] + np.stack([chain.starts, chain.ends])[:, None]
    for word in range(1, words):
        table[:, :, word] = sums = _log_sum(sums[:, :, None] + into, axis=3) + both[:, :, word]
    forwards, mirrored = table
    backwards = np.take_along_axis(mirrored, mirror, axis=1) - emissions
    last = forwards[np.arange(batch), lengths - 1]
    return forwards, backwards, _log_sum(last + chain.ends, axis=1)


def _log_sum(values: Floats, *, axis: int) -> Floats:
    """log Σ exp along an axis; minus infinity where there is nothing else."""
    largest = values.max(axis=axis, keepdims=True)
    largest = np.where(np.isfinite(largest), largest, 0)
    with np.errstate(divide="ignore"):
        total: Floats = np.log(np.exp(values - largest).sum(axis=axis)) + largest.squeeze(axis)
    return total
