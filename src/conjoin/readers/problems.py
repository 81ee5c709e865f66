"""Problems collected while files are read or written: repairs, which stop strict reading, and notes, which do not."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from conjoin.document import Problem
from conjoin.errors import DataError


@dataclass(slots=True)
class Problems:
    """Collects the problems of reading or writing one corpus.

    Lenient, it records repairs in `entries` and goes on; otherwise the first repair raises `DataError`.
    """

    lenient: bool = False
    activity: Literal["reading", "writing"] = "reading"
    entries: list[Problem] = field(default_factory=list)

    def repair(self, path: Path, line: int | None, kind: str, wrong: str, action: str, *, loss: bool = True) -> None:
        """Record an error in the file that lenient reading repairs; in strict mode raise `DataError`.

        Args:
            kind: Short name of the problem.
            wrong: What is wrong, as a clause.
            action: What lenient reading does about it, such as "leaves it out".
            loss: True when an annotation of the file is lost.
        """
        wrong, action = _one_line(wrong), _one_line(action)
        if not self.lenient:
            option = "--lenient (lenient=True)" if self.activity == "reading" else "lenient=True"
            remedy = f"correct it, or use {option}, which {action}"
            raise DataError(str(Problem(str(path), line, kind, f"{wrong}; {remedy}")))
        message = f"{wrong}; lenient {self.activity} {action}"
        self.entries.append(Problem(str(path), line, kind, message, loss, repair=True))

    def note(self, path: Path, line: int | None, kind: str, message: str, *, loss: bool = False) -> None:
        """Record a remark, or a loss that follows from an option of the user."""
        self.entries.append(Problem(str(path), line, kind, _one_line(message), loss))

    def counts(self) -> dict[str, int]:
        """The number of problems of each kind, most frequent first."""
        return dict(Counter(problem.kind for problem in self.entries).most_common())


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a file that problems are reported for.

    `label` begins every message, for files where lines do not identify the place.
    """

    path: Path
    problems: Problems
    line: int | None = None
    label: str = ""

    def at(self, line: int | None) -> Place:
        """The same place with another line; itself for None."""
        return self if line is None else replace(self, line=line)

    def repair(self, kind: str, wrong: str, action: str, *, loss: bool = True) -> None:
        """Record an error here; see `Problems.repair`."""
        self.problems.repair(self.path, self.line, kind, self.label + wrong, action, loss=loss)

    def note(self, kind: str, message: str, *, loss: bool = False) -> None:
        """Record a remark on this place; see `Problems.note`."""
        self.problems.note(self.path, self.line, kind, self.label + message, loss=loss)


def _one_line(message: str) -> str:
    """The message without line ends, which quoted texts may have."""
    return " ".join(message.splitlines())
