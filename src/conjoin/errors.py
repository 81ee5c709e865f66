"""The errors that conjoin raises on purpose. Each message names the place and the remedy in one sentence."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

MAX_LISTED = 14  # names in one sentence
ALIKE = 0.65  # how like a name must be to be guessed; 1 is the same


class ConjoinError(Exception):
    """Root of all errors raised on purpose; the command line prints the message and exits with 1."""


class DataError(ConjoinError):
    """An annotated file or a document breaks its format; the message starts with `file:line:` where there is one."""


class SettingError(ConjoinError):
    """A setting, preset or override is unknown or out of range."""


class ModelError(ConjoinError):
    """A model folder or checkpoint is missing, incomplete or of another version."""


class LostProcessError(ConjoinError):
    """Another of the processes that train together has ended."""


class WorkerError(ConjoinError):
    """A process that did a part of the work ended before it was done."""


class MissingExtraError(ConjoinError):
    """A feature needs an optional dependency that is not installed."""


def require_extra(extra: str, package: str) -> MissingExtraError:
    """The error to raise when `package`, which the optional dependency group `extra` installs, cannot be imported."""
    return MissingExtraError(f"this needs the package '{package}'; install it with: pip install 'conjoin[{extra}]'")


def unknown_name(what: str, name: str, known: Iterable[str], *, listed_by: str = "") -> str:
    """One sentence for a name that is not in `known`, with the nearest valid one first.

    Many names are not listed where there is a command for it, `listed_by`.
    """
    choices = sorted(known)
    nearest = _nearest(name, choices)
    guess = f" (did you mean '{nearest}'?)" if nearest else ""
    remedy = f"'{listed_by}' lists them" if listed_by and len(choices) > MAX_LISTED else f"choose {_listed(choices)}"
    return f"unknown {what} '{name}'{guess}; {remedy}"


def _nearest(name: str, choices: list[str]) -> str | None:
    """The choice that is most like the name, or whose part after the last dot is."""
    last = {choice: choice.rpartition(".")[2] for choice in choices}
    wanted = name.rpartition(".")[2]
    alike = [choice for choice in choices if last[choice] == wanted]
    near = difflib.get_close_matches(name, alike or choices, n=1, cutoff=0.0 if alike else ALIKE)
    if near:
        return near[0]
    ends = difflib.get_close_matches(wanted, last.values(), n=1, cutoff=ALIKE)
    return next((choice for choice in choices if last[choice] in ends), None)


def _listed(names: list[str]) -> str:
    if len(names) < 2:
        return "".join(names) or "nothing: there is none"
    return ", ".join(names[:-1]) + " or " + names[-1]
