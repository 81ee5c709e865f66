"""Search over settings with Optuna: which depth to share, or any other setting by its dotted key."""

from __future__ import annotations

import gc
import json
import logging
import multiprocessing
import multiprocessing.connection
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from conjoin.config.presets import load_config, to_toml, with_absolute_paths
from conjoin.config.settings import Config
from conjoin.document import Corpus, documents_digest
from conjoin.errors import ConjoinError, DataError, ModelError, require_extra
from conjoin.evaluation.metrics import Report
from conjoin.experiments.train import train
from conjoin.extras.space import Choice, check_choices, grid, samples
from conjoin.parallel.process_pool import deaf_to_interrupts, end_with_parent, thread_share
from conjoin.storage.atomic import make_folder, write_text
from conjoin.storage.cache import CACHE_LIMIT
from conjoin.training import EpochDone, Event
from conjoin.training.distributed import threads_of_torch

try:
    import optuna
    from optuna.storages import RDBStorage
    from optuna.trial import FrozenTrial, Trial, TrialState
except ImportError as error:
    raise require_extra("tune", "optuna") from error

STUDY = "conjoin"
POLL_SECONDS = 1.0
LOGGER = logging.getLogger("conjoin")


@dataclass(frozen=True, slots=True)
class Search:
    """What is searched: a preset with overrides, over choices, on a corpus with a dev split."""

    preset: str
    overrides: tuple[str, ...]
    choices: tuple[Choice, ...]
    corpus: Corpus
    folder: Path
    trials: int
    prune: bool = True
    lenient: bool = False
    cache_limit: float = CACHE_LIMIT

    def check(self) -> None:
        """Raise for what would fail in some trial."""
        if not self.corpus.dev:
            raise DataError("tuning needs a dev split to choose on; name a file with --dev, or call it dev")
        check_choices(self.preset, self.overrides, self.choices)

    def plan(self) -> dict[str, Any]:
        """What must be the same for a study to go on. Settings are those that the preset or file gives now."""
        first = with_absolute_paths(load_config(self.preset, [*self.overrides, *next(samples(self.choices))]))
        return {
            "settings": first.model_dump(mode="json", exclude={"paper"}),
            "space": [repr(choice) for choice in self.choices],
            "data": [documents_digest(self.corpus.train), documents_digest(self.corpus.dev), self.lenient],
        }

    def config(self, trial: Trial) -> Config:
        """The settings of a trial."""
        return load_config(self.preset, [*self.overrides, *(choice.override(trial) for choice in self.choices)])


@dataclass(frozen=True, slots=True)
class TrialResult:
    """One trial: `score` is the mean of entity and relation F1 on dev (strict micro, fractions of 1) in the epoch that
    training keeps: the best one, or the last under `training.select` = `last`."""

    number: int
    state: str
    values: Mapping[str, Any]
    score: float | None
    entities: float | None
    relations: float | None
    epoch: int | None
    seconds: float


def tune(
    search: Search, *, workers: int = 1, threads: int | None = None, listen: Callable[[TrialResult], None] | None = None
) -> list[TrialResult]:
    """Run trials until the study holds `search.trials` finished or pruned ones; best first. Where all combinations are no
    more than that, each is tried once.

    The study is `study.db` in the folder: a search that was stopped goes on, and a trial that was killed does not count.
    `best.toml` holds the settings of the best trial so far, `trials.json` all trials, also when the search is stopped. With
    several workers each is a process with its share of threads. Raises `ModelError` when the folder holds another search's
    study.
    """
    search.check()
    make_folder(search.folder)
    try:
        with FileLock(search.folder / "lock", timeout=0):
            _claim(search)
            try:
                _run(search, workers, threads, listen)
            finally:
                _end_running(search)
                results = _report(search)
    except Timeout as error:
        raise ModelError(f"{search.folder}: another search is running there; wait for it, or let one search run several "
                         "--workers") from error
    return results


def _claim(search: Search) -> None:
    """Take the folder's study for this search, or raise when it is of another."""
    study, plan = _study(search), search.plan()
    known = study.user_attrs.get("plan", plan)
    if known != plan:
        differ = [key for key in plan if not isinstance(known, dict) or known.get(key) != plan[key]]
        raise ModelError(f"{search.folder}: holds the study of another search ({' and '.join(differ)} differ); give "
                         "another --output, or the same command as before")
    study.set_user_attr("plan", plan)
    _end_running(search)
    counted = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.WAITING)
    tried = [trial.params or trial.system_attrs.get("fixed_params") for trial in study.get_trials(states=counted)]
    for combination in grid(search.choices, search.trials) or ():
        if combination not in tried:
            study.enqueue_trial(combination)


def _end_running(search: Search) -> None:
    """Trials that a killed process left behind did not come to an end."""
    study = _study(search)
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)


def _run(search: Search, workers: int, threads: int | None, listen: Callable[[TrialResult], None] | None) -> None:
    if workers == 1:
        with threads_of_torch(threads):
            _work(search, listen)
        return
    context = multiprocessing.get_context("spawn")
    share = threads or thread_share(workers)
    processes = [context.Process(target=_worker, args=(search, share)) for _ in range(workers)]
    study = _study(search)
    told = {trial.number for trial in _ended(study)}
    with deaf_to_interrupts():
        for process in processes:
            process.start()
    try:
        while alive := [process.sentinel for process in processes if process.is_alive()]:
            multiprocessing.connection.wait(alive, timeout=POLL_SECONDS)
            _tell_of_new(study, told, listen)
        _tell_of_new(study, told, listen)  # what ended between the last look and the end
    finally:
        for process in processes:
            process.terminate()  # those that are left after Ctrl-C
        for process in processes:
            process.join()
    if any(process.exitcode for process in processes):
        raise ModelError(f"{search.folder}: a worker stopped early (see its message above); the same command goes on")


def _ended(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))


def _tell_of_new(study: optuna.Study, told: set[int], listen: Callable[[TrialResult], None] | None) -> None:
    """Trials of any worker that have ended since the last time."""
    for trial in _ended(study):
        if trial.number not in told and listen is not None:
            listen(_result(trial))
        told.add(trial.number)


def _report(search: Search) -> list[TrialResult]:
    """All trials, best first; writes `best.toml` and `trials.json`."""
    study = _study(search)
    results = sorted(map(_result, study.trials), key=lambda result: -(result.score or 0.0))
    done = [trial for trial in study.trials if trial.state is TrialState.COMPLETE]
    if done:
        best = max(done, key=lambda trial: trial.value or 0.0)
        overrides = [f"{key}={value}" for key, value in best.params.items()]
        config = load_config(search.preset, [*search.overrides, *overrides])
        write_text(search.folder / "best.toml", to_toml(with_absolute_paths(config)))
    rows = [{name: getattr(result, name) for name in TrialResult.__slots__} for result in results]
    write_text(search.folder / "trials.json", json.dumps(rows, indent=1) + "\n")
    return results


def _study(search: Search) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = RDBStorage(
        f"sqlite:///{search.folder / 'study.db'}",
        engine_kwargs={"connect_args": {"timeout": 60}},
    )
    pruners = optuna.pruners
    pruner = pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=3) if search.prune else pruners.NopPruner()
    sampler = optuna.samplers.TPESampler(constant_liar=True)
    return optuna.create_study(
        study_name=STUDY, storage=storage, load_if_exists=True, direction="maximize", pruner=pruner, sampler=sampler
    )


def _worker(search: Search, threads: int) -> None:
    """A process of its own: what is wrong is one line, as from the command itself."""
    try:
        with threads_of_torch(threads):
            _work(search)
    except ConjoinError as error:
        LOGGER.error("%s", error)
        sys.exit(1)


def _work(search: Search, listen: Callable[[TrialResult], None] | None = None) -> None:
    study = _study(search)
    while (trial := _next(search, study)) is not None:
        value, state = None, TrialState.FAIL
        try:
            value, state = _objective(search, trial), TrialState.COMPLETE
        except optuna.TrialPruned:
            state = TrialState.PRUNED
        finally:
            ended = study.tell(trial, value, state=state, skip_if_finished=True)
        if listen is not None:
            listen(_result(ended))
        gc.collect()


def _next(search: Search, study: optuna.Study) -> Trial | None:
    """A new trial, if those that ended well and those that are running are fewer than asked for; where all combinations
    are tried, the next of those that wait."""
    counted = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
    with FileLock(search.folder / "next.lock"):  # one worker at a time
        if grid(search.choices, search.trials) is not None:
            more = bool(study.get_trials(deepcopy=False, states=(TrialState.WAITING,)))
        else:
            more = len(study.get_trials(deepcopy=False, states=counted)) < search.trials
        return study.ask() if more else None


def _objective(search: Search, trial: Trial) -> float:
    config = search.config(trial)
    same = _already(trial)
    if same is not None:
        for key, value in same.user_attrs.items():
            trial.set_user_attr(key, value)
        return float(same.value or 0.0)
    kept = 0.0

    def follow(event: Event) -> None:
        nonlocal kept
        end_with_parent()
        if not isinstance(event, EpochDone) or event.score is None or event.report is None:
            return
        if event.best or config.training.select == "last":
            kept = event.score
            _note(trial, event.report, event.epoch)
        trial.report(event.score, event.epoch)
        if search.prune and trial.should_prune():
            raise optuna.TrialPruned

    corpus = Corpus({"train": search.corpus.train, "dev": search.corpus.dev})
    train(config, corpus, lenient=search.lenient, cache_limit=search.cache_limit, listen=follow)
    return kept


def _already(trial: Trial) -> FrozenTrial | None:
    """A finished trial of the very same choices: training is deterministic, there is nothing new to learn."""
    finished = trial.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return next((other for other in finished if other.params == trial.params), None)


def _note(trial: Trial, report: Report, epoch: int) -> None:
    trial.set_user_attr("entities", report.entities["strict"].micro.f1)
    trial.set_user_attr("relations", report.relations["strict"].micro.f1)
    trial.set_user_attr("epoch", epoch)


def _result(trial: FrozenTrial) -> TrialResult:
    seconds = trial.duration.total_seconds() if trial.duration else 0.0
    noted = trial.user_attrs
    score = trial.value if trial.state is TrialState.COMPLETE else None
    return TrialResult(trial.number, trial.state.name.lower(), dict(trial.params), score, noted.get("entities"),
                       noted.get("relations"), noted.get("epoch"), round(seconds, 1))
