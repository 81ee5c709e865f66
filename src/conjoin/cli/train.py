"""`conjoin train`: from annotated sentences to a scored, saved model."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from conjoin.cli.data import mention_problems, parse_options
from conjoin.cli.messages import messages, stopped
from conjoin.cli.options import (
    CacheLimit,
    Data,
    DevFile,
    Encoder,
    FormatName,
    FormatOptions,
    Lenient,
    NoCache,
    Overwrite,
    Preset,
    Settings,
    TestFile,
    TrainFile,
)
from conjoin.document import SPLITS, Corpus, Document
from conjoin.errors import DataError
from conjoin.parallel.launcher import launched_rank
from conjoin.readers import read_corpus
from conjoin.readers.splits import split_order
from conjoin.storage.cache import CACHE_LIMIT

if TYPE_CHECKING:
    from conjoin.config.settings import Config
    from conjoin.training import Event


def train(
    preset: Preset,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the run; the model lands in its model/.")],
    data: Data = None,
    train_file: TrainFile = None,
    dev_file: DevFile = None,
    test_file: TestFile = None,
    format: FormatName = None,
    option: FormatOptions = None,
    lenient: Lenient = False,
    encoder: Encoder = None,
    retrain_on_dev: Annotated[
        bool, typer.Option("--retrain-on-dev", help="Find the epoch on dev, then train anew on train and dev.")
    ] = False,
    relation_free: Annotated[
        Path | None, typer.Option(help="More training sentences: those of this file that hold no relation.")
    ] = None,
    relation_free_count: Annotated[int | None, typer.Option(min=1, help="At most so many of them.")] = None,
    settings: Settings = None,
    seed: Annotated[int | None, typer.Option(help="Random seed.")] = None,
    no_cache: NoCache = False,
    cache_limit: CacheLimit = CACHE_LIMIT,
    overwrite: Overwrite = False,
    track: Annotated[
        list[str] | None, typer.Option(help="Tracker that listens: tensorboard, mlflow or wandb; several times.")
    ] = None,
) -> None:
    """Train a joint model, score it on test and save it.

    The epoch is chosen on dev; under training.select=last, as in some presets, the last one counts. A checkpoint is written
    after every epoch (training.checkpoint_steps: more often). A run that was stopped goes on from the last one when the
    same command is given again, without --overwrite: that starts anew. The model that --overwrite replaces stays until the
    new one is saved.

    Examples:

      conjoin train conjoin-base --data corpus/ --output run

      conjoin train conjoin-base --train a.jsonl --dev b.jsonl --output run --set training.epochs=10

      conjoin train giorgi2019-conll04 --encoder minilm --data conll04/ --retrain-on-dev --output run

      torchrun --nproc-per-node 2 -m conjoin train conjoin-base --data corpus/ --output run
    """
    from conjoin.config.presets import check_files, load_config

    config = load_config(preset, overrides(settings, encoder, seed))
    check_files(config)
    corpus = read_data(data, {"train": train_file, "dev": dev_file, "test": test_file}, format, option, lenient)
    console = messages()
    console.print("reading: " + ", ".join(f"{split} {len(texts)}" for split, texts in corpus.splits.items()))
    mention_problems(corpus)

    from conjoin.cli.progress import TrainingProgress
    from conjoin.experiments.train import chosen
    from conjoin.experiments.train import train as run
    from conjoin.training.distributed import leave_processes

    extra = chosen(_relation_free(relation_free, lenient), relation_free_count, seed=config.training.seed)
    try:
        with TrainingProgress() as progress, _tracked(track, progress.listen, output, config) as listen:
            extractor = run(
                config,
                corpus,
                output=output,
                retrain_on_dev=retrain_on_dev,
                relation_free=extra,
                lenient=lenient,
                overwrite=overwrite,
                cache_limit=0.0 if no_cache else cache_limit,
                listen=listen,
            )
    except KeyboardInterrupt:
        if any(output.glob("checkpoints*/step-*")):
            raise stopped("stopped; the same command, without --overwrite, goes on from the last checkpoint") from None
        raise stopped("stopped before the first checkpoint; the same command begins anew") from None
    leave_processes()
    print_metrics(extractor.metrics)
    console.print(f"saved {output / 'model'}", markup=False)


@contextmanager
def _tracked(
    names: list[str] | None, listen: Callable[[Event], None], output: Path, config: Config
) -> Iterator[Callable[[Event], None]]:
    """The listener with the trackers that are asked for; of several processes the first one has them."""
    if not names or launched_rank() > 0:
        yield listen
        return
    from conjoin.extras.tracking import with_trackers

    with with_trackers(listen, names, folder=output, settings=config.model_dump(mode="json", exclude={"paper"})) as both:
        yield both


def overrides(settings: list[str] | None, encoder: str | None, seed: int | None) -> list[str]:
    """The `--set` options, with those that have an option of their own."""
    given = list(settings or [])
    if encoder is not None:
        given.append(f"encoder.name={json.dumps(encoder, ensure_ascii=False)}")
    if seed is not None:
        given.append(f"training.seed={seed}")
    return given


def read_splits(
    data: Path | None, files: dict[str, Path | None], format: str | None, option: list[str] | None, lenient: bool, *,
    needed: str = "train",
) -> Corpus:
    """Train, dev and test of `read_data`; says which splits are left out."""
    corpus = read_data(data, files, format, option, lenient, needed=needed)
    others = [f"'{split}' ({len(corpus.splits[split]):,} documents)" for split in sorted(corpus.splits.keys() - SPLITS)]
    if others:
        typer.echo(f"splits other than train, dev and test are not looked at: {', '.join(others)}", err=True)
    return replace(corpus, splits={split: corpus.splits[split] for split in SPLITS if split in corpus.splits})


def read_data(
    data: Path | None, files: dict[str, Path | None], format: str | None, option: list[str] | None, lenient: bool, *,
    needed: str = "train",
) -> Corpus:
    """The splits of a folder or file, those given as files of their own in place of its.

    Raises `DataError` when the split that is `needed` is not there.
    """
    given = {split: path for split, path in files.items() if path is not None}
    for split, path in given.items():
        if path.is_dir():
            raise DataError(f"{path}: is a folder, and --{split} takes one file; give a folder with --data")
    if data is None and needed not in given:
        raise typer.BadParameter(f"give --data with a folder, or --{needed} with a file")
    options = parse_options(option or [])
    corpus = read_corpus(data, format, lenient=lenient, options=options) if data is not None else Corpus({})
    splits: dict[str, tuple[Document, ...]] = dict(corpus.splits)
    problems = list(corpus.problems)
    for split, path in given.items():
        read = read_corpus(path, format, lenient=lenient, options=options)
        splits[split] = read.documents
        problems += read.problems
    if needed not in splits:
        found = ", ".join(splits) or "its files"
        raise DataError(f"{data}: no {needed} split among {found}; name the file with --{needed}")
    order = sorted(splits, key=split_order)
    return Corpus({split: splits[split] for split in order}, tuple(problems), corpus.format)


def _relation_free(path: Path | None, lenient: bool) -> list[Document]:
    if path is None:
        return []
    return [document for document in read_corpus(path, lenient=lenient) if document.entities and not document.relations]


def print_metrics(metrics: dict[str, Any]) -> None:
    """Scores on test, or on dev when there is no test, and the probe, as text on standard output."""
    from conjoin.evaluation.metrics import Report

    for split in ("test", "dev"):
        if split in metrics:
            typer.echo(f"\nscores on {split}\n{Report.from_json(metrics[split])}")
            break
    if "probe" in metrics:
        probe = metrics["probe"]
        typer.echo(f"\nprobe: a relation was invented in {100 * probe['false_share']:.0f} % of {probe['cooccurring']} "
                   f"sentences whose entities merely co-occur; {100 * probe['found_share']:.0f} % of the relations in "
                   f"{probe['related']} similar sentences that state one were found")
