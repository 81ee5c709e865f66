"""Models on a hub, against a stand-in that keeps files in memory."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from conjoin.errors import ModelError
from conjoin.extractor import Extractor

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(BaseHTTPRequestHandler):
    """What a hub answers to who makes a repository, commits to it and fetches from it."""

    files: dict[str, bytes]
    asked: list[str]
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.asked.append(self.path)
        if self.headers.get("authorization") != "Bearer secret":
            self.answer(401, {"error": "who are you?"})
        elif self.path == "/api/repos/create":
            self.answer(200, {"url": f"{self.home}/me/mine", "name": "me/mine"})
        elif self.path == "/api/validate-yaml":
            self.answer(200, {"errors": [], "warnings": []})
        elif "/preupload/" in self.path:
            files = [{"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                     for file in json.loads(body)["files"]]
            self.answer(200, {"files": files})
        elif "/commit/" in self.path:
            for line in body.splitlines():
                row = json.loads(line)
                if row["key"] == "file":
                    self.files[row["value"]["path"]] = base64.b64decode(row["value"]["content"])
            self.answer(200, {"commitUrl": f"{self.home}/me/mine/commit/{COMMIT}", "commitOid": COMMIT, "success": True})
        else:
            self.answer(404, {"error": "no such thing"})

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if match := re.fullmatch(r"/me/mine/resolve/\w+/(.+)", self.path):
            self.send(self.files.get(match[1]))
        elif re.fullmatch(r"/api/models/me/mine(/revision/\w+)?(\?.*)?", self.path):
            siblings = [{"rfilename": name} for name in self.files]
            self.answer(200, {"id": "me/mine", "sha": COMMIT, "private": False, "siblings": siblings, "tags": [],
                              "downloads": 0, "likes": 0})
        elif re.fullmatch(r"/api/models/me/mine/tree/\w+.*", self.path):
            self.answer(200, [{"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
                              for name, data in self.files.items()])
        else:
            self.answer(404, {"error": "Repository not found"}, code="RepoNotFound")

    def do_HEAD(self) -> None:
        self.do_GET()

    @property
    def home(self) -> str:
        return f"http://{self.headers['host']}"

    def answer(self, status: int, value: object, code: str | None = None) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        if code:
            self.send_header("x-error-code", code)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def send(self, data: bytes | None) -> None:
        if data is None:
            self.answer(404, {"error": "Entry not found"}, code="EntryNotFound")
            return
        self.send_response(200)
        self.send_header("etag", f'"{hashlib.sha1(data).hexdigest()}"')
        self.send_header("x-repo-commit", COMMIT)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


@pytest.fixture
def hub() -> Iterator[tuple[str, type[Hub]]]:
    handler = type("Handler", (Hub,), {"files": {}, "asked": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", handler
        server.shutdown()
        thread.join()


def python(code: str, endpoint: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Whether the hub may be asked is settled when its client is imported: another process."""
    environment = {"HF_ENDPOINT": endpoint, "HF_HOME": str(folder / "hub"), "HF_HUB_DISABLE_PROGRESS_BARS": "1",
                   "PATH": "", "HOME": str(folder), "HF_HUB_DISABLE_XET": "1"}
    return subprocess.run([sys.executable, "-W", "ignore", "-c", code], env=environment, capture_output=True, text=True)


def test_a_model_goes_to_the_hub_and_comes_back(
    hub: tuple[str, type[Hub]], trained_run: Path, tmp_path: Path
) -> None:
    endpoint, handler = hub
    done = python(f"""
from conjoin import Extractor
print(Extractor.load({str(trained_run)!r}).push_to_hub("me/mine", token="secret"))
""", endpoint, tmp_path)
    assert done.stdout.strip() == f"{endpoint}/me/mine/commit/{COMMIT}", done.stderr
    expected_files = {"config.json", "schema.json", "weights.safetensors", "README.md", "encoder/tokenizer.json"}
    assert expected_files <= set(handler.files)
    assert handler.files["README.md"].startswith(b"---\nlibrary_name: conjoin\n")
    handler.files |= {"code.py": b"raise SystemExit('run')", "pickle.bin": b"x"}
    done = python("""
from conjoin import Extractor
print(Extractor.from_pretrained("me/mine")("Lee Oswald shot Kennedy in Dallas .", id="d").to_json_line())
""", endpoint, tmp_path)
    expected = Extractor.load(trained_run)("Lee Oswald shot Kennedy in Dallas .", id="d")
    assert done.stdout.strip() == expected.to_json_line(), done.stderr
    assert not any("code.py" in path or "pickle" in path for path in handler.asked), "nothing else is fetched"


def test_what_the_hub_refuses_is_one_sentence(hub: tuple[str, type[Hub]], trained_run: Path, tmp_path: Path) -> None:
    endpoint, _ = hub
    code = """
from conjoin import ConjoinError, Extractor
try:
    {}
except ConjoinError as error:
    print(type(error).__name__, error)
"""
    load = f"Extractor.load({str(trained_run)!r})"
    for call, message in (
        ('Extractor.from_pretrained("me/other")', "ModelError cannot fetch the model 'me/other': "),
        ('Extractor.from_pretrained("a b c")', "ModelError cannot fetch the model 'a b c': "),
        ('Extractor.from_pretrained("me/mine")', "ModelError 'me/mine' on the hub is no conjoin model"),
        (f'{load}.push_to_hub("me/mine", token="wrong")', "ModelError cannot put the model on the hub as 'me/mine': "),
    ):
        done = python(code.format(call), endpoint, tmp_path)
        assert done.stdout.startswith(message) and len(done.stdout.splitlines()) == 1, (call, done.stdout, done.stderr)
    done = python(code.format(f'{load}.push_to_hub("me/mine", token="x")'), "http://127.0.0.1:9", tmp_path)
    assert done.stdout.startswith("ModelError cannot put the model on the hub"), (done.stdout, done.stderr)


def test_a_folder_is_a_folder(trained_run: Path, tmp_path: Path) -> None:
    assert Extractor.from_pretrained(trained_run).schema == Extractor.load(trained_run).schema
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="empty: "):
        Extractor.from_pretrained(tmp_path / "empty")
