"""Runs `conjoin` inside this process, which spares every test the import of torch."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from conjoin.cli import main
from conjoin.document import Document
from conjoin.readers import write_documents


@dataclass(frozen=True, slots=True)
class Result:
    """Exit code, standard output and standard error of a command."""

    code: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """The one line on standard error of a command that failed; no traceback, and a place or a remedy."""
        assert self.code == 1, (self.out, self.err)
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("conjoin: ")
        return lines[0].removeprefix("conjoin: ")


Run = Callable[..., Result]


@pytest.fixture
def conjoin(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`conjoin("extract", run, "-", stdin=b"text")`."""

    def run(*arguments: object, stdin: bytes = b"") -> Result:
        monkeypatch.setattr(sys, "argv", ["conjoin", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        capsys.readouterr()
        code: object = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return Result(int(str(code)), captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def corpus_folder(documents: list[Document], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train.jsonl, dev.jsonl and test.jsonl, each with the three documents."""
    folder = tmp_path_factory.mktemp("corpus")
    for split in ("train", "dev", "test"):
        write_documents(documents, folder / f"{split}.jsonl", "jsonl")
    return folder


@pytest.fixture
def settings(small: list[str]) -> list[str]:
    """`--set` options for a training of two epochs."""
    return [part for value in (*small, "training.epochs=2") for part in ("--set", value)]
