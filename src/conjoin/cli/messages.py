"""Where messages go: standard error, not wrapped, so that a line in a log is a line."""

from __future__ import annotations

from rich.console import Console


def messages() -> Console:
    """A console for one-line messages; nothing is coloured by itself, and a terminal wraps as it likes."""
    return Console(stderr=True, soft_wrap=True, highlight=False)
