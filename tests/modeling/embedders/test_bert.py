"""BERT computed here is transformers' BERT: the same numbers, the same pieces, the same files."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from conjoin import Extractor
from conjoin.artifacts.model_folder import read_contents
from conjoin.artifacts.weights import read_model
from conjoin.document import Document
from conjoin.errors import ModelError
from conjoin.modeling.embedders.bert import BertEncoder, saved_bert
from conjoin.modeling.embedders.encoder import open_encoder
from conjoin.modeling.embedders.pretrained import resolve_name
from conjoin.modeling.embedders.transformer import TransformerEmbedder, vocabulary_of

TEXTS = [["Maria", "Ortiz", "leads", "the", "Halden", "Steel"], ["Oslo"], ["Ωmega", "x9", "\ud83d", "naïve"]]


def saved(folder: str, target: Path, **changes: object) -> Path:
    """A folder as a saved model has it: configuration and tokenizer."""
    TransformerEmbedder(open_encoder(folder)).save(target)
    config = target / "encoder" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), **changes}))
    return target / "encoder"


def both(folder: str, target: Path, **options: Any) -> tuple[TransformerEmbedder, TransformerEmbedder]:
    """The embedder over transformers' encoder, and over ours with its weights."""
    theirs = open_encoder(folder)
    ours = open_encoder("no-such-name", folder=saved(folder, target).parent, training=False)
    assert isinstance(ours.module, BertEncoder) and not isinstance(theirs.module, BertEncoder)
    ours.module.load_state_dict(theirs.module.state_dict())
    return TransformerEmbedder(theirs, **options).eval(), TransformerEmbedder(ours, **options).eval()


@pytest.fixture(params=["tiny", "minilm"])
def pair(request: pytest.FixtureRequest, encoder: str, tmp_path: Path) -> tuple[TransformerEmbedder, TransformerEmbedder]:
    name = encoder if request.param == "tiny" else resolve_name("minilm")
    if not Path(name).is_dir():
        pytest.skip("minilm is not installed")
    return both(name, tmp_path)


@torch.inference_mode()
def test_numbers_are_the_same_to_the_bit(pair: tuple[TransformerEmbedder, TransformerEmbedder]) -> None:
    theirs, ours = pair
    features = theirs.features(TEXTS)
    assert all(torch.equal(value, ours.features(TEXTS)[name]) for name, value in features.items())
    assert not features["mask"].all()
    assert torch.equal(theirs(features), ours(features))
    assert torch.equal(theirs.layers(features), ours.layers(features))
    alone = theirs.features([TEXTS[0]])
    assert alone["mask"].all()
    assert torch.equal(theirs(alone), ours(alone))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(theirs(features), ours(features))


@torch.inference_mode()
def test_attention_is_the_same_where_there_are_pieces(pair: tuple[TransformerEmbedder, TransformerEmbedder]) -> None:
    theirs, ours = pair
    features = theirs.features(TEXTS)
    theirs.encoder.set_attn_implementation("eager")  # type: ignore[operator]
    for wanted, found in zip(theirs.encode(features, output_attentions=True).attentions,
                             ours.encode(features, output_attentions=True).attentions, strict=True):
        there = features["mask"][:, None, :, None]
        torch.testing.assert_close(found * there, wanted * there, atol=1e-5, rtol=1e-4)


def test_special_pieces_are_the_same(pair: tuple[TransformerEmbedder, TransformerEmbedder]) -> None:
    theirs, ours = pair
    assert vocabulary_of(ours.tokenizer) == vocabulary_of(theirs.tokenizer)
    assert ours.featuriser.window == theirs.featuriser.window
    assert ours.tokenizer.mask_token_id == theirs.tokenizer.mask_token_id
    numbers = theirs.features(TEXTS)["pieces"].flatten().tolist()
    assert ours.tokenizer.convert_ids_to_tokens(numbers) == theirs.tokenizer.convert_ids_to_tokens(numbers)


def test_a_loaded_model_is_ours_annotates_the_same_and_is_saved_as_it_was(
    trained_run: Path, documents: list[Document], tmp_path: Path
) -> None:
    extractor = Extractor.load(trained_run / "model", device="cpu")
    assert isinstance(extractor.model.embedder.encoder, BertEncoder)  # type: ignore[attr-defined]
    contents = read_contents(trained_run / "model")
    other = Extractor.from_model(read_model(contents, device="cpu"), contents.config)
    assert not isinstance(other.model.embedder.encoder, BertEncoder)  # type: ignore[attr-defined]
    assert [(found.entities, found.relations) for found in extractor.annotate(documents)] == [
        (found.entities, found.relations) for found in other.annotate(documents)
    ]
    extractor.save(tmp_path / "again")
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / "again/encoder" / name).read_bytes() == (trained_run / "model/encoder" / name).read_bytes()
    before, after = (load_file(folder / "weights.safetensors") for folder in (trained_run / "model", tmp_path / "again"))
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)


def test_transformers_is_not_imported_to_extract(trained_run: Path) -> None:
    code = ("import sys; from conjoin import Extractor; "
            f"found = Extractor.load({str(trained_run)!r}, device='cpu')('Lee Oswald shot Kennedy in Dallas .'); "
            "assert len(found.relations) == 1, found; "
            "assert not {'transformers', 'accelerate'} & set(sys.modules)")
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_was_loaded_is_not_trained(trained_run: Path) -> None:
    with pytest.raises(ModelError, match="train a new one with conjoin train"):
        Extractor.load(trained_run, device="cpu").model.train()  # type: ignore[attr-defined]


@pytest.mark.parametrize("changes", [
    {"hidden_act": "relu"}, {"position_embedding_type": "relative_key"}, {"is_decoder": True}, {"model_type": "roberta"},
    {"add_cross_attention": True},
])
def test_another_computation_is_left_to_transformers(changes: dict[str, object], encoder: str, tmp_path: Path) -> None:
    assert saved_bert(saved(encoder, tmp_path, **changes)) is None


def test_a_tokenizer_without_the_special_pieces_is_left_to_transformers(encoder: str, tmp_path: Path) -> None:
    folder = saved(encoder, tmp_path)
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text())
    for name in ("pad_token", "model_max_length"):
        path.write_text(json.dumps({key: value for key, value in settings.items() if key != name}))
        assert saved_bert(folder) is None
    path.unlink()
    assert saved_bert(folder) is None


@pytest.mark.parametrize("damaged", ["config.json", "tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize("content", ["{", "[]", '{"model_type": "bert"}'])
def test_of_a_damaged_folder_transformers_says_what_is_wrong(
    damaged: str, content: str, trained_run: Path, tmp_path: Path
) -> None:
    shutil.copytree(trained_run / "model", tmp_path / "copy")
    path = tmp_path / "copy/encoder" / damaged
    path.write_text(content)
    assert saved_bert(path.parent) is None
    with suppress(ModelError):  # and nothing else
        Extractor.load(tmp_path / "copy", device="cpu")
