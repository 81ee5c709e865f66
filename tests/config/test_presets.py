from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from conjoin.config.presets import all_keys, load_config, parse_config, preset_names, to_toml
from conjoin.config.settings import Config
from conjoin.document import Document
from conjoin.errors import SettingError
from conjoin.modeling.build import build_model
from conjoin.modeling.embedders.transformer import TransformerEmbedder
from conjoin.schema import Schema


def test_settings_reach_what_is_built(documents: list[Document], shrunk: Callable[..., Config]) -> None:
    config = shrunk("conjoin-base", "encoder.overlap=7", "encoder.masking=0.25", "encoder.dropout=0.15",
                    "entities.layers=2", "entities.dropout=0.35", "relations.dropout=0.45", "relations.threshold=0.6",
                    "relations.scorer=feedforward")
    model = build_model(config, Schema.from_documents(documents))
    embedder, relations, decoder = model.embedder, model.relations, model.decoder.relations
    assert isinstance(embedder, TransformerEmbedder) and relations is not None and decoder is not None
    assert (embedder.featuriser.overlap, embedder.masking, decoder.threshold) == (7, 0.25, 0.6)
    assert dropouts(embedder) == {0.15}
    assert dropouts(model.entities) == {0.35}
    assert dropouts(relations) == {0.45}
    parts = (model.entities, model.entities.inner, relations, relations.head, relations.tail, relations.scorer,
             relations.features)
    assert all(dropouts(part) for part in parts)


def dropouts(module: torch.nn.Module) -> set[float]:
    return {part.p for part in module.modules() if isinstance(part, torch.nn.Dropout)}


GIORGI = [name for name in preset_names() if name.startswith("giorgi2019-")]


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_parses_and_survives_toml(name: str, tmp_path: Path) -> None:
    config = load_config(name)
    path = tmp_path / "settings.toml"
    path.write_text(to_toml(config), encoding="utf-8")
    assert load_config(path) == config
    assert Config.model_validate_json(config.model_dump_json()) == config


def test_presets_are_there() -> None:
    assert {"conjoin-base", "giorgi2019-conll04", "giorgi2019-ade", "giorgi2019-ace04", "giorgi2019-ace05",
            "giorgi2019-i2b2"} <= set(preset_names())


# Giorgi et al. 2019, Table A.3: epochs, batch size, learning rate, weights.
TABLE_A3 = {
    "giorgi2019-ace04": (15, 16, 2e-5, "bert-base-cased"),
    "giorgi2019-ace05": (15, 32, 3e-5, "bert-base-cased"),
    "giorgi2019-conll04": (10, 16, 3e-5, "bert-base-cased"),
    "giorgi2019-ade": (7, 16, 2e-5, "dmis-lab/biobert-base-cased-v1.1"),
    "giorgi2019-i2b2": (12, 16, 2e-5, "bionlp/bluebert_pubmed_mimic_uncased_L-12_H-768_A-12"),
}
# Table 1, strict F1.
TABLE_1 = {
    "giorgi2019-ace04": (87.58, 53.99),
    "giorgi2019-ace05": (87.21, 58.63),
    "giorgi2019-conll04": (89.46, 66.83),
    "giorgi2019-ade": (89.56, 85.77),
    "giorgi2019-i2b2": (89.26, 63.02),
}


@pytest.mark.parametrize("name", sorted(TABLE_A3))
def test_giorgi_table_a3(name: str) -> None:
    config = load_config(name)
    training = config.training
    assert (training.epochs, training.batch_size, training.learning_rate, config.encoder.name) == TABLE_A3[name]
    assert config.paper is not None
    assert (config.paper.reported["entities"], config.paper.reported["relations"]) == TABLE_1[name]
    assert config.paper.citation == "Giorgi et al. 2019"


def test_the_width_of_the_public_code_is_a_variant(documents: list[Document], shrunk: Callable[..., Config]) -> None:
    schema = Schema.from_documents(documents)
    for name, width in (("giorgi2019-conll04", 512), ("giorgi2019-conll04-code", 256)):
        relations = build_model(shrunk(name), schema).relations
        assert relations is not None
        linears = [layer for layer in relations.head if isinstance(layer, torch.nn.Linear)]
        assert [layer.out_features for layer in linears] == [512, width]


@pytest.mark.parametrize("name", GIORGI)
def test_giorgi_table_a2_and_section_2(name: str) -> None:
    config = load_config(name)
    assert config.entities.model_dump(include={"scheme", "layers", "dropout", "decoding"}) \
        == {"scheme": "bioes", "layers": 1, "dropout": 0.1, "decoding": "argmax"}
    assert config.encoder.dropout == 0.1
    assert config.encoder.train_word_table is True
    assert config.encoder.masking == 0
    expected: dict[str, Any] = {
        "proposals": "predicted", "pooling": "last", "label_embedding": "tag", "label_size": 128, "projections": "separate",
        "layers": 2, "size": 512, "dropout": 0.1, "scorer": "biaffine", "bilinear": True, "context": False, "distance": 0,
        "decision": "softmax", "threshold": None, "constrain": False,
    }
    assert config.relations.model_dump(include=set(expected)) == expected
    expected = {
        "weight_decay": 0.1, "max_gradient_norm": 1.0, "schedule": "constant", "warmup": 0.0, "relation_weight": 1.0,
        "relation_ramp": 1.0, "averaging": 0.0, "select": "last", "accumulation": 1, "head_learning_rate": None,
        "layer_decay": 1.0, "patience": None,
    }
    assert config.training.model_dump(include=set(expected)) == expected


ABLATIONS = {
    "a": ("training.relation_ramp=0", "training", "relation_ramp", 0),
    "b": ("relations.label_embedding=none", "relations", "label_embedding", "none"),
    "c": ("relations.projections=shared", "relations", "projections", "shared"),
    "d": ("relations.projections=none", "relations", "projections", "none"),
    "e": ("relations.bilinear=false", "relations", "bilinear", False),
}


@pytest.mark.parametrize("letter", ABLATIONS)
def test_ablations_of_giorgi_table_2_are_one_override_each(letter: str, tmp_path: Path) -> None:
    override, table, key, value = ABLATIONS[letter]
    config = load_config("giorgi2019-conll04", [override])
    assert getattr(getattr(config, table), key) == value
    path = tmp_path / "settings.toml"
    path.write_text(to_toml(config), encoding="utf-8")
    assert load_config(path) == config


@pytest.mark.parametrize(
    ("override", "table", "key", "value"),
    [
        ("training.learning_rate=2e-5", "training", "learning_rate", 2e-5),
        ("training.learning_rate = 2e-5 ", "training", "learning_rate", 2e-5),
        ("training.epochs=3", "training", "epochs", 3),
        ("training.patience=none", "training", "patience", None),
        ("training.patience=None", "training", "patience", None),
        ("training.schedule=cosine", "training", "schedule", "cosine"),
        ("training.precision=no", "training", "precision", "no"),
        ('training.schedule="cosine"', "training", "schedule", "cosine"),
        ("encoder.name=microsoft/deberta-v3-base", "encoder", "name", "microsoft/deberta-v3-base"),
        ("encoder.name=/some where/a=b", "encoder", "name", "/some where/a=b"),
        ("encoder.dropout=none", "encoder", "dropout", None),
        ("encoder.train_word_table=true", "encoder", "train_word_table", True),
    ],
)
def test_override_syntax(override: str, table: str, key: str, value: Any) -> None:
    assert getattr(getattr(load_config("conjoin-base", [override]), table), key) == value


def test_overrides_of_lists_and_in_order() -> None:
    config = load_config("conjoin-base", ['symmetric=["Married", "Near"]', "training.epochs=3", "training.epochs=4"])
    assert config.symmetric == ("Married", "Near")
    assert config.training.epochs == 4


def message(*overrides: str, source: str | Path = "conjoin-base") -> str:
    with pytest.raises(SettingError) as caught:
        load_config(source, overrides)
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize(
    ("override", "nearest"),
    [
        ("training.learning_rat=1", "training.learning_rate"),
        ("training.epoch=1", "training.epochs"),
        ("relations.scorrer=biaffine", "relations.scorer"),
        ("encodr.name=x", "encoder.name"),
    ],
)
def test_unknown_keys_name_the_nearest(override: str, nearest: str) -> None:
    text = message(override)
    assert f"unknown setting '{override.split('=')[0]}'" in text or "unknown setting 'encodr'" in text
    assert f"did you mean '{nearest}'?" in text


@pytest.mark.parametrize(
    "override",
    [
        "training.epochs=0", "training.epochs=1.5", "training.epochs=many", "training.epochs=none",
        "training.learning_rate=0", "training.learning_rate=-1e-5", "training.learning_rate=nan",
        "training.learning_rate=inf", "training.layer_decay=0", "training.layer_decay=1.1", "training.warmup=1.5",
        "training.averaging=-0.1", "training.schedule=quadratic", "training.precision=fp8", "training.patience=0",
        "training.checkpoint_steps=0", "encoder.dropout=1", "encoder.dropout=-0.1", "encoder.max_pieces=0",
        "encoder.masking=1", "entities.scheme=iob", "entities.layers=0", "relations.scorer=biafine",
        "relations.label_embedding=5", "relations.distance=-1", "relations.threshold=2", "relations.bilinear=maybe",
        "training=3",
    ],
)
def test_values_out_of_range_are_one_sentence(override: str) -> None:
    key, _, value = override.partition("=")
    text = message(override)
    assert key in text
    assert value in text or value in ("none", "1e-5", "-1e-5")


CRONE = "crone2020-conll04-minilm"


@pytest.mark.parametrize(("preset", "overrides", "wrong"), [
    ("conjoin-base", ["encoder.frozen=true"],
     "encoder.casing .*encoder.frozen .* set encoder.casing=false and encoder.masking=0$"),
    (CRONE, ["encoder.masking=0.2"], "encoder.casing and encoder.masking .*; set encoder.masking=0$"),
    ("conjoin-base", ["elmo.weights=w.hdf5"], "elmo.options and elmo.weights .*; set both"),
    ("conjoin-base", ["elmo.options=o.json"], "elmo.options and elmo.weights .*; set both"),
    ("conjoin-base", ["elmo.weights_sha256=ab"], "elmo.weights_sha256 is the checksum of elmo.weights; set both"),
    ("conjoin-base", ["elmo.options=o", "elmo.weights=w", "elmo.weights_sha256=ab"],
     "elmo.weights_sha256 = 'ab' .*; sha256sum FILE"),
    (CRONE, ["entities.decoding=argmax"], "entities.decoding=argmax is for .*; set entities.decoding=legal"),
    (CRONE, ["relations.bilinear=false"], r"relations.bilinear=false .* distmult\+cosine has no bilinear term; set"),
    (CRONE, ["characters.place=input"], "characters.place=input needs .*; set encoder.name"),
    ("conjoin-base", ["encoder.name=none", "characters.size=4", "characters.place=input"], "characters.place=input needs"),
])
def test_settings_that_do_not_go_together_are_refused(preset: str, overrides: list[str], wrong: str) -> None:
    assert re.search(rf"^{preset}: {wrong}", message(*overrides, source=preset))


@pytest.mark.parametrize(("preset", "overrides"), [
    ("conjoin-base", ["encoder.frozen=true", "encoder.casing=false", "encoder.masking=0"]),
    ("giorgi2019-conll04", ["relations.bilinear=false", "relations.scorer=biaffine+feedforward"]),
    ("giorgi2019-conll04", ["entities.output=crf", "entities.decoding=legal"]),
    ("conjoin-base", ["characters.size=4", "characters.place=input"]),
    ("conjoin-base", ["elmo.options=o.json", "elmo.weights=w.hdf5", f"elmo.weights_sha256={'aB' * 32}"]),
])
def test_settings_that_go_together(preset: str, overrides: list[str]) -> None:
    load_config(preset, overrides)


def test_none_is_a_text_where_a_setting_must_be_one(tmp_path: Path) -> None:
    path = write(tmp_path / "own.toml", 'base = "crone2020-ade"\nsymmetric = ["none"]\n[paper]\ncitation = "none"\n')
    config = load_config(path, ["elmo.options=none", "elmo.weights=None", "relations.label_embedding=none"])
    assert config.paper is not None and config.paper.citation == "none" and config.symmetric == ("none",)
    assert (config.elmo.options, config.elmo.weights, config.relations.label_embedding) == (None, None, "none")
    assert load_config(write(tmp_path / "again.toml", to_toml(config))) == config


@pytest.mark.parametrize("override", ["training.epochs", "=3", "", "training.epochs.more=3"])
def test_overrides_of_no_form(override: str) -> None:
    assert "training" in message(override)


def test_unknown_presets_and_files(tmp_path: Path) -> None:
    assert "did you mean 'conjoin-base'?" in message(source="conjoin-bas")
    assert message(source="conjoin-bas").endswith(", or give a TOML file of settings")
    assert "no such settings file" in message(source=tmp_path / "none.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("[training\nepochs = 3")
    assert "not valid TOML" in message(source=broken)
    broken.write_bytes(b'symmetric = ["\xff"]')
    assert "broken.toml" in message(source=broken)


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_base_gives_what_a_file_does_not(tmp_path: Path) -> None:
    base = write(tmp_path / "base.toml", 'base = "giorgi2019-ade"\n[training]\nepochs = 9\n')
    path = write(tmp_path / "top.toml", f'base = "{base}"\n[training]\nbatch_size = 5\n')
    training = load_config(path, ["training.learning_rate=1e-3"]).training
    assert (training.epochs, training.batch_size, training.learning_rate, training.weight_decay) == (9, 5, 1e-3, 0.1)


def test_reported_scores_are_those_of_the_file_alone(tmp_path: Path) -> None:
    paper = load_config("crone2020-ade").paper
    assert paper is not None and paper.citation == "Crone 2020"  # of the base
    assert paper.reported == {"entities macro": 89.48, "relations macro": 83.74}  # without CoNLL04's
    path = write(tmp_path / "own.toml", 'base = "crone2020-ade"\n[paper]\nreported = { "entities" = 1.0 }')
    own = load_config(path).paper
    assert own is not None and own.reported == {"entities": 1.0}


def test_a_base_is_found_from_the_file_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    write(tmp_path / "base.toml", 'base = "giorgi2019-ade"\n[training]\nepochs = 9\n')
    assert load_config(write(tmp_path / "inner" / "top.toml", 'base = "../base.toml"')).training.epochs == 9
    assert "circle of bases" in message(source=write(tmp_path / "inner" / "self.toml", 'base = "../inner/self.toml"'))


def test_bases_that_name_each_other(tmp_path: Path) -> None:
    first, second = tmp_path / "first.toml", tmp_path / "second.toml"
    write(first, f'base = "{second}"')
    write(second, f'base = "{first}"')
    text = message(source=first)
    assert "circle of bases" in text and "first.toml -> " in text and "second.toml" in text
    assert "circle of bases" in message(source=write(tmp_path / "self.toml", f'base = "{tmp_path / "self.toml"}"'))


def test_unknown_base(tmp_path: Path) -> None:
    assert "unknown preset 'nonesuch'" in message(source=write(tmp_path / "a.toml", 'base = "nonesuch"'))


def test_settings_do_not_change() -> None:
    config = load_config("conjoin-base")
    with pytest.raises(Exception, match="frozen"):
        config.training.epochs = 3  # type: ignore[misc]


def test_all_keys_are_the_keys() -> None:
    keys = set(all_keys())
    dumped = Config().model_dump()
    expected = {f"{table}.{key}" for table, values in dumped.items() if isinstance(values, dict) for key in values}
    assert keys == expected | {"symmetric", "paper"}


@given(st.just("none") | st.text(max_size=20), st.lists(st.text(max_size=8), max_size=3), st.floats(1e-12, 1e12),
       st.none() | st.integers(1))
def test_toml_holds_any_text_and_number(name: str, symmetric: list[str], rate: float, patience: int | None) -> None:
    paper = {"citation": name, "table": name, "protocol": name, "reported": {name: rate}}
    values = {"encoder": {"name": name}, "symmetric": symmetric, "paper": paper,
              "training": {"learning_rate": rate, "patience": patience}}
    config = parse_config(values, "test")
    assert config.paper is not None and config.paper.citation == name
    assert parse_config(tomllib.loads(to_toml(config)), "test") == config


def test_loading_an_encoder_shows_no_bar_and_leaves_bars_as_they_were(
    encoder: str, capfd: pytest.CaptureFixture[str]
) -> None:
    from transformers.utils.logging import is_progress_bar_enabled

    from conjoin.modeling.embedders.encoder import open_encoder

    assert is_progress_bar_enabled()
    open_encoder(encoder)
    assert is_progress_bar_enabled()
    assert "Loading" not in capfd.readouterr().err
