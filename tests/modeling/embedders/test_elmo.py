"""ELMo against invented weights worked out step by step, and against the published fixture where it is at hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from conjoin.errors import ModelError
from conjoin.modeling.embedders.elmo import Elmo, ElmoShape, load_elmo, saved_elmo, spell
from elmo_files import OPTIONS, write_weights

TEXTS = [["Oslo", "is", "far"], ["no"], ["a", "Å", "longer", "text", "of", "words", "extraordinarily"]]


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "options.json").write_text(json.dumps(OPTIONS))
    write_weights(tmp_path / "weights.hdf5")
    return tmp_path / "options.json", tmp_path / "weights.hdf5"


@pytest.fixture
def elmo(files: tuple[Path, Path]) -> Elmo:
    return load_elmo(*files)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def token_by_hand(file: Any, ids: list[int]) -> np.ndarray:
    characters = file["char_embed"][...].astype(np.float64)[ids]
    found = []
    for number, (width, _) in enumerate(OPTIONS["char_cnn"]["filters"]):
        kernel, bias = file[f"CNN/W_cnn_{number}"][0], file[f"CNN/b_cnn_{number}"][...]
        windows = [characters[at : at + width] for at in range(len(ids) - width + 1)]
        found.append(np.maximum(np.max([np.einsum("wc,wcn->n", w, kernel) + bias for w in windows], axis=0), 0))
    x = np.concatenate(found)
    for k in range(2):
        gate = sigmoid(x @ file[f"CNN_high_{k}/W_carry"][...] + file[f"CNN_high_{k}/b_carry"][...])
        new = np.maximum(x @ file[f"CNN_high_{k}/W_transform"][...] + file[f"CNN_high_{k}/b_transform"][...], 0)
        x = gate * new + (1 - gate) * x
    return x @ file["CNN_proj/W_proj"][...] + file["CNN_proj/b_proj"][...]


def lstm_by_hand(file: Any, way: int, layer: int, inputs: list[np.ndarray]) -> list[np.ndarray]:
    place = f"RNN_{way}/RNN/MultiRNNCell/Cell{layer}/LSTMCell"
    weights, bias, projection = (file[f"{place}/{name}"][...].astype(np.float64) for name in ("W_0", "B", "W_P_0"))
    h, c, outputs = np.zeros(4), np.zeros(6), []
    for x in inputs:
        entry, candidate, forget, output = np.split(np.concatenate([x, h]) @ weights + bias, 4)
        c = np.clip(sigmoid(forget + 1) * c + sigmoid(entry) * np.tanh(candidate), -0.8, 0.8)
        h = np.clip((sigmoid(output) * np.tanh(c)) @ projection, -0.5, 0.5)
        outputs.append(h + x if layer else h)
    return outputs


def by_hand(path: Path, words: list[str]) -> np.ndarray:
    """[word, layer, width], one word and one step at a time in double precision."""
    with h5py.File(path) as file:
        tokens = [token_by_hand(file, spell(word, 12)) for word in ("<S>", *words, "</S>")]
        ways = []
        for way in range(2):
            states = tokens[::-1] if way else tokens
            layers = [states]
            for layer in range(2):
                states = lstm_by_hand(file, way, layer, states)
                layers.append(states)
            ways.append([rows[::-1] if way else rows for rows in layers])
    joined = [[np.concatenate([ways[0][k][i], ways[1][k][i]]) for k in range(3)] for i in range(1, len(words) + 1)]
    return np.array(joined).reshape(len(words), 3, 8)


def test_vectors_are_those_of_the_written_out_model(files: tuple[Path, Path], elmo: Elmo) -> None:
    with torch.no_grad():
        vectors = elmo.vectors(TEXTS)
    for words, rows in zip(TEXTS, vectors, strict=True):
        np.testing.assert_allclose(rows.numpy(), by_hand(files[1], words), atol=1e-5)


def test_a_text_does_not_know_its_batch_nor_what_came_before(elmo: Elmo) -> None:
    with torch.no_grad():
        alone = [elmo.vectors([words])[0] for words in TEXTS]
        for rows, single in zip(elmo.vectors(TEXTS), alone, strict=True):
            torch.testing.assert_close(rows, single)
        assert elmo.vectors([[]])[0].shape == (0, 3, 8)
        _, states = elmo.run([["Oslo"]])
        carried, _ = elmo.run([TEXTS[0]], states)
    assert not torch.allclose(carried[0, :, 1:], alone[0][:, 1:])
    torch.testing.assert_close(carried[0, :, 0], alone[0][:, 0])


def test_spelling() -> None:
    assert spell("aé", 8) == [258, 97, 195, 169, 259, 260, 260, 260]
    assert spell("abcdefgh", 5) == [258, 97, 98, 99, 259]
    assert spell("<S>", 4) == [258, 256, 259, 260]
    assert spell("\ud83d", 4) == [258, ord("?"), 259, 260]


def test_it_is_saved_as_options(elmo: Elmo, tmp_path: Path) -> None:
    elmo.save(tmp_path)
    again = saved_elmo(tmp_path)
    again.load_state_dict(elmo.state_dict())
    torch.testing.assert_close(again.vectors(TEXTS[:1])[0], elmo.vectors(TEXTS[:1])[0])


def changed(**lstm: Any) -> dict[str, Any]:
    return OPTIONS | {"lstm": OPTIONS["lstm"] | lstm}


def characters(**cnn: Any) -> dict[str, Any]:
    return OPTIONS | {"char_cnn": OPTIONS["char_cnn"] | cnn}


@pytest.mark.parametrize(("options", "wrong"), [
    ({}, r"options.json: .*'char_cnn'.*give the options.json"),
    (changed(dim="wide"), r"options.json: "),
    (OPTIONS | {"char_cnn": OPTIONS["char_cnn"] | {"activation": "gelu"}}, r"activation 'gelu' .*; it is relu or tanh"),
    (changed(dim=7), r"weights.hdf5: .*'RNN_0/.*/W_0' .*\(8, 24\).*\(8, 28\)"),
    (changed(n_layers=1), r"'RNN_0/.*/Cell1/LSTMCell/B' .*6 of 27"),
    (characters(n_highway=1), r"'CNN_high_1/W_carry' .*4 of 27"),
    (changed(n_layers=-1), r"options.json: n_layers is -1.* 1"),
    (changed(n_layers=0), r"n_layers is 0"),
    (changed(dim=-6), r"options.json: dim is -6"),
    (changed(projection_dim=0), r"projection_dim is 0"),
    (changed(cell_clip=-1), r"cell_clip is -1.0"),
    (changed(proj_clip=float("nan")), r"proj_clip is nan"),
    (changed(use_skip_connections="false"), r"options.json: .*'false'"),
    (changed(use_skip_connections=[]), r"options.json: "),
    (characters(n_characters=261), r"n_characters is 261.* 262"),
    (characters(n_highway=-1), r"n_highway is -1"),
    (characters(max_characters_per_token=2), r"max_characters_per_token is 2.* 3"),
    (characters(max_characters_per_token=6, filters=[[1, 2], [7, 3]]), r"_per_token is 6.* 7"),
    (characters(filters=[]), r"filters is 0"),
    (characters(filters=[[0, 2]]), r"width of a filter is 0"),
    (characters(filters=[[1, -2]]), r"number of a filter is -2"),
    (characters(embedding={"dim": 0}), r"embedding.dim is 0"),
    (changed(n_layers=3), r"weights.hdf5: .*'RNN_0/.*/Cell2/LSTMCell/W_0'"),
])
def test_options_that_do_not_fit(files: tuple[Path, Path], options: dict[str, Any], wrong: str) -> None:
    files[0].write_text(json.dumps(options))
    with pytest.raises(ModelError, match=wrong):
        load_elmo(*files)


def test_missing_and_broken_files(files: tuple[Path, Path], tmp_path: Path) -> None:
    options, weights = files
    with pytest.raises(ModelError, match=r"gone.json: .* elmo.options="):
        load_elmo(tmp_path / "gone.json", weights)
    with pytest.raises(ModelError, match=r"gone.hdf5: .* elmo.weights="):
        load_elmo(options, tmp_path / "gone.hdf5")
    weights.write_bytes(weights.read_bytes()[:3000])
    with pytest.raises(ModelError, match=r"weights.hdf5: not an HDF5 file.* download"):
        load_elmo(options, weights)
    write_weights(weights, leave_out="CNN_proj/b_proj")
    with pytest.raises(ModelError, match=r"weights.hdf5: .*'CNN_proj/b_proj'"):
        load_elmo(options, weights)
    write_weights(weights, char_embed=(260, 3))
    with pytest.raises(ModelError, match=r"'char_embed' .*\(260, 3\).*\(261, 3\)"):
        load_elmo(options, weights)
    options.write_text("[1")
    with pytest.raises(ModelError, match=r"options.json: .*JSON"):
        load_elmo(options, weights)


def test_what_is_no_dataset_of_numbers(files: tuple[Path, Path]) -> None:
    with h5py.File(files[1], "a") as file:
        del file["CNN/b_cnn_0"]
        file["CNN/b_cnn_0"] = ["a", "b"]
    with pytest.raises(ModelError, match=r"weights.hdf5: 'CNN/b_cnn_0' .*download"):
        load_elmo(*files)
    with h5py.File(files[1], "a") as file:
        del file["char_embed"]
        file.create_group("char_embed")
    with pytest.raises(ModelError, match=r"'char_embed' .*download"):
        load_elmo(*files)


def test_shape_reads_all_options() -> None:
    assert ElmoShape.from_options(OPTIONS, "x").filters == ((1, 2), (3, 3))


def test_without_skip_connections_a_layer_gives_its_output_alone(files: tuple[Path, Path], elmo: Elmo) -> None:
    files[0].write_text(json.dumps(changed(use_skip_connections=False)))
    plain = load_elmo(*files)
    with torch.no_grad():
        [skipped], [rows] = elmo.vectors(TEXTS[:1]), plain.vectors(TEXTS[:1])
    torch.testing.assert_close(rows[:, :2], skipped[:, :2])  # the layers below the first connection
    torch.testing.assert_close(rows[:, 2], skipped[:, 2] - skipped[:, 1])


def test_the_published_fixture(data_folder: Path) -> None:
    """Conformance: token vectors, and the top layer of 30 sentences whose LSTM state is carried along."""
    folder = data_folder / "elmo_fixture"
    elmo = load_elmo(folder / "options.json", folder / "lm_weights.hdf5")
    words = (folder / "vocab_test.txt").read_text(encoding="utf-8").split("\n")[:458]
    with torch.no_grad():
        tokens = elmo.tokens(torch.tensor([spell(word, 50) for word in words])).numpy()
    with h5py.File(folder / "elmo_token_embeddings.hdf5") as file:
        np.testing.assert_allclose(tokens, file["embedding"][...], atol=1e-5)
    streams = json.loads((folder / "sentences.json").read_text(encoding="utf-8"))
    states = None
    for number in range(10):
        texts = [stream[number].split() for stream in streams]
        with torch.no_grad():
            layers, states = elmo.run(texts, states)
        for stream, text in enumerate(texts):
            with h5py.File(folder / f"lm_embeddings_{stream}.hdf5") as file:
                expected = np.concatenate(list(file[str(number)][...]), axis=-1)
            np.testing.assert_allclose(layers[stream, : len(text), 2].numpy(), expected, atol=1e-5)
            if number == 0:
                with torch.no_grad():
                    alone = elmo.vectors([text])[0]
                np.testing.assert_allclose(alone[:, 2].numpy(), expected, atol=1e-5)
