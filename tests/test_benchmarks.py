"""Result files of benchmarks name their data, and the sample corpus writes one of its own."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

from conjoin.sample import sample_corpus

HOME = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("encoder_ratio", HOME / "benchmarks/speed/encoder_ratio.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_sample_corpus_has_a_result_file_of_its_own(script: ModuleType) -> None:
    assert script.default_output(None).name == "encoder_ratio-sample.json"
    assert script.default_output("DATA/conll04/spert_json") == HOME / "benchmarks/speed/encoder_ratio.json"
    (line,) = [line for line in (HOME / "Makefile").read_text().splitlines() if "encoder_ratio.py" in line]
    assert "--output" not in line and "--data" not in line


def test_the_result_names_its_data(script: ModuleType) -> None:
    corpus = sample_corpus()
    sizes = {split: len(documents) for split, documents in corpus.splits.items()}
    assert script.described(None, corpus) == {"name": "sample", **sizes}
    assert script.described("/home/me/conll04/spert_json", corpus)["name"] == "conll04/spert_json"
    for file in (HOME / "benchmarks/speed").glob("encoder_ratio*.json"):
        assert {"name", "train", "test"} <= set(json.loads(file.read_text())["data"])
