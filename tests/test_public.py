"""The public names, what importing them costs, and the help of every verb."""

from __future__ import annotations

import inspect
import subprocess
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest

import conjoin
from conjoin import cli
from conjoin.cli import app
from conjoin.cli.verbs import PANELS, VERBS

HEAVY = ("torch", "transformers", "accelerate", "pydantic")


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)


def test_all_is_what_the_lazy_table_gives() -> None:
    assert list(conjoin.__all__) == sorted(conjoin.__all__)
    assert set(conjoin.__all__) == {*conjoin._HOMES, "Document", "__version__"}


def test_dir_shows_the_public_names() -> None:
    assert dir(conjoin) == sorted(conjoin.__all__)


def test_every_public_name_is_imported_for_type_checkers_too() -> None:
    source = inspect.getsource(conjoin).partition("if TYPE_CHECKING:")[2].partition("\ndef ")[0]
    imported = {name.strip() for line in source.splitlines() if " import " in line
                for name in line.partition(" import ")[2].split(",")}
    assert imported == set(conjoin._HOMES) - {"Document"}


@pytest.mark.parametrize("name", sorted(conjoin._HOMES))
def test_a_public_name_is_importable_and_says_what_it_is(name: str) -> None:
    value = getattr(conjoin, name)
    assert getattr(import_module(conjoin._HOMES[name]), name) is value
    assert len((value.__doc__ or "").split()) >= 3
    for method, member in vars(value).items() if inspect.isclass(value) else ():
        if inspect.isfunction(member) and not method.startswith("_") and len(inspect.signature(member).parameters) > 1:
            assert member.__doc__, f"{name}.{method}"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Extracter'"):
        _ = conjoin.Extracter


def test_the_version_is_that_of_the_package() -> None:
    assert conjoin.__version__ == version("conjoin")


@pytest.mark.parametrize("code", [
    "import conjoin; conjoin.read_corpus; conjoin.Document; conjoin.score",
    "import conjoin.cli; from conjoin.cli import app; from typer.testing import CliRunner; "
    "assert 'extract' in CliRunner().invoke(app, ['--help']).output",
])
def test_reading_data_and_help_do_not_import_torch(code: str) -> None:
    result = python(f"{code}; import sys; print([name for name in {HEAVY!r} if name in sys.modules])")
    assert (result.stdout.strip(), result.stderr) == ("[]", "")


@pytest.mark.parametrize("verb", VERBS)
def test_the_table_of_verbs_says_what_each_says_of_itself(verb: str) -> None:
    module = import_module(f"conjoin.cli.{verb}")
    assert callable(getattr(module, verb))
    assert (module.__doc__ or "").splitlines()[0] == VERBS[verb]
    files = {path.stem for path in Path(cli.__file__).parent.glob("*.py")}
    assert set(VERBS) <= files


def test_the_list_of_verbs_needs_none_of_them() -> None:
    code = ("from conjoin.cli import app; from typer.testing import CliRunner; CliRunner().invoke(app, ['--help']); "
            f"import sys; print([verb for verb in {list(VERBS)!r} if f'conjoin.cli.{{verb}}' in sys.modules])")
    assert python(code).stdout.strip() == "[]"


@pytest.mark.parametrize("verb", [(), *((verb,) for verb in VERBS)])
def test_every_verb_has_help(verb: tuple[str, ...]) -> None:
    from typer.testing import CliRunner

    result = CliRunner().invoke(app, [*verb, "--help"])
    assert result.exit_code == 0
    assert "Usage: conjoin" in result.output or "Usage: root" in result.output
    if verb:
        assert f"conjoin {verb[0]}" in result.output.partition("Examples:")[2]
    else:
        assert set(VERBS) <= set(result.output.split())
        lines = result.output.splitlines()
        assert all(f"{panel}:" in lines for panel in PANELS)
        assert all(any(f" {line}" in shown for shown in lines) for line in VERBS.values())  # each fits on its line
