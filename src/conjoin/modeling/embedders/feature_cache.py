"""A cache on disk for the vectors of frozen encoders, shared by runs and processes."""

from __future__ import annotations

import hashlib
import logging
import mmap
import os
import shutil
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from filelock import FileLock, Timeout

from conjoin.storage.atomic import make_folder

LOGGER = logging.getLogger("conjoin")
ENTRY = struct.Struct("<16sQII")  # digest of the text, offset of its vectors, number of words, their checksum
RECORD = ENTRY.size + 4  # an entry and its own checksum
ITEM = np.dtype(np.float16)
LOCK_SECONDS = 60.0


class FeatureCache:
    """A folder of feature files, one per encoder, with at most `limit` bytes in total."""

    def __init__(self, folder: Path, *, limit: int) -> None:
        self.folder = folder / "features"
        self.limit = limit

    def open(self, fingerprint: str, shape: tuple[int, int]) -> FeatureFile:
        """The file of an encoder with vectors of a shape (layers, width) per word; it becomes the most recently used."""
        make_folder(self.folder / fingerprint)
        os.utime(self.folder / fingerprint)
        return FeatureFile(self, self.folder / fingerprint, shape)

    def size(self) -> int:
        """Bytes of all feature files."""
        return sum(_size(folder) for folder in self._folders())

    def reserve(self, size: int, keep: Path) -> bool:
        """Make room for `size` bytes in `keep` by deleting the least recently used others; False if they do not fit."""
        others = sorted((folder for folder in self._folders() if folder != keep), key=lambda folder: folder.stat().st_mtime)
        used = _size(keep) + sum(map(_size, others)) + size
        for folder in others:
            if used <= self.limit:
                break
            used -= _size(folder)
            shutil.rmtree(folder, ignore_errors=True)
        return used <= self.limit

    def _folders(self) -> list[Path]:
        return [entry for entry in self.folder.iterdir() if entry.is_dir()] if self.folder.is_dir() else []


class FeatureFile:
    """The vectors of one encoder: `vectors.bin`, text after text, and `index.bin` with the offset of each.

    The vectors of a text are written before its entry in the index, under a lock; bytes without an entry, left by a
    killed process, are overwritten by the next writer. Entries and vectors have checksums, so that what a power failure
    leaves half written counts as absent.
    """

    def __init__(self, cache: FeatureCache, folder: Path, shape: tuple[int, int]) -> None:
        self.cache = cache
        self.folder = folder
        self.shape = shape
        self.word_bytes = shape[0] * shape[1] * ITEM.itemsize
        self.data, self.index = folder / "vectors.bin", folder / "index.bin"
        self.places: dict[bytes, tuple[int, int, int]] = {}  # digest → offset, words, checksum
        self.index_bytes = 0  # of the index, read so far
        self.last_record = b""  # read so far: a new index may have the inode of the old one
        self.end = 0  # of the vectors of the last entry
        self.full = False
        self._checked: set[bytes] = set()
        self._map: mmap.mmap | None = None
        self._inode = 0

    def _reset(self) -> None:
        """Forget all entries, after another process has emptied the cache."""
        self.places.clear()
        self._checked.clear()
        self.index_bytes = self.end = 0
        self.last_record = b""
        self._map = None

    def get(self, words: Sequence[str]) -> np.ndarray | None:
        """The vectors of a text [word, layer, width], or None when they are absent."""
        if not words:
            return np.zeros((0, *self.shape), dtype=ITEM)
        key = _digest(words)
        if key not in self.places:
            self._read_index()
        place = self.places.get(key)
        if place is None:
            return None
        offset, count, checksum = place
        view = self._view(offset, count * self.word_bytes)
        if view is None or count != len(words) or (key not in self._checked and zlib.crc32(view) != checksum):
            del self.places[key]
            return None
        self._checked.add(key)
        return np.frombuffer(view, dtype=ITEM).reshape(count, *self.shape).copy()

    def add(self, texts: Sequence[Sequence[str]], vectors: Sequence[np.ndarray]) -> None:
        """Write the vectors of texts, unless the cache is full or cannot be written."""
        if self.full:
            return
        try:
            with FileLock(self.folder / "lock", timeout=LOCK_SECONDS):
                self._append(texts, vectors)
        except (OSError, Timeout) as error:
            self._stop_writing(str(error))

    def _append(self, texts: Sequence[Sequence[str]], vectors: Sequence[np.ndarray]) -> None:
        self._read_index()
        new = {}
        for words, rows in zip(texts, vectors, strict=True):
            key = _digest(words)
            if words and key not in self.places:
                new[key] = np.ascontiguousarray(rows, dtype=ITEM)
        if not new:
            return
        size = sum(rows.nbytes for rows in new.values())
        if not self.cache.reserve(size, self.folder):
            self._stop_writing(f"its limit of {_readable(self.cache.limit)} is reached")
            return
        entries = []
        with _open_binary(self.data) as file:
            file.truncate(self.end)
            file.seek(self.end)
            for key, rows in new.items():
                raw = rows.tobytes()
                entry = ENTRY.pack(key, file.tell(), len(rows), zlib.crc32(raw))
                entries.append(entry + struct.pack("<I", zlib.crc32(entry)))
                file.write(raw)
        with _open_binary(self.index) as file:
            file.truncate(self.index_bytes)
            file.seek(self.index_bytes)
            file.write(b"".join(entries))
        self._read_index()

    def _stop_writing(self, reason: str) -> None:
        self.full = True
        LOGGER.warning("the feature cache %s is full (%s): vectors of further texts are computed each time; raise "
                       "--max-cache, or delete the folder", self.folder.parent, reason)

    def _read_index(self) -> None:
        """Read the entries added since the last call, up to the first broken one."""
        try:
            with self.index.open("rb") as file:
                state = os.fstat(file.fileno())
                file.seek(self.index_bytes - len(self.last_record))
                if state.st_ino != self._inode or file.read(len(self.last_record)) != self.last_record:
                    self._reset()
                    self._inode = state.st_ino
                file.seek(self.index_bytes)
                raw = file.read()
        except FileNotFoundError:
            self._reset()
            return
        for start in range(0, len(raw) - RECORD + 1, RECORD):
            entry = raw[start : start + ENTRY.size]
            if zlib.crc32(entry) != struct.unpack("<I", raw[start + ENTRY.size : start + RECORD])[0]:
                return
            key, offset, words, checksum = ENTRY.unpack(entry)
            self.places[key] = offset, words, checksum
            self.end = offset + words * self.word_bytes
            self.index_bytes += RECORD
            self.last_record = raw[start : start + RECORD]

    def _view(self, offset: int, size: int) -> memoryview | None:
        if self._map is None or len(self._map) < offset + size:
            try:
                with self.data.open("rb") as file:
                    self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except (OSError, ValueError):  # deleted, or empty
                return None
        view = memoryview(self._map)[offset : offset + size]
        return view if len(view) == size else None


def _open_binary(path: Path) -> BinaryIO:
    """Open a file to be written at any offset; create it if it does not exist."""
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o644), "r+b")


def _digest(words: Sequence[str]) -> bytes:
    return hashlib.blake2b("\0".join(words).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _readable(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"


def _size(folder: Path) -> int:
    try:
        return sum(file.stat().st_size for file in folder.iterdir())
    except OSError:
        return 0
