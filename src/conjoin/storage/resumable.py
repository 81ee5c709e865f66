"""Files of JSON lines that grow as results come, take their name when they are finished, and can be gone on with."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

from conjoin.errors import DataError
from conjoin.storage.atomic import flush, make_folder, read_json, write_text


class ResumableFile:
    """The unfinished file of `resumable_file`: `known` lines are there from before."""

    def __init__(self, file: BinaryIO, known: int) -> None:
        self._file = file
        self.known = known

    def write(self, line: str) -> None:
        """Add a line, without its end. Half a surrogate pair, which UTF-8 cannot hold, stays the escape that it was in
        the JSON."""
        self._file.write(line.encode("utf-8", "backslashreplace") + b"\n")
        self._file.flush()  # all of it, or an error: without a buffer a full disk would take a part and say nothing


@contextmanager
def resumable_file(path: Path, *, plan: Mapping[str, Any], resume: bool) -> Iterator[ResumableFile]:
    """A file called `path` with `.part` at its end until the block ends well; otherwise it stays, if it holds a line.

    With `resume` an unfinished file of the same `plan` (which `path.part.json` holds) is gone on with, after its last
    whole line. Raises `DataError` when there is an unfinished file and `resume` was not asked for, when it was begun under
    another plan, and while another process writes it.
    """
    path = path.resolve()
    make_folder(path.parent)
    part, noted = part_file(path), path.with_name(f"{path.name}.part.json")
    _check_writable(path)
    lock = FileLock(path.with_name(f".{path.name}.lock"), timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise DataError(f"{part}: is being written by another run; wait for it, or give another name") from error
    try:
        known = _known(part, noted, plan, resume)
        if not known:
            write_text(noted, json.dumps(plan, indent=1, ensure_ascii=False) + "\n")
        try:
            with part.open("ab") as file:
                yield ResumableFile(file, known)
            flush(part)
            part.replace(path)
        finally:
            if not part.exists() or part.stat().st_size == 0:
                part.unlink(missing_ok=True)
                noted.unlink(missing_ok=True)
    finally:
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)


def _check_writable(path: Path) -> None:
    """Raise for a place where nothing can be written; the error has the name that was given."""
    part = part_file(path)
    try:
        with part.open("ab"):
            pass
    except OSError as error:
        error.filename = str(path)
        raise


def part_file(path: Path) -> Path:
    """Where a growing file is until it is finished."""
    return path.with_name(f"{path.name}.part")


def known_lines(path: Path, count: int) -> Iterator[Any]:
    """The values of the first lines of the unfinished file for `path`."""
    if count:
        with part_file(path.resolve()).open("rb") as file:
            for _ in range(count):
                yield json.loads(file.readline())


def _known(part: Path, noted: Path, plan: Mapping[str, Any], resume: bool) -> int:
    """How many whole lines are there to go on after; a line that was not written to its end is cut off."""
    if not part.exists():
        return 0
    lines, whole = 0, 0
    with part.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                lines, whole = lines + 1, whole + len(line)
    if lines and not resume:
        raise DataError(f"{part}: holds {lines:,} results of a run that was stopped; add --resume to go on after them, or "
                        "remove it to begin anew")
    if lines and (differ := _differ(read_json(noted), plan)):
        raise DataError(f"{part}: was begun with {' and '.join(differ)} that differ; give the command as it was, or remove "
                        "the file to begin anew")
    with part.open("rb+") as file:
        file.truncate(whole)
    return lines


def _differ(before: Any, now: Mapping[str, Any]) -> list[str]:
    return [f"{key}" for key in now if not isinstance(before, dict) or before.get(key) != now[key]]
