"""Files that are written whole or not at all."""

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
    """A temporary path beside `path`; when the block ends well it is flushed to disk and takes the name of `path`.

    A link is followed, and what is no ordinary file (/dev/stdout, a pipe) is written to directly.
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
            error.filename = str(path)  # the name that was given, not the one that is made up
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_json(path: Path) -> Any:
    """The value in a JSON file; raises `DataError` when it cannot be read or is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:  # malformed JSON, or not UTF-8
        raise DataError(f"{path}: is no JSON file ({error}); give the file as it was written") from error


def folder_digest(path: Path, *, without: Collection[str] = ()) -> str:
    """The same for folders with the same files, by name and content, but for those named in `without`."""
    digest = hashlib.sha256()
    for file in sorted(file for file in path.rglob("*") if file.is_file()):
        name = file.relative_to(path).as_posix()
        if name not in without:
            with file.open("rb") as opened:
                digest.update(f"{name}\0{hashlib.file_digest(opened, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()


def make_folder(path: Path) -> None:
    """Make a folder and those above it, if they are not there yet; the error names what stands in the way."""
    for folder in (path, *path.parents):
        if folder.exists() and not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "is a file, where a folder is needed", str(folder))
    path.mkdir(parents=True, exist_ok=True)


@contextmanager
def folder_to_fill(path: Path) -> Iterator[None]:
    """Make a folder and those above it; those that were made go again when the block fails and has left nothing in them."""
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    make_folder(path)
    try:
        yield
    except BaseException:
        for folder in made:
            with suppress(OSError):  # it holds something
                folder.rmdir()
        raise


@contextmanager
def atomic_folder(path: Path, *, replaces: Collection[str] = ()) -> Iterator[Path]:
    """A temporary folder beside `path`; when the block ends well it takes the name of `path`.

    What stood there goes, if it is an empty folder or one that holds the files named by `replaces`; a link is followed.
    Raises `ModelError` otherwise.
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
    """Raise `ModelError` when `path` is there and neither an empty folder nor one with the files named by `replaces`."""
    if Path.cwd().is_relative_to(path.resolve()):
        raise ModelError(f"{path}: is the working folder or one above it, which cannot be replaced; name a folder in it")
    if not path.exists():
        return
    if not path.is_dir():
        raise ModelError(f"{path}: is a file, where a folder is to be written; give another name")
    if any(path.iterdir()) and not (replaces and all((path / name).is_file() for name in replaces)):
        held = f"without {' and '.join(replaces)}" if replaces else "with files in it"
        raise ModelError(f"{path}: is a folder {held}, which is not replaced; give a new name or an empty folder")


def _exchange(new: Path, path: Path) -> None:
    """Give `new` the name of `path`; the folder that had it is removed afterwards, or put back when that fails."""
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
    """Return when the file is on the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
