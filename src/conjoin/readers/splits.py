"""Which split a file or a folder belongs to, by its name."""

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
    """The split that a name says: a whole word of it is train, dev, valid, validation or test.

    A file called `extra` is the split of that name, so that what `write_corpus` wrote is read back whole.
    """
    if path.stem == _EXTRA:
        return _EXTRA
    words = re.split(r"[^a-z]+", path.stem.lower())
    return next((_SPLIT_WORDS[word] for word in words if word in _SPLIT_WORDS), None)


def split_order(split: str) -> tuple[int, str]:
    """A key that sorts train, dev and test first, then the others by name."""
    return (SPLITS.index(split) if split in SPLITS else len(SPLITS), split)


def files_below(folder: Path, ending: str) -> list[Path]:
    """All files with an ending in a folder and the folders in it, by path; raises `DataError` when there is none."""
    files = [file for file in sorted(folder.rglob(f"*{ending}")) if not file.name.startswith((".", "README"))]
    if not files:
        raise DataError(f"{folder}: no file ending in {ending} is in the folder or the folders in it")
    return files


def files_by_split(folder: Path, ending: str, problems: Problems) -> dict[str, list[Path]]:
    """All files with an ending in a folder and the folders in it, for formats of one file (or pair) per document.

    A file belongs to the split that a folder above it, inside `folder`, is named for, else to the one that `folder` is
    named for, else to `all`. Where some say a split, those that say none are left out with a note. Raises `DataError`
    when there is no such file.
    """
    splits: dict[str, list[Path]] = {}
    for file in files_below(folder, ending):
        above = [split_of(Path(part)) for part in file.relative_to(folder).parts[:-1]]
        splits.setdefault(next(filter(None, above), None) or split_of(folder) or ALL, []).append(file)
    if len(splits) > 1:
        for file in splits.pop(ALL, ()):
            problems.note(file, None, "file-not-read", "its folder names no split while others do; the file is left out",
                          loss=True)
    return splits
