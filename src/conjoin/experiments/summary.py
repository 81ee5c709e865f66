"""Summary of many runs: means, and deviations over folds and seeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from conjoin.errors import DataError
from conjoin.evaluation.metrics import MATCHES, Average, Match, Report, Score, mean_and_deviation
from conjoin.storage.atomic import read_json

Task = Literal["entities", "relations"]
TASKS: tuple[Task, ...] = ("entities", "relations")
RUN_KEYS = {"part", "seed", "epoch", "cpu_seconds", "test", "gold_entities", "counts"}
AVERAGES: tuple[Average, ...] = ("micro", "macro")


@dataclass(frozen=True, slots=True)
class Figure:
    """One score over all runs, as fractions of 1.

    `mean` is over all runs, `parts` the mean over the seeds of each fold and `seeds` the mean over the folds of each seed;
    the deviations are between those (0 for one). `f1_of_means` is the F1 of mean precision and mean recall, `pooled` the
    micro F1 over the documents of all folds together: neither is the mean of the F1 of folds.
    """

    mean: float
    deviation_over_folds: float
    deviation_over_seeds: float
    parts: Mapping[str, float]
    seeds: Mapping[str, float]
    f1_of_means: float
    pooled: float | None

    def __str__(self) -> str:
        deviations = []
        if len(self.parts) > 1:
            deviations.append(f"± {100 * self.deviation_over_folds:.2f} over {len(self.parts)} folds")
        if len(self.seeds) > 1:
            deviations.append(f"± {100 * self.deviation_over_seeds:.2f} over {len(self.seeds)} seeds")
        return " ".join([f"{100 * self.mean:.2f}", ", ".join(deviations)]).strip()


@dataclass(frozen=True, slots=True)
class Results:
    """The runs of an experiment, as `Run.execute` returns them, with its description."""

    runs: tuple[Mapping[str, Any], ...]
    description: Mapping[str, Any] = field(default_factory=dict)

    def figure(
        self, task: Task, *, match: Match = "strict", average: Average = "micro", gold_entities: bool = False
    ) -> Figure:
        """One score over all runs; with `gold_entities` that of relations between gold entities."""
        scores = [_score(run, task, match, average, gold_entities) for run in self.runs]
        parts = _means((run["part"], score.f1) for run, score in zip(self.runs, scores, strict=True))
        seeds = _means((str(run["seed"]), score.f1) for run, score in zip(self.runs, scores, strict=True))
        return Figure(
            mean=_mean(score.f1 for score in scores),
            deviation_over_folds=mean_and_deviation(list(parts.values()))[1],
            deviation_over_seeds=mean_and_deviation(list(seeds.values()))[1],
            parts=parts,
            seeds=seeds,
            f1_of_means=_f1(_mean(score.precision for score in scores), _mean(score.recall for score in scores)),
            pooled=_pooled(scores) if average == "micro" else None,
        )

    def counts(self, task: Task) -> dict[tuple[str, int], list[list[int]]]:
        """Gold, predicted and correct items (strict) of each test document by part and seed."""
        return {(run["part"], run["seed"]): run["counts"][task] for run in self.runs}

    def to_json(self) -> dict[str, Any]:
        """The description, all figures, and the runs."""
        figures = {
            task: {match: {average: asdict(self.figure(task, match=match, average=average)) for average in AVERAGES}
                   for match in MATCHES}
            for task in TASKS
        }
        between_gold = {
            average: asdict(self.figure("relations", average=average, gold_entities=True)) for average in AVERAGES
        }
        return {**self.description, "figures": figures, "relations_between_gold_entities": between_gold,
                "runs": list(self.runs)}

    @classmethod
    def load(cls, path: Path) -> Results:
        """Read `results.json`, or the one in a folder; raises `DataError` for anything else."""
        file = path / "results.json" if path.is_dir() else path
        value = read_json(file)
        if not isinstance(value, dict) or not isinstance(value.get("runs"), list) or not value["runs"]:
            raise DataError(f"{file}: holds no results of an experiment; name the --output of conjoin experiment")
        if not all(isinstance(run, dict) and run.keys() >= RUN_KEYS for run in value["runs"]):
            raise DataError(f"{file}: its runs lack some of {', '.join(sorted(RUN_KEYS))}; do the experiment again")
        known = ("figures", "relations_between_gold_entities", "runs")
        return cls(tuple(value["runs"]), {key: item for key, item in value.items() if key not in known})

    def __str__(self) -> str:
        lines = []
        for task in TASKS:
            for average in AVERAGES:
                figure = self.figure(task, average=average)
                lines.append(f"{task:<10} strict {average}  {figure}")
                if len(figure.parts) > 1:
                    values = ", ".join(f"{name} {100 * value:.2f}" for name, value in figure.parts.items())
                    pooled = f", all folds pooled {100 * figure.pooled:.2f}" if figure.pooled is not None else ""
                    lines += [f"{'':<10} {values}",
                              f"{'':<10} F1 of mean precision and recall {100 * figure.f1_of_means:.2f}{pooled}"]
        lines.append(f"relations between gold entities, strict micro  {self.figure('relations', gold_entities=True)}")
        epochs = sorted({run["epoch"] for run in self.runs})
        seconds_of_runs = [run["cpu_seconds"] for run in self.runs if not run.get("resumed")]
        seconds = f", {_mean(seconds_of_runs):.0f} CPU seconds a run" if seconds_of_runs else ""
        lines.append(f"{len(self.runs)} runs, epochs {', '.join(map(str, epochs))}{seconds}")
        return "\n".join(lines)


def _score(run: Mapping[str, Any], task: Task, match: Match, average: Average, gold_entities: bool) -> Score:
    report = Report.from_json(run["gold_entities" if gold_entities else "test"])
    score: Score = getattr(getattr(report, task)[match], average)
    return score


def _means(values: Iterable[tuple[str, float]]) -> dict[str, float]:
    groups: dict[str, list[float]] = {}
    for name, value in values:
        groups.setdefault(name, []).append(value)
    return {name: _mean(group) for name, group in groups.items()}


def _mean(values: Iterable[float]) -> float:
    return mean_and_deviation(list(values))[0]


def _pooled(scores: Sequence[Score]) -> float:
    """Micro F1 over the documents of all runs. Under a relaxed match the matching gold items need not be as many as the
    matching predictions, so both are summed."""
    recalled = sum(score.recall * score.support for score in scores)
    return _f1(_share(sum(score.correct for score in scores), sum(score.predicted for score in scores)),
               _share(recalled, sum(score.support for score in scores)))


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
