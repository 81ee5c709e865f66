"""Arguments and options that several verbs take.

Options that go together are a group, a dataclass. A verb with a parameter of a group has all options of the group.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from conjoin.config.options import Precision
from conjoin.errors import SettingError, unknown_name
from conjoin.storage.cache import CACHE_LIMIT
from conjoin.text.sources import Columns

if TYPE_CHECKING:
    from conjoin.annotator import Thresholds
    from conjoin.config.settings import Config


def choice(what: str, names: Sequence[str], *flags: str, help: str) -> Any:
    """An option that takes one of `names`; for another value the error suggests the nearest."""

    def parse(name: str) -> str:
        if name not in names:
            raise SettingError(unknown_name(what, name, names))
        return name

    return typer.Option(*flags, metavar="|".join(names), parser=parse, help=help)


Model = Annotated[Path, typer.Argument(metavar="MODEL", help="Folder of a training run, a model or an export.")]
TrainedModel = Annotated[Path, typer.Argument(metavar="MODEL", help="Folder of a training run or a model.")]
Preset = Annotated[str, typer.Argument(metavar="PRESET|CONFIG", help="Name of a preset, or a TOML file of settings.")]
Workers = Annotated[int, typer.Option(min=1, help="Number of processes, each with its share of the cores.")]
PrecisionName = Annotated[Precision, choice("precision", ("no", "bf16", "auto"), "--precision", help=(
    "Precision of a transformer: full (no), bf16, or bf16 where the device supports it (auto)."))]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")]
TrainingProgress = Annotated[
    bool | None, typer.Option("--progress/--no-progress", help="Show progress; off a terminal one line per epoch.")
]
ShowProgress = Annotated[bool | None, typer.Option("--progress/--no-progress", help="Show progress; default on terminals.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingOptions:
    """The encoder and other settings, in place of those of a preset."""

    encoder: Annotated[str | None, typer.Option(help="Hub name or folder of the encoder, or minilm.")] = None
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting, as training.epochs=5; repeatable.")
    ] = None

    def overrides(self) -> list[str]:
        """All of them as `key=value`."""
        encoder = [] if self.encoder is None else [f"encoder.name={json.dumps(self.encoder, ensure_ascii=False)}"]
        return [*(self.settings or []), *encoder]

    def config(self, preset: str, *, seed: int | None = None) -> Config:
        """The settings of a preset with these, and with files that exist."""
        from conjoin.config.presets import check_files, load_config

        config = load_config(preset, [*self.overrides(), *([] if seed is None else [f"training.seed={seed}"])])
        check_files(config)
        return config


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheOptions:
    """The cache of vectors of frozen encoders."""

    no_cache: Annotated[bool, typer.Option("--no-cache", help="Do not cache vectors of frozen encoders.")] = False
    max_cache: Annotated[
        float, typer.Option(metavar="GB", min=0.0, help="Maximum size of that cache, in $CONJOIN_CACHE.")
    ] = CACHE_LIMIT

    @property
    def limit(self) -> float:
        """The size in GB; 0 for no cache."""
        return 0.0 if self.no_cache else self.max_cache


@dataclass(frozen=True, slots=True, kw_only=True)
class ThresholdOptions:
    """The minimum scores of results."""

    entity_threshold: Annotated[float, typer.Option(min=0, max=1, help="Minimum score of an entity.")] = 0.0
    relation_threshold: Annotated[float, typer.Option(min=0, max=1, help="Minimum score of a relation.")] = 0.0

    def thresholds(self) -> Thresholds:
        from conjoin.annotator import Thresholds

        return Thresholds(self.entity_threshold, self.relation_threshold)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextOptions:
    """The place of the raw text in the input."""

    lines: Annotated[bool, typer.Option("--lines", help="Read every line of a text file as a text.")] = False
    text_column: Annotated[str, typer.Option(help="Column of the text in .jsonl, .csv and .parquet.")] = "text"
    id_column: Annotated[str | None, typer.Option(help="Column of the id; by default id, if there is one.")] = None

    @property
    def columns(self) -> Columns:
        return Columns(self.text_column, self.id_column)
