"""Vectors of frozen encoders on disk: computed once a text, shared by runs and by processes."""

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

log = logging.getLogger("conjoin")
ENTRY = struct.Struct("<16sQII")  # digest of the text, offset of its vectors, number of words, their checksum
RECORD = ENTRY.size + 4  # each entry is followed by its own checksum
ITEM = np.dtype(np.float16)
LOCK_SECONDS = 60.0


class FeatureCache:
    """A folder of feature files, one per encoder, of at most `limit` bytes together."""

    def __init__(self, folder: Path, *, limit: int) -> None:
        self.folder = folder / "features"
        self.limit = limit

    def open(self, fingerprint: str, shape: tuple[int, int]) -> FeatureFile:
        """The file of an encoder that gives every word vectors of a shape (layers, width). It becomes the one used last."""
        make_folder(self.folder / fingerprint)
        os.utime(self.folder / fingerprint)
        return FeatureFile(self, self.folder / fingerprint, shape)

    def size(self) -> int:
        """Bytes of all feature files."""
        return sum(_size(folder) for folder in self._folders())

    def room_for(self, more: int, keep: Path) -> bool:
        """Whether so many bytes fit in; the files of other encoders make room, those not used for longest first."""
        others = sorted((folder for folder in self._folders() if folder != keep), key=lambda folder: folder.stat().st_mtime)
        used = _size(keep) + sum(map(_size, others)) + more
        for folder in others:
            if used <= self.limit:
                break
            used -= _size(folder)
            shutil.rmtree(folder, ignore_errors=True)
        return used <= self.limit

    def _folders(self) -> list[Path]:
        return [entry for entry in self.folder.iterdir() if entry.is_dir()] if self.folder.is_dir() else []


class FeatureFile:
    """The vectors of one encoder: `vectors.bin`, one text after the other, and `index.bin`, which says where each lies.

    A text's vectors are written before its entry in the index, under a lock; a process killed in between leaves bytes
    that nothing points to, and the next writer takes their place. Entry and vectors carry checksums, so that what a power
    cut has left half written counts as absent.
    """

    def __init__(self, cache: FeatureCache, folder: Path, shape: tuple[int, int]) -> None:
        self.cache = cache
        self.folder = folder
        self.shape = shape
        self.word_bytes = shape[0] * shape[1] * ITEM.itemsize
        self.data, self.index = folder / "vectors.bin", folder / "index.bin"
        self.places: dict[bytes, tuple[int, int, int]] = {}  # digest → offset, words, checksum
        self.known = 0  # bytes of the index that have been read
        self.last = b""  # the last entry among them: a new index may have got the old one's inode
        self.end = 0  # where the vectors of the last entry end
        self.full = False
        self._checked: set[bytes] = set()
        self._map: mmap.mmap | None = None
        self._inode = 0

    def _forget(self) -> None:
        """Begin anew: another process has emptied the cache."""
        self.places.clear()
        self._checked.clear()
        self.known = self.end = 0
        self.last = b""
        self._map = None

    def get(self, words: Sequence[str]) -> np.ndarray | None:
        """The vectors of a text [word, layer, width], or None when they are not there."""
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
        """Keep the vectors of texts. What cannot be written, for want of room or rights, is computed again next time."""
        if self.full:
            return
        try:
            with FileLock(self.folder / "lock", timeout=LOCK_SECONDS):
                self._append(texts, vectors)
        except (OSError, Timeout) as error:
            self._give_up(str(error))

    def _append(self, texts: Sequence[Sequence[str]], vectors: Sequence[np.ndarray]) -> None:
        self._read_index()
        new = {}
        for words, rows in zip(texts, vectors, strict=True):
            key = _digest(words)
            if words and key not in self.places:
                new[key] = np.ascontiguousarray(rows, dtype=ITEM)
        more = sum(rows.nbytes for rows in new.values())
        if not new:
            return
        if not self.cache.room_for(more, self.folder):
            self._give_up(f"its limit of {_readable(self.cache.limit)} is reached")
            return
        entries = []
        with _opened(self.data) as file:
            file.truncate(self.end)
            file.seek(self.end)
            for key, rows in new.items():
                raw = rows.tobytes()
                entry = ENTRY.pack(key, file.tell(), len(rows), zlib.crc32(raw))
                entries.append(entry + struct.pack("<I", zlib.crc32(entry)))
                file.write(raw)
        with _opened(self.index) as file:
            file.truncate(self.known)
            file.seek(self.known)
            file.write(b"".join(entries))
        self._read_index()

    def _give_up(self, reason: str) -> None:
        self.full = True
        log.warning("the feature cache %s takes no more (%s): vectors of further texts are computed each time; give it "
                    "more room with --max-cache, or empty it", self.folder.parent, reason)

    def _read_index(self) -> None:
        """Take in the entries that were added since, up to the first broken one."""
        try:
            with self.index.open("rb") as file:
                state = os.fstat(file.fileno())
                file.seek(self.known - len(self.last))
                if state.st_ino != self._inode or file.read(len(self.last)) != self.last:
                    self._forget()
                    self._inode = state.st_ino
                file.seek(self.known)
                raw = file.read()
        except FileNotFoundError:
            self._forget()
            return
        for start in range(0, len(raw) - RECORD + 1, RECORD):
            entry = raw[start : start + ENTRY.size]
            if zlib.crc32(entry) != struct.unpack("<I", raw[start + ENTRY.size : start + RECORD])[0]:
                return
            key, offset, words, checksum = ENTRY.unpack(entry)
            self.places[key] = offset, words, checksum
            self.end = offset + words * self.word_bytes
            self.known += RECORD
            self.last = raw[start : start + RECORD]

    def _view(self, offset: int, size: int) -> memoryview | None:
        if self._map is None or len(self._map) < offset + size:
            try:
                with self.data.open("rb") as file:
                    self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except (OSError, ValueError):  # gone, or empty
                return None
        view = memoryview(self._map)[offset : offset + size]
        return view if len(view) == size else None


def _opened(path: Path) -> BinaryIO:
    """A file to be written at any place, made when it is not there."""
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
