"""Files by path or address, against a server of our own on this machine."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from conjoin.errors import ModelError
from conjoin.storage.downloads import local_file

CONTENT = b"weights " * 1000
RIGHT = hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.path == "/missing.bin":
            self.send_error(404)
            return
        if self.path == "/bad.bin":
            self.wfile.write(b"garbage\r\n\r\n")
            return
        if self.path == "/chunk.bin":
            self.protocol_version = "HTTP/1.1"
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"10\r\n" + b"y" * 7)
            self.close_connection = True
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[:100] if self.path.startswith("/cut") else CONTENT)

    def log_message(self, *_: object) -> None:
        """Silence."""


@pytest.fixture
def server() -> Iterator[str]:
    Handler.asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def kept(cache: Path) -> list[Path]:
    return [path for path in cache.rglob("*") if path.is_file()]


def test_an_address_is_downloaded_once(server: str, tmp_path: Path) -> None:
    for _ in range(2):
        path = local_file(f"{server}/model.hdf5?x=1", sha256=RIGHT.upper(), cache=tmp_path)
        assert path.read_bytes() == CONTENT
        assert path.name.endswith("-model.hdf5")
    assert Handler.asked == ["/model.hdf5?x=1"]
    assert local_file(f"{server}/other.hdf5", sha256=None, cache=tmp_path) != path


def test_what_is_not_whole_or_another_file_leaves_nothing(server: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"cut.bin: .* 100 of 8,000 bytes; try again"):
        local_file(f"{server}/cut.bin", sha256=None, cache=tmp_path)
    with pytest.raises(ModelError, match=rf"model.bin.* SHA-256 .*{RIGHT}.*{'0' * 64}"):
        local_file(f"{server}/model.bin", sha256="0" * 64, cache=tmp_path)
    with pytest.raises(ModelError, match=r"missing.bin: .*HTTP Error 404"):
        local_file(f"{server}/missing.bin", sha256=None, cache=tmp_path)
    with pytest.raises(ModelError, match=r"x.bin: .*check the address"):
        local_file("http://127.0.0.1:9/x.bin", sha256=None, cache=tmp_path)
    assert kept(tmp_path) == []


def test_what_was_downloaded_is_checked_each_time(server: str, tmp_path: Path) -> None:
    address = f"{server}/model.hdf5"
    path = local_file(address, sha256=None, cache=tmp_path)  # without a checksum at first
    assert local_file(address, sha256=RIGHT, cache=tmp_path) == path
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(ModelError, match=rf"{path.name} \(.*{address}\): .*SHA-256 .*delete it"):
        local_file(address, sha256=RIGHT, cache=tmp_path)
    path.unlink()
    assert local_file(address, sha256=RIGHT, cache=tmp_path).read_bytes() == CONTENT


def test_blanks_and_letters_beyond_ascii_in_an_address(server: str, tmp_path: Path) -> None:
    for name in ("a b.bin", "å.bin", "a%20b.bin", "x.bin?q=å b&r=%20"):
        assert local_file(f"{server}/{name}", sha256=RIGHT, cache=tmp_path).read_bytes() == CONTENT
    assert Handler.asked == ["/a%20b.bin", "/%C3%A5.bin", "/a%20b.bin", "/x.bin?q=%C3%A5%20b&r=%20"]


@pytest.mark.parametrize(("address", "wrong"), [
    ("{server}/bad.bin", r"bad.bin: .*garbage.*check the address"),
    ("{server}/chunk.bin", r"chunk.bin: .*try again"),
    ("http://127.0.0.1:x/a.bin", r"a.bin: .*check the address"),
    ("http://[/a.bin", r"a.bin: .*check the address"),
    ("http://", r"http://: .*check the address"),
    ("s3://models/a.bin", r"s3://models/a.bin: .*http://"),
    ("file:///a.bin", r"file:///a.bin: .*http://.* path of a file"),
])
def test_answers_and_addresses_that_are_none(address: str, wrong: str, server: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=wrong):
        local_file(address.format(server=server), sha256=None, cache=tmp_path)
    assert kept(tmp_path) == []


def test_a_path_stays_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    path.write_bytes(CONTENT)
    assert local_file(str(path), sha256=RIGHT, cache=tmp_path / "cache") == path
    assert local_file("~/gone.bin", sha256=RIGHT, cache=tmp_path) == Path.home() / "gone.bin"
    with pytest.raises(ModelError, match=r"weights.bin.* download"):
        local_file(str(path), sha256="1" * 64, cache=tmp_path)
    assert not (tmp_path / "cache").exists()
