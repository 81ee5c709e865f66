"""Search over settings with Optuna: which depth to share, or any other setting by its dotted key."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from conjoin.config import all_keys, load_config, to_toml
from conjoin.document import Corpus
from conjoin.errors import DataError, ModelError, SettingError, require_extra, unknown_name
from conjoin.files import make_folder, write_text
from conjoin.metrics import Report
from conjoin.protocols import CACHE_LIMIT, train
from conjoin.settings import Config
from conjoin.training import EpochDone, Event

try:
    import optuna
    from optuna.storages import RDBStorage
    from optuna.trial import FrozenTrial, Trial, TrialState
except ImportError as error:
    raise require_extra("tune", "optuna") from error

STUDY = "conjoin"
# Crone 2020 §4: LSTM or GRU, 1 to 3 shared layers, 0 to 3 of each task.
PAPER_SPACE = ("stack.cell=gru|lstm", "stack.shared=1..3", "stack.entities=0..3", "stack.relations=0..3")


@dataclass(frozen=True, slots=True)
class Choice:
    """One setting and what it may be: some values, or a range of numbers."""

    key: str
    values: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    whole: bool = False
    log: bool = False

    @classmethod
    def parse(cls, text: str) -> Choice:
        """`stack.cell=gru|lstm`, `stack.shared=1..3`, `stack.dropout=0.1..0.6` or `training.learning_rate=1e-4..1e-2:log`.

        Raises `SettingError` when it is none of these or the key is no setting.
        """
        key, equals, spec = (part.strip() for part in text.partition("="))
        if not equals or not spec:
            raise SettingError(f"space '{text}' has no key=choices form, like stack.shared=1..3 or stack.cell=gru|lstm")
        if key not in all_keys():
            raise SettingError(unknown_name("setting", key, all_keys()))
        if ".." not in spec:
            return cls(key, tuple(value.strip() for value in spec.split("|")))
        span, _, scale = spec.partition(":")
        low, _, high = span.partition("..")
        try:
            whole = not any(mark in low + high for mark in ".eE")
            found = cls(key, (), float(low), float(high), whole, scale == "log")
        except ValueError as error:
            raise SettingError(f"space '{text}': a range is two numbers, like 1..3 or 1e-4..1e-2:log") from error
        if found.low > found.high or (found.log and found.low <= 0) or scale not in ("", "log"):
            raise SettingError(f"space '{text}': a range rises, and under :log it begins above 0")
        return found

    def override(self, trial: Trial) -> str:
        """`key=value` for a trial."""
        if self.values:
            return f"{self.key}={trial.suggest_categorical(self.key, self.values)}"
        if self.whole:
            return f"{self.key}={trial.suggest_int(self.key, int(self.low), int(self.high), log=self.log)}"
        return f"{self.key}={trial.suggest_float(self.key, self.low, self.high, log=self.log)!r}"

    def first(self) -> str:
        """`key=value` of the first choice."""
        return f"{self.key}={self.values[0] if self.values else int(self.low) if self.whole else self.low}"


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
        """Raise for what would fail in every trial."""
        if not self.corpus.dev:
            raise DataError("tuning needs a dev split to choose on; name a file with --dev, or call it dev")
        load_config(self.preset, [*self.overrides, *(choice.first() for choice in self.choices)])

    def plan(self) -> str:
        """What must be the same for a study to go on."""
        sizes = {split: len(documents) for split, documents in self.corpus.splits.items()}
        return json.dumps([self.preset, self.overrides, [repr(choice) for choice in self.choices], sizes])

    def config(self, trial: Trial) -> Config:
        """The settings of a trial."""
        return load_config(self.preset, [*self.overrides, *(choice.override(trial) for choice in self.choices)])


@dataclass(frozen=True, slots=True)
class TrialResult:
    """One trial: `score` is the mean of entity and relation F1 on dev (strict micro, fractions of 1) in the best epoch."""

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
    """Run trials until the study holds `search.trials` finished or pruned ones; best first.

    The study is `study.db` in the folder: a search that was stopped goes on, and a trial that was killed does not count.
    `best.toml` holds the settings of the best trial. With several workers each is a process with its share of threads.
    Raises `ModelError` when the folder holds another search's study.
    """
    search.check()
    make_folder(search.folder)
    try:
        with FileLock(search.folder / "lock", timeout=0):
            _search(search, workers, threads, listen)
    except Timeout as error:
        raise ModelError(f"{search.folder}: another search is running there; wait for it, or let one search run several "
                         "--workers") from error
    return _report(search)


def _search(
    search: Search, workers: int, threads: int | None, listen: Callable[[TrialResult], None] | None
) -> None:
    study = _study(search)
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):  # of a search that was killed
        study.tell(trial.number, state=TrialState.FAIL)
    known = study.user_attrs.get("plan")
    if known not in (None, search.plan()):
        raise ModelError(f"{search.folder}: holds the study of another search (preset, settings, space or data differ); "
                         "give another --output, or the same command as before")
    study.set_user_attr("plan", search.plan())
    if workers == 1:
        _work(search, threads, listen)
    else:
        context = multiprocessing.get_context("spawn")
        share = threads or max(1, (os.cpu_count() or 1) // workers)
        processes = [context.Process(target=_work, args=(search, share)) for _ in range(workers)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        if any(process.exitcode for process in processes):
            raise ModelError(f"{search.folder}: a worker stopped early (see its message above); the same command goes on")


def _report(search: Search) -> list[TrialResult]:
    """All trials, best first; writes `best.toml` and `trials.json`."""
    study = _study(search)
    results = sorted(map(_result, study.trials), key=lambda result: -(result.score or 0.0))
    done = [trial for trial in study.trials if trial.state is TrialState.COMPLETE]
    if done:
        best = max(done, key=lambda trial: trial.value or 0.0)
        overrides = [f"{key}={value}" for key, value in best.params.items()]
        write_text(search.folder / "best.toml", to_toml(load_config(search.preset, [*search.overrides, *overrides])))
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


def _work(search: Search, threads: int | None, listen: Callable[[TrialResult], None] | None = None) -> None:
    if threads:
        import torch

        torch.set_num_threads(threads)
    study = _study(search)
    ended = (TrialState.COMPLETE, TrialState.PRUNED)
    stop = optuna.study.MaxTrialsCallback(search.trials, states=ended)

    def done(_: optuna.Study, trial: FrozenTrial) -> None:
        if listen is not None:
            listen(_result(trial))

    if sum(trial.state in ended for trial in study.trials) < search.trials:
        study.optimize(lambda trial: _objective(search, trial), callbacks=[done, stop], gc_after_trial=True)


def _objective(search: Search, trial: Trial) -> float:
    config = search.config(trial)
    same = _already(trial)
    if same is not None:
        for key, value in same.user_attrs.items():
            trial.set_user_attr(key, value)
        return float(same.value or 0.0)
    best = 0.0

    def follow(event: Event) -> None:
        nonlocal best
        if not isinstance(event, EpochDone) or event.score is None:
            return
        if event.best and event.report is not None:
            best = event.score
            _note(trial, event.report, event.epoch)
        trial.report(event.score, event.epoch)
        if search.prune and trial.should_prune():
            raise optuna.TrialPruned

    corpus = Corpus({"train": search.corpus.train, "dev": search.corpus.dev})
    train(config, corpus, lenient=search.lenient, cache_limit=search.cache_limit, listen=follow)
    return best


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


def parse_space(space: Sequence[str]) -> tuple[Choice, ...]:
    """Choices of texts as for `Choice.parse`, the paper's when there are none; no key twice."""
    choices = tuple(Choice.parse(text) for text in (space or PAPER_SPACE))
    keys = [choice.key for choice in choices]
    for key in keys:
        if keys.count(key) > 1:
            raise SettingError(f"space names '{key}' twice; join its choices, like {key}=1..3")
    return choices

