"""Where conjoin keeps what it can compute or download again."""

from __future__ import annotations

import os
from pathlib import Path

CACHE_LIMIT = 20.0  # GB of frozen encoders' vectors


def cache_folder() -> Path:
    """$CONJOIN_CACHE, else conjoin/ in the user's cache folder."""
    given = os.environ.get("CONJOIN_CACHE")
    if given:
        return Path(given).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "conjoin"
