"""Attention: rows that sum to one, patterns by hand, pictures and pages with the selected layers and heads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conjoin import Extractor
from conjoin.artifacts.model_folder import read_contents
from conjoin.artifacts.weights import read_model
from conjoin.errors import DataError, ModelError, SettingError
from conjoin.extras.attention import Attention, attention_of, heat_maps, view
from conjoin.modeling.embedders.static import CasingEmbedder

RUBY = "Ruby fatally shot Oswald two days after Kennedy was assassinated."


@pytest.fixture(scope="module")
def attention(trained_run: Path) -> Attention:
    return attention_of(Extractor.load(trained_run, device="cpu"), RUBY)


def test_rows_sum_to_one_over_the_pieces_of_the_sentence(attention: Attention, trained_run: Path) -> None:
    encoder: Any = Extractor.load(trained_run, device="cpu").model.embedder.encoder  # type: ignore[attr-defined]
    count = len(attention.pieces)
    assert attention.weights.shape == (encoder.config.num_hidden_layers, encoder.config.num_attention_heads, count, count)
    assert np.allclose(attention.weights.sum(-1), 1, atol=1e-5)
    assert attention.special == (True, *(False,) * (count - 2), True)
    inner = attention.without_special()
    assert inner.pieces == attention.pieces[1:-1]
    assert np.array_equal(inner.weights, attention.weights[:, :, 1:-1, 1:-1])


def test_the_model_is_unchanged(trained_run: Path) -> None:
    contents = read_contents(trained_run)
    extractor = Extractor.from_model(read_model(contents, device="cpu"), contents.config)
    encoder: Any = extractor.model.embedder.encoder  # type: ignore[attr-defined]
    implementation, document = encoder.config._attn_implementation, extractor(RUBY)
    attention_of(extractor, RUBY)
    assert encoder.config._attn_implementation == implementation
    assert extractor(RUBY) == document


def test_patterns_by_hand() -> None:
    weights = np.zeros((1, 4, 4, 4), dtype=np.float32)  # [CLS] a b [SEP]
    for place in range(4):
        weights[0, 0, place, min(place + 1, 3)] = 1
        weights[0, 1, place, max(place - 1, 0)] = 1
        weights[0, 2, place, place] = 1
        weights[0, 3, place, 3] = 1
    shares = Attention(("[CLS]", "a", "b", "[SEP]"), (True, False, False, True), weights).patterns()
    assert shares[0].argmax(1).tolist() == [0, 1, 2, 3]
    assert np.diag(shares[0]).tolist() == [1, 1, 1, 1]
    assert shares[0, 0, 3] == 0.5, "the next of the last word is the end"


def test_heat_maps_and_views(attention: Attention, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    heat_maps(attention, tmp_path / "new" / "maps.svg", layers=[1], heads=[0, 1], title="Ruby")
    picture = (tmp_path / "new" / "maps.svg").read_text()
    assert picture.count("layer 1, head") == 2 and "layer 0" not in picture
    heat_maps(attention, tmp_path / "maps.png", title="It paid $5, 50% of the $10.")
    assert (tmp_path / "maps.png").read_bytes().startswith(b"\x89PNG")
    for change in ({"layers": [9]}, {"heads": [-1]}):
        with pytest.raises(SettingError, match=r"no (layer 9|head -1); give numbers from 0 to"):
            heat_maps(attention, tmp_path / "no.png", **change)  # type: ignore[arg-type]
    pytest.importorskip("bertviz")
    for kind in ("head", "model"):
        view(attention, tmp_path / f"{kind}.html", kind=kind)  # type: ignore[arg-type]
        page = (tmp_path / f"{kind}.html").read_text()
        assert page.startswith("<!doctype html>") and "[SEP]" in page and "<script" in page
    view(attention, tmp_path / "one.html", heads=[1])
    assert '"heads": [1]' in (tmp_path / "one.html").read_text()
    with pytest.raises(SettingError, match="a model view shows all heads"):
        view(attention, tmp_path / "no.html", kind="model", heads=[1])


def test_texts_and_models_without_attention(trained_run: Path) -> None:
    extractor = Extractor.load(trained_run, device="cpu")
    with pytest.raises(DataError, match="has no words"):
        attention_of(extractor, " ")
    with pytest.raises(DataError, match="more pieces than the encoder reads at once"):
        attention_of(extractor, "word " * 2000)
    extractor.model.embedder = CasingEmbedder()
    with pytest.raises(ModelError, match="no transformer whose attention"):
        attention_of(extractor, RUBY)
