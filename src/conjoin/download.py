"""Files that are given by path or by address."""

from __future__ import annotations

import hashlib
import http.client
import shutil
import urllib.parse
import urllib.request
from pathlib import Path

from conjoin.errors import ModelError
from conjoin.files import whole_file

TIMEOUT_SECONDS = 60
UNESCAPED = "/%:@!$&'()*+,;=~?"


def local_file(source: str, *, sha256: str | None, cache: Path) -> Path:
    """The file of a path, or of an http(s) address, which is downloaded into `cache` once.

    With `sha256` its checksum must be that, each time. Raises `ModelError` when it cannot be had whole; nothing is left
    half written.
    """
    scheme, found, _ = source.partition("://")
    if not found:
        path = Path(source).expanduser()
        if sha256 and path.is_file():
            _check(path, sha256, source)
        return path
    if scheme.lower() not in ("http", "https"):
        raise ModelError(f"{source}: an address begins with http:// or https://; give one of these, or the path of a file")
    name = Path(source.partition("?")[0].partition("#")[0]).name
    path = cache / "downloads" / f"{hashlib.sha256(source.encode()).hexdigest()[:16]}-{name}"
    if path.is_file():
        if sha256:
            _check(path, sha256, f"{path} (downloaded from {source})", remedy="delete it, and it is downloaded again")
        return path
    with whole_file(path) as temporary:
        _download(source, temporary)
        if sha256:
            _check(temporary, sha256, source)
    return path


def _download(source: str, path: Path) -> None:
    try:
        with urllib.request.urlopen(_quoted(source), timeout=TIMEOUT_SECONDS) as answer, path.open("wb") as file:
            shutil.copyfileobj(answer, file)
            promised = int(answer.headers.get("Content-Length", -1))
    except http.client.IncompleteRead as error:
        raise ModelError(f"{source}: the connection was cut; try again") from error
    except (OSError, http.client.HTTPException, ValueError) as error:  # ValueError: a port or host that is none
        raise ModelError(f"{source}: cannot be downloaded ({str(error).strip()}); check the address and the connection, or "
                         "give the path of a file") from error
    if promised not in (-1, path.stat().st_size):
        raise ModelError(f"{source}: the connection was cut after {path.stat().st_size} of {promised} bytes; try again")


def _quoted(source: str) -> str:
    """The address with blanks and letters beyond ASCII as %XX; what is escaped already stays."""
    parts = urllib.parse.urlsplit(source)
    path, query = (urllib.parse.quote(part, safe=UNESCAPED) for part in (parts.path, parts.query))
    return urllib.parse.urlunsplit(parts._replace(path=path, query=query))


def _check(path: Path, sha256: str, source: str, *, remedy: str = "download it again") -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256.lower():
        raise ModelError(f"{source}: has the SHA-256 checksum {found}, where {sha256.lower()} is expected; it is another "
                         f"file, or damaged: {remedy}")
