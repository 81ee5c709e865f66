"""Splits from the names of files and folders."""

from __future__ import annotations

import re
from pathlib import Path

from conjoin.document import SPLITS
from conjoin.errors import DataError
from conjoin.readers.problems import Problems

ALL = "all"  # the split of files that name none
_EXTRA = "extra"
_SPLIT_WORDS = {"train": "train", "training": "train", "dev": "dev", "development": "dev", "valid": "dev",
                "validation": "dev", "val": "dev", "test": "test", "testing": "test"}


def split_of(path: Path) -> str | None:
    """The split in a file's name: one of its words is train, dev, valid, validation, test or similar; None without one.

    A file called `extra` is the split `extra`, as `write_corpus` writes it.
    """
    if path.stem == _EXTRA:
        return _EXTRA
    words = re.split(r"[^a-z]+", path.stem.lower())
    return next((_SPLIT_WORDS[word] for word in words if word in _SPLIT_WORDS), None)


def split_order(split: str) -> tuple[int, str]:
    """A sort key: train, dev and test first, then the others by name."""
    return (SPLITS.index(split) if split in SPLITS else len(SPLITS), split)


def files_below(folder: Path, ending: str) -> list[Path]:
    """All files with an ending below a folder, sorted by path. Raises `DataError` when there is none."""
    files = [file for file in sorted(folder.rglob(f"*{ending}")) if not file.name.startswith((".", "README"))]
    if not files:
        raise DataError(f"{folder}: no file ending in {ending} is in the folder or the folders in it")
    return files


def files_by_split(folder: Path, ending: str, problems: Problems) -> dict[str, list[Path]]:
    """All files with an ending below a folder by split, for formats with one file (or pair of files) per document.

    The split of a file is in the name of a folder above it, inside `folder`; else in the name of `folder`; else it is
    `all`. If some files have a split, those without one are left out with a note. Raises `DataError` without any file.
    """
    splits: dict[str, list[Path]] = {}
    for file in files_below(folder, ending):
        names = [split_of(Path(part)) for part in file.relative_to(folder).parts[:-1]]
        splits.setdefault(next(filter(None, names), None) or split_of(folder) or ALL, []).append(file)
    if len(splits) > 1:
        for file in splits.pop(ALL, ()):
            problems.note(file, None, "file-not-read", "its folder names no split while others do; the file is left out",
                          loss=True)
    return splits
