"""The model of Crone 2020 and mixes of the two papers: presets, counts, learning, saving, resuming."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from conjoin import Corpus, Extractor, load_config, train
from conjoin.annotator import Annotator
from conjoin.config.settings import Config
from conjoin.document import Document
from conjoin.errors import ModelError, SettingError
from conjoin.evaluation.metrics import score
from conjoin.modeling.backend import TorchBackEnd
from conjoin.modeling.build import assemble_model, build_model
from conjoin.modeling.embedders.characters import CharacterEmbedder
from conjoin.modeling.joint import JointModel
from conjoin.modeling.nn.layers import LayerMix
from conjoin.modeling.nn.pairs import DistMultCosine
from conjoin.schema import Schema
from conjoin.training import training_events
from elmo_files import OPTIONS, write_weights

Shrunk = Callable[..., Config]
FAST = ("training.learning_rate=5e-3", "training.batch_size=2", "training.epochs=60", "stack.size=16", "stack.dropout=0",
        "relations.dropout=0", "characters.size=4", "relations.scorer_size=16", "relations.threshold=0.5")


@pytest.fixture
def own_files(tmp_path: Path) -> list[str]:
    """Overrides that give the presets of Crone 2020 a small invented ELMo and word vectors."""
    (tmp_path / "options.json").write_text(json.dumps(OPTIONS))
    write_weights(tmp_path / "weights.hdf5")
    (tmp_path / "vectors.txt").write_text("maria 1 0 0\noslo 0 1 0\nleeds 0 1 0.5\nby 0 0 1\n")
    return [f"elmo.options='{tmp_path / 'options.json'}'", f"elmo.weights='{tmp_path / 'weights.hdf5'}'",
            f"words.vectors='{tmp_path / 'vectors.txt'}'"]


# Crone 2020, Table 1: for ADE and CoNLL04.
TABLE_1 = {
    "stack.cell": ("gru", "gru"), "characters.size": (32, 32), "stack.size": (128, 256), "stack.shared": (1, 1),
    "stack.entities": (1, 1), "stack.relations": (1, 2), "entities.activation": ("relu", "tanh"), "entities.size": (64, 64),
    "relations.activation": ("relu", "relu"), "relations.scorer_size": (128, 128), "relations.label_size": (25, 25),
    "stack.dropout": (0.5, 0.35), "relations.dropout": (0.5, 0.5), "relations.threshold": (0.9, 0.9),
    # §3.4 and what the text says elsewhere
    "training.learning_rate": (5e-4, 5e-4), "training.optimizer": ("adamw", "nadam"), "training.batch_size": (16, 2),
    "training.relation_weight": (5, 5), "training.weight_decay": (0, 0), "entities.scheme": ("bio", "bio"),
    "entities.output": ("crf", "crf"), "entities.layers": (2, 2), "relations.proposals": ("gold", "gold"),
    "relations.pooling": ("last", "last"), "relations.scorer": ("distmult+cosine", "distmult+cosine"),
    "entities.outside_prior": (0, 0), "characters.masking": (0, 0), "training.max_gradient_norm": (None, None),
    "relations.decision": ("sigmoid", "sigmoid"), "words.casing": (True, True), "encoder.name": (None, None),
}


@pytest.mark.parametrize(("column", "preset"), [(0, "crone2020-ade"), (1, "crone2020-conll04")])
def test_presets_are_table_1(column: int, preset: str) -> None:
    config = load_config(preset)
    for key, values in TABLE_1.items():
        table, name = key.split(".")
        assert getattr(getattr(config, table), name) == values[column], key


@pytest.mark.parametrize("preset", ["crone2020-ade", "crone2020-conll04"])
def test_what_the_paper_does_not_know_is_in_the_measured_presets_alone(preset: str) -> None:
    config = load_config(f"{preset}-minilm")
    assert (config.entities.outside_prior, config.characters.masking, config.training.max_gradient_norm) == (3, 0.005, 1)


class Stub(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width


def test_about_six_million_parameters_are_trained() -> None:
    """With ELMo 5.5B (1,024) and GloVe (300); the paper says approximately 6 million."""
    config = load_config("crone2020-conll04")
    schema = Schema(("Loc", "Org", "Other", "Peop"), tuple(f"r{n}" for n in range(5)))
    characters = CharacterEmbedder("x" * 80, embedding_size=config.characters.embedding_size, size=32, cell="gru")
    model = assemble_model(config, schema, Stub(1024 + 300 + characters.width + 7))  # type: ignore[arg-type]
    trained = sum(value.numel() for part in (model, characters, LayerMix(3)) for value in part.parameters())
    assert 5.8e6 < trained < 6.25e6
    assert round(trained / 1e6, 1) == 6.2


def annotate(model: JointModel, documents: list[Document]) -> list[Document]:
    return Annotator(TorchBackEnd(model), model.decoder).annotate(documents)


def learn(config: Config, documents: list[Document]) -> None:
    torch.manual_seed(0)
    model = build_model(config, Schema.from_documents(documents), documents=documents)
    list(training_events(model, documents, settings=config.training))
    report = score(documents, annotate(model, [document.bare() for document in documents]))
    assert report.entities["strict"].micro.f1 == 1
    assert report.relations["strict"].micro.f1 == 1


@pytest.mark.parametrize("preset", ["crone2020-conll04", "crone2020-ade"])
def test_three_documents_are_learnt_by_heart_over_elmo(
    preset: str, own_files: list[str], documents: list[Document]
) -> None:
    learn(load_config(preset, [*own_files, *FAST]), documents)


@pytest.mark.parametrize("mix", [
    (),  # crone2020-conll04-minilm as it is
    ("encoder.frozen=false", "encoder.layers=last"),
    ("encoder.layers=last", "stack.cell=lstm", "stack.shared=2", "stack.residual=true"),
    ("relations.scorer=biaffine", "relations.decision=softmax", "entities.output=softmax", "relations.proposals=both"),
    ("relations.label_source=predicted", "relations.proposals=mixture", "training.epochs=100"),
    ("encoder.name=none", "stack.shared=1", "stack.relations=0", "stack.entities=0", "relations.scorer=cosine"),
], ids=" ".join)
def test_mixes_of_both_papers_learn_by_heart(mix: tuple[str, ...], shrunk: Shrunk, documents: list[Document]) -> None:
    learn(shrunk("crone2020-conll04-minilm", *FAST, "encoder.dropout=0", "training.averaging=0", *mix), documents)


def test_everything_trains_saves_loads_and_extracts_as_any_model(
    shrunk: Shrunk, own_files: list[str], documents: list[Document], tmp_path: Path
) -> None:
    """ELMo, word vectors, characters, casing and a frozen encoder at once, through the public front door."""
    config = shrunk("crone2020-conll04-minilm", *own_files, *FAST, "encoder.dropout=0", "training.epochs=30")
    splits = {split: tuple(documents) for split in ("train", "dev", "test")}
    extractor = train(config, Corpus(splits), output=tmp_path / "run")
    names = {path.name for path in (tmp_path / "run/model").iterdir()}
    assert {"config.json", "schema.json", "weights.safetensors", "encoder", "elmo.json", "words.json", "characters.json",
            "metrics.json", "README.md"} == names
    for name in ("options.json", "weights.hdf5", "vectors.txt"):
        (tmp_path / name).unlink()  # the model is whole without the files it came from
    again = Extractor.load(tmp_path / "run")
    text = " ".join(document.text for document in documents) + " An unseen Word, XYZ-12."
    one, other = extractor(text), again(text)
    assert one == other
    assert one.entities
    near = pytest.approx([e.score for e in other.entities], abs=1e-3)  # ELMo and encoder came from the cache before
    assert [e.score for e in one.entities] == near
    assert again.evaluate(documents).to_json() == extractor.evaluate(documents).to_json()
    card = (tmp_path / "run/model/README.md").read_text()
    assert "ELMo" in card and "word vectors" in card and "frozen" in card


@pytest.mark.parametrize("name", ["characters.json", "words.json", "elmo.json"])
def test_a_model_folder_without_one_of_its_files_is_broken(
    name: str, shrunk: Shrunk, own_files: list[str], documents: list[Document], tmp_path: Path
) -> None:
    config = shrunk("crone2020-conll04-minilm", *own_files, *FAST)
    model = build_model(config, Schema.from_documents(documents), documents=documents)
    Extractor.from_model(model, config).save(tmp_path / "model")
    (tmp_path / "model" / name).unlink()
    with pytest.raises(ModelError, match=rf"model: broken model folder \(.*{name}.*\); copy it again or train anew"):
        Extractor.load(tmp_path / "model")


@pytest.mark.long
def test_a_killed_run_goes_on_to_the_same_weights(shrunk: Shrunk, documents: list[Document], tmp_path: Path) -> None:
    config = shrunk("crone2020-conll04-minilm", *FAST, "training.epochs=6", "relations.proposals=mixture",
                    "stack.dropout=0.3", "training.checkpoint_steps=1")
    corpus = Corpus({"train": tuple(documents), "dev": tuple(documents)})
    whole = train(config, corpus, output=tmp_path / "whole")

    class KilledError(Exception):
        pass

    seen = 0

    def kill(event: object) -> None:
        nonlocal seen
        seen += 1
        if seen == 9:
            raise KilledError

    with pytest.raises(KilledError):
        train(config, corpus, output=tmp_path / "cut", listen=kill)
    cut = train(config, corpus, output=tmp_path / "cut")
    for (name, one), other in zip(whole.model.state_dict().items(), cut.model.state_dict().values(), strict=True):
        assert torch.equal(one, other), name


def test_weights_that_are_views_of_one_block_are_saved(
    shrunk: Shrunk, documents: list[Document], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those of recurrent layers are on a GPU: checkpoints, the best epoch and the model are written all the same."""
    config = shrunk("crone2020-conll04-minilm", *FAST, "training.epochs=2", "training.select=best")

    def fused(*arguments: Any, **options: Any) -> Any:
        model = build_model(*arguments, **options)
        for layer in model.modules():
            if isinstance(layer, nn.GRU):
                weights = list(layer.parameters())
                block = torch.cat([weight.detach().flatten() for weight in weights])
                for weight, part in zip(weights, block.split([weight.numel() for weight in weights]), strict=True):
                    weight.data = part.view_as(weight)
        return model

    splits = {split: tuple(documents) for split in ("train", "dev")}
    with monkeypatch.context() as patch:
        patch.setattr("conjoin.modeling.build.build_model", fused)
        extractor = train(config, Corpus(splits), output=tmp_path / "run")
    again = Extractor.load(tmp_path / "run").model.state_dict()
    for name, value in extractor.model.state_dict().items():
        assert torch.equal(value, again[name]), name


def test_several_relations_of_one_pair(shrunk: Shrunk, documents: list[Document]) -> None:
    from conjoin.document import Relation

    document = documents[0]
    twice = document.annotated(document.entities, [
        *document.relations, Relation("Second", document.relations[0].head, document.relations[0].tail)
    ])
    learn(shrunk("crone2020-conll04-minilm", *FAST, "encoder.dropout=0"), [twice, *documents[1:]])


def test_symmetric_relations_under_the_symmetric_scorer(shrunk: Shrunk, documents: list[Document]) -> None:
    config = shrunk("crone2020-conll04-minilm", *FAST, 'symmetric=["Kill"]', "relations.scorer=distmult+cosine")
    schema = Schema.from_documents(documents, symmetric=config.symmetric)
    model = build_model(config, schema, documents=documents)
    list(training_events(model, documents, settings=config.training))
    assert set(annotate(model, documents)[1].relations) == set(documents[1].relations)


def test_diagonals_are_trained(shrunk: Shrunk, documents: list[Document]) -> None:
    """Crone 2020, eq. 4: M is a parameter with a gradient."""
    model = build_model(shrunk("crone2020-conll04-minilm"), Schema.from_documents(documents), documents=documents)
    terms = model.loss(model.collate(documents))
    (terms["entities"] + terms["relations"]).backward()
    assert model.relations is not None and isinstance(model.relations.scorer, DistMultCosine)
    gradient = model.relations.scorer.distmult.diagonals.grad
    assert gradient is not None and (gradient.abs().sum(1) > 0).all()
    unused = [name for name, value in model.named_parameters() if value.requires_grad and value.grad is None]
    assert unused == []


@pytest.mark.parametrize(("override", "wrong"), [
    ("stack.cell=rnn", r"setting stack.cell = 'rnn': input should be 'gru' or 'lstm'"),
    ("stack.shared=-1", r"setting stack.shared = -1: input should be greater than or equal to 0"),
    ("relations.scorer=distmul", r"setting relations.scorer = 'distmul': input should be 'biaffine'"),
    ("relations.threshold=1.5", r"relations.threshold = 1.5"),
])
def test_settings_out_of_range(override: str, wrong: str) -> None:
    with pytest.raises(SettingError, match=wrong):
        load_config("crone2020-conll04", [override])


def test_the_rnn_of_a_task_does_not_touch_the_other(shrunk: Shrunk, documents: list[Document]) -> None:
    model = build_model(shrunk("crone2020-conll04-minilm"), Schema.from_documents(documents), documents=documents)
    model.loss(model.collate(documents))["entities"].backward()

    def moved(part: nn.Module | None) -> bool:
        gradients: list[Tensor | None] = [value.grad for value in part.parameters()] if part else []
        return any(gradient is not None and bool(gradient.any()) for gradient in gradients)

    assert moved(model.shared) and moved(model.entity_stack) and not moved(model.relation_stack)


