"""Where messages go: standard error, not wrapped, so that a line in a log is a line."""

from __future__ import annotations

import typer
from rich.console import Console

INTERRUPTED = 130  # the exit code after Ctrl-C


def messages() -> Console:
    """A console for one-line messages; nothing is coloured by itself, and a terminal wraps as it likes."""
    return Console(stderr=True, soft_wrap=True, highlight=False)


def stopped(sentence: str) -> typer.Exit:
    """What to raise after Ctrl-C, which is told in one sentence."""
    messages().print(sentence, markup=False)
    return typer.Exit(INTERRUPTED)
