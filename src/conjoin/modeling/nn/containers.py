"""Lists and dicts of modules that type checkers see with the type of their members."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar, cast

from torch import nn

M = TypeVar("M")


def module_list(modules: Iterable[M]) -> Sequence[M]:
    """An `nn.ModuleList`."""
    return cast(Sequence[M], nn.ModuleList(cast(Any, modules)))


def module_dict(modules: Mapping[str, M]) -> Mapping[str, M]:
    """An `nn.ModuleDict`."""
    return cast(Mapping[str, M], nn.ModuleDict(cast(Any, modules)))
