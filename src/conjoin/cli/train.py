"""Train a joint model, score it on test and save it.

Keeps the best epoch on dev, or the last one under training.select=last, as some presets say. Writes a checkpoint after
every epoch (more often with training.checkpoint_steps). The same command resumes a stopped run from its last checkpoint;
with --overwrite training starts again; the old model is kept until the new one is saved.

Examples:
  conjoin train conjoin-base --data corpus/ --output run
  conjoin train conjoin-base --train a.jsonl --dev b.jsonl --output run --set training.epochs=10
  conjoin train giorgi2019-conll04 --encoder minilm --data conll04/ --retrain-on-dev --output run
  torchrun --nproc-per-node 2 -m conjoin train conjoin-base --data corpus/ --output run
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from conjoin.cli.corpus import TestFile, TrainingData
from conjoin.cli.messages import message, stopped
from conjoin.cli.options import CacheOptions, Overwrite, Preset, SettingOptions, TrainingProgress
from conjoin.cli.tables import print_record
from conjoin.document import Document
from conjoin.parallel.launcher import launched_rank
from conjoin.readers import read_corpus

if TYPE_CHECKING:
    from conjoin.config.settings import Config
    from conjoin.extras.tracking import Listener


def train(
    preset: Preset,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the run; the model is in its model/.")],
    *,
    data: TrainingData,
    test_file: TestFile = None,
    settings: SettingOptions,
    seed: Annotated[int | None, typer.Option(help="Random seed.")] = None,
    retrain_on_dev: Annotated[
        bool, typer.Option("--retrain-on-dev", help="Choose the epoch on dev, then train again on train and dev.")
    ] = False,
    relation_free: Annotated[Path | None, typer.Option(help="Also train on this file's relation-free sentences.")] = None,
    max_relation_free: Annotated[int | None, typer.Option(min=1, help="Maximum number of relation-free sentences.")] = None,
    overwrite: Overwrite = False,
    track: Annotated[list[str] | None, typer.Option(help="Tracker: tensorboard, mlflow or wandb; repeatable.")] = None,
    cache: CacheOptions,
    progress: TrainingProgress = None,
) -> None:
    config = settings.config(preset, seed=seed)
    corpus = data.read(test=test_file)
    message("reading: " + ", ".join(f"{split} {len(documents)}" for split, documents in corpus.splits.items()))

    from conjoin.experiments.train import train as run
    from conjoin.training.distributed import leave_processes

    sentences = _relation_free(relation_free, max_relation_free, config, data.files.lenient)
    try:
        with _trackers(track, output, config) as listen:
            extractor = run(config, corpus, output=output, retrain_on_dev=retrain_on_dev, relation_free=sentences,
                            lenient=data.files.lenient, overwrite=overwrite, cache_limit=cache.limit,
                            progress=progress is not False, listen=listen)
    except KeyboardInterrupt:
        saved = any(output.glob("checkpoints*/step-*"))
        raise stopped("stopped; the same command, without --overwrite, goes on from the last checkpoint" if saved
                      else "stopped before the first checkpoint; the same command begins anew") from None
    leave_processes()
    print_record(extractor.record)
    message(f"saved {output / 'model'}")


def _relation_free(path: Path | None, count: int | None, config: Config, lenient: bool) -> list[Document]:
    """Documents of a file with entities and without relations, at most `count` of them, drawn at random."""
    from conjoin.experiments.training_data import draw_documents

    documents = read_corpus(path, lenient=lenient) if path is not None else ()
    return draw_documents([document for document in documents if document.entities and not document.relations], count,
                          seed=config.training.seed)


def _trackers(names: list[str] | None, folder: Path, config: Config) -> AbstractContextManager[Listener | None]:
    """A listener that passes events to the trackers, in the first of several processes."""
    if not names or launched_rank() > 0:
        return nullcontext()
    from conjoin.extras.tracking import with_trackers

    return with_trackers(names, folder=folder, settings=config.model_dump(mode="json", exclude={"paper"}))
