"""`conjoin presets`: the settings that come with conjoin."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table


def presets(
    name: Annotated[str | None, typer.Argument(help="Print all settings of this preset or TOML file.")] = None,
) -> None:
    """List the presets, or print one with every setting, as TOML that can be edited and trained with.

    Examples:

      conjoin presets

      conjoin presets conjoin-base > my.toml
    """
    from conjoin.config import load_config, preset_names, to_toml

    if name is not None:
        typer.echo(to_toml(load_config(name)), nl=False)
        return
    table = Table("preset", "encoder", "epochs", "batch", "learning rate", "from")
    for preset in preset_names():
        config = load_config(preset)
        training = config.training
        source = f"{config.paper.citation}, {config.paper.table}" if config.paper else "conjoin"
        table.add_row(preset, config.encoder.name, str(training.epochs), str(training.batch_size),
                      f"{training.learning_rate:g}", source)
    Console().print(table)
