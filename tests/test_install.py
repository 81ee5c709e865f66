"""What the base installs, what its extras add, and the sentence where a package is missing."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import conjoin
from conjoin.errors import TRAIN_EXTRA, MissingExtraError, needs_train_extra

HOME = Path(__file__).parents[1]
PROJECT = tomllib.loads((HOME / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
SAMPLE = Path(conjoin.__file__).parent / "corpora/sample"
BARE = f"import sys; sys.modules.update(dict.fromkeys({sorted(TRAIN_EXTRA)}))"  # as where conjoin[train] is not installed


def names(requirements: list[str]) -> set[str]:
    return {requirement.partition(">")[0].partition("[")[0] for requirement in requirements}


def bare_python(code: str, *arguments: object, bare: str = BARE) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", f"{bare}\n{code}", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


def test_the_base_holds_no_package_of_train() -> None:
    assert names(EXTRAS["train"]) == TRAIN_EXTRA
    assert names(PROJECT["dependencies"]).isdisjoint(TRAIN_EXTRA)


def test_the_citation_names_this_version() -> None:
    assert f"\nversion: {conjoin.__version__}\n" in (HOME / "CITATION.cff").read_text()


@pytest.mark.parametrize("extra", ["attention", "elmo", "export", "mlflow", "tensorboard", "tune", "wandb"])
def test_an_extra_whose_code_imports_torch_includes_train(extra: str) -> None:
    assert "conjoin[train]" in EXTRAS[extra]


@pytest.mark.parametrize("code", [
    "import conjoin; conjoin.train",
    "import conjoin.training",
    "import conjoin; conjoin.Extractor.load(sys.argv[1])",
])
def test_a_missing_package_is_one_sentence_that_names_the_extra(code: str, trained_run: Path) -> None:
    done = bare_python(code, trained_run)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("conjoin.errors.MissingExtraError: ")
    assert "'torch'" in last and "conjoin[train]" in last


@pytest.mark.parametrize("package", ["onnx", "onnxscript"])
def test_export_without_its_extra_is_one_sentence(package: str, trained_run: Path, tmp_path: Path) -> None:
    bare = f"import sys; sys.modules['{package}'] = None"
    arguments = ("export", trained_run, "--output", tmp_path / "out")
    done = bare_python("from conjoin.cli import main; main()", *arguments, bare=bare)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "onnx" in done.stderr and "conjoin[export]" in done.stderr


@pytest.mark.parametrize("arguments", [
    ["extract", "RUN", "--text", "Oslo"],
    ["export", "RUN", "--output", "small"],
    ["train", "conjoin-base", "--data", str(SAMPLE), "--output", "new"],
])
def test_a_verb_that_needs_train_ends_with_that_sentence(
    arguments: list[str], trained_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = bare_python("from conjoin.cli import main; main()",
                       *(str(trained_run) if argument == "RUN" else argument for argument in arguments))
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("conjoin: ") and "torch" in last and "pip install 'conjoin[" in last, done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_help_and_data_need_the_base_alone() -> None:
    for arguments in (["--help"], ["train", "--help"], ["presets"], ["check", SAMPLE]):
        done = bare_python("from conjoin.cli import main; main()", *arguments)
        assert (done.returncode, done.stderr) == (0, ""), arguments


def test_a_package_that_is_no_part_of_train_is_not_blamed_on_it() -> None:
    with pytest.raises(ModuleNotFoundError), needs_train_extra():
        __import__("no_such_package")


def test_train_names_the_package_that_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"'matplotlib'.*conjoin\[train\]"), needs_train_extra():
        __import__("matplotlib.figure")
