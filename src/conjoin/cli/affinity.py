"""`conjoin affinity`: how many layers the two tasks want to share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from conjoin.cli.options import Data, DevFile, Encoder, FormatName, FormatOptions, Lenient, Preset, Settings, TrainFile
from conjoin.errors import DataError
from conjoin.files import write_text


def affinity(
    preset: Preset,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for affinity.json and affinity.png.")],
    data: Data = None,
    train_file: TrainFile = None,
    dev_file: DevFile = None,
    format: FormatName = None,
    option: FormatOptions = None,
    lenient: Lenient = False,
    encoder: Encoder = None,
    depth: Annotated[int, typer.Option(min=1, help="Recurrent layers of the single-task models.")] = 4,
    seeds: Annotated[int, typer.Option(min=2, help="Runs of each task; two tell how alike one task is to itself.")] = 2,
    words: Annotated[int, typer.Option(min=3, help="Words of dev to compare.")] = 500,
    settings: Settings = None,
) -> None:
    """Find how many layers the two tasks want to share.

    Trains each task alone and compares what the two learn, layer by layer: where the representations of the two tasks are
    nearly as alike as those of two runs of one task, a layer can be shared (Vandenhende et al. 2019). Prints the affinity
    at each depth and how many layers that advises to share.

    Examples:

      conjoin affinity crone2020-conll04-minilm --data conll04/ --output affinity
    """
    from conjoin.cli.progress import epoch_line
    from conjoin.cli.train import overrides, read_splits

    corpus = read_splits(data, {"train": train_file, "dev": dev_file}, format, option, lenient)
    if not corpus.dev:
        raise DataError("affinity compares the words of a dev split; name a file with --dev, or call it dev")

    from conjoin.extras.affinity import advised_depth, affinities, plot, single_task_models
    from conjoin.training import EpochDone, Event

    console = Console(stderr=True, highlight=False)

    def follow(task: str, seed: int, event: Event) -> None:
        if isinstance(event, EpochDone):
            console.print(f"{task} alone, seed {seed}, {epoch_line(event)}", markup=False, soft_wrap=True)

    models = single_task_models(preset, overrides(settings, encoder, None), corpus, depth=depth, seeds=range(seeds),
                                lenient=lenient, listen=follow)
    found = affinities(models, corpus.dev, words=words)
    table = Table(box=None, pad_edge=False)
    for name in ("depth", "entities and relations", "same task, another seed", "ratio"):
        table.add_column(name, justify="left" if name == "depth" else "right")
    for row in found:
        table.add_row(row.name, f"{row.between:.3f}", f"{row.within:.3f}", f"{row.ratio:.2f}")
    advised = advised_depth(found)
    result: dict[str, Any] = {
        "preset": preset, "settings": list(settings or []), "seeds": seeds, "words": words, "shared_layers": advised,
        "depths": [{"depth": row.name, "between": row.between, "within": row.within, "ratio": row.ratio} for row in found],
    }
    write_text(output / "affinity.json", json.dumps(result, indent=1) + "\n")
    plot(found, output / "affinity.png")
    printer = Console(highlight=False)
    printer.print(table)
    printer.print(f"advice: share {advised} of {depth} recurrent layers; wrote {output / 'affinity.json'} and "
                  f"{output / 'affinity.png'}", markup=False)
