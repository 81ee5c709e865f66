"""Files of word vectors, memory-mapped."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from conjoin.errors import ModelError
from conjoin.storage.atomic import atomic_folder

VERSION = 3
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
BLANKS = re.compile(r"[ \t]+")
Vector = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class WordCoverage:
    """`found` of the `words` distinct words of the training data have a word vector."""

    found: int
    words: int

    def __str__(self) -> str:
        share = 100 * self.found / max(1, self.words)
        return f"vectors for {self.found:,} of {self.words:,} words of the training data ({share:.0f} %)"


class VectorTable:
    """A table of word vectors on disk.

    The text file is converted once to a folder of arrays: `hashes.npy` (64 bits of each word's digest, ascending),
    `order.npy` (the row of each) and `vectors.npy` [word, width]. Words are looked up by binary search in the hashes; a
    collision among a few million words has a probability of about one in a million.
    """

    def __init__(self, folder: Path) -> None:
        self.hashes = np.load(folder / "hashes.npy", mmap_mode="r")
        self.order = np.load(folder / "order.npy", mmap_mode="r")
        self.vectors = np.load(folder / "vectors.npy", mmap_mode="r")
        self.width = int(self.vectors.shape[1])

    @classmethod
    def open(cls, path: str | Path, *, cache: Path) -> VectorTable:
        """Open a file in the text format of GloVe or word2vec, plain or gzip, separated by blanks or tabs.

        Args:
            cache: Folder of the arrays, which are written when the file is new or has changed.

        Raises:
            ModelError: The file is missing or truncated (also when its last line has no end), or a line has another
                number of values than the first.
        """
        path = Path(path).expanduser()
        try:
            state = path.stat()
        except OSError as error:
            raise ModelError(f"{path}: no such file of word vectors; give one in the text format of GloVe or word2vec, "
                             "plain or .gz, with words.vectors=PATH") from error
        key = json.dumps([VERSION, str(path.resolve()), state.st_size, state.st_mtime_ns])
        folder = cache / "vectors" / hashlib.sha256(key.encode()).hexdigest()[:24]
        if not (folder / "vectors.npy").is_file():
            with atomic_folder(folder) as temporary:
                _convert(path, temporary)
        return cls(folder)

    def __len__(self) -> int:
        return len(self.hashes)

    def find(self, word: str) -> Vector | None:
        """The vector of a word exactly as spelt [width], or None."""
        key = _hash(word)
        place = int(np.searchsorted(self.hashes, key))
        if place == len(self.hashes) or self.hashes[place] != key:
            return None
        return np.array(self.vectors[self.order[place]], dtype=np.float32)


def _hash(word: str) -> np.uint64:
    digest = hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return np.uint64(int.from_bytes(digest, "little"))


def _convert(path: Path, folder: Path) -> None:
    """Write the arrays of a text file; rows are written as they are read."""
    hashes = []
    width = 0
    with (folder / "rows").open("wb") as rows:
        for word, vector in _read(path):
            hashes.append(_hash(word))
            width = len(vector)
            rows.write(vector.tobytes())
    if not hashes:
        raise ModelError(f"{path}: holds no word vectors; each line is a word and its values, separated by blanks")
    unique, first = np.unique(np.array(hashes, dtype=np.uint64), return_index=True)  # the first of duplicates counts
    np.save(folder / "hashes.npy", unique)
    np.save(folder / "order.npy", first.astype(np.uint32))
    raw = np.memmap(folder / "rows", dtype=np.float32, mode="r", shape=(len(hashes), width))
    np.save(folder / "vectors.npy", raw)
    (folder / "rows").unlink()


def _read(path: Path) -> Iterator[tuple[str, Vector]]:
    """Words and vectors of a text file. A first line of two integers, as of word2vec, is their number and width."""
    with path.open("rb") as plain:
        compressed = plain.read(2) == b"\x1f\x8b"
        plain.seek(0)
        lines = enumerate(cast(BinaryIO, gzip.GzipFile(fileobj=plain)) if compressed else plain, start=1)
        try:
            yield from _parse(path, lines)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ModelError(f"{path}: the compressed file is cut off or broken ({error}); download it again") from error


def _parse(path: Path, lines: Iterator[tuple[int, bytes]]) -> Iterator[tuple[str, Vector]]:
    first = next(lines, None)
    if first is None:
        return
    width = announced = None
    first = (1, first[1].removeprefix(BYTE_ORDER_MARK))
    fields = first[1].split()
    if len(fields) == 2 and all(field.isdigit() for field in fields):
        announced, width = int(fields[0]), int(fields[1])
    else:
        lines = chain([first], lines)
        width = len(fields) - 1
    if width < 1 or not (announced or _is_number(fields[-1].decode("utf-8", "replace"))):
        raise ModelError(f"{path}:1: not a table of word vectors: each line is a word and its values, separated by blanks")
    count = 0
    for number, line in lines:
        text = line.decode("utf-8", "replace").rstrip("\r\n\t ")
        if text:
            yield _row(text, width, f"{path}:{number}")
            count += 1
            if not line.endswith(b"\n"):
                raise ModelError(f"{path}:{number}: the last line has no end, so that the file may be cut off inside a "
                                 "number: download it again, or end the line if it is whole")
    if announced is not None and count != announced:
        problem = "it is cut off" if count < announced else "it is damaged, or its first line is of another file"
        raise ModelError(f"{path}: the first line announces {announced} words, the file holds {count}; {problem}: "
                         "download it again")


def _row(text: str, width: int, place: str) -> tuple[str, Vector]:
    """The word and the vector [width] of a line."""
    if "\t" in text or "  " in text:
        text = BLANKS.sub(" ", text)
    word, *values = text.rsplit(" ", width)  # a few words of large tables hold blanks themselves
    try:
        vector = np.array(values, dtype=np.float32)
    except ValueError:
        vector = np.zeros(0, dtype=np.float32)
    _, blank, last = word.rpartition(" ")
    if len(vector) != width or not np.isfinite(vector).all() or (blank and _is_number(last)):
        raise ModelError(f"{place}: a word and {width} numbers are expected, as in the first line; the file is damaged or "
                         "cut off: download it again")
    return word, vector


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
