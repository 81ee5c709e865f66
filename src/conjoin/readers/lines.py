"""Text files as lines or as a whole, with byte-order marks, CRLF, bytes that are not UTF-8, no final newline."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from conjoin.errors import DataError
from conjoin.readers.problems import Problems

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def lines(path: Path, problems: Problems) -> Iterator[tuple[int, str]]:
    """Number (from 1) and text of each line; only a newline ends a line.

    Raises `DataError` when the file cannot be opened or is not UTF-8 (lenient: that line is read as Latin-1).
    """
    with _open(path) as file:
        carriage_returns = False
        for number, raw in enumerate(file, start=1):
            if number == 1:
                raw = _without_mark(raw, path, problems)
            if not raw.endswith(b"\n"):
                problems.note(path, number, "no-final-newline", "the last line has no newline; it is read all the same")
            elif raw.endswith(b"\r\n"):
                raw = raw[:-2]
                if not carriage_returns:
                    problems.note(path, number, "crlf", "lines end with CRLF; the carriage returns are ignored")
                carriage_returns = True
            yield number, decode(raw.removesuffix(b"\n"), path, number, problems)


def content(path: Path, problems: Problems) -> str:
    """The whole file as one string; raises as `lines` does."""
    with _open(path) as file:
        return decode(_without_mark(file.read(), path, problems), path, None, problems)


def raw_content(path: Path, problems: Problems) -> str:
    """The whole file with its byte-order mark and line ends; raises as `lines` does."""
    with _open(path) as file:
        raw = file.read()
    if raw.startswith(_UTF16):
        raise DataError(f"{path}:1: the file is UTF-16; save it as UTF-8")
    return decode(raw, path, None, problems)


def first_characters(path: Path, size: int = 65536) -> str:
    """The beginning of a file (`size` bytes), to detect its format; bytes that are not UTF-8 are replaced."""
    with _open(path) as file:
        return file.read(size).decode("utf-8-sig", errors="replace").replace("\r\n", "\n")


def decode(raw: bytes, path: Path, number: int | None, problems: Problems) -> str:
    """The bytes as text: UTF-8, or Latin-1 after a repair."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        wrong = f"byte 0x{raw[error.start]:02x} at position {error.start} is not UTF-8"
        problems.repair(path, number, "not-utf-8", wrong, "reads it as Latin-1", loss=False)
        return raw.decode("latin-1")


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the name") from error


def _without_mark(raw: bytes, path: Path, problems: Problems) -> bytes:
    if raw.startswith(_UTF16):
        raise DataError(f"{path}:1: the file is UTF-16; save it as UTF-8")
    if raw.startswith(codecs.BOM_UTF8):
        problems.note(path, 1, "byte-order-mark", "the file starts with a byte-order mark; it is ignored")
    return raw.removeprefix(codecs.BOM_UTF8)
