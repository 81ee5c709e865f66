"""Many training runs of the same settings, over folds and seeds: each is done once, all are summed up."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

from filelock import FileLock, Timeout

from conjoin.config.presets import with_absolute_paths
from conjoin.config.settings import Config
from conjoin.document import Corpus, Document, documents_digest
from conjoin.errors import ConjoinError, ModelError, SettingError, WorkerError, unknown_name
from conjoin.evaluation.metrics import document_counts, score
from conjoin.experiments.folds import DevUse
from conjoin.experiments.summary import Results
from conjoin.experiments.train import count, train
from conjoin.parallel.process_pool import Notify, ProcessPool, Work, end_with_parent
from conjoin.schema import Schema
from conjoin.storage.atomic import make_folder, write_text
from conjoin.storage.cache import CACHE_LIMIT
from conjoin.training.distributed import threads_of_torch
from conjoin.version import __version__

RESULT = "result.json"
RESULTS = "results.json"


@dataclass(frozen=True, slots=True)
class Experiment:
    """Settings trained and scored on each of some corpora (folds, or a single one) with each of some seeds.

    `dev` says what a dev part is for: to `choose` the epoch; to choose it and then `retrain` on train and dev for as many
    epochs; or to `join` the training data, where the last epoch counts. Each run has a folder of its own in `folder`.
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
        """Tells experiments apart: a hash over settings, data and the use of dev."""
        digests = {part: {split: documents_digest(documents) for split, documents in corpus.splits.items()}
                   for part, corpus in self.parts.items()}
        told = json.dumps([self.settings(), self.dev, self.lenient, digests])
        return hashlib.sha256(told.encode()).hexdigest()

    def settings(self) -> dict[str, Any]:
        """The settings of all runs, with paths that do not depend on the working folder, without the seed of each."""
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

    def result(self) -> dict[str, Any] | None:
        """What the run came to, if it is done."""
        path = self.folder / RESULT
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None

    def do(self) -> dict[str, Any]:
        """Train, score on the test part, write the result; a run that was stopped goes on from its checkpoint."""
        experiment, corpus = self.experiment, self.experiment.parts[self.part]
        wall, cpu = time.perf_counter(), time.process_time()
        resumed = self.folder.is_dir() and any(self.folder.iterdir())
        shutil.rmtree(self.folder / "model", ignore_errors=True)  # finished, but killed before its result was written
        used = {"train": corpus.train, "dev": corpus.dev} if corpus.dev else {"train": corpus.train}
        if experiment.dev == "join":
            used = {"train": (*corpus.train, *corpus.dev)}
        extractor = train(
            self._config(), Corpus(used), output=self.folder, lenient=experiment.lenient,
            retrain_on_dev=experiment.dev == "retrain" and bool(corpus.dev), cache_limit=experiment.cache_limit,
            listen=lambda event: end_with_parent(),
        )
        symmetric = extractor.schema.symmetric
        predicted = extractor.annotate(corpus.test)
        given = extractor.annotate(_of_known_types(corpus.test, extractor.schema), gold_entities=True)
        result = {
            "part": self.part,
            "seed": self.seed,
            "epoch": extractor.metrics["training"]["epoch"],
            "trainable": extractor.metrics["training"]["trainable"],
            "version": __version__,
            "resumed": resumed,  # seconds are then those since it went on
            "seconds": round(time.perf_counter() - wall, 1),
            "cpu_seconds": round(time.process_time() - cpu, 1),
            "documents": {split: count(documents) for split, documents in corpus.splits.items()},
            "test": score(corpus.test, predicted, symmetric=symmetric).to_json(),
            "gold_entities": score(corpus.test, given, symmetric=symmetric).to_json(),
            "counts": document_counts(corpus.test, predicted, symmetric=symmetric),
        }
        write_text(self.folder / RESULT, json.dumps(result, ensure_ascii=False) + "\n")
        if not experiment.keep_models:
            shutil.rmtree(self.folder / "model", ignore_errors=True)
        return result

    def _config(self) -> Config:
        corpus = self.experiment.parts[self.part]
        training = self.experiment.config.training.model_copy(update={"seed": self.seed})
        if self.experiment.dev == "join" or not corpus.dev:
            training = training.model_copy(update={"select": "last", "patience": None})
        return self.experiment.config.model_copy(update={"training": training})


def _of_known_types(documents: Sequence[Document], schema: Schema) -> list[Document]:
    """The documents without entities of types that the training part of a fold lacked: those are missed."""
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
    """Do all runs that are not done yet, then sum them up in `results.json`.

    An experiment that was stopped goes on where it was when it is called again. With several workers each is a process
    with its share of the threads. `listen` is told the result of each run, those done earlier first.

    Raises `ModelError` when the folder holds another experiment or one that is running, or when a worker died; the runs
    that are done stay.
    """
    _check(experiment)
    make_folder(experiment.folder)
    try:
        with FileLock(experiment.folder / "lock", timeout=0):
            _claim(experiment)
            found: dict[str, dict[str, Any]] = {}
            for run, result in _outcomes(experiment, workers, threads):
                found[run.name] = result
                if listen is not None:
                    listen(result)
            runs = tuple(found[run.name] for run in experiment.runs())
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


def _claim(experiment: Experiment) -> None:
    """Note in the folder which experiment it is for; a claim that is there must agree."""
    claim = experiment.folder / "experiment.json"
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


def _outcomes(
    experiment: Experiment, workers: int, threads: int | None
) -> Iterator[tuple[Run, dict[str, Any]]]:
    """Each run with its result, as they come."""
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
                result = run.do()
            yield run, result
    else:
        yield from _in_processes(open_runs, workers, threads)


def _in_processes(runs: Sequence[Run], workers: int, threads: int | None) -> Iterator[tuple[Run, dict[str, Any]]]:
    failed: dict[str, ConjoinError] = {}
    with ProcessPool(_prepare, workers=min(workers, len(runs)), threads=threads) as pool:
        try:
            for run, outcome in zip(runs, pool.map(map(_alone, runs)), strict=True):
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


def _alone(run: Run) -> Run:
    """The run without the data of the others, to be sent to a process."""
    return replace(run, experiment=replace(run.experiment, parts={run.part: run.experiment.parts[run.part]}))


def _prepare(number: int) -> Work[Run, dict[str, Any] | ConjoinError]:
    return _do


def _do(run: Run, notify: Notify) -> dict[str, Any] | ConjoinError:
    """The result of a run. What goes wrong with one is no reason to leave the others."""
    try:
        return run.do()
    except ConjoinError as error:
        return type(error)(str(error))
