"""Files that are given by path or by address."""

from __future__ import annotations

import hashlib
import shutil
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from conjoin.errors import ModelError
from conjoin.files import whole_file

TIMEOUT_SECONDS = 60


def local_file(source: str, *, sha256: str | None, cache: Path) -> Path:
    """The file of a path, or of an http(s) address, which is downloaded into `cache` once.

    With `sha256` its checksum must be that. Raises `ModelError` when it cannot be had whole; nothing is left half written.
    """
    address = urllib.parse.urlsplit(source)
    if address.scheme not in ("http", "https"):
        path = Path(source).expanduser()
        if sha256 and path.is_file():
            _check(path, sha256, source)
        return path
    name = Path(address.path).name or "file"
    path = cache / "downloads" / f"{hashlib.sha256(source.encode()).hexdigest()[:16]}-{name}"
    if not path.is_file():
        with whole_file(path) as temporary:
            _download(source, temporary)
            if sha256:
                _check(temporary, sha256, source)
    return path


def _download(source: str, path: Path) -> None:
    try:
        with urllib.request.urlopen(source, timeout=TIMEOUT_SECONDS) as answer, path.open("wb") as file:
            shutil.copyfileobj(answer, file)
            promised = answer.headers.get("Content-Length")
    except (urllib.error.URLError, OSError) as error:
        raise ModelError(f"{source}: cannot be downloaded ({error}); check the address and the connection, or give the "
                         "path of a file") from error
    if promised is not None and path.stat().st_size != int(promised):
        raise ModelError(f"{source}: the connection was cut after {path.stat().st_size} of {promised} bytes; try again")


def _check(path: Path, sha256: str, source: str) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256.lower():
        raise ModelError(f"{source}: has the SHA-256 checksum {found}, where {sha256.lower()} is expected; it is another "
                         "file, or damaged: download it again")
