"""Downloads of corpora, against a server of our own that cuts connections, sends other bytes or knows no ranges."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from conjoin.corpora.public import LICENSED, PUBLIC, CorpusFile, PublicCorpus, fetch
from conjoin.errors import DataError, SettingError

DATA = Path(os.environ.get("CONJOIN_DATA", "/nowhere"))
BODY = bytes(range(256)) * 2000


@dataclass
class Server:
    """What the server does: bytes after which each answer is cut, whether it knows ranges, and what it was asked."""

    address: str = ""
    body: bytes = BODY
    cuts: list[int] = field(default_factory=list)
    ranges: bool = True
    asked: list[str | None] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.asked.append(self.headers.get("Range"))
            if self.path != "/file":
                self.send_error(404)
                return
            start = int((self.headers.get("Range") or "bytes=0-")[6:-1]) if state.ranges else 0
            if start >= len(state.body):
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(state.body) - start))
            self.end_headers()
            cut = state.cuts.pop(0) if state.cuts else len(state.body)
            self.wfile.write(state.body[start : start + cut])

        def log_message(self, format: str, *args: object) -> None:
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.address = f"http://127.0.0.1:{running.server_port}"
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    yield state
    running.shutdown()
    thread.join()
    running.server_close()


def corpora(*addresses: str) -> dict[str, PublicCorpus]:
    file = CorpusFile("data.txt", addresses, hashlib.sha256(BODY).hexdigest())
    return {"tiny": PublicCorpus("tiny", (file,), "nobody's", "a note")}


def test_a_file_is_fetched_once_with_progress(server: Server, tmp_path: Path) -> None:
    heard: list[tuple[str, int, int | None]] = []
    known = corpora(f"{server.address}/file")
    (path,) = fetch("tiny", tmp_path / "new/folder", corpora=known, progress=lambda *told: heard.append(told))
    assert path.read_bytes() == BODY
    assert heard[-1] == ("data.txt", len(BODY), len(BODY))
    assert [name for name, _, _ in heard] == ["data.txt"] * len(heard)
    assert len(heard) > 2
    assert fetch("tiny", tmp_path / "new/folder", corpora=known) == [path]
    assert server.asked == [None]


def test_a_cut_connection_goes_on_where_it_was(server: Server, tmp_path: Path) -> None:
    server.cuts = [100_000, 150_000]
    known = corpora(f"{server.address}/file")
    with pytest.raises(DataError, match=r"data\.txt .*cut after 100,000 of 512,000 bytes; .* command .*\.data\.txt\.part"):
        fetch("tiny", tmp_path, corpora=known)
    assert not (tmp_path / "data.txt").exists()
    with pytest.raises(DataError, match=r"cut after 250,000 of 512,000"):
        fetch("tiny", tmp_path, corpora=known)
    fetch("tiny", tmp_path, corpora=known)
    assert (tmp_path / "data.txt").read_bytes() == BODY
    assert server.asked == [None, "bytes=100000-", "bytes=250000-"]
    assert [path.name for path in tmp_path.iterdir()] == ["data.txt"]


def test_a_server_without_ranges_begins_anew(server: Server, tmp_path: Path) -> None:
    server.cuts, server.ranges = [100_000], False
    known = corpora(f"{server.address}/file")
    with pytest.raises(DataError):
        fetch("tiny", tmp_path, corpora=known)
    fetch("tiny", tmp_path, corpora=known)
    assert (tmp_path / "data.txt").read_bytes() == BODY


def test_other_bytes_are_refused_and_not_kept(server: Server, tmp_path: Path) -> None:
    server.body = BODY[:-1] + b"x"
    with pytest.raises(DataError, match=r"other content than was published \(its checksum differs\)$"):
        fetch("tiny", tmp_path, corpora=corpora(f"{server.address}/file"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("size", [len(BODY), len(BODY) + 10])
def test_a_part_that_is_too_long_is_fetched_anew(server: Server, tmp_path: Path, size: int) -> None:
    (tmp_path / ".data.txt.part").write_bytes(b"?" * size)
    fetch("tiny", tmp_path, corpora=corpora(f"{server.address}/file"))
    assert (tmp_path / "data.txt").read_bytes() == BODY


def test_the_next_address_is_tried(server: Server, tmp_path: Path) -> None:
    fetch("tiny", tmp_path, corpora=corpora(f"{server.address}/gone", "http://127.0.0.1:9/file", f"{server.address}/file"))
    assert (tmp_path / "data.txt").read_bytes() == BODY
    with pytest.raises(DataError, match=r"gone: HTTP Error 404.*127\.0\.0\.1:9/file: .*refused"):
        fetch("tiny", tmp_path / "none", corpora=corpora(f"{server.address}/gone", "http://127.0.0.1:9/file"))


def test_a_file_of_ones_own_is_not_overwritten(server: Server, tmp_path: Path) -> None:
    (tmp_path / "data.txt").write_text("mine")
    with pytest.raises(DataError, match=r"data\.txt: is not the published file"):
        fetch("tiny", tmp_path, corpora=corpora(f"{server.address}/file"))
    assert (tmp_path / "data.txt").read_text() == "mine"


@pytest.mark.parametrize("name", LICENSED)
def test_licensed_corpora_say_where_to_apply(name: str, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"is licensed .*; apply to .*https://.*conjoin check"):
        fetch(name, tmp_path)


def test_unknown_corpora(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"unknown corpus 'conll40' \(did you mean 'conll04'"):
        fetch("conll40", tmp_path)


@pytest.mark.skipif(not DATA.is_dir(), reason="CONJOIN_DATA names no folder")
def test_published_checksums_are_of_the_real_files() -> None:
    places = {"conll04": "conll04/bekou", "conll04-spert": "conll04/spert_json", "ade": "ade"}
    for name, corpus in PUBLIC.items():
        for file in corpus.files:
            found = hashlib.sha256((DATA / places[name] / file.name).read_bytes()).hexdigest()
            assert found == file.sha256, file.name


def test_without_a_connection_nothing_is_left_behind(tmp_path: Path) -> None:
    file = CorpusFile("train.txt", ("http://127.0.0.1:1/a", "http://127.0.0.1:1/b"), "0" * 64)
    corpora = {"x": PublicCorpus("x", (file,), "", "")}
    folder = tmp_path / "new" / "x"
    with pytest.raises(DataError) as caught:
        fetch("x", folder, corpora=corpora)
    assert str(caught.value).startswith("train.txt ")
    assert "connection to 127.0.0.1; " in str(caught.value) and str(folder) in str(caught.value)
    assert not folder.parent.exists()
