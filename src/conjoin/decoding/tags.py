"""Entities from scores of tags: best tag sequences and their probabilities, vectorised over the batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from conjoin.decoding.spans import Flags, Floats, Numbers, Spans
from conjoin.document import Entity
from conjoin.tagging import Scheme, encode, may_follow, tag_set

IGNORED = -100  # the tag of padding, in training targets


@dataclass(frozen=True, slots=True)
class Transitions:
    """Weights of first tags, steps and last tags; minus infinity for illegal ones."""

    starts: Floats  # [tag]
    steps: Floats  # [tag before, tag after]
    ends: Floats  # [tag]


@dataclass(frozen=True, slots=True)
class TagScores:
    """Scores of a tagger for a batch."""

    emissions: Floats  # [batch, word, tag]
    lengths: Numbers  # [batch] words of each row
    transitions: Transitions | None = None  # of a CRF; None for a softmax over the tags of each word


class TagDecoder:
    """Tags to entities and back, for a scheme and a set of entity types.

    A softmax gives the best tag of each word (`legal=False`, Giorgi et al. 2019 §2) or the best legal sequence of the
    scheme; a CRF gives its most likely sequence, which is always legal (Crone 2020 §3.2).
    """

    def __init__(self, types: Sequence[str], scheme: Scheme, *, legal: bool = True) -> None:
        self.types = tuple(types)
        self.scheme: Scheme = scheme
        self.legal = legal
        self.tags = tag_set(types, scheme)
        self.constraints = legal_transitions(self.tags, scheme)
        prefixes = np.array([tag[0] for tag in self.tags])
        index = {type: number for number, type in enumerate(self.types)}
        self.tag_types = np.array([index.get(tag[2:], -1) for tag in self.tags])  # [tag], -1 for O
        self._opens = np.isin(prefixes, ["B", "I"])  # [tag]: the entity may continue after it
        self._continues = np.isin(prefixes, ["I", "E"])
        numbers = {tag: number for number, tag in enumerate(self.tags)}
        order = "BIES" if scheme == "bioes" else "BIIB"  # first, inner, last and only word of an entity
        self._numbers = np.array([[numbers[f"{prefix}-{type}"] for prefix in order] for type in self.types],
                                 dtype=np.int64).reshape(-1, 4)

    def decode(self, scores: TagScores) -> Spans:
        """The entities of a batch, each with the probability that all its tags are right: under softmax the product over
        its words, taken as independent."""
        if not scores.emissions.shape[1]:
            return Spans.of([()] * len(scores.lengths), self.types)
        tags = self.best(scores)
        spans, begins = self._spans(tags)
        rows = np.unique(spans.rows)
        first, later = np.zeros(tags.shape), np.zeros(tags.shape)
        first[rows], later[rows] = self._log_probabilities(scores, tags, rows)
        return self._scored(spans, np.where(begins, first, later))

    def uncertainty(self, scores: TagScores) -> NDArray[np.float64]:
        """The expected number of wrong tags of each row [batch]."""
        if not scores.emissions.shape[1]:
            return np.zeros(len(scores.lengths))
        first, _ = self._log_probabilities(scores, self.best(scores), np.arange(len(scores.lengths)))
        right = np.exp(np.where(_present(scores), first, 0))  # beyond a row's words sums may be of any size
        wrong: NDArray[np.float64] = (1 - right).sum(1)
        return wrong

    def best(self, scores: TagScores) -> Numbers:
        """The best tags [batch, word]; 0, which is O, for padding."""
        if scores.transitions is not None:
            return np.where(_present(scores), viterbi(scores.emissions, scores.lengths, scores.transitions), 0)
        tags = np.where(_present(scores), scores.emissions.argmax(2), 0)
        if self.legal:  # where the best tags of all words are legal, they are the best sequence
            rows = self._illegal_rows(tags, scores.lengths)
            tags[rows] = viterbi(_log_softmax(scores.emissions[rows]), scores.lengths[rows], self.constraints)
        return tags

    def encode(self, entities: Sequence[Sequence[Entity]], lengths: Sequence[int]) -> Numbers:
        """The tags of one list of entities per row [batch, word], `IGNORED` for padding. Raises `DataError` if entities
        overlap, which one tag per word cannot hold."""
        spans = Spans.of(entities, self.types)
        tags = np.where(np.arange(max(lengths, default=0)) < np.array(lengths)[:, None], 0, IGNORED)
        sizes = spans.ends - spans.starts
        place = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)  # [word of a span]
        rest = np.repeat(sizes, sizes) - 1 - place
        kinds = np.where(place == 0, np.where(rest == 0, 3, 0), np.where(rest == 0, 2, 1))
        rows, words = np.repeat(spans.rows, sizes), np.repeat(spans.starts, sizes) + place
        tags[rows, words] = self._numbers[np.repeat(spans.types, sizes), kinds]
        if (tags > 0).sum() < len(words):
            for row, length in zip(entities, lengths, strict=True):
                encode(row, length, self.scheme)  # names the entities that overlap
        return tags

    def last_tags(self) -> Numbers:
        """The tag of an entity's last word by its type, for entities of one word and of several [type, 2]."""
        numbers: Numbers = self._numbers[:, [3, 2]]
        return numbers

    def _illegal_rows(self, tags: Numbers, lengths: Numbers) -> Numbers:
        """The rows whose tags the scheme does not allow."""
        rules = self.constraints
        last = np.maximum(lengths, 1) - 1
        steps = np.isinf(rules.steps)[tags[:, :-1], tags[:, 1:]] & (np.arange(tags.shape[1] - 1) < last[:, None])
        illegal = steps.any(1) | np.isinf(rules.starts)[tags[:, 0]]
        illegal |= np.isinf(rules.ends)[tags[np.arange(len(tags)), last]]
        return illegal.nonzero()[0]

    def _log_probabilities(self, scores: TagScores, tags: Numbers, rows: Numbers) -> tuple[Floats, Floats]:
        """log p(tag) and log p(tag | tag before) of each word in some rows; both [row, word]."""
        emissions, tags = scores.emissions[rows], tags[rows]
        if scores.transitions is not None:
            return _crf_log_probabilities(emissions, np.maximum(scores.lengths[rows], 1), tags, scores.transitions)
        logs = np.take_along_axis(emissions, tags[..., None], axis=2)[..., 0] - _log_sum(emissions, axis=2)
        return logs, logs

    def _spans(self, tags: Numbers) -> tuple[Spans, Flags]:
        """The entities of tags, and flags of the words at which they begin [batch, word].

        Tags may be illegal: one that does not continue the entity before it begins a new one.
        """
        types = self.tag_types[tags]
        continues = np.zeros(tags.shape, dtype=bool)
        continues[:, 1:] = self._continues[tags[:, 1:]] & self._opens[tags[:, :-1]] & (types[:, 1:] == types[:, :-1])
        begins = (tags > 0) & ~continues
        finishes = tags > 0
        finishes[:, :-1] &= ~continues[:, 1:]
        rows, starts = begins.nonzero()
        return Spans(rows, starts, finishes.nonzero()[1] + 1, types[rows, starts], len(tags)), begins

    def _scored(self, spans: Spans, logs: NDArray[np.float64]) -> Spans:
        """The spans with scores: the exponential of the sum over their words, at most 1. logs: [batch, word]."""
        offsets = spans.rows * logs.shape[1]
        bounds = np.stack([offsets + spans.starts, offsets + spans.ends], axis=1).ravel()
        sums = np.add.reduceat(np.append(logs, 0.0), bounds)[::2] if len(spans) else np.zeros(0)
        scores = np.minimum(1.0, np.exp(sums))
        return Spans(spans.rows, spans.starts, spans.ends, spans.types, spans.batch, scores)


def legal_transitions(tags: Sequence[str], scheme: Scheme) -> Transitions:
    """0 for the legal steps of a scheme, minus infinity for others."""
    edges: tuple[str | None, ...] = (None,)

    def costs(before: Sequence[str | None], after: Sequence[str | None]) -> Floats:
        legal = [[may_follow(tag, next_tag, scheme) for next_tag in after] for tag in before]
        return np.where(legal, 0, -np.inf).astype(np.float32)

    return Transitions(costs(edges, tags)[0], costs(tags, tags), costs(tags, edges)[:, 0])


def viterbi(emissions: Floats, lengths: Numbers, transitions: Transitions) -> Numbers:
    """emissions: [batch, word, tag]; lengths: [batch] → the best tag sequence of every row [batch, word], 0 for padding."""
    batch, words, _ = emissions.shape
    into = transitions.steps.T[None]  # [1, tag after, tag before]
    alive = np.arange(words)[:, None] < np.maximum(lengths, 1)  # [word, batch]
    best = emissions[:, 0] + transitions.starts  # [batch, tag]
    origins = []
    for word in range(1, words):
        paths = best[:, None, :] + into  # [batch, tag after, tag before]
        origins.append(paths.argmax(2))
        best = np.where(alive[word][:, None], paths.max(2) + emissions[:, word], best)
    rows = np.arange(batch)
    tag = (best + transitions.ends).argmax(1)
    tags = np.zeros((batch, words), dtype=np.int64)
    for word in range(words - 1, 0, -1):
        tags[:, word] = np.where(alive[word], tag, 0)
        tag = np.where(alive[word], origins[word - 1][rows, tag], tag)
    tags[:, 0] = tag
    return tags


def _crf_log_probabilities(
    emissions: Floats, lengths: Numbers, tags: Numbers, transitions: Transitions
) -> tuple[Floats, Floats]:
    """log p(tag) and log p(tag | tag before) of each word; both [batch, word]."""
    forwards, backwards, partition = forward_backward(emissions, lengths, transitions)

    def at_tags(values: Floats) -> Floats:
        picked: Floats = np.take_along_axis(values, tags[..., None], axis=2)[..., 0]
        return picked

    first = at_tags(forwards + backwards - partition[:, None, None])
    later = np.zeros_like(first)
    steps = transitions.steps[tags[:, :-1], tags[:, 1:]]
    later[:, 1:] = steps + at_tags(backwards + emissions)[:, 1:] - at_tags(backwards)[:, :-1]
    return first, later


def forward_backward(emissions: Floats, lengths: Numbers, transitions: Transitions) -> tuple[Floats, Floats, Floats]:
    """As `modeling.nn.crf.forward_backward`, which has a gradient for training: forward and backward log-sums
    [batch, word, tag], log partition [batch]."""
    batch, words, _ = emissions.shape
    mirror = np.maximum(lengths[:, None] - 1 - np.arange(words), 0)[..., None]  # [batch, word, 1]
    both = np.stack([emissions, np.take_along_axis(emissions, mirror, axis=1)])  # [way, batch, word, tag]
    into = np.stack([transitions.steps.T, transitions.steps])[:, None]  # [way, 1, tag after, tag before]
    table = np.empty_like(both)
    table[:, :, 0] = sums = both[:, :, 0] + np.stack([transitions.starts, transitions.ends])[:, None]
    for word in range(1, words):
        table[:, :, word] = sums = _log_sum(sums[:, :, None] + into, axis=3) + both[:, :, word]
    forwards, mirrored = table
    backwards = np.take_along_axis(mirrored, mirror, axis=1) - emissions
    last = forwards[np.arange(batch), lengths - 1]
    return forwards, backwards, _log_sum(last + transitions.ends, axis=1)


def _present(scores: TagScores) -> Flags:
    """False for padding [batch, word]."""
    present: Flags = np.arange(scores.emissions.shape[1]) < scores.lengths[:, None]
    return present


def _log_softmax(emissions: Floats) -> Floats:
    return emissions - _log_sum(emissions, axis=2)[..., None]


def _log_sum(values: Floats, *, axis: int) -> Floats:
    """log Σ exp along an axis, also of minus infinities alone."""
    largest = values.max(axis=axis, keepdims=True)
    largest = np.where(np.isfinite(largest), largest, 0)
    with np.errstate(divide="ignore"):
        total: Floats = np.log(np.exp(values - largest).sum(axis=axis)) + largest.squeeze(axis)
    return total
