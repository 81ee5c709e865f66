"""Measure how many layers the two tasks should share.

Trains each task alone and compares what the two learn, layer by layer: a layer can be shared where the representations of
the two tasks are nearly as similar as those of two runs of one task (Vandenhende et al. 2019). Prints the scores of each
model on its own task, the affinity at each depth, and the number of layers to share. The models stay in the output
folder: the same command does not train them again, and --models uses them, or others.

Examples:
  conjoin affinity crone2020-conll04-minilm --data conll04/ --output affinity
  conjoin affinity --models affinity/models --data conll04/ --max-words 1000 --output more-words
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from conjoin.cli.corpus import TrainingData
from conjoin.cli.messages import message
from conjoin.cli.options import CacheOptions, SettingOptions
from conjoin.cli.tables import plain_table
from conjoin.errors import DataError
from conjoin.storage.atomic import write_text

if TYPE_CHECKING:
    from conjoin.extras.affinity import Depth
    from conjoin.training import Event


def affinity(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the results and of the models.")],
    *,
    preset: Annotated[str | None, typer.Argument(metavar="PRESET|CONFIG", help="Preset or TOML file for training.")] = None,
    models: Annotated[
        Path | None, typer.Option(help="Folder of trained models: entities-0, entities-1, relations-0, relations-1.")
    ] = None,
    data: TrainingData,
    settings: SettingOptions,
    depth: Annotated[int, typer.Option(min=1, help="Recurrent layers of the models to train.")] = 4,
    seeds: Annotated[int, typer.Option(min=2, help="Runs of each task.")] = 2,
    max_words: Annotated[int, typer.Option(min=3, help="Maximum number of words of dev to compare.")] = 500,
    cache: CacheOptions,
) -> None:
    _check_usage(preset, models, settings)
    corpus = data.read_splits(needed="train" if models is None else "dev")
    if not corpus.dev:
        raise DataError("affinity compares the words of a dev split; name a file with --dev, or call it dev")

    from conjoin.extras.affinity import SingleTaskTraining, affinities, own_scores, trained_models

    if models is not None:
        runs = trained_models(models)
    else:
        plan = SingleTaskTraining(str(preset), settings.overrides(), corpus, depth, folder=output / "models",
                                  lenient=data.files.lenient, cache_limit=cache.limit)
        runs = plan.models(seeds=range(seeds), listen=_print_epoch)
    scores = own_scores(runs, corpus.dev)
    _print_scores(scores)
    depths = affinities(runs, corpus.dev, words=max_words)
    source = {"models": str(models)} if preset is None else {"preset": preset, "settings": list(settings.settings or [])}
    _write({**source, "seeds": {task: list(models) for task, models in runs.items()}, "dev_f1": scores, "words": max_words},
           depths, output)


def _check_usage(preset: str | None, models: Path | None, settings: SettingOptions) -> None:
    """Raise for a wrong combination of options, and for wrong settings, before any data is read."""
    if (preset is None) == (models is None):
        raise typer.BadParameter("give a preset to train models with, or --models with a folder of trained ones")
    if models is not None and settings.overrides():
        raise typer.BadParameter("--set and --encoder are for models to be trained, and --models takes trained ones")
    if preset is not None:
        settings.config(preset)


def _print_epoch(task: str, seed: int, event: Event) -> None:
    from conjoin.training import EpochDone
    from conjoin.training.progress import epoch_line

    if isinstance(event, EpochDone):
        message(f"{task} alone, seed {seed}, {epoch_line(replace(event, terms={task: event.terms[task]}))}")


def _print_scores(scores: Mapping[str, Mapping[int, float]]) -> None:
    """Print the scores of the models on their own task, and say which are too low."""
    from conjoin.extras.affinity import MIN_SCORE

    for task, values in scores.items():
        mode = " with gold entities" if task == "relations" else ""
        listed = ", ".join(f"{100 * value:.1f} (seed {seed})" for seed, value in values.items())
        message(f"dev F1 of the models of {task}{mode}: {listed}")
    poor = [task for task, values in scores.items() if min(values.values()) < MIN_SCORE]
    if poor:
        message(f"models of {' and '.join(poor)} score an F1 below {100 * MIN_SCORE:.0f} on dev: they have learnt too "
                "little for the advice to be reliable; train longer, with --set training.epochs=N, or on more data")


def _write(result: Mapping[str, object], depths: Sequence[Depth], output: Path) -> None:
    """Print the affinities and the advice, and write them with a plot."""
    from conjoin.extras.affinity import advised_depth, plot

    shared = advised_depth(depths)
    rows = [{"depth": row.name, "between": row.between, "within": row.within, "ratio": row.ratio} for row in depths]
    write_text(output / "affinity.json", json.dumps({**result, "shared_layers": shared, "depths": rows}, indent=1) + "\n")
    plot(depths, output / "affinity.png")
    columns = ("entities and relations", "same task, another seed", "ratio")
    table = plain_table("depth", *columns, right=columns)
    for row in depths:
        table.add_row(row.name, f"{row.between:.3f}", f"{row.within:.3f}", f"{row.ratio:.2f}")
    Console(highlight=False).print(table)
    layers = sum(row.name.startswith("shared") for row in depths)
    typer.echo(f"advice: share {shared} of {layers} recurrent layers; wrote {output / 'affinity.json'} and "
               f"{output / 'affinity.png'}")
