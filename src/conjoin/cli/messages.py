"""Messages to the user: lines on standard error, not wrapped, so that a line in a log is a line."""

from __future__ import annotations

import typer


def message(text: str) -> None:
    """Print a line on standard error."""
    typer.echo(text, err=True)


def stopped(sentence: str) -> typer.Exit:
    """Print a sentence on how to go on after Ctrl-C; returns the exception to raise."""
    message(sentence)
    return typer.Exit(130)  # the exit code after Ctrl-C
