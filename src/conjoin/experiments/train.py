"""From settings and a corpus to a trained, scored and saved model: `conjoin.train`, from top to bottom."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from accelerate.utils.random import set_seed

from conjoin.artifacts.run_record import AnnotationCounts, ModelRecord, RunRecord, TrainingRecord
from conjoin.config.presets import with_absolute_paths
from conjoin.config.settings import Config
from conjoin.document import Corpus, Document
from conjoin.errors import needs_train_extra
from conjoin.evaluation.metrics import Report, score
from conjoin.experiments.curves import with_curves
from conjoin.experiments.probe import probe_cooccurrence
from conjoin.experiments.run_folder import CHECKPOINTS, RETRAIN_CHECKPOINTS, run_folder, save_run
from conjoin.experiments.training_data import prepare_data
from conjoin.extractor import Extractor
from conjoin.features.vector_table import WordCoverage
from conjoin.modeling.architectures import ARCHITECTURES, DEFAULT
from conjoin.modeling.embedders.feature_cache import FeatureCache
from conjoin.modeling.embedders.static import word_coverage
from conjoin.schema import Schema
from conjoin.storage.cache import CACHE_LIMIT, cache_folder
from conjoin.text.words import learn_hyphens
from conjoin.training import DevSet, EpochDone, Event, Finished, Started, training_events
from conjoin.training.distributed import Processes, join_processes, one_for_all
from conjoin.training.progress import TrainingProgress

Listener = Callable[[Event], None]
SPEED_DOCUMENTS = 256  # the speed on the card is measured on so many
DEV_SCORES_OF_FIRST_MODEL = "of the model trained on train alone, which chose the epoch"


@needs_train_extra()
def train(
    config: Config, corpus: Corpus, *, output: str | Path | None = None, retrain_on_dev: bool = False,
    relation_free: Sequence[Document] = (), lenient: bool = False, overwrite: bool = False,
    cache_limit: float = CACHE_LIMIT, progress: bool | None = None, listen: Listener | None = None,
) -> Extractor:
    """Train on the train split, choose the epoch on dev, score on test (in `record`), save under `output`/model.

    A run that was killed continues when it is called again with the same arguments but without `overwrite`. Processes that
    were started together (torchrun, accelerate launch) train one model: each calls this with the same arguments and gets
    the same result, and the first one writes the files, where all of them can read.

    Args:
        corpus: Splits `train`, `dev` and `test`, of which only `train` must be there.
        output: Folder of the run; None saves nothing.
        retrain_on_dev: Find the best epoch on dev, whatever `training.select` says, then train a new model on train and
            dev for as many epochs.
        relation_free: More training sentences: those that hold no relation and are in no split.
        lenient: Train on the longest of overlapping entities, which are an error otherwise.
        overwrite: Start anew and replace a finished model, which stays until the new one is saved.
        cache_limit: GB of frozen encoders' vectors kept in $CONJOIN_CACHE or the user's cache folder; 0 for no cache.
        progress: Show progress on standard error; None shows it on a terminal.
        listen: Called with every event of training.

    Raises:
        DataError: There is nothing to train on, or the data cannot be learnt as it is.
        ModelError: `output` holds a finished model, or checkpoints of another run.
    """
    folder = Path(output) if output is not None else None
    data, train_and_dev = prepare_data(corpus, config, ARCHITECTURES[DEFAULT], relation_free=relation_free,
                                       lenient=lenient, retrain_on_dev=retrain_on_dev)
    processes = join_processes()
    with run_folder(folder, overwrite, processes), _listener(progress, listen, folder, processes) as listener:
        cache = FeatureCache(cache_folder(), limit=round(cache_limit * 1e9)) if cache_limit > 0 else None
        trainer = _Trainer(_with_hyphens(with_absolute_paths(config), data.train), folder, listener, cache, processes)
        trained = trainer.retrain(data, train_and_dev) if retrain_on_dev else trainer.fit(data.train, data.dev)
        trained.extractor.record = trainer.measure(trained, data)
        save_run(trained.extractor, folder, processes)
    return trained.extractor


@contextmanager
def _listener(
    progress: bool | None, listen: Listener | None, folder: Path | None, processes: Processes
) -> Iterator[Listener]:
    """A listener that passes events to the progress line, to the caller's, and to the curves in the folder of the run."""
    shown = sys.stderr.isatty() if progress is None else progress
    with TrainingProgress(shown=shown and processes.main) as line:

        def both(event: Event) -> None:
            line.listen(event)
            if listen is not None:
                listen(event)

        yield with_curves(both, folder) if folder is not None and processes.main else both


def _with_hyphens(config: Config, documents: Sequence[Document]) -> Config:
    """The settings, in which `text.hyphens = learn` becomes the way that the training data write compounds."""
    if config.text.hyphens != "learn":
        return config
    return config.model_copy(update={"text": config.text.model_copy(update={"hyphens": learn_hyphens(documents)})})


@dataclass(frozen=True, slots=True)
class _Trained:
    """A trained model, how it was trained, and the scores on dev of the weights that it holds."""

    extractor: Extractor
    training: TrainingRecord
    dev: Report | None


@dataclass(frozen=True, slots=True)
class _Trainer:
    """Trains, scores and measures the models of one run."""

    config: Config
    folder: Path | None
    listen: Listener
    cache: FeatureCache | None
    processes: Processes

    def fit(
        self,
        documents: Sequence[Document],
        dev: Sequence[Document] = (),
        *,
        select: Literal["best", "last"] | None = None,
        checkpoints: str = CHECKPOINTS,
        stop_epoch: int | None = None,
    ) -> _Trained:
        """Build a new model and train it; `select` None leaves `training.select` as it is."""
        config, settings = self.config, self.config.training
        if select is not None:
            settings = settings.model_copy(update={"select": select})
        schema = Schema.from_documents(documents, symmetric=config.symmetric)
        set_seed(settings.seed)
        model = ARCHITECTURES[DEFAULT].build(config, schema, documents, self.cache)
        pair = word_coverage(model)
        coverage = WordCoverage(*pair) if pair is not None else None
        extractor = Extractor.from_model(model, config)
        events = training_events(
            model, documents, settings=settings, dev=DevSet(dev, extractor.annotate, schema.symmetric) if dev else None,
            folder=self.folder / checkpoints if self.folder else None, stop_epoch=stop_epoch,
            fingerprint=config.model_dump_json(exclude={"training", "paper"}),
        )
        trainable, epoch, reports = self._follow(events, coverage)
        report = (reports.get(epoch) or self.score(extractor, dev)) if dev else None
        training = TrainingRecord(seed=settings.seed, word_vectors=coverage, trainable=trainable, epoch=epoch,
                                  documents=len(documents))
        return _Trained(extractor, training, report)

    def _follow(
        self, events: Iterable[Event], coverage: WordCoverage | None
    ) -> tuple[int, int, dict[int, Report | None]]:
        """Pass events on; the number of trained parameters, the epoch that was kept, and the report of each epoch."""
        trainable, epoch, reports = 0, 0, dict[int, Report | None]()
        for event in events:
            if isinstance(event, Started):
                event, trainable = replace(event, word_vectors=coverage), event.trainable
            elif isinstance(event, EpochDone):
                reports[event.epoch] = event.report
            elif isinstance(event, Finished):
                epoch = event.epoch
            self.listen(event)
        return trainable, epoch, reports

    def retrain(self, data: Corpus, train_and_dev: Sequence[Document]) -> _Trained:
        """Find the best epoch on dev, then train a new model on train and dev for as many epochs."""
        first = self.fit(data.train, data.dev, select="best")
        epoch, dev = first.training.epoch, first.dev
        del first  # one model in memory at a time
        second = self.fit(train_and_dev, select="last", checkpoints=RETRAIN_CHECKPOINTS, stop_epoch=epoch)
        return replace(second, training=replace(second.training, dev_scores=DEV_SCORES_OF_FIRST_MODEL), dev=dev)

    def measure(self, trained: _Trained, data: Corpus) -> RunRecord:
        """The record of the run: counts of the data, scores on test, speed, and the probe."""
        extractor = trained.extractor
        return RunRecord(
            training=trained.training,
            dev=trained.dev,
            data={split: AnnotationCounts.of(documents) for split, documents in data.splits.items()},
            test=self.score(extractor, data.test) if data.test else None,
            model=_speed(extractor, data.test or data.dev or data.train),
            probe=probe_cooccurrence(extractor),
        )

    def score(self, extractor: Extractor, documents: Sequence[Document]) -> Report:
        """Scores on documents; types that the training data lack count as missed."""
        with one_for_all(self.processes):
            annotated = self.processes.shared(extractor.annotate, documents)
        return score(documents, annotated, symmetric=extractor.schema.symmetric)


def _speed(extractor: Extractor, documents: Sequence[Document]) -> ModelRecord:
    """Annotate some of the documents and take the time."""
    documents, start = documents[:SPEED_DOCUMENTS], time.perf_counter()
    extractor.annotate(documents)
    seconds = max(time.perf_counter() - start, 1e-6)
    device = "a GPU" if torch.cuda.is_available() else f"{extractor.annotator.backend.compute.threads} threads of a CPU"
    return ModelRecord(sentences_per_second=round(len(documents) / seconds), device=device)
