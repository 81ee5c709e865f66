"""Files by path or address, and downloads that resume."""

from __future__ import annotations

import hashlib
import http.client
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from conjoin.errors import ModelError
from conjoin.storage.atomic import atomic_file

Progress = Callable[[int, int | None], None]  # bytes so far, bytes in all if known
TIMEOUT_SECONDS = 60
BLOCK = 1 << 16
UNESCAPED = "/%:@!$&'()*+,;=~?"


def local_file(source: str, *, sha256: str | None, cache: Path) -> Path:
    """The local path of a file; one with an http(s) address is downloaded into the cache once.

    Raises `ModelError` when the file cannot be downloaded or has another checksum.
    """
    scheme, separator, _ = source.partition("://")
    if not separator:
        path = Path(source).expanduser()
        if path.is_file():
            _check(path, sha256, source)
        return path
    if scheme.lower() not in ("http", "https"):
        raise ModelError(f"{source}: an address begins with http:// or https://; give one of these, or the path of a file")
    name = Path(source.partition("?")[0].partition("#")[0]).name
    path = cache / "downloads" / f"{hashlib.sha256(source.encode()).hexdigest()[:16]}-{name}"
    if path.is_file():
        _check(path, sha256, f"{path} (downloaded from {source})", remedy="delete it, and it is downloaded again")
        return path
    with atomic_file(path) as temporary:
        _fetch(source, temporary)
        _check(temporary, sha256, source)
    return path


def _fetch(source: str, path: Path) -> None:
    """As `download`, with a `ModelError` that names a remedy."""
    try:
        download(source, path, lambda done, total: None)
    except ConnectionError as error:
        raise ModelError(f"{source}: {error}; try again") from error
    except (OSError, http.client.HTTPException, ValueError) as error:  # ValueError: a port or host that is none
        raise ModelError(f"{source}: cannot be downloaded ({str(error).strip()}); check the address and the connection, or "
                         "give the path of a file") from error


def download(address: str, path: Path, progress: Progress) -> None:
    """Download an address into `path`; a partial file is continued if the server allows it.

    Raises `ConnectionError` when the connection is cut, and the partial file stays; `OSError`, `HTTPException` or
    `ValueError` when the address cannot be read.
    """
    done = path.stat().st_size if path.exists() else 0
    request = urllib.request.Request(_quote(address), headers={"Range": f"bytes={done}-"} if done else {})
    try:
        answer = urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        if not done or error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        path.unlink()  # as long as the whole file, or longer: nothing can be appended
        download(address, path, progress)
        return
    with answer:
        if answer.status != http.HTTPStatus.PARTIAL_CONTENT:
            done = 0
        length = answer.headers.get("Content-Length")
        total = done + int(length) if length is not None else None
        with path.open("ab" if done else "wb") as file:
            for block in _blocks(answer):
                file.write(block)
                done += len(block)
                progress(done, total)
    if total is not None and done < total:
        raise ConnectionError(f"the connection was cut after {done:,} of {total:,} bytes")


def unreachable(address: str, error: Exception) -> str | None:
    """The host of the address if the error is a failed connection, else None."""
    if not isinstance(error, urllib.error.URLError) or isinstance(error, urllib.error.HTTPError):
        return None
    if not isinstance(error.reason, OSError) or isinstance(error.reason, ssl.SSLError):
        return None
    return urllib.parse.urlsplit(address).hostname


def _blocks(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    try:
        while block := answer.read(BLOCK):
            yield block
    except http.client.IncompleteRead as error:
        raise ConnectionError("the connection was cut") from error


def sha256_of(path: Path) -> str:
    """The SHA-256 checksum of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _quote(source: str) -> str:
    """The address with blanks and non-ASCII letters as %XX; escapes in it stay."""
    parts = urllib.parse.urlsplit(source)
    path, query = (urllib.parse.quote(part, safe=UNESCAPED) for part in (parts.path, parts.query))
    return urllib.parse.urlunsplit(parts._replace(path=path, query=query))


def _check(path: Path, sha256: str | None, source: str, *, remedy: str = "download it again") -> None:
    if sha256 and (checksum := sha256_of(path)) != sha256.lower():
        raise ModelError(f"{source}: has the SHA-256 checksum {checksum}, where {sha256.lower()} is expected; it is "
                         f"another file, or damaged: {remedy}")
