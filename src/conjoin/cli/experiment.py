"""`conjoin experiment`: the same settings over folds and seeds, with means and deviations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from conjoin.cli.data import mention_problems, parse_options
from conjoin.cli.messages import messages
from conjoin.cli.options import (
    CacheLimit,
    Data,
    DevFile,
    Encoder,
    FormatName,
    FormatOptions,
    Json,
    Lenient,
    NoCache,
    Preset,
    Settings,
    TestFile,
    TrainFile,
    Workers,
)
from conjoin.cli.train import overrides, read_splits
from conjoin.readers import read_corpus
from conjoin.storage.cache import CACHE_LIMIT


def experiment(
    preset: Preset,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the runs and of results.json.")],
    data: Data = None,
    train_file: TrainFile = None,
    dev_file: DevFile = None,
    test_file: TestFile = None,
    format: FormatName = None,
    option: FormatOptions = None,
    lenient: Lenient = False,
    folds: Annotated[int, typer.Option(min=0, help="Folds of a cross-validation; 0 for the splits of the data.")] = 0,
    of: Annotated[
        list[str] | None, typer.Option("--of", help="A split that is dealt into folds; all when absent; several times.")
    ] = None,
    stratified: Annotated[bool, typer.Option("--stratified", help="Spread the types evenly over folds and parts.")] = False,
    dev_share: Annotated[float, typer.Option(help="Share of the data that each fold takes for dev.")] = 0.0,
    hold_out: Annotated[float, typer.Option(help="Share set aside before folding, the dev part of every fold.")] = 0.0,
    split_seed: Annotated[int, typer.Option(help="Random seed of folds and parts.")] = 0,
    dev: Annotated[
        str,
        typer.Option(metavar="choose|retrain|join", help="What dev is for: to choose the epoch; to choose it and retrain "
                     "on train and dev; to join the training data, where the last epoch counts."),
    ] = "choose",
    seeds: Annotated[int, typer.Option(min=1, help="Random seeds of training, from training.seed on.")] = 1,
    encoder: Encoder = None,
    settings: Settings = None,
    workers: Workers = 1,
    keep_models: Annotated[bool, typer.Option("--keep-models", help="Keep the model of every run.")] = False,
    no_cache: NoCache = False,
    cache_limit: CacheLimit = CACHE_LIMIT,
    as_json: Json = False,
) -> None:
    """Train and score over folds and seeds.

    Prints means with their deviations, named, and the value of each fold. Every run lands in a folder of its own. An
    experiment that was stopped goes on, run by run, when the same command is given again.

    Examples:

      conjoin experiment conjoin-base --data conll04/ --dev join --seeds 5 --output five-seeds

      conjoin experiment conjoin-base --data ade.jsonl --folds 10 --dev-share 0.1 --workers 2 --output ten-folds

      conjoin experiment conjoin-base --data conll04/ --folds 5 --of train --of dev --stratified --output tuning
    """
    from conjoin.config.presets import check_files, load_config

    config = load_config(preset, overrides(settings, encoder, None))
    check_files(config)

    from conjoin.experiments.experiment import Experiment, conduct
    from conjoin.experiments.folds import Folding, parts

    folding = Folding(folds=folds, splits=tuple(of or ()), stratified=stratified, dev_share=dev_share, hold_out=hold_out,
                      seed=split_seed)
    files = {"train": train_file, "dev": dev_file, "test": test_file}
    if folds and data is not None and not any(files.values()):
        corpus = read_corpus(data, format, lenient=lenient, options=parse_options(option or []))
    else:
        corpus = read_splits(data, files, format, option, lenient)
    mention_problems(corpus)
    console = messages()

    def say(result: dict[str, Any]) -> None:
        console.print(_line(result), markup=False, soft_wrap=True)

    plan = Experiment(
        config,
        parts(corpus, folding),
        output,
        seeds=tuple(range(config.training.seed, config.training.seed + seeds)),
        dev=dev,  # type: ignore[arg-type]
        lenient=lenient,
        keep_models=keep_models,
        cache_limit=0.0 if no_cache else cache_limit,
        notes={"preset": preset, "folds": folds, "stratified": stratified, "dev_share": dev_share, "hold_out": hold_out,
               "split_seed": split_seed},
    )
    results = conduct(plan, workers=workers, listen=say)
    typer.echo(json.dumps(results.to_json(), ensure_ascii=False, indent=1) if as_json else str(results))
    console.print(f"wrote {output / 'results.json'}", markup=False, soft_wrap=True)


def _line(result: dict[str, Any]) -> str:
    figures = {task: 100 * result["test"][task]["strict"]["micro"]["f1"] for task in ("entities", "relations")}
    scores = ", ".join(f"{task} {figure:.2f}" for task, figure in figures.items())
    return (f"{result['part']}, seed {result['seed']}: {scores} (strict micro F1 on test), epoch {result['epoch']}, "
            f"{result['seconds']:.0f} s")
