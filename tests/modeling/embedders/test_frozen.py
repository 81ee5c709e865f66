"""Frozen encoders with a trained mix of layers, and several embedders as one."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, get_args

import pytest
import torch

from conjoin.config.options import WordPooling
from conjoin.config.settings import Config
from conjoin.document import Document
from conjoin.errors import SettingError
from conjoin.modeling.build import build_embedder, build_model
from conjoin.modeling.embedders.embedder import JoinedEmbedder, own_features
from conjoin.modeling.embedders.encoder import open_encoder
from conjoin.modeling.embedders.feature_cache import FeatureCache
from conjoin.modeling.embedders.frozen import FrozenEmbedder, FrozenTransformer
from conjoin.modeling.embedders.static import CasingEmbedder
from conjoin.modeling.embedders.transformer import TransformerEmbedder, find_transformer
from conjoin.schema import Schema

TEXTS = [["Maria", "Ortiz", "leads", "Acme"], [], ["oslo"], [*"abcdefgh" * 30]]


def transformer(encoder: str, pooling: WordPooling = "first", **options: Any) -> TransformerEmbedder:
    return TransformerEmbedder(open_encoder(encoder), max_pieces=80, word_pooling=pooling, **options).eval()


def frozen(
    encoder: str, cache: FeatureCache | None = None, *, all_layers: bool = True, pooling: WordPooling = "first"
) -> FrozenEmbedder:
    return FrozenEmbedder(FrozenTransformer(transformer(encoder, pooling), all_layers=all_layers), cache=cache).eval()


def test_layers_are_those_of_the_encoder(encoder: str) -> None:
    inner = transformer(encoder)
    with torch.no_grad():
        [words] = FrozenTransformer(inner, all_layers=True).vectors(TEXTS[:1])
        features = inner.features(TEXTS[:1])
        states = inner.encoder(
            input_ids=features["pieces"], attention_mask=features["mask"], output_hidden_states=True
        ).hidden_states
    assert words.shape == (4, 3, 32)
    firsts = features["words"][0, :, 0]
    for layer in range(3):
        torch.testing.assert_close(words[:, layer], states[layer][0, firsts])


def test_an_untrained_mix_is_the_mean_and_the_mix_alone_is_trained(encoder: str) -> None:
    embedder = frozen(encoder)
    layers = embedder.train().features(TEXTS)["layers"]
    assert layers.dtype == torch.half
    torch.testing.assert_close(embedder(embedder.features(TEXTS)), layers.float().mean(2))
    assert {name for name, value in embedder.named_parameters() if value.requires_grad} == {"mix.weights", "mix.scale"}
    assert not embedder.train().encoder.training, "the encoder's dropout stays off"  # type: ignore[attr-defined]
    embedder(embedder.features(TEXTS)).sum().backward()
    assert embedder.mix is not None and embedder.mix.weights.grad is not None and embedder.mix.weights.grad.any()


def test_the_last_layer_alone_needs_no_mix(encoder: str) -> None:
    embedder = frozen(encoder, all_layers=False)
    with torch.no_grad():
        inner = transformer(encoder)
        expected = inner(inner.features(TEXTS))
    torch.testing.assert_close(embedder(embedder.features(TEXTS)), expected, atol=2e-3, rtol=2e-3)
    assert not [name for name, value in embedder.named_parameters() if value.requires_grad]


@pytest.mark.parametrize("pooling", get_args(WordPooling))
@pytest.mark.parametrize("all_layers", [True, False])
def test_vectors_used_once_are_those_of_training(encoder: str, pooling: WordPooling, all_layers: bool) -> None:
    """Out of training the layers are mixed as they come; in training, by way of half precision."""
    embedder = frozen(encoder, all_layers=all_layers, pooling=pooling)
    if embedder.mix is not None:
        torch.nn.init.normal_(embedder.mix.weights)
        torch.nn.init.constant_(embedder.mix.scale, 1.5)
    with torch.no_grad():
        once = embedder.eval().features(TEXTS)
        kept = embedder.train().features(TEXTS)
        assert "layers" in kept and "layers" not in once
        expected = embedder(kept)
        torch.testing.assert_close(embedder(once), expected, atol=2e-3 * float(expected.abs().max()), rtol=0)


def test_cached_vectors_are_the_same_and_are_computed_once(
    encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = frozen(encoder).train().features(TEXTS)["layers"]
    seen: list[list[str]] = []
    compute = FrozenTransformer.vectors

    def counted(self: FrozenTransformer, texts: list[list[str]]) -> list[torch.Tensor]:
        seen.extend(texts)
        return compute(self, texts)

    monkeypatch.setattr(FrozenTransformer, "vectors", counted)
    for _ in range(2):  # the second time as another run would find it
        embedder = frozen(encoder, FeatureCache(tmp_path, limit=10**9))
        for _ in range(2):
            torch.testing.assert_close(embedder.features(TEXTS)["layers"], plain)
    assert len(seen) == 3, "each text that has words, once"


def test_a_text_computed_alone_has_nearly_the_vectors_of_its_batch(encoder: str, tmp_path: Path) -> None:
    """What is in the cache was computed among other texts than now: other shapes, so other last bits of half precision. The
    results of two runs agree to about a thousandth, not to the bit."""
    together = frozen(encoder).train().features(TEXTS)["layers"].float()
    embedder = frozen(encoder, FeatureCache(tmp_path, limit=10**9))
    for words in TEXTS:
        embedder.features([words])
    cached = embedder.features(TEXTS)["layers"].float()
    assert (cached - together).abs().max() <= 2e-3 * together.abs().max()


def test_other_weights_or_settings_have_other_vectors(encoder: str) -> None:
    first = frozen(encoder)
    prints = {first.fingerprint(), frozen(encoder).fingerprint()}
    assert len(prints) == 1
    prints.add(frozen(encoder, all_layers=False).fingerprint())
    with torch.no_grad():
        next(first.encoder.parameters())[0] += 1e-3  # type: ignore[attr-defined]
    prints.add(first.fingerprint())
    pooled = TransformerEmbedder(open_encoder(encoder), word_pooling="mean", max_pieces=80)
    prints.add(FrozenEmbedder(FrozenTransformer(pooled, all_layers=True)).fingerprint())
    assert len(prints) == 4


def test_all_layers_may_be_mixed_under_fine_tuning_too(shrunk: Callable[..., Config], documents: list[Document]) -> None:
    model = build_model(shrunk("conjoin-base", "encoder.layers=mix"), Schema.from_documents(documents))
    sum(model.loss(model.collate(documents)).values()).backward()  # type: ignore[union-attr]
    trained = {name for name, value in model.named_parameters() if value.grad is not None and value.grad.any()}
    assert {"embedder.mix.weights", "embedder.mix.scale"} <= trained
    assert any(".layer.0." in name for name in trained)


def test_joined_vectors_are_those_of_the_parts(encoder: str) -> None:
    parts = {"transformer": transformer(encoder), "casing": CasingEmbedder()}
    joined = JoinedEmbedder(parts).eval()
    features = joined.features(TEXTS)
    assert joined.width == 39
    with torch.no_grad():
        vectors = joined(features)
        for part, found in zip(parts.values(), vectors.split([32, 7], dim=-1), strict=True):
            torch.testing.assert_close(found, part(part.features(TEXTS)).float())
    assert joined.sizes(TEXTS) == [max(pair) for pair in zip(*(part.sizes(TEXTS) for part in parts.values()), strict=True)]


def test_parts_are_named_by_the_prefixes_of_their_features(encoder: str) -> None:
    """What is inside is found without a look at the kinds of embedders."""
    inner, casing = transformer(encoder, inputs={"casing": CasingEmbedder()}), CasingEmbedder()
    frozen_one = FrozenEmbedder(FrozenTransformer(inner, all_layers=True)).eval()
    joined = JoinedEmbedder({"transformer": frozen_one, "casing": casing}).eval()
    parts = list(joined.parts())
    assert [prefix for prefix, _ in parts] == ["", "transformer.", "transformer.", "transformer.casing.", "casing."]
    assert [part for _, part in parts][:3] == [joined, frozen_one, inner] and parts[-1][1] is casing
    assert find_transformer(joined) == ("transformer.", inner)
    assert find_transformer(JoinedEmbedder({"casing": casing})) is None
    features = joined.features(TEXTS)
    for prefix, part in parts[1:]:
        expected = part.features(TEXTS)  # type: ignore[operator]
        own = own_features(prefix, features)
        assert all(torch.equal(own[name], value) for name, value in expected.items())


def test_a_model_must_see_something(shrunk: Callable[..., Config]) -> None:
    with pytest.raises(SettingError, match=r"encoder.name, elmo.options, words.vectors or characters.size"):
        build_embedder(shrunk("conjoin-base", "encoder.name=none"))


def test_layers_of_batches_side_by_side_are_their_own(encoder: str) -> None:
    """Whatever transformers does to collect them."""
    inner = frozen(encoder).train()
    batches = [[[f"w{number}", "Oslo", *"ab" * (number % 5)]] * (1 + number % 3) for number in range(60)]
    alone = [inner.features(batch)["layers"] for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda batch: inner.features(batch)["layers"], batches))
    for ours, theirs in zip(together, alone, strict=True):
        assert torch.equal(ours, theirs)
