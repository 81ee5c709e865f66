"""Train and score over folds and seeds.

Prints means with their deviations and the value of each fold. Every run has a folder of its own. The same command resumes
a stopped experiment, run by run.

Examples:
  conjoin experiment conjoin-base --data conll04/ --dev-use join --seeds 5 --output five-seeds
  conjoin experiment conjoin-base --data ade.jsonl --folds 10 --dev-share 0.1 --workers 2 --output ten-folds
  conjoin experiment conjoin-base --data conll04/ --folds 5 --split train --split dev --stratified --output tuning
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from conjoin.cli.corpus import TestFile, TrainingData
from conjoin.cli.messages import message
from conjoin.cli.options import CacheOptions, Json, Preset, SettingOptions, Workers, choice
from conjoin.cli.tables import run_line

if TYPE_CHECKING:
    from conjoin.experiments.folds import Folding


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldOptions:
    """How the data are divided into folds."""

    folds: Annotated[int, typer.Option(min=0, help="Folds of a cross-validation; 0 uses the splits of the data.")] = 0
    split: Annotated[list[str] | None, typer.Option(help="Split to divide into folds; repeatable; all by default.")] = None
    stratified: Annotated[bool, typer.Option("--stratified", help="Give all folds the same shares of the types.")] = False
    dev_share: Annotated[float, typer.Option(help="Share of the data that each fold uses as dev.")] = 0.0
    hold_out: Annotated[float, typer.Option(help="Share set aside before folding, the dev part of every fold.")] = 0.0
    split_seed: Annotated[int, typer.Option(help="Random seed of the folds.")] = 0

    def folding(self) -> Folding:
        from conjoin.experiments.folds import Folding

        return Folding(folds=self.folds, splits=tuple(self.split or ()), stratified=self.stratified,
                       dev_share=self.dev_share, hold_out=self.hold_out, seed=self.split_seed)


def experiment(
    preset: Preset,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the runs and of results.json.")],
    *,
    data: TrainingData,
    test_file: TestFile = None,
    settings: SettingOptions,
    folds: FoldOptions,
    dev_use: Annotated[Literal["choose", "retrain", "join"], choice(
        "use of dev", ("choose", "retrain", "join"), help="Dev chooses the epoch, does so before retraining on train and "
        "dev, or joins the training data.")] = "choose",
    seeds: Annotated[int, typer.Option(min=1, help="Number of random seeds, from training.seed on.")] = 1,
    workers: Workers = 1,
    keep_models: Annotated[bool, typer.Option("--keep-models", help="Keep the model of every run.")] = False,
    cache: CacheOptions,
    as_json: Json = False,
) -> None:
    config = settings.config(preset)

    from conjoin.experiments.experiment import Experiment, conduct
    from conjoin.experiments.folds import parts

    single_files = any((data.train_file, data.dev_file, test_file))
    whole = folds.folds and data.data is not None and not single_files
    corpus = data.read(needed=None) if whole else data.read_splits(test=test_file)
    plan = Experiment(
        config, parts(corpus, folds.folding()), output, dev=dev_use, lenient=data.files.lenient, keep_models=keep_models,
        seeds=tuple(range(config.training.seed, config.training.seed + seeds)), cache_limit=cache.limit,
        notes={"preset": preset, "folds": folds.folds, "stratified": folds.stratified, "dev_share": folds.dev_share,
               "hold_out": folds.hold_out, "split_seed": folds.split_seed},
    )
    results = conduct(plan, workers=workers, listen=lambda result: message(
        f"{run_line(result)} (strict micro F1 on test), epoch {result['epoch']}, {result['seconds']:.0f} s"))
    typer.echo(json.dumps(results.to_json(), ensure_ascii=False, indent=1) if as_json else str(results))
    message(f"wrote {output / 'results.json'}")
