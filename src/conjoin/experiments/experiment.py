"""Experiments: the same settings trained over folds and seeds, each run once, with a summary of all of them."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

from filelock import FileLock, Timeout

from conjoin.artifacts.run_record import AnnotationCounts
from conjoin.config.presets import with_absolute_paths
from conjoin.config.settings import Config
from conjoin.document import Corpus, Document, documents_digest
from conjoin.errors import ConjoinError, ModelError, SettingError, WorkerError, unknown_name
from conjoin.evaluation.metrics import document_counts, score
from conjoin.experiments.folds import DevUse
from conjoin.experiments.run_folder import MODEL
from conjoin.experiments.summary import Results
from conjoin.experiments.train import train
from conjoin.extractor import Extractor
from conjoin.parallel.process_pool import Notify, ProcessPool, Work, end_with_parent
from conjoin.schema import Schema
from conjoin.storage.atomic import make_folder, write_text
from conjoin.storage.cache import CACHE_LIMIT
from conjoin.training.distributed import threads_of_torch
from conjoin.version import __version__

EXPERIMENT = "experiment.json"
RESULT = "result.json"
RESULTS = "results.json"


@dataclass(frozen=True, slots=True)
class Experiment:
    """Settings that are trained and scored on several corpora (folds, or a single one) with several seeds.

    Attributes:
        config: Settings of every run; the seed is replaced.
        parts: The corpora by name.
        folder: Holds a folder for each run.
        dev: Use of a dev part: to `choose` the epoch; to choose it and then `retrain` on train and dev for as many epochs;
            or to `join` the training data, where the last epoch counts.
        lenient: Train on the longest of overlapping entities.
        cache_limit: GB for vectors of frozen encoders.
        notes: More facts for the result file.
    """

    config: Config
    parts: Mapping[str, Corpus]
    folder: Path
    seeds: tuple[int, ...] = (0,)
    dev: DevUse = "choose"
    lenient: bool = False
    keep_models: bool = False
    cache_limit: float = CACHE_LIMIT
    notes: Mapping[str, Any] = field(default_factory=dict)

    def runs(self) -> list[Run]:
        """One run for each part and seed, all parts of the first seed first."""
        return [Run(self, part, seed) for seed in self.seeds for part in self.parts]

    def fingerprint(self) -> str:
        """A digest of settings, data and the use of dev: other seeds and folders are the same experiment."""
        digests = {part: {split: documents_digest(documents) for split, documents in corpus.splits.items()}
                   for part, corpus in self.parts.items()}
        facts = json.dumps([self.settings(), self.dev, self.lenient, digests])
        return hashlib.sha256(facts.encode()).hexdigest()

    def settings(self) -> dict[str, Any]:
        """The settings of all runs, without the seed, with absolute paths."""
        return with_absolute_paths(self.config).model_dump(mode="json", exclude={"paper": True, "training": {"seed"}})


@dataclass(frozen=True, slots=True)
class Run:
    """One training run of an experiment."""

    experiment: Experiment
    part: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.part}-seed{self.seed}"

    @property
    def folder(self) -> Path:
        return self.experiment.folder / self.name

    @property
    def corpus(self) -> Corpus:
        return self.experiment.parts[self.part]

    def result(self) -> dict[str, Any] | None:
        """The result of the run, or None before it is done."""
        path = self.folder / RESULT
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None

    def execute(self) -> dict[str, Any]:
        """Train, score on the test part and write the result; a run that was stopped continues from its checkpoint."""
        wall, cpu = time.perf_counter(), time.process_time()
        resumed = self.folder.is_dir() and any(self.folder.iterdir())
        extractor = self._train()
        training, scores = extractor.record.training, _scores(extractor, self.corpus.test)
        result = {
            "part": self.part, "seed": self.seed, "epoch": training.epoch, "trainable": training.trainable,
            "version": __version__,
            "resumed": resumed,  # the seconds are then those since it continued
            "seconds": round(time.perf_counter() - wall, 1),
            "cpu_seconds": round(time.process_time() - cpu, 1),
            "documents": {split: asdict(AnnotationCounts.of(documents)) for split, documents in self.corpus.splits.items()},
            **scores,
        }
        write_text(self.folder / RESULT, json.dumps(result, ensure_ascii=False) + "\n")
        if not self.experiment.keep_models:
            shutil.rmtree(self.folder / MODEL, ignore_errors=True)
        return result

    def _train(self) -> Extractor:
        experiment, corpus = self.experiment, self.corpus
        shutil.rmtree(self.folder / MODEL, ignore_errors=True)  # of a run that was killed before its result was written
        splits = {"train": corpus.train, "dev": corpus.dev} if corpus.dev else {"train": corpus.train}
        if experiment.dev == "join":
            splits = {"train": (*corpus.train, *corpus.dev)}
        return train(
            self._config(), Corpus(splits), output=self.folder, lenient=experiment.lenient,
            retrain_on_dev=experiment.dev == "retrain" and bool(corpus.dev), cache_limit=experiment.cache_limit,
            progress=False, listen=lambda event: end_with_parent(),
        )

    def _config(self) -> Config:
        training = self.experiment.config.training.model_copy(update={"seed": self.seed})
        if self.experiment.dev == "join" or not self.corpus.dev:
            training = training.model_copy(update={"select": "last", "patience": None})
        return self.experiment.config.model_copy(update={"training": training})


def _scores(extractor: Extractor, documents: Sequence[Document]) -> dict[str, Any]:
    """Scores on predicted entities and between gold entities, and the counts of each document."""
    symmetric = extractor.schema.symmetric
    predicted = extractor.annotate(documents)
    between_gold = extractor.annotate(_with_known_types(documents, extractor.schema), gold_entities=True)
    return {
        "test": score(documents, predicted, symmetric=symmetric).to_json(),
        "gold_entities": score(documents, between_gold, symmetric=symmetric).to_json(),
        "counts": document_counts(documents, predicted, symmetric=symmetric),
    }


def _with_known_types(documents: Sequence[Document], schema: Schema) -> list[Document]:
    """The documents without entities of types that the training part of a fold lacks; those count as missed."""
    return [
        document.annotated([entity for entity in document.entities if entity.type in schema.entity_types], ())
        for document in documents
    ]


def conduct(
    experiment: Experiment,
    *,
    workers: int = 1,
    threads: int | None = None,
    listen: Callable[[dict[str, Any]], None] | None = None,
) -> Results:
    """Execute all runs that are not done yet and write a summary, `results.json`.

    An experiment that was stopped continues when it is called again. Each of several `workers` is a process with its share
    of the threads. `listen` is called with the result of each run, those done earlier first.

    Raises:
        ModelError: The folder holds another experiment or one that is running, or a worker died; the runs that are done
            stay.
    """
    _check(experiment)
    make_folder(experiment.folder)
    try:
        with FileLock(experiment.folder / "lock", timeout=0):
            _claim_folder(experiment)
            by_name: dict[str, dict[str, Any]] = {}
            for run, result in _results(experiment, workers, threads):
                by_name[run.name] = result
                if listen is not None:
                    listen(result)
            runs = tuple(by_name[run.name] for run in experiment.runs())
            versions = sorted({run.get("version", "unknown") for run in runs})
            results = Results(runs, {**_description(experiment), "versions_of_runs": versions})
            write_text(experiment.folder / RESULTS, json.dumps(results.to_json(), ensure_ascii=False, indent=1) + "\n")
            return results
    except Timeout as error:
        raise ModelError(f"{experiment.folder}: another process is at work there; wait for it, or give another --output "
                         "(folder=)") from error


def _check(experiment: Experiment) -> None:
    if not experiment.seeds or len(set(experiment.seeds)) < len(experiment.seeds):
        raise SettingError(f"seeds {list(experiment.seeds)}: give at least one, none twice")
    if experiment.dev not in get_args(DevUse):
        raise SettingError(unknown_name("use of dev", experiment.dev, get_args(DevUse)))
    if experiment.dev == "retrain":
        for part, corpus in experiment.parts.items():
            if not corpus.dev:
                raise SettingError(f"{part} has no dev part to find the epoch on, which --dev-use retrain needs; give a "
                                   "--dev-share, or --dev-use join")


def _claim_folder(experiment: Experiment) -> None:
    """Write into the folder which experiment it is for, or check that it is for this one."""
    claim = experiment.folder / EXPERIMENT
    fingerprint = experiment.fingerprint()
    if claim.is_file():
        if json.loads(claim.read_text(encoding="utf-8")).get("fingerprint") != fingerprint:
            raise ModelError(f"{experiment.folder}: holds the runs of another experiment (settings, data or the use of dev "
                             "differ); give another --output (folder=)")
        return
    lock = experiment.folder / "lock"
    if any(path != lock for path in experiment.folder.iterdir()):
        if not lock.stat().st_size:
            lock.unlink()  # ours, in a folder that is not
        raise ModelError(f"{experiment.folder}: holds files that are no experiment; give a new or an empty --output "
                         "(folder=)")
    write_text(claim, json.dumps({"fingerprint": fingerprint, **_description(experiment)}, indent=1) + "\n")


def _description(experiment: Experiment) -> dict[str, Any]:
    return {"version": __version__, "dev": experiment.dev, "config": experiment.settings(), **experiment.notes}


def _results(experiment: Experiment, workers: int, threads: int | None) -> Iterator[tuple[Run, dict[str, Any]]]:
    """Each run with its result, those done earlier first."""
    open_runs = []
    for run in experiment.runs():
        result = run.result()
        if result is None:
            open_runs.append(run)
        else:
            yield run, result
    if workers == 1 or len(open_runs) <= 1:
        for run in open_runs:
            with threads_of_torch(threads):
                result = run.execute()
            yield run, result
    else:
        yield from _in_processes(open_runs, workers, threads)


def _in_processes(runs: Sequence[Run], workers: int, threads: int | None) -> Iterator[tuple[Run, dict[str, Any]]]:
    failed: dict[str, ConjoinError] = {}
    with ProcessPool(_build_worker, workers=min(workers, len(runs)), threads=threads) as pool:
        try:
            for run, outcome in zip(runs, pool.map(map(_with_own_data, runs)), strict=True):
                if isinstance(outcome, ConjoinError):
                    failed[run.name] = outcome
                else:
                    yield run, outcome
        except WorkerError as error:
            raise ModelError(f"{runs[0].experiment.folder}: a worker was stopped from outside, perhaps for want of "
                             "memory; the same command goes on, with fewer --workers if need be") from error
    if failed:
        name, first = next(iter(failed.items()))
        raise ModelError(f"{len(failed)} of {len(runs)} runs failed, {name}: {first}") from first


def _with_own_data(run: Run) -> Run:
    """The run without the data of the others, which is sent to a process."""
    return replace(run, experiment=replace(run.experiment, parts={run.part: run.experiment.parts[run.part]}))


def _build_worker(number: int) -> Work[Run, dict[str, Any] | ConjoinError]:
    return _execute


def _execute(run: Run, notify: Notify) -> dict[str, Any] | ConjoinError:
    """The result of a run, or its error, so that the others are still executed."""
    try:
        return run.execute()
    except ConjoinError as error:
        return type(error)(str(error))
