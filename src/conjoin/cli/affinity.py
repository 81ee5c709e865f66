"""`conjoin affinity`: how many layers the two tasks want to share."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from conjoin.cli.data import mention_problems
from conjoin.cli.messages import messages
from conjoin.cli.options import (
    CacheLimit,
    Data,
    DevFile,
    Encoder,
    FormatName,
    FormatOptions,
    Lenient,
    NoCache,
    Settings,
    TrainFile,
)
from conjoin.errors import DataError
from conjoin.storage.atomic import write_text
from conjoin.storage.cache import CACHE_LIMIT

if TYPE_CHECKING:
    from conjoin.extras.affinity import Depth
    from conjoin.training import Event


def affinity(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for affinity.json, affinity.png and the trained models/.")
    ],
    preset: Annotated[
        str | None, typer.Argument(metavar="PRESET|CONFIG", help="A preset's name or a TOML file, to train models with.")
    ] = None,
    models: Annotated[
        Path | None, typer.Option(help="Folder of trained models entities-0, entities-1, relations-0, relations-1 to take.")
    ] = None,
    data: Data = None,
    train_file: TrainFile = None,
    dev_file: DevFile = None,
    format: FormatName = None,
    option: FormatOptions = None,
    lenient: Lenient = False,
    encoder: Encoder = None,
    depth: Annotated[int, typer.Option(min=1, help="Recurrent layers of the models that are trained.")] = 4,
    seeds: Annotated[int, typer.Option(min=2, help="Runs of each task; two tell how alike one task is to itself.")] = 2,
    words: Annotated[int, typer.Option(min=3, help="Words of dev to compare.")] = 500,
    settings: Settings = None,
    no_cache: NoCache = False,
    cache_limit: CacheLimit = CACHE_LIMIT,
) -> None:
    """Find how many layers the two tasks want to share.

    Trains each task alone and compares what the two learn, layer by layer: where the representations of the two tasks are
    nearly as alike as those of two runs of one task, a layer can be shared (Vandenhende et al. 2019). Prints what each
    model scores on its own task, the affinity at each depth and how many layers that advises to share. The models are kept
    in the output folder: the same command does not train them again, and --models takes them, or any others.

    Examples:

      conjoin affinity crone2020-conll04-minilm --data conll04/ --output affinity

      conjoin affinity --models affinity/models --data conll04/ --words 1000 --output more-words
    """
    from conjoin.cli.train import overrides, read_splits
    from conjoin.config.presets import check_files, load_config

    if (preset is None) == (models is None):
        raise typer.BadParameter("give a preset to train models with, or --models with a folder of trained ones")
    if models is not None and (settings or encoder):
        raise typer.BadParameter("--set and --encoder are for models to be trained, and --models takes trained ones")
    if preset is not None:
        check_files(load_config(preset, overrides(settings, encoder, None)))
    files = {"train": train_file, "dev": dev_file}
    corpus = read_splits(data, files, format, option, lenient, needed="train" if models is None else "dev")
    mention_problems(corpus)
    if not corpus.dev:
        raise DataError("affinity compares the words of a dev split; name a file with --dev, or call it dev")

    from conjoin.extras.affinity import (
        MIN_SCORE,
        SingleTaskTraining,
        advised_depth,
        affinities,
        own_scores,
        plot,
        trained_models,
    )

    console = messages()
    if models is not None:
        runs = trained_models(models)
    else:
        plan = SingleTaskTraining(str(preset), overrides(settings, encoder, None), corpus, depth, folder=output / "models",
                                  lenient=lenient, cache_limit=0.0 if no_cache else cache_limit)
        runs = plan.models(seeds=range(seeds), listen=lambda task, seed, event: _follow(console, task, seed, event))
    scores = own_scores(runs, corpus.dev)
    for task, values in scores.items():
        console.print(_scores_line(task, values), markup=False)
    found = affinities(runs, corpus.dev, words=words)
    printer = Console(highlight=False)
    printer.print(_table(found))
    source = {"preset": preset, "settings": list(settings or [])} if models is None else {"models": str(models)}
    shared = advised_depth(found)
    result: dict[str, Any] = {
        **source, "seeds": {task: list(taken) for task, taken in runs.items()}, "dev_f1": scores, "words": words,
        "shared_layers": shared,
        "depths": [{"depth": row.name, "between": row.between, "within": row.within, "ratio": row.ratio} for row in found],
    }
    write_text(output / "affinity.json", json.dumps(result, indent=1) + "\n")
    plot(found, output / "affinity.png")
    poor = [task for task, values in scores.items() if min(values.values()) < MIN_SCORE]
    if poor:
        console.print(f"models of {' and '.join(poor)} score an F1 below {100 * MIN_SCORE:.0f} on dev: what they have "
                      "learnt is too little for the advice to be relied on; train longer, with --set training.epochs=N, or "
                      "on more data")
    layers = sum(row.name.startswith("shared") for row in found)
    printer.print(f"advice: share {shared} of {layers} recurrent layers; wrote {output / 'affinity.json'} and "
                  f"{output / 'affinity.png'}", markup=False, soft_wrap=True)


def _follow(console: Console, task: str, seed: int, event: Event) -> None:
    from conjoin.cli.progress import epoch_line
    from conjoin.training import EpochDone

    if isinstance(event, EpochDone):
        own = replace(event, terms={task: event.terms[task]})
        console.print(f"{task} alone, seed {seed}, {epoch_line(own)}", markup=False)


def _scores_line(task: str, scores: Mapping[int, float]) -> str:
    """What the models of a task score on it, by seed."""
    given = " with gold entities" if task == "relations" else ""
    values = ", ".join(f"{100 * value:.1f} (seed {seed})" for seed, value in scores.items())
    return f"dev F1 of the models of {task}{given}: {values}"


def _table(depths: Sequence[Depth]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("depth", "entities and relations", "same task, another seed", "ratio"):
        table.add_column(name, justify="left" if name == "depth" else "right")
    for row in depths:
        table.add_row(row.name, f"{row.between:.3f}", f"{row.within:.3f}", f"{row.ratio:.2f}")
    return table
