"""List the presets, or print all settings of one.

The settings are printed as TOML, which can be edited and given to conjoin train.

Examples:
  conjoin presets
  conjoin presets conjoin-base > my.toml
"""

from __future__ import annotations

from typing import Annotated

import typer


def presets(
    name: Annotated[str | None, typer.Argument(help="Preset or TOML file of which to print all settings.")] = None,
) -> None:
    from conjoin.config.presets import load_config, preset_names, to_toml

    if name is not None:
        typer.echo(to_toml(load_config(name)), nl=False)
        return
    rows = [("preset", "epochs", "batch", "learning rate", "encoder", "from")]
    for preset in preset_names():
        config = load_config(preset)
        training = config.training
        source = f"{config.paper.citation}, {config.paper.table}" if config.paper else ""
        rows.append((preset, str(training.epochs), str(training.batch_size), f"{training.learning_rate:g}",
                     config.encoder.name or "elmo", source))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
