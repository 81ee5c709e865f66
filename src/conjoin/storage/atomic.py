"""Atomic writing: files and folders get their names when they are complete."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from conjoin.errors import DataError, ModelError


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` that replaces it when the block succeeds, and is removed otherwise.

    Links are followed; anything but a regular file (/dev/stdout, a pipe) is written to directly.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "is a folder, where a file is to be written", str(path))
    if path.exists() and not path.is_file():
        yield path
        return
    path = path.resolve()
    make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield temporary
        flush(temporary)
        temporary.replace(path)
    except OSError as error:
        if error.filename == str(temporary):
            error.filename = str(path)  # the name that the caller knows
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_json(path: Path) -> Any:
    """The value in a JSON file. Raises `DataError` when it cannot be read or is no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:  # malformed JSON, or not UTF-8
        raise DataError(f"{path}: is no JSON file ({error}); use the file as it was written") from error


def folder_digest(path: Path, *, without: Collection[str] = ()) -> str:
    """A digest of the names and contents of the files in a folder, except those named in `without`."""
    digest = hashlib.sha256()
    for file in sorted(file for file in path.rglob("*") if file.is_file()):
        name = file.relative_to(path).as_posix()
        if name not in without:
            with file.open("rb") as opened:
                digest.update(f"{name}\0{hashlib.file_digest(opened, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()


def make_folder(path: Path) -> None:
    """Make a folder and its parents where they do not exist. Raises `NotADirectoryError` naming a file in the way."""
    for folder in (path, *path.parents):
        if folder.exists() and not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "is a file, where a folder is needed", str(folder))
    path.mkdir(parents=True, exist_ok=True)


@contextmanager
def folder_to_fill(path: Path) -> Iterator[None]:
    """Make a folder and its parents; if the block fails, the new folders that are still empty are removed."""
    new_folders = [folder for folder in (path, *path.parents) if not folder.exists()]
    make_folder(path)
    try:
        yield
    except BaseException:
        for folder in new_folders:
            with suppress(OSError):  # it is not empty
                folder.rmdir()
        raise


@contextmanager
def atomic_folder(path: Path, *, replaces: Collection[str] = ()) -> Iterator[Path]:
    """A temporary folder beside `path` that takes its name when the block succeeds, and is removed otherwise.

    Links are followed. An existing folder is replaced if it is empty or has the files in `replaces`; otherwise raises
    `ModelError`.
    """
    check_replaceable(path, replaces)
    path = path.resolve()
    make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                flush(file)
        _exchange(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_replaceable(path: Path, replaces: Collection[str]) -> None:
    """Raise `ModelError` when `path` exists and is neither an empty folder nor one with the files in `replaces`."""
    if Path.cwd().is_relative_to(path.resolve()):
        raise ModelError(f"{path}: is the working folder or one above it, which cannot be replaced; name a folder in it")
    if not path.exists():
        return
    if not path.is_dir():
        raise ModelError(f"{path}: is a file, where a folder is to be written; give another name")
    if any(path.iterdir()) and not (replaces and all((path / name).is_file() for name in replaces)):
        content = f"without {' and '.join(replaces)}" if replaces else "with files in it"
        raise ModelError(f"{path}: is a folder {content}, which is not replaced; give a new name or an empty folder")


def _exchange(new: Path, path: Path) -> None:
    """Rename `new` to `path`; a folder of that name is removed afterwards, or put back when renaming fails."""
    old = path.with_name(f".{path.name}.{os.getpid()}.old")
    if not path.exists():
        new.replace(path)
        return
    path.replace(old)
    try:
        new.replace(path)
    except OSError:
        old.replace(path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def flush(path: Path) -> None:
    """Wait until the file is on the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
