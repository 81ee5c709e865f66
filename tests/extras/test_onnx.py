from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from conjoin import Extractor
from conjoin.artifacts.exported import TRANSITIONS
from conjoin.config.settings import Config
from conjoin.document import Document, Entity
from conjoin.errors import ModelError, SettingError
from conjoin.experiments.active_learning import suggest
from conjoin.features.featurisers import load_featuriser
from conjoin.modeling.build import build_model
from conjoin.schema import Schema

pytest.importorskip("onnxscript")
from conjoin.cli.export import export as export_command
from conjoin.extras import onnx
from conjoin.extras.onnx import export

Shrunk = Callable[..., Config]
SMALL = ("stack.size=16", "characters.size=4", "relations.scorer_size=16")
MIXES = {
    "conjoin-base": ("conjoin-base", ()),
    "crf, sigmoid": ("conjoin-base", ("entities.output=crf", "relations.decision=sigmoid", "relations.pooling=first-last")),
    "no frills": ("giorgi2019-conll04", ("relations.label_embedding=tag",)),
    "conjoin-mix": ("conjoin-mix", SMALL),
    "frozen": ("crone2020-conll04-minilm", SMALL),
    "frozen lstm": ("crone2020-conll04-minilm", (*SMALL, "stack.cell=lstm", "characters.cell=lstm", "encoder.layers=last")),
    "characters alone": ("crone2020-conll04-minilm", (*SMALL, "encoder.name=none", "words.casing=true")),
}
TEXTS = ["Maria Ortiz leads the Halden Steel of Leeds .", "Lee Oswald shot Kennedy in Dallas .", "Oslo", "x9 , " * 60]
ODD = Document.from_words(["a\ud83d"], [Entity("Loc", 0, 1)])  # half a surrogate pair, in the alphabet of characters


def saved(config: Config, documents: list[Document], folder: Path) -> Path:
    """A model with random weights whose tagger finds entities: its preference for O is taken away."""
    torch.manual_seed(1)
    model = build_model(config, Schema.from_documents(documents), documents=documents)
    torch.nn.init.normal_(model.entities.output.bias, std=0.3)
    torch.nn.init.normal_(model.entities.output.weight, std=0.5)
    Extractor.from_model(model, config).save(folder)
    return folder


def close(one: Document, other: Document) -> None:
    assert [(e.type, e.start, e.end) for e in one.entities] == [(e.type, e.start, e.end) for e in other.entities]
    assert [e.score for e in one.entities] == pytest.approx([e.score for e in other.entities], abs=2e-3)
    assert [(r.type, r.head, r.tail) for r in one.relations] == [(r.type, r.head, r.tail) for r in other.relations]
    assert [r.score for r in one.relations] == pytest.approx([r.score for r in other.relations], abs=2e-3)


@pytest.mark.parametrize("mix", [
    pytest.param(mix, marks=[pytest.mark.long] if mix.startswith("frozen") else []) for mix in MIXES
])
def test_an_export_annotates_as_the_model_does(
    mix: str, shrunk: Shrunk, documents: list[Document], tmp_path: Path
) -> None:
    preset, overrides = MIXES[mix]
    documents = [*documents, ODD]
    model = saved(shrunk(preset, *overrides), documents, tmp_path / "model")
    export(model, tmp_path / "export")
    ours, theirs = Extractor.load(model, device="cpu"), Extractor.load(tmp_path / "export")
    texts = [*TEXTS, ""]
    found = list(ours.pipe(texts))
    assert any(document.entities for document in found)
    for one, other in zip(found, theirs.pipe(texts), strict=True):
        close(one, other)
    for one, other in zip(
        ours.annotate(documents, gold_entities=True), theirs.annotate(documents, gold_entities=True), strict=True
    ):
        close(one, other)
    assert theirs.annotator.uncertainty(documents) == pytest.approx(ours.annotator.uncertainty(documents), abs=2e-3)
    suggestions = [[(one.place, one.document) for one in suggest(extractor, documents, 2)] for extractor in (ours, theirs)]
    assert suggestions[1] == suggestions[0]
    crf = ours.config.entities.output == "crf"
    assert {path.name for path in (tmp_path / "export").glob("*.safetensors")} == ({TRANSITIONS} if crf else set())


def test_what_a_description_holds(exported: Path, trained_run: Path) -> None:
    """Types, scheme and rules come from schema.json and config.json."""
    description = json.loads((exported / "exported.json").read_text())
    assert description.keys() == {"format", "int8", "featuriser"}
    assert (description["format"], description["int8"]) == (2, True)
    model = Extractor.load(trained_run, device="cpu").model
    texts = [text.split() for text in TEXTS]
    ours, theirs = model.embedder.featuriser.arrays(texts), load_featuriser(description["featuriser"]).arrays(texts)
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(value, theirs[name]) for name, value in ours.items())


def test_many_pairs_are_scored_block_by_block(exported_crf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    annotator = Extractor.load(exported_crf).annotator
    backend, decoder = annotator.backend, annotator.decoder.relations
    assert decoder is not None
    document = Document.from_words(TEXTS[0].split())
    _, state = backend.entity_scores(backend.collate([document]))
    spans, pairs = decoder.candidates([[Entity("Peop", 0, 2), Entity("Org", 4, 6), Entity("Loc", 7, 8)]])
    whole = backend.relation_scores(state, spans, pairs)
    assert len(whole) == 2
    monkeypatch.setattr("conjoin.artifacts.exported.PAIRS_AT_ONCE", 1)
    assert backend.relation_scores(state, spans, pairs) == pytest.approx(whole, abs=1e-5)


def test_repr_names_the_back_end(exported: Path) -> None:
    assert repr(Extractor.load(exported)) == "Extractor(OnnxBackEnd, 3 entity types, 3 relation types)"


@pytest.fixture(scope="module")
def exported(trained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of the model that has learnt three documents by heart."""
    folder = tmp_path_factory.mktemp("export") / "small"
    export(trained_run, folder, int8=True)
    return folder


def test_the_card_says_whose_scores_it_has(exported: Path) -> None:
    card = (exported / "README.md").read_text(encoding="utf-8")
    assert "an export in 8 bits" in card and "those of the model before the export" in card


def test_eight_bits_still_know_what_was_learnt(exported: Path, documents: list[Document]) -> None:
    report = Extractor.load(exported).evaluate(documents)
    assert report.entities["strict"].micro.f1 == 1
    assert report.relations["strict"].micro.f1 == 1


def test_torch_is_not_loaded(exported: Path) -> None:
    """Neither by the library nor by the command line, from a cold start to the answer."""
    code = ("import sys; from conjoin.cli import app; app(sys.argv[1:], standalone_mode=False); "
            "sys.exit(int(bool({'torch', 'transformers', 'accelerate'} & set(sys.modules))))")
    text = "Maria Ortiz leads the Halden Steel of Leeds ."
    done = subprocess.run([sys.executable, "-c", code, "extract", str(exported), "--text", text],
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert '"type": "Work_For"' in done.stdout or '"Work_For"' in done.stdout


@pytest.mark.processes
def test_workers_do_not_load_torch_for_an_export(exported: Path) -> None:
    code = ("import sys; from conjoin.extractor import ExtractorLoader; pipeline = ExtractorLoader(sys.argv[1])(0); "
            "assert pipeline.extract([('', 'Lee shot Kennedy .')])[0].tokens; sys.exit(int('torch' in sys.modules))")
    done = subprocess.run([sys.executable, "-c", code, str(exported)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_an_export_keeps_its_precision(exported: Path) -> None:
    with pytest.raises(SettingError, match="an export computes as it was made; 'bf16' is for a model that is not"):
        Extractor.load(exported, precision="bf16")


def test_an_export_is_not_saved_or_exported_again(exported: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="an exported model is not saved again; copy its folder"):
        Extractor.load(exported).save(tmp_path / "again")
    with pytest.raises(ModelError, match="is an export itself; name the model"):
        export(exported, tmp_path / "again")
    assert not (tmp_path / "again").exists()


@pytest.fixture(scope="module")
def exported_crf(shrunk: Shrunk, documents: list[Document], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of a model with a CRF and random weights."""
    folder = tmp_path_factory.mktemp("crf")
    preset, overrides = MIXES["crf, sigmoid"]
    export(saved(shrunk(preset, *overrides), documents, folder / "model"), folder / "export")
    return folder / "export"


@pytest.mark.parametrize("name", ["words.onnx", "pairs.onnx", TRANSITIONS, "exported.json"])
@pytest.mark.parametrize("how", ["missing", "truncated"])
def test_a_damaged_export_is_one_sentence(name: str, how: str, exported_crf: Path, tmp_path: Path) -> None:
    if (name, how) == ("exported.json", "missing"):
        pytest.skip("a folder without it is no export")
    shutil.copytree(exported_crf, tmp_path / "copy")
    path = tmp_path / "copy" / name
    data = path.read_bytes()
    path.unlink()
    if how == "truncated":
        path.write_bytes(data[: len(data) // 2])
    problem = r"broken model folder \(|a graph is missing or damaged \(|/exported.json: missing or not JSON \("
    with pytest.raises(ModelError, match=rf"copy(: |)({problem}).*\); "):
        Extractor.load(tmp_path / "copy")


@pytest.mark.parametrize(
    "featuriser", [{}, {"kind": "nothing"}, {"kind": "words"}, {"kind": "characters", "alphabet": 1}, [1], None]
)
def test_a_description_of_something_else_is_one_sentence(featuriser: object, exported: Path, tmp_path: Path) -> None:
    shutil.copytree(exported, tmp_path / "copy")
    path = tmp_path / "copy/exported.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "featuriser": featuriser}))
    with pytest.raises(ModelError, match=r"copy: broken model folder \(.*\); ") as caught:
        Extractor.load(tmp_path / "copy")
    assert "\n" not in str(caught.value)


def test_an_export_of_another_version_is_one_sentence(exported: Path, tmp_path: Path) -> None:
    shutil.copytree(exported, tmp_path / "copy")
    path = tmp_path / "copy/exported.json"
    path.write_text(path.read_text().replace('"format": 2', '"format": 1'))
    with pytest.raises(ModelError, match=r"export format 1, this version of conjoin reads 2; export the model again"):
        Extractor.load(tmp_path / "copy")


def test_the_command_replaces_an_export_only_when_told(
    exported: Path, trained_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[Path] = []
    monkeypatch.setattr(onnx, "export", lambda run, output, int8: done.append(output))
    with pytest.raises(ModelError, match="there is an export already; give --overwrite to replace it"):
        export_command(trained_run, exported, "onnx", overwrite=False, int8=False)
    export_command(trained_run, exported, "onnx", overwrite=True, int8=False)
    (tmp_path / "new").mkdir()
    export_command(trained_run, tmp_path / "new", "onnx", overwrite=False, int8=False)
    assert done == [exported, tmp_path / "new"]


def test_a_folder_of_something_else_is_not_replaced(trained_run: Path, tmp_path: Path) -> None:
    (tmp_path / "diary.txt").write_text("dear diary")
    with pytest.raises(ModelError):
        export(trained_run, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["diary.txt"]
