"""Pieces of words in windows that fit an encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from conjoin.features.arrays import Arrays, Featuriser, Texts, joined, padded

MAX_PIECES_PER_WORD = 32  # a longer "word" (a URL, a gene sequence) is read by its first pieces
CACHED_WORDS = 2**17
PROBE = ["An", "un-likely", "x9", "Ωmega", ",", "An", "WORDS", "."]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The special pieces of a tokenizer: those before and after a text, padding and unknown."""

    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    padding: int
    unknown: int


class PieceFeaturiser:
    """Pieces of words, windows of long texts, and the positions of the pieces of each word.

    Args:
        window: Maximum pieces of a window. The position of a word is in the window in which it is farthest from an edge,
            so no word is ever dropped.
        overlap: Pieces shared by neighbouring windows, approximately.
        first_only: The position of a word is that of its first piece.
        inputs: Other featurisers of the same words, whose arrays are named `input.array`.
    """

    kind = "pieces"

    def __init__(
        self, tokenizer: Tokenizer, vocabulary: Vocabulary, *, window: int, overlap: int, first_only: bool,
        inputs: Mapping[str, Featuriser] | None = None,
    ) -> None:
        self.tokenizer = Tokenizer.from_str(tokenizer.to_str())
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        self.vocabulary, self.first_only = vocabulary, first_only
        self.window, self.overlap = window, overlap
        self.inputs = dict(inputs or {})
        self._cache: dict[str, tuple[int, ...]] = {}
        self._context_free = self._is_context_free()

    def sizes(self, texts: Texts) -> list[int]:
        """The pieces of each text, including special pieces and overlaps: the cost of a forward pass."""
        special = len(self.vocabulary.prefix) + len(self.vocabulary.suffix)
        counts = []
        for pieces in self.pieces(texts):
            lengths = [len(word) for word in pieces]
            total = sum(lengths)
            if total <= self.window:
                counts.append(total + special)
            else:
                plan = plan_windows(lengths, self.window, self.overlap)
                counts.append(sum(sum(lengths[start:end]) + special for start, end in plan))
        return counts

    def arrays(self, texts: Texts, *, padded_to: int = 1) -> Arrays:
        """Make the arrays of a batch. The length of windows becomes a multiple of `padded_to`.

        Returns:
            `pieces` and `mask` [window, piece]; `words` [batch, word, piece of the word], positions in the flattened
            windows, -1 for none; with inputs also `piece_words` [window, piece], positions in the flattened words from 1,
            0 for none, and the arrays of the inputs.
        """
        windows: list[list[int]] = []
        piece_words: list[NDArray[np.int64]] = []
        places = []  # of each text [word, 3]: window, first piece, number of pieces
        max_words = max((len(words) for words in texts), default=0)
        for text, pieces in enumerate(self.pieces(texts)):
            lengths = np.fromiter(map(len, pieces), dtype=np.int64, count=len(pieces))
            plan = plan_windows(lengths.tolist(), self.window, self.overlap)
            owners = _owners(plan, len(pieces))
            place = np.zeros((len(pieces), 3), dtype=np.int64)
            place[:, 0], place[:, 2] = owners + len(windows), lengths
            for number, (start, end) in enumerate(plan):
                before = len(self.vocabulary.prefix) + np.cumsum(lengths[start:end]) - lengths[start:end]
                place[start:end, 1] = np.where(owners[start:end] == number, before, place[start:end, 1])
                windows.append([*self.vocabulary.prefix, *chain.from_iterable(pieces[start:end]), *self.vocabulary.suffix])
                if self.inputs:
                    piece_words.append(np.repeat(np.arange(start, end) + 1 + text * max_words, lengths[start:end]))
            places.append(place)
        arrays = self._tables(windows, places, max_words, padded_to)
        if self.inputs:
            start = len(self.vocabulary.prefix)
            arrays["piece_words"] = np.zeros_like(arrays["pieces"])
            arrays["piece_words"][:, start:] = padded(piece_words, min_length=arrays["pieces"].shape[1] - start)
            arrays |= joined({name: part.arrays(texts) for name, part in self.inputs.items()})
        return arrays

    def _tables(
        self, windows: list[list[int]], places: Sequence[NDArray[np.int64]], max_words: int, padded_to: int
    ) -> Arrays:
        limit = self.window + len(self.vocabulary.prefix) + len(self.vocabulary.suffix)
        lengths = np.array([len(row) for row in windows], dtype=np.int64)
        longest = min(-(-int(lengths.max(initial=1)) // padded_to) * padded_to, limit)
        pieces = padded(windows, self.vocabulary.padding, min_length=longest)
        mask = (np.arange(longest) < lengths[:, None]).astype(np.int64)
        max_pieces = 1
        if not self.first_only:
            max_pieces = max((int(place[:, 2].max(initial=1)) for place in places), default=1)
        words = np.full((len(places), max_words, max_pieces), -1, dtype=np.int64)
        steps = np.arange(1, max_pieces)
        for text, place in enumerate(places):
            first = place[:, 0] * longest + place[:, 1]
            words[text, : len(place), 0] = first
            if max_pieces > 1:
                words[text, : len(place), 1:] = np.where(steps < place[:, 2:], first[:, None] + steps, -1)
        return {"pieces": pieces, "mask": mask, "words": words}

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind, "tokenizer": self.tokenizer.to_str(), "vocabulary": asdict(self.vocabulary),
            "window": self.window, "overlap": self.overlap, "first_only": self.first_only,
            "parts": {name: part.to_json() for name, part in self.inputs.items()},
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any], inputs: Mapping[str, Featuriser]) -> PieceFeaturiser:
        special = value["vocabulary"]
        vocabulary = Vocabulary(tuple(special["prefix"]), tuple(special["suffix"]), special["padding"], special["unknown"])
        return cls(Tokenizer.from_str(value["tokenizer"]), vocabulary, window=value["window"], overlap=value["overlap"],
                   first_only=value["first_only"], inputs=inputs)

    def pieces(self, texts: Texts) -> list[list[tuple[int, ...]]]:
        """Piece numbers by text and word; a word without pieces becomes the unknown piece, half a surrogate pair a
        question mark."""
        if not self._context_free:
            return self._tokenize(texts)
        cache = self._cache
        missing = list(dict.fromkeys(word for words in texts for word in words if word not in cache))
        if missing:
            if len(cache) + len(missing) > CACHED_WORDS:
                cache = self._cache = {}  # replaced, not emptied: another thread may be reading it
                missing = list(dict.fromkeys(word for words in texts for word in words))
            cache.update(zip(missing, chain.from_iterable(self._tokenize([[word] for word in missing])), strict=True))
        return [[cache[word] for word in words] for words in texts]

    def _tokenize(self, texts: Texts) -> list[list[tuple[int, ...]]]:
        valid = [[word.encode("utf-8", "replace").decode("utf-8") for word in words] for words in texts]
        encodings = iter(self.tokenizer.encode_batch([words for words in valid if words], is_pretokenized=True,
                                                     add_special_tokens=False))
        result = []
        for words in valid:
            pieces: list[list[int]] = [[] for _ in words]
            if words:
                encoding = next(encodings)
                for word, piece in zip(encoding.word_ids, encoding.ids, strict=True):
                    if word is not None and len(pieces[word]) < MAX_PIECES_PER_WORD:
                        pieces[word].append(piece)
            result.append([tuple(word) or (self.vocabulary.unknown,) for word in pieces])
        return result

    def _is_context_free(self) -> bool:
        """True if a word has the same pieces in every context, as with all known kinds of tokenizers."""
        return self._tokenize([PROBE])[0] == list(chain.from_iterable(self._tokenize([[word] for word in PROBE])))


def plan_windows(sizes: Sequence[int], limit: int, overlap: int) -> list[tuple[int, int]]:
    """Split words of these sizes in pieces into windows, (start, end) in words.

    A word with more pieces than the `limit` has a window of its own. Neighbours share `overlap` pieces, rounded up to whole
    words where windows hold several.
    """
    windows: list[tuple[int, int]] = []
    start = 0
    while True:
        end, total = start, 0
        while end < len(sizes) and (end == start or total + sizes[end] <= limit):
            total += sizes[end]
            end += 1
        windows.append((start, end))
        if end >= len(sizes):
            return windows
        back, shared = end, 0
        while back > start + 1 and shared < overlap:
            back -= 1
            shared += sizes[back]
        start = back


def _owners(plan: list[tuple[int, int]], words: int) -> NDArray[np.int64]:
    """The window in which each word is farthest from an inner edge [word]."""
    owners = np.zeros(words, dtype=np.int64)
    for number, ((_, previous_end), (start, _)) in enumerate(pairwise(plan), start=1):
        owners[(start + previous_end + 1) // 2 :] = number
    return owners
