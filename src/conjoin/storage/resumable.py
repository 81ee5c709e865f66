"""Files of JSON lines that are written result by result and resume after an interruption."""

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
    """An unfinished file; `known` is the number of lines from an earlier run."""

    def __init__(self, file: BinaryIO, known: int) -> None:
        self._file = file
        self.known = known

    def write(self, line: str) -> None:
        """Add a line, without a newline. A lone surrogate, which UTF-8 cannot hold, is written as a JSON escape."""
        self._file.write(line.encode("utf-8", "backslashreplace") + b"\n")
        self._file.flush()  # the whole line or an error: unbuffered, a full disk would silently take a part


@contextmanager
def resumable_file(path: Path, *, plan: Mapping[str, Any], resume: bool) -> Iterator[ResumableFile]:
    """A file for results that has the name `path.part` until the block succeeds; otherwise it stays, unless empty.

    Args:
        path: The finished file.
        plan: Settings that must be the same to resume; they are stored in `path.part.json`.
        resume: Continue an unfinished file after its last complete line.

    Raises:
        DataError: For an unfinished file without `resume`, of another plan, or that another process is writing.
    """
    path = path.resolve()
    make_folder(path.parent)
    part, plan_file = part_file(path), path.with_name(f"{path.name}.part.json")
    _check_writable(path)
    lock = FileLock(path.with_name(f".{path.name}.lock"), timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise DataError(f"{part}: is being written by another run; wait for it, or give another name") from error
    try:
        known = _known(part, plan_file, plan, resume)
        if not known:
            write_text(plan_file, json.dumps(plan, indent=1, ensure_ascii=False) + "\n")
        try:
            with part.open("ab") as file:
                yield ResumableFile(file, known)
            flush(part)
            part.replace(path)
        finally:
            if not part.exists() or part.stat().st_size == 0:
                part.unlink(missing_ok=True)
                plan_file.unlink(missing_ok=True)
    finally:
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)


def _check_writable(path: Path) -> None:
    """Raise `OSError` with the name `path` when the file cannot be written."""
    part = part_file(path)
    try:
        with part.open("ab"):
            pass
    except OSError as error:
        error.filename = str(path)
        raise


def part_file(path: Path) -> Path:
    """The name of a resumable file until it is finished."""
    return path.with_name(f"{path.name}.part")


def known_lines(path: Path, count: int) -> Iterator[Any]:
    """The values of the first `count` lines of the unfinished file of `path`."""
    if count:
        with part_file(path.resolve()).open("rb") as file:
            for _ in range(count):
                yield json.loads(file.readline())


def _known(part: Path, plan_file: Path, plan: Mapping[str, Any], resume: bool) -> int:
    """The number of complete lines in the unfinished file; an incomplete last line is cut off."""
    if not part.exists():
        return 0
    lines, size = 0, 0
    with part.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                lines, size = lines + 1, size + len(line)
    if lines and not resume:
        raise DataError(f"{part}: holds {lines:,} results of a run that was stopped; add --resume to go on after them, or "
                        "remove it to start again")
    if lines and (differ := _differ(read_json(plan_file), plan)):
        raise DataError(f"{part}: was started with other values of {' and '.join(differ)}; repeat the command as it "
                        "was, or remove the file to start again")
    with part.open("rb+") as file:
        file.truncate(size)
    return lines


def _differ(before: Any, now: Mapping[str, Any]) -> list[str]:
    return [f"{key}" for key in now if not isinstance(before, dict) or before.get(key) != now[key]]
