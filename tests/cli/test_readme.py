"""Runs what README shows, with a shorter training. The pages of docs/: test_documentation.py."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from conjoin import Document, Extractor, load_config
from conjoin.config.settings import Config
from conjoin.errors import ModelError
from conjoin.readers import write_documents

HOME = Path(__file__).parents[2]
PAGES = [HOME / "README.md", HOME / "ARCHITECTURE.md", HOME / "benchmarks/README.md", *sorted((HOME / "docs").glob("*.md"))]
README = (HOME / "README.md").read_text(encoding="utf-8")


def blocks(page: str, language: str = "") -> list[str]:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    return [body for name, body in fenced if name == language]


def commands(page: str) -> list[list[str]]:
    """The commands of conjoin in a page's unmarked code blocks, as lists of words."""
    lines = "\n".join(blocks(page)).replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("conjoin ")]


def test_every_make_target_exists() -> None:
    targets = re.findall(r"^([a-z]+):", (HOME / "Makefile").read_text(), re.MULTILINE)
    for page in PAGES:
        assert set(re.findall(r"`make ([a-z]+)`", page.read_text("utf-8"))) <= set(targets), page.name


def test_links_go_to_files_and_headings_that_exist() -> None:
    for page in PAGES:
        text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
        for target in re.findall(r"\]\(([^)]+)\)", text):
            file, _, heading = target.partition("#")
            if ":" in file:
                assert file.startswith("https://"), (page.name, target)
                continue
            other = page.parent / file if file else page
            assert other.is_file(), (page.name, target)
            if heading and other.name != "api.md":
                assert heading in anchors(other), (page.name, target)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as MkDocs and GitHub make them of plain words."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    words = (re.sub(r"[^\w\s-]", "", heading.lower()).strip() for heading in headings)
    return {re.sub(r"[\s-]+", "-", heading) for heading in words}


def test_the_install_lines_name_extras_that_exist() -> None:
    extras = tomllib.loads((HOME / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    names = re.findall(r"pip install -e '\.\[([\w,]+)\]'", README)
    assert names
    assert {extra for group in names for extra in group.split(",")} <= set(extras)


def test_the_picture_is_small() -> None:
    assert "(docs/demo.png)" in README
    assert (HOME / "docs/demo.png").stat().st_size < 60_000


def test_outputs_of_the_readme_are_not_put_under_version_control() -> None:
    ignored = (HOME / ".gitignore").read_text().splitlines()
    assert {"/run/", "/runs/", "/demo-run/", "/demo.html"} <= set(ignored)


def test_the_python_and_then_the_commands(
    conjoin: Any, encoder: str, documents: list[Document], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for split in ("train", "dev", "test"):
        write_documents(documents, tmp_path / "sample" / f"{split}.jsonl", "jsonl")
    short = [f"encoder.name='{encoder}'", "training.epochs=1"]

    def load_short(preset: str, overrides: Sequence[str]) -> Config:
        return load_config(preset, [*overrides, *short])

    monkeypatch.setattr("conjoin.config.presets.load_config", load_short)
    (code,) = blocks(README, "python")
    exec(code, {})
    assert (tmp_path / "runs/first/model/README.md").is_file()
    with pytest.raises(ModelError, match=r"--overwrite \(overwrite=True\)"):
        exec(code, {})
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    for arguments in commands(README):
        options = [part for value in short for part in ("--set", value)] if arguments[0] == "train" else []
        result = conjoin(*arguments, *options)
        assert result.code == 0, (arguments, result.err)
        assert result.out, arguments
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["curves.png", "history.jsonl", "model"]


def test_the_printed_result_has_the_form_of_what_the_python_prints(
    trained_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The block of results is that of a whole training; here the last lines run on a model that is at hand."""
    (code,), (printed,) = blocks(README, "python"), blocks(README, "text")
    text = re.findall(r'extractor\("(.+)"\)', code)[0]
    for line in printed.splitlines():
        entity = re.fullmatch(r"\w+ (.+) (\d+) (\d+)", line)
        if entity:
            assert text[int(entity[2]) : int(entity[3])] == entity[1]
        else:
            head, type, tail = re.fullmatch(r"(.+) (\w+_\w+) (.+) [01]\.\d\d", line).groups()  # type: ignore[union-attr]
            assert head in text and tail in text and type
    last_lines = code[code.index("document = ") :].replace(text, "Maria Ortiz leads the Halden Steel of Leeds .")
    exec(last_lines, {"extractor": Extractor.load(trained_run)})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Peop Maria Ortiz 0 11"
    assert re.fullmatch(r"Maria Ortiz Work_For Halden Steel [01]\.\d\d", lines[-2])
