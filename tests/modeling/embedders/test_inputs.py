"""What is added to the input of an encoder: the casing and the characters of words."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from transformers import ElectraConfig, ElectraModel

from conjoin.config.presets import load_config
from conjoin.document import Document
from conjoin.extractor import Extractor
from conjoin.features.casing import casing
from conjoin.modeling.build import build_model
from conjoin.modeling.embedders.encoder import open_encoder
from conjoin.modeling.embedders.static import CasingEmbedder
from conjoin.modeling.embedders.transformer import TransformerEmbedder
from conjoin.schema import Schema

CASING = ("encoder.casing=true",)
CHARACTERS = ("encoder.casing=false", "characters.size=4", "characters.place=input")
BOTH = ("encoder.casing=true", "characters.size=4", "characters.place=input")
ALPHABET = Document.from_words(["Leeds", "England", "leeds", "england", "is", "in"])


def embedder_of(encoder: str, overrides: Sequence[str], *, learnt: bool) -> TransformerEmbedder:
    """An embedder as the settings build it; `learnt`: with maps that are no longer zero."""
    torch.manual_seed(0)
    config = load_config("conjoin-base", [f"encoder.name='{encoder}'", *overrides])
    embedder = build_model(config, Schema(("Loc",)), documents=[ALPHABET]).embedder.eval()  # type: ignore[attr-defined]
    assert isinstance(embedder, TransformerEmbedder)
    if learnt:
        learn(embedder)
    return embedder


def learn(embedder: TransformerEmbedder) -> None:
    for part in embedder.inputs.values():
        torch.nn.init.normal_(part.map.weight.detach())  # type: ignore[operator, union-attr]


def states(encoder: str, words: list[str], overrides: Sequence[str], *, learnt: bool) -> torch.Tensor:
    embedder = embedder_of(encoder, overrides, learnt=learnt)
    with torch.inference_mode():
        return embedder(embedder.features([words]))


@pytest.mark.parametrize("overrides", [CASING, CHARACTERS, BOTH])
def test_an_uncased_encoder_sees_case_once_the_map_is_learnt(encoder: str, overrides: tuple[str, ...]) -> None:
    upper, lower = ["Leeds", "is", "in", "England"], ["leeds", "is", "in", "england"]
    assert torch.equal(states(encoder, upper, overrides, learnt=False), states(encoder, lower, overrides, learnt=False))
    first, second = (states(encoder, words, overrides, learnt=True) for words in (upper, lower))
    assert not torch.allclose(first, second, atol=1e-3)


@pytest.mark.parametrize("overrides", [CASING, CHARACTERS, BOTH])
def test_at_first_the_encoder_is_the_pre_trained_one(encoder: str, overrides: tuple[str, ...]) -> None:
    words = ["Maria", "Ortiz", "leads", "Halden", "Steel"]
    plain = states(encoder, words, ("encoder.casing=false",), learnt=False)
    assert torch.allclose(states(encoder, words, overrides, learnt=False), plain, atol=1e-6)


@pytest.mark.parametrize("overrides", [CASING, CHARACTERS])
def test_the_maps_learn(encoder: str, overrides: tuple[str, ...]) -> None:
    embedder = embedder_of(encoder, overrides, learnt=False)
    embedder(embedder.features([["Leeds", "is"]])).square().sum().backward()
    for part in embedder.inputs.values():
        assert part.map.weight.grad.abs().sum() > 0  # type: ignore[union-attr, operator]


def test_inputs_follow_words_into_overlapping_windows(encoder: str) -> None:
    embedder = embedder_of(encoder, (*CASING, "encoder.max_pieces=70"), learnt=False)
    texts = [["in"], ["Leeds" if number % 3 == 0 else "in" for number in range(200)]]
    features = embedder.features(texts)
    assert len(features["pieces"]) > 3
    casings = torch.cat([torch.tensor([0]), features["casing.casings"].flatten()])[features["piece_words"]]
    at_words = casings.flatten()[features["words"][1, :, 0]]
    assert at_words.tolist() == [1 + casing(word) for word in texts[1]]
    assert not features["piece_words"][features["mask"] == 0].any()
    assert not features["piece_words"][:, 0].any()  # the special piece before a window


@pytest.mark.parametrize("overrides", [CASING, CHARACTERS, BOTH])
def test_a_document_alone_equals_itself_in_a_batch(
    encoder: str, documents: list[Document], overrides: tuple[str, ...]
) -> None:
    embedder = embedder_of(encoder, overrides, learnt=True)
    texts = [document.words for document in documents]
    with torch.inference_mode():
        together = embedder(embedder.features(texts))
        for row, words in enumerate(texts):
            alone = embedder(embedder.features([words]))[0]
            assert torch.allclose(together[row, : len(words)], alone, atol=1e-5)


def test_what_is_masked_shows_its_casing_but_not_its_characters(encoder: str) -> None:
    embedder = embedder_of(encoder, (*BOTH, "encoder.masking=0.99"), learnt=True)
    seen: list[torch.Tensor] = []
    embedder.encoder.register_forward_pre_hook(  # type: ignore[operator, union-attr]
        lambda module, arguments, options: seen.append(options["inputs_embeds"]), with_kwargs=True
    )
    embedder.masking = 1.0
    embedder.train()
    for words in (["leeds"], ["is"], ["Leeds"]):
        embedder(embedder.features([words]))
    assert torch.equal(seen[0][0, 1], seen[1][0, 1])
    assert not torch.equal(seen[0][0, 1], seen[2][0, 1])


def test_one_masked_piece_hides_the_characters_of_the_whole_word(
    encoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedder = embedder_of(encoder, (*CHARACTERS, "encoder.masking=0.1"), learnt=True).train()
    embedder.inputs["characters"].embedder.masking = 0.0  # type: ignore[union-attr]
    features = embedder.features([["Zug", "in"]])  # four pieces: z, ##u, ##g, in
    assert features["piece_words"][0, :6].tolist() == [0, 1, 1, 1, 2, 0]
    hidden = features["pieces"].clone()
    hidden[0, 2] = embedder.tokenizer.mask_token_id
    monkeypatch.setattr(embedder, "_masked", lambda pieces: hidden)
    seen: list[torch.Tensor] = []
    embedder.encoder.register_forward_pre_hook(  # type: ignore[operator, union-attr]
        lambda module, arguments, options: seen.append(options["inputs_embeds"]), with_kwargs=True
    )
    embedder(features)
    plain = embedder.encoder.get_input_embeddings()(hidden)  # type: ignore[operator, union-attr]
    torch.testing.assert_close(seen[0][0, :4], plain[0, :4])
    assert not torch.allclose(seen[0][0, 4], plain[0, 4])


def test_the_alphabet_is_saved_and_loaded(encoder: str, documents: list[Document], tmp_path: Path) -> None:
    config = load_config("conjoin-base", [f"encoder.name='{encoder}'", *BOTH])
    model = build_model(config, Schema.from_documents(documents), documents=documents)
    learn(model.embedder)  # type: ignore[arg-type]
    Extractor.from_model(model, config).save(tmp_path / "model")
    loaded = Extractor.load(tmp_path / "model").model.embedder.eval()
    words = documents[0].words
    with torch.inference_mode():
        saved = model.embedder.eval()(model.embedder.features([words]))  # type: ignore[attr-defined]
        assert torch.allclose(loaded(loaded.features([words])), saved, atol=1e-6)


def test_encoders_whose_input_is_narrower_than_their_states_see_casing_too(encoder: str, tmp_path: Path) -> None:
    """ELECTRA and ALBERT project their input embeddings."""
    shutil.copytree(encoder, tmp_path / "electra")
    config = ElectraConfig(vocab_size=200, embedding_size=16, hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
                           intermediate_size=64)
    ElectraModel(config).save_pretrained(tmp_path / "electra")
    opened = open_encoder(str(tmp_path / "electra"))
    embedder = TransformerEmbedder(opened, inputs={"casing": CasingEmbedder()}).eval()
    learn(embedder)
    lower, upper = (embedder(embedder.features([[word]])) for word in ("oslo", "OSLO"))
    assert lower.shape == (1, 1, 32)
    assert not torch.allclose(lower, upper)
