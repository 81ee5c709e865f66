"""Casing: the classes of words, and an uncased encoder that sees them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from transformers import ElectraConfig, ElectraModel

from conjoin.config import build_model, load_config
from conjoin.document import Document
from conjoin.embedders.casing import CASINGS, casing
from conjoin.embedders.transformer import TransformerEmbedder, load_transformer
from conjoin.schema import Schema


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("1984", "numeric"), ("leeds", "lower"), ("u.s.", "lower"), ("USA", "upper"), ("U.S.", "upper"), ("A", "upper"),
        ("Leeds", "initial upper"), ("McDonald", "initial upper"), ("1990s", "mainly numeric"), ("11:30", "mainly numeric"),
        ("B2B", "contains digit"), ("3rd", "contains digit"), ("iPhone", "other"), (",", "other"), ("", "other"),
        ("東京", "other"),
    ],
)
def test_classes(word: str, expected: str) -> None:
    assert CASINGS[casing(word)] == expected


def states(encoder: str, words: list[str], *, vectors: bool) -> torch.Tensor:
    config = load_config("conjoin-base", [f"encoder.name='{encoder}'", "encoder.casing=true"])
    torch.manual_seed(0)
    embedder = build_model(config, Schema(("Loc",))).embedder.eval()
    assert embedder.casing is not None
    if vectors:
        torch.nn.init.normal_(embedder.casing.weight[1:].detach())
    with torch.inference_mode():
        return embedder(embedder.features([words]))


def test_an_uncased_encoder_sees_casing_once_its_vectors_are_learnt(encoder: str) -> None:
    upper, lower = ["Leeds", "is", "in", "England"], ["leeds", "is", "in", "england"]
    assert torch.equal(states(encoder, upper, vectors=False), states(encoder, lower, vectors=False))
    assert not torch.allclose(states(encoder, upper, vectors=True), states(encoder, lower, vectors=True), atol=1e-3)


def test_without_learnt_vectors_the_encoder_is_the_pre_trained_one(encoder: str) -> None:
    words = ["Maria", "Ortiz", "leads", "Halden", "Steel"]
    config = load_config("conjoin-base", [f"encoder.name='{encoder}'", "encoder.casing=false"])
    plain = build_model(config, Schema(("Loc",))).embedder.eval()
    with torch.inference_mode():
        assert torch.allclose(states(encoder, words, vectors=False), plain(plain.features([words])), atol=1e-6)


def test_casing_follows_words_into_overlapping_windows(encoder: str) -> None:
    config = load_config("conjoin-base", [f"encoder.name='{encoder}'", "encoder.casing=true", "encoder.most_pieces=70"])
    embedder = build_model(config, Schema(("Loc",))).embedder
    words = ["Leeds" if number % 3 == 0 else "in" for number in range(200)]
    features = embedder.features([words])
    assert len(features["pieces"]) > 2
    at_words = features["casing"].flatten()[features["words"][0, :, 0]]
    assert at_words.tolist() == [1 + casing(word) for word in words]
    assert not features["casing"][features["mask"] == 0].any()


def test_a_document_alone_equals_itself_in_a_batch(encoder: str, documents: list[Document]) -> None:
    config = load_config("conjoin-base", [f"encoder.name='{encoder}'", "encoder.casing=true"])
    torch.manual_seed(0)
    model = build_model(config, Schema.from_documents(documents)).eval()
    torch.nn.init.normal_(model.embedder.casing.weight[1:].detach())  # type: ignore[union-attr]
    with torch.inference_mode():
        together = model.embedder(model.collate(documents, gold=False).features)
        for row, document in enumerate(documents):
            alone = model.embedder(model.collate([document], gold=False).features)[0]
            assert torch.allclose(together[row, : len(document.tokens)], alone, atol=1e-5)


def test_encoders_whose_input_is_narrower_than_their_states_see_casing_too(encoder: str, tmp_path: Path) -> None:
    """ELECTRA and ALBERT project their input embeddings."""
    shutil.copytree(encoder, tmp_path / "electra")
    config = ElectraConfig(vocab_size=200, embedding_size=16, hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
                           intermediate_size=64)
    ElectraModel(config).save_pretrained(tmp_path / "electra")
    embedder = TransformerEmbedder(*load_transformer(str(tmp_path / "electra"), dropout=None), see_casing=True).eval()
    assert embedder.casing is not None
    torch.nn.init.normal_(embedder.casing.weight[1:].detach())
    lower, upper = (embedder(embedder.features([[word]])) for word in ("oslo", "OSLO"))
    assert lower.shape == (1, 1, 32)
    assert not torch.allclose(lower, upper)
