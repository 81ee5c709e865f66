"""Arguments and options that several verbs take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from conjoin.cli.data import FORMAT_HELP, OPTION_HELP
from conjoin.config.options import Precision
from conjoin.errors import SettingError, unknown_name

Preset = Annotated[str, typer.Argument(metavar="PRESET|CONFIG", help="A preset's name or a TOML file of settings.")]
Data = Annotated[Path | None, typer.Option(help="Folder or file; splits are found by file name.")]
TrainFile = Annotated[Path | None, typer.Option("--train", help="File of the train split.")]
DevFile = Annotated[Path | None, typer.Option("--dev", help="File of the dev split.")]
TestFile = Annotated[Path | None, typer.Option("--test", help="File of the test split.")]
FormatName = Annotated[str | None, typer.Option("--format", "-f", help=FORMAT_HELP)]
FormatOptions = Annotated[list[str] | None, typer.Option("--option", help=OPTION_HELP)]
Lenient = Annotated[bool, typer.Option("--lenient", help="Repair the data where it can be, and say so.")]
Encoder = Annotated[str | None, typer.Option(help="Hub name, folder or minilm; in place of the preset's.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting, training.epochs=5; several times.")
]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Do not keep vectors of frozen encoders on disk.")]
CacheLimit = Annotated[float, typer.Option(min=0.0, help="Most GB of them, in $CONJOIN_CACHE; 0 is --no-cache.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Start anew; an old model goes at the end.")]
Workers = Annotated[int, typer.Option(min=1, help="Processes side by side, each with its share of the cores.")]
PrecisionName = Annotated[
    str, typer.Option("--precision", help="Of a transformer: no (full), bf16, or auto: bf16 where it is computed.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON in place of text.")]
ShowProgress = Annotated[
    bool | None, typer.Option("--progress/--no-progress", help="Documents done, rate, time left; shown on a terminal.")
]


def chosen_precision(name: str) -> Precision:
    """The precision of that name in which annotation is computed. Raises `SettingError` for any other."""
    match name:
        case "no" | "bf16" | "auto":
            return name
    raise SettingError(unknown_name("precision", name, ("no", "bf16", "auto")))
