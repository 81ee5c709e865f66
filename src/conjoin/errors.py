"""The errors that conjoin raises on purpose. Each message names the place and the remedy in one sentence."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ConjoinError(Exception):
    """Root of all errors raised on purpose; the command line prints the message and exits with 1."""


class DataError(ConjoinError):
    """An annotated file or a document breaks its format; the message starts with `file:line:` where there is one."""


class SettingError(ConjoinError):
    """A setting, preset or override is unknown or out of range."""


class ModelError(ConjoinError):
    """A model folder or checkpoint is missing, incomplete or of another version."""


class MissingExtraError(ConjoinError):
    """A feature needs an optional dependency that is not installed."""


def require_extra(extra: str, package: str) -> MissingExtraError:
    """The error to raise when `package`, which the optional dependency group `extra` installs, cannot be imported."""
    return MissingExtraError(f"this needs the package '{package}'; install it with: pip install 'conjoin[{extra}]'")


def unknown_name(what: str, name: str, known: Iterable[str]) -> str:
    """One sentence for a name that is not in `known`, with the nearest valid one first."""
    choices = sorted(known)
    nearest = difflib.get_close_matches(name, choices, n=1, cutoff=0.6)
    guess = f" (did you mean '{nearest[0]}'?)" if nearest else ""
    return f"unknown {what} '{name}'{guess}; choose {_listed(choices)}"


def _listed(names: list[str]) -> str:
    if len(names) < 2:
        return "".join(names) or "nothing: there is none"
    return ", ".join(names[:-1]) + " or " + names[-1]
