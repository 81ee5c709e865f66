"""The cache folder, for files that can be computed or downloaded again."""

from __future__ import annotations

import os
from pathlib import Path

CACHE_LIMIT = 20.0  # GB of frozen encoders' vectors


def cache_folder() -> Path:
    """$CONJOIN_CACHE, else conjoin/ in the user's cache folder."""
    folder = os.environ.get("CONJOIN_CACHE")
    if folder:
        return Path(folder).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "conjoin"
