"""The exceptions of conjoin. Each message names the place and the remedy in one sentence."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

MAX_LISTED = 14  # names in one sentence
MIN_SIMILARITY = 0.65  # of a suggested name, from 0 to 1
TRAIN_EXTRA = frozenset({"accelerate", "matplotlib", "torch", "transformers"})  # packages of conjoin[train]


class ConjoinError(Exception):
    """Base class of all errors; the command line prints the message and exits with 1."""


class DataError(ConjoinError):
    """An annotated file or a document breaks its format; the message starts with `file:line:` where there is one."""


class SettingError(ConjoinError):
    """A setting, preset or override is unknown or out of range."""


class ModelError(ConjoinError):
    """A model folder or checkpoint is missing, incomplete or of another version."""


class LostProcessError(ConjoinError):
    """Another process of distributed training has ended."""


class WorkerError(ConjoinError):
    """A worker process ended before its work was done."""


class MissingExtraError(ConjoinError):
    """A feature needs an optional dependency that is not installed."""


def require_extra(extra: str, package: str) -> MissingExtraError:
    """The error for a `package` that cannot be imported and that the optional dependency group `extra` installs."""
    return MissingExtraError(f"this needs the package '{package}'; install it with: pip install 'conjoin[{extra}]'")


@contextmanager
def needs_extra(extra: str, package: str) -> Iterator[None]:
    """Raise `MissingExtraError` when an import inside the block fails."""
    try:
        yield
    except ImportError as error:
        raise require_extra(extra, package) from error


@contextmanager
def needs_train_extra() -> Iterator[None]:
    """Raise `MissingExtraError` when an import inside the block or decorated function lacks a package of conjoin[train]."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in TRAIN_EXTRA:
            raise
        raise require_extra("train", package) from error


def unknown_name(what: str, name: str, known: Iterable[str], *, listed_by: str = "") -> str:
    """The message for a name (of a format, say: `what`) that is not `known`, with the nearest known name.

    `listed_by` is a command that lists the known names; the message names it instead of a long list.
    """
    choices = sorted(known)
    nearest = _nearest(name, choices)
    guess = f" (did you mean '{nearest}'?)" if nearest else ""
    remedy = f"'{listed_by}' lists them" if listed_by and len(choices) > MAX_LISTED else f"choose {_listed(choices)}"
    return f"unknown {what} '{name}'{guess}; {remedy}"


def _nearest(name: str, choices: list[str]) -> str | None:
    """The choice most similar to the name, as a whole or in the part after the last dot."""
    last = {choice: choice.rpartition(".")[2] for choice in choices}
    last_part = name.rpartition(".")[2]
    same_last = [choice for choice in choices if last[choice] == last_part]
    near = difflib.get_close_matches(name, same_last or choices, n=1, cutoff=0.0 if same_last else MIN_SIMILARITY)
    if near:
        return near[0]
    ends = difflib.get_close_matches(last_part, last.values(), n=1, cutoff=MIN_SIMILARITY)
    return next((choice for choice in choices if last[choice] in ends), None)


def _listed(names: list[str]) -> str:
    if len(names) < 2:
        return "".join(names) or "nothing: there is none"
    return ", ".join(names[:-1]) + " or " + names[-1]
