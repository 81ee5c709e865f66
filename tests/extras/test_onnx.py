from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from conjoin import Extractor
from conjoin.config.settings import Config
from conjoin.document import Document
from conjoin.errors import ModelError, SettingError
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


@pytest.mark.parametrize("mix", MIXES)
def test_an_export_annotates_as_the_model_does(
    mix: str, shrunk: Shrunk, documents: list[Document], tmp_path: Path
) -> None:
    preset, overrides = MIXES[mix]
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


def test_workers_do_not_load_torch_for_an_export(exported: Path) -> None:
    code = ("import sys; from conjoin.extractor import ExtractorLoader; extractor = ExtractorLoader(sys.argv[1])(0); "
            "assert extractor('Lee Oswald shot Kennedy .').tokens; sys.exit(int('torch' in sys.modules))")
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


@pytest.mark.parametrize("name", ["words.onnx", "pairs.onnx", "tables.safetensors"])
@pytest.mark.parametrize("how", ["missing", "truncated"])
def test_a_damaged_export_is_one_sentence(name: str, how: str, exported: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(exported, tmp_path / "copy")
    path = tmp_path / "copy" / name
    data = path.read_bytes()
    path.unlink()
    if how == "truncated":
        path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ModelError, match=r"copy: (broken model folder|a graph is missing or damaged) \(.*\); "):
        Extractor.load(tmp_path / "copy")


def test_an_export_of_another_version_is_one_sentence(exported: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(exported, tmp_path / "copy")
    path = tmp_path / "copy/exported.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(ModelError, match=r"export format 2, this version of conjoin reads 1; export the model again"):
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
