"""What readers and writers collect while they work: repairs, which stop strict reading, and notes, which never do."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from conjoin.document import Problem
from conjoin.errors import DataError


@dataclass(slots=True)
class Problems:
    """The problems of one reading (or writing, which `activity` then says in the messages).

    Strict (the default): the first repair raises `DataError`. Lenient: repairs are recorded and reading goes on, so
    a lenient reading lists all of them at once.
    """

    lenient: bool = False
    activity: Literal["reading", "writing"] = "reading"
    found: list[Problem] = field(default_factory=list)

    def repair(self, path: Path, line: int | None, kind: str, wrong: str, mending: str, *, loss: bool = True) -> None:
        """Something in the file is wrong; `mending` says what lenient reading does about it ("leaves it out").

        Raises `DataError` in strict mode.
        """
        wrong, mending = _one_line(wrong), _one_line(mending)
        if not self.lenient:
            option = "--lenient (lenient=True)" if self.activity == "reading" else "lenient=True"
            remedy = f"correct it, or use {option}, which {mending}"
            raise DataError(str(Problem(str(path), line, kind, f"{wrong}; {remedy}")))
        message = f"{wrong}; lenient {self.activity} {mending}"
        self.found.append(Problem(str(path), line, kind, message, loss, repair=True))

    def note(self, path: Path, line: int | None, kind: str, message: str, *, loss: bool = False) -> None:
        """Something worth knowing, or a loss that follows from an option the user chose. Never raises."""
        self.found.append(Problem(str(path), line, kind, _one_line(message), loss))

    def counts(self) -> dict[str, int]:
        """How many problems there are of each kind, most frequent first."""
        return dict(Counter(problem.kind for problem in self.found).most_common())


def _one_line(message: str) -> str:
    """The message with a blank for each line end in the texts that it quotes."""
    return " ".join(message.splitlines())
