"""Search for the best settings with Optuna: how many layers to share, or any other setting by its dotted key."""

from __future__ import annotations

import gc
import json
import logging
import multiprocessing
import multiprocessing.connection
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from conjoin.config.presets import load_config, to_toml, with_absolute_paths
from conjoin.config.settings import Config
from conjoin.document import Corpus, documents_digest
from conjoin.errors import ConjoinError, DataError, ModelError, require_extra
from conjoin.experiments.train import train
from conjoin.extras.search_space import Choice, check_choices, grid, pairwise_overrides
from conjoin.parallel.process_pool import end_with_parent, ignore_interrupts, thread_share
from conjoin.storage.atomic import make_folder, write_text
from conjoin.storage.cache import CACHE_LIMIT
from conjoin.training import EpochDone, Event
from conjoin.training.distributed import threads_of_torch

try:
    import optuna
    from optuna.pruners import MedianPruner, NopPruner
    from optuna.samplers import TPESampler
    from optuna.storages import RDBStorage
    from optuna.trial import FrozenTrial, Trial, TrialState
except ImportError as error:
    raise require_extra("tune", "optuna") from error

STUDY = "conjoin"
ENDED = (TrialState.COMPLETE, TrialState.PRUNED)
POLL_SECONDS = 1.0
LOGGER = logging.getLogger("conjoin")


@dataclass(frozen=True, slots=True)
class Search:
    """A search for the settings with the best scores on dev; `lenient` and `cache_limit` as for `conjoin.train`.

    All trials have the `overrides`, `key=value` each; the study holds `trials` at the end, finished or pruned. With
    `prune`, trials that score below the median of the others are stopped early.
    """

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
        """Raise `DataError` without a dev split, and `SettingError` if the settings of some trial are invalid."""
        if not self.corpus.dev:
            raise DataError("tuning needs a dev split to score trials on; give a file with --dev, or name the split dev")
        check_choices(self.preset, self.overrides, self.choices)

    def plan(self) -> dict[str, Any]:
        """Settings, space and data: a study resumes only if these are the same."""
        first = with_absolute_paths(load_config(self.preset, [*self.overrides, *next(pairwise_overrides(self.choices))]))
        return {
            "settings": first.model_dump(mode="json", exclude={"paper"}),
            "space": [repr(choice) for choice in self.choices],
            "data": [documents_digest(self.corpus.train), documents_digest(self.corpus.dev), self.lenient],
        }

    def config(self, trial: Trial) -> Config:
        return load_config(self.preset, [*self.overrides, *(choice.suggest(trial) for choice in self.choices)])


@dataclass(frozen=True, slots=True)
class TrialResult:
    """One trial, with its values by dotted key and strict micro F1 on dev, fractions of 1.

    Scores are those of `epoch`, which training selects: the best one, or the last under `training.select=last`; `score` is
    the mean of both F1, None unless the trial is complete. `state` is `complete`, `pruned`, `fail` or `waiting`.
    """

    number: int
    state: str
    values: Mapping[str, Any]
    score: float | None
    entities: float | None
    relations: float | None
    epoch: int | None
    seconds: float


Listener = Callable[[TrialResult], None]


def tune(
    search: Search, *, workers: int = 1, threads: int | None = None, listen: Listener | None = None
) -> list[TrialResult]:
    """Run trials until the study holds `search.trials` of them, finished or pruned; returns all, the best first.

    If the space has no more combinations than that, each is tried once. The study is `study.db` in the folder: a stopped
    search resumes, and killed trials do not count. At the end, and when the search is stopped, `best.toml` holds the
    settings of the best trial and `trials.json` all trials. Several `workers` are processes, with `threads` each; None
    divides the cores among them. `listen` is called with each trial at its end.

    Raises `DataError` and `SettingError` as `Search.check`, and `ModelError` if the folder holds another search's study or
    a worker fails.
    """
    search.check()
    make_folder(search.folder)
    try:
        with FileLock(search.folder / "lock", timeout=0):
            _claim(search)
            try:
                if workers > 1:
                    _run_processes(search, workers, threads or thread_share(workers), listen)
                else:
                    with threads_of_torch(threads):
                        _work(search, listen)
            finally:
                _fail_running_trials(search)
                results = _report(search)
    except Timeout as error:
        raise ModelError(f"{search.folder}: another search is running here; wait for it, or run one search with several "
                         "--workers") from error
    return results


def _claim(search: Search) -> None:
    """Create or resume the study and enqueue a small grid; raise `ModelError` if the study is of another search."""
    study, plan = _study(search), search.plan()
    known = study.user_attrs.get("plan", plan)
    if known != plan:
        differences = [key for key in plan if not isinstance(known, dict) or known.get(key) != plan[key]]
        raise ModelError(f"{search.folder}: holds the study of another search ({' and '.join(differences)} differ); give "
                         "another --output, or the same command as before")
    study.set_user_attr("plan", plan)
    _fail_running_trials(search)
    states = (*ENDED, TrialState.WAITING)
    combinations = [trial.params or trial.system_attrs.get("fixed_params") for trial in study.get_trials(states=states)]
    for combination in grid(search.choices, search.trials) or ():
        if combination not in combinations:
            study.enqueue_trial(combination)


def _fail_running_trials(search: Search) -> None:
    """Mark the trials of killed processes as failed."""
    study = _study(search)
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)


def _run_processes(search: Search, workers: int, threads: int, listen: Listener | None) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_worker, args=(search, threads)) for _ in range(workers)]
    study = _study(search)
    reported = {trial.number for trial in study.get_trials(deepcopy=False, states=ENDED)}
    with ignore_interrupts():
        for process in processes:
            process.start()
    try:
        alive = [process.sentinel for process in processes]
        while alive:
            multiprocessing.connection.wait(alive, timeout=POLL_SECONDS)
            alive = [process.sentinel for process in processes if process.is_alive()]  # before the look at the trials
            for trial in study.get_trials(deepcopy=False, states=ENDED):
                if trial.number not in reported and listen is not None:
                    listen(_result(trial))
                reported.add(trial.number)
    finally:
        for process in processes:
            process.terminate()  # those that still run after Ctrl-C
        for process in processes:
            process.join()
    if any(process.exitcode for process in processes):
        raise ModelError(f"{search.folder}: a worker failed (see its message above); the same command resumes the search")


def _report(search: Search) -> list[TrialResult]:
    """Write `best.toml` and `trials.json`; return all trials, the best first."""
    study = _study(search)
    results = sorted(map(_result, study.trials), key=lambda result: -(result.score or 0.0))
    complete = [trial for trial in study.trials if trial.state is TrialState.COMPLETE]
    if complete:
        best = max(complete, key=lambda trial: trial.value or 0.0)
        overrides = [f"{key}={value}" for key, value in best.params.items()]
        config = load_config(search.preset, [*search.overrides, *overrides])
        write_text(search.folder / "best.toml", to_toml(with_absolute_paths(config)))
    write_text(search.folder / "trials.json", json.dumps(list(map(asdict, results)), indent=1) + "\n")
    return results


def _study(search: Search) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = RDBStorage(f"sqlite:///{search.folder / 'study.db'}", engine_kwargs={"connect_args": {"timeout": 60}})
    pruner = MedianPruner(n_startup_trials=5, n_warmup_steps=3) if search.prune else NopPruner()
    return optuna.create_study(storage=storage, sampler=TPESampler(constant_liar=True), pruner=pruner, study_name=STUDY,
                               direction="maximize", load_if_exists=True)


def _worker(search: Search, threads: int) -> None:
    """Run trials in a process; an error becomes one line on stderr, as in the command."""
    try:
        with threads_of_torch(threads):
            _work(search)
    except ConjoinError as error:
        LOGGER.error("%s", error)
        sys.exit(1)


def _work(search: Search, listen: Listener | None = None) -> None:
    study = _study(search)
    while (trial := _next_trial(search, study)) is not None:
        value, state = None, TrialState.FAIL
        try:
            value, state = _objective(search, trial), TrialState.COMPLETE
        except optuna.TrialPruned:
            state = TrialState.PRUNED
        finally:
            ended_trial = study.tell(trial, value, state=state, skip_if_finished=True)
        if listen is not None:
            listen(_result(ended_trial))
        gc.collect()


def _next_trial(search: Search, study: optuna.Study) -> Trial | None:
    """The next trial of a small grid, otherwise a new one, until those that ended or run are enough."""
    with FileLock(search.folder / "next.lock"):  # one worker at a time
        if grid(search.choices, search.trials) is not None:
            is_open = bool(study.get_trials(deepcopy=False, states=(TrialState.WAITING,)))
        else:
            is_open = len(study.get_trials(deepcopy=False, states=(*ENDED, TrialState.RUNNING))) < search.trials
        return study.ask() if is_open else None


def _objective(search: Search, trial: Trial) -> float:
    config = search.config(trial)
    others = trial.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    twin = next((other for other in others if other.params == trial.params), None)
    if twin is not None:  # training is deterministic: the same values score the same
        for key, value in twin.user_attrs.items():
            trial.set_user_attr(key, value)
        return float(twin.value or 0.0)
    score = 0.0

    def listen(event: Event) -> None:
        nonlocal score
        end_with_parent()
        if not isinstance(event, EpochDone) or event.score is None or event.report is None:
            return
        if event.best or config.training.select == "last":
            score = event.score
            trial.set_user_attr("entities", event.report.entities["strict"].micro.f1)
            trial.set_user_attr("relations", event.report.relations["strict"].micro.f1)
            trial.set_user_attr("epoch", event.epoch)
        trial.report(event.score, event.epoch)
        if search.prune and trial.should_prune():
            raise optuna.TrialPruned

    corpus = Corpus({"train": search.corpus.train, "dev": search.corpus.dev})
    train(config, corpus, lenient=search.lenient, cache_limit=search.cache_limit, progress=False, listen=listen)
    return score


def _result(trial: FrozenTrial) -> TrialResult:
    seconds = trial.duration.total_seconds() if trial.duration else 0.0
    scores = trial.user_attrs
    score = trial.value if trial.state is TrialState.COMPLETE else None
    return TrialResult(trial.number, trial.state.name.lower(), dict(trial.params), score, scores.get("entities"),
                       scores.get("relations"), scores.get("epoch"), round(seconds, 1))
