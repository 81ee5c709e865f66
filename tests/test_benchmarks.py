"""Result files of benchmarks name their data, and the sample corpus writes one of its own."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from conjoin.corpora.sample import sample_corpus

HOME = Path(__file__).parents[1]


def loaded(name: str, kind: str = "speed") -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"{kind}_{name}", HOME / f"benchmarks/{kind}/{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # data classes look there
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(sys, "path", [str(HOME / "benchmarks/speed"), *sys.path])
    return loaded("training")


@pytest.mark.parametrize("script", sorted((HOME / "benchmarks").glob("*/*.py")), ids=lambda path: path.stem)
def test_every_script_finds_what_it_imports(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(HOME / "benchmarks/speed"), *sys.path])
    assert loaded(script.stem, script.parent.name).__doc__


def test_the_page_on_speed_has_the_figures_of_the_result_files() -> None:
    page = (HOME / "docs/speed.md").read_text(encoding="utf-8")
    assert loaded("table").rendered(page) == page, "run python benchmarks/speed/table.py"


def test_the_sample_corpus_has_a_result_file_of_its_own(script: ModuleType) -> None:
    assert script.default_output(None).name == "training-sample.json"
    assert script.default_output("DATA/conll04/spert_json") == HOME / "benchmarks/speed/training.json"
    (line,) = [line for line in (HOME / "Makefile").read_text().splitlines() if "training.py" in line]
    assert "--output" not in line and "--data" not in line


def test_the_result_names_its_data(script: ModuleType) -> None:
    corpus = sample_corpus()
    sizes = {split: len(documents) for split, documents in corpus.splits.items()}
    assert script.described(None, corpus) == {"name": "sample", **sizes}
    assert script.described("/home/me/conll04/spert_json", corpus)["name"] == "conll04/spert_json"
    for file in (HOME / "benchmarks/speed").glob("training*.json"):
        assert {"name", "train", "test"} <= set(json.loads(file.read_text())["data"])
