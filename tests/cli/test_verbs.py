"""How verbs are made: groups of options, and files that import no other verb."""

from __future__ import annotations

import ast
import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
import typer

from conjoin import cli
from conjoin.cli.options import choice
from conjoin.cli.verbs import VERBS, spread
from conjoin.errors import SettingError


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    lines: Annotated[bool, typer.Option("--lines")] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outer:
    path: Annotated[Path, typer.Option()]
    inner: Inner


def verb(name: Annotated[str, typer.Argument()], *, group: Outer, count: int = 1) -> tuple[str, Outer, int]:
    return name, group, count


def test_a_group_becomes_the_options_of_its_fields_and_comes_back_as_a_group() -> None:
    flat = spread(verb)
    parameters = inspect.signature(flat).parameters
    assert list(parameters) == ["name", "path", "lines", "count"]
    assert (parameters["path"].default, parameters["lines"].default) == (inspect.Parameter.empty, False)
    assert flat(name="a", path=Path("b"), lines=True, count=2) == (
        "a", Outer(path=Path("b"), inner=Inner(lines=True)), 2)


def test_a_choice_takes_its_names_only() -> None:
    option = choice("colour", ("red", "green"), "--colour", help="A colour.")
    assert (option.metavar, option.parser("red")) == ("red|green", "red")
    with pytest.raises(SettingError, match=r"unknown colour 'gren' \(did you mean 'green'\?\)"):
        option.parser("gren")


@pytest.mark.parametrize("name", VERBS)
def test_a_verb_imports_no_other_verb(name: str) -> None:
    tree = ast.parse((Path(cli.__file__).parent / f"{name}.py").read_text("utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
    assert not {f"conjoin.cli.{verb}" for verb in VERBS} & {node.module for node in imports}
    names = [alias.name for node in imports if (node.module or "").startswith("conjoin.") for alias in node.names]
    assert not [name for name in names if name.startswith("_") and name != "__version__"]
