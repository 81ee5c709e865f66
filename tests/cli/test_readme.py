"""What README tells a reader to type works as typed, but for a shorter training. The other pages: test_documentation.py."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest

from conjoin.errors import ModelError

HOME = Path(__file__).parents[2]
PAGES = [HOME / "README.md", *sorted((HOME / "docs").glob("*.md"))]
README = (HOME / "README.md").read_text(encoding="utf-8")


def blocks(page: str, language: str = "") -> list[str]:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    return [body for name, body in fenced if name == language]


def commands(page: str) -> list[list[str]]:
    """The lines of a page's unmarked code blocks that call conjoin, split as a shell splits them."""
    lines = "\n".join(blocks(page)).replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("conjoin ")]


def test_every_make_target_exists() -> None:
    targets = re.findall(r"^([a-z]+):", (HOME / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"\bmake ([a-z]+)", README)) <= set(targets)
    for script in re.findall(r"python (benchmarks/\S+)", README):
        assert (HOME / script).is_file()


def test_every_link_and_extra_is_there() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8")):
            assert (page.parent / target).is_file(), (page, target)
    extras = tomllib.loads((HOME / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = re.findall(r"^pip install (?:-e )?'\.\[([\w,]+)\]'", "\n".join(blocks(README)), re.MULTILINE)
    assert named
    assert {extra for names in named for extra in names.split(",")} <= set(extras)
    assert all(name in README for name in ("docs/demo.png", "Thresholds(", ". .venv/bin/activate"))


def test_what_the_readme_writes_is_not_put_under_version_control() -> None:
    ignored = (HOME / ".gitignore").read_text().splitlines()
    assert {"/run/", "/runs/", "/demo-run/", "/demo.html"} <= set(ignored)


def test_the_python_and_then_the_commands(
    conjoin: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "src/conjoin/corpora").mkdir(parents=True)
    (tmp_path / "src/conjoin/corpora/sample").symlink_to(HOME / "src/conjoin/corpora/sample")
    monkeypatch.chdir(tmp_path)
    (code,) = blocks(README, "python")
    assert "training.epochs=8" in code
    code = code.replace("training.epochs=8", "training.epochs=1")
    exec(code, {})
    assert (tmp_path / "runs/first/model/README.md").is_file()
    with pytest.raises(ModelError, match=r"--overwrite \(overwrite=True\)"):
        exec(code, {})
    for arguments in commands(README):
        if any(argument.startswith("DATA/") for argument in arguments):  # the runs behind the scores
            continue
        if arguments[0] == "train":
            arguments += ["--set", "training.epochs=2"]
        result = conjoin(*arguments)
        assert result.code == 0, (arguments, result.err)
        assert result.out, arguments
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["curves.png", "history.jsonl", "model"]
