"""Run a table of a paper: each row is an experiment, whose scores stand beside the paper's."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from conjoin.config.presets import load_config
from conjoin.config.settings import Config
from conjoin.document import Corpus, Document
from conjoin.errors import DataError, SettingError, unknown_name
from conjoin.experiments.experiment import Experiment, conduct
from conjoin.experiments.folds import Folding
from conjoin.experiments.folds import parts as make_parts
from conjoin.experiments.reproduce.sources import SOURCES
from conjoin.experiments.reproduce.tables import COUNTS, STATISTICS, TABLES, Column, Row, Table
from conjoin.experiments.significance import compare
from conjoin.experiments.summary import TASKS, Results, Task
from conjoin.modeling.build import assemble_model, build_embedder
from conjoin.schema import Schema
from conjoin.storage.cache import CACHE_LIMIT

Listener = Callable[[str, Mapping[str, Any]], None]  # name of a row, result of a run
QUICK_DOCUMENTS = 24
MAX_SHARED = 8


@dataclass(frozen=True, slots=True)
class Options:
    """How a table is run.

    Attributes:
        encoder: Replaces the paper's encoder; in Crone 2020's model, frozen, ELMo and GloVe.
        settings: Overrides of every row's settings.
        quick: A smoke run of one epoch on a few sentences, whose scores mean nothing.
        seeds, folds: Run only so many first ones of the protocol.
        rows: Names of the rows that are run; all when empty.
        cache_limit: GB for vectors of frozen encoders.
        samples: Resamples of the significance test.
    """

    encoder: str | None = None
    settings: tuple[str, ...] = ()
    quick: bool = False
    seeds: int | None = None
    folds: int | None = None
    rows: tuple[str, ...] = ()
    workers: int = 1
    cache_limit: float = CACHE_LIMIT
    samples: int = 10_000


def reproduce(
    name: str, data: Path, output: Path, options: Options = Options(), *, listen: Listener | None = None
) -> dict[str, Any]:
    """Run the rows of a table whose corpora are under `data` (see `SOURCES`); a run that was stopped continues.

    `listen` is called with the name of the row and the result of each finished training run.

    Returns:
        The table for `render.markdown` and `render.latex`.

    Raises:
        SettingError: An unknown table or row.
        DataError: `data` is no folder.
    """
    if name not in (*TABLES, STATISTICS):
        raise SettingError(unknown_name("table", name, (*TABLES, STATISTICS)))
    if not data.is_dir():
        raise DataError(f"{data}: is no folder; name the one that holds the corpora (conll04/, ade/, ace04/ …)")
    if name == STATISTICS:
        return _statistics(data)
    table = TABLES[name]
    for row_name in options.rows:
        if row_name not in {row.name for row in table.rows}:
            raise SettingError(unknown_name("row", row_name, [row.name for row in table.rows]))
    rows, results = [], {}
    for row in table.rows:
        value, result = _run_row(table, row, data, output / name, options, listen)
        rows.append(value)
        if result is not None:
            results[row.name] = result
    return {
        "table": name, "title": table.title, "columns": list(table.columns), "quick": options.quick,
        "encoder": options.encoder, "settings": list(options.settings), "rows": rows,
        "significance": _significance(table, results, options.samples),
    }


def _empty(row: Row, reason: str) -> dict[str, Any]:
    return {"name": row.name, "reported": dict(row.reported), "reported_deviation": dict(row.deviation), "ours": {},
            "missing": reason}


def _run_row(
    table: Table, row: Row, data: Path, output: Path, options: Options, listen: Listener | None
) -> tuple[dict[str, Any], Results | None]:
    if options.rows and row.name not in options.rows:
        return _empty(row, "not asked for"), None
    experiment = row_experiment(row, data, output, options)
    if experiment is None:
        return _empty(row, SOURCES[row.corpus].missing(data)), None
    results = conduct(
        experiment, workers=options.workers, listen=(lambda result: listen(row.name, result)) if listen else None
    )
    stack = experiment.config.stack
    value = {
        **_empty(row, ""),
        "ours": {column: _figure(results, column) for column in table.columns},
        "runs": {"folds": len(experiment.parts), "seeds": len(experiment.seeds)},
        "trained_parameters": results.runs[0]["trainable"],
        "layers": {"shared": stack.shared, "entities": stack.entities, "relations": stack.relations},
        "deviations": _deviations(row, experiment, options),
    }
    return value, results


def row_experiment(row: Row, data: Path, output: Path, options: Options) -> Experiment | None:
    """The experiment of a row; None when its corpus is not under `data`."""
    corpora = SOURCES[row.corpus].read(data)
    if corpora is None:
        return None
    config = settings_of(row, options)
    parts = _parts(corpora, _folding(row, options))
    if options.quick:
        parts = {name: _few(corpus) for name, corpus in parts.items()}
    parts = dict(list(parts.items())[: _max_folds(options)])
    if row.same_size:
        full = settings_of(replace(row, overrides=()), options)
        config = same_size(config, full, next(iter(parts.values())).train)
    return Experiment(
        config, parts, output / _slug(row.name), seeds=tuple(range(_seeds(row, options))), dev=row.dev, lenient=True,
        cache_limit=options.cache_limit, notes={"row": row.name},
    )


def settings_of(row: Row, options: Options) -> Config:
    """The settings of a row: its preset and overrides, with the encoder of the options."""
    overrides: list[str] = []
    preset = row.preset
    if options.encoder is not None:
        preset = f"{preset}-minilm" if preset.startswith("crone2020") else preset
        overrides.append(f"encoder.name='{options.encoder}'")
    if options.quick:
        overrides.append("training.epochs=1")
    return load_config(preset, [*overrides, *options.settings, *row.overrides])


def same_size(config: Config, full: Config, documents: Sequence[Document]) -> Config:
    """The settings with as many shared layers as bring the number of trained parameters nearest to that of `full`."""
    embedder = build_embedder(full, documents=documents)
    schema = Schema.from_documents(documents, symmetric=full.symmetric)

    def size(settings: Config) -> int:
        model = assemble_model(settings, schema, embedder)
        return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)

    def with_shared(layers: int) -> Config:
        return config.model_copy(update={"stack": config.stack.model_copy(update={"shared": layers})})

    full_size = size(full)
    return min(map(with_shared, range(MAX_SHARED + 1)), key=lambda settings: abs(size(settings) - full_size))


def _folding(row: Row, options: Options) -> Folding:
    return replace(row.folding, folds=2) if options.quick and row.folding.folds else row.folding


def _parts(corpora: Mapping[str, Corpus], folding: Folding) -> dict[str, Corpus]:
    if len(corpora) == 1:
        return make_parts(next(iter(corpora.values())), folding)
    return {name: make_parts(corpus, folding)["test"] for name, corpus in corpora.items()}


def _few(corpus: Corpus) -> Corpus:
    return Corpus({split: documents[:QUICK_DOCUMENTS] for split, documents in corpus.splits.items()})


def _max_folds(options: Options) -> int | None:
    return min(2, options.folds or 2) if options.quick else options.folds


def _seeds(row: Row, options: Options) -> int:
    return 1 if options.quick else min(row.seeds, options.seeds or row.seeds)


def _figure(results: Results, column: Column) -> dict[str, float]:
    task: Task = "entities" if column.startswith("entities") else "relations"
    figure = results.figure(task, average="macro" if column.endswith("macro") else "micro",
                            gold_entities=column.startswith("gold"))
    several = len(figure.seeds) > 1
    deviation = figure.deviation_over_seeds if several else figure.deviation_over_folds
    return {
        "mean": round(100 * figure.mean, 2),
        "deviation": round(100 * deviation, 2),
        "deviation_over_folds": round(100 * figure.deviation_over_folds, 2),
        "deviation_over_seeds": round(100 * figure.deviation_over_seeds, 2),
        "f1_of_means": round(100 * figure.f1_of_means, 2),
    }


def _deviations(row: Row, experiment: Experiment, options: Options) -> list[str]:
    """The differences from the paper's protocol and settings, as sentences."""
    notes = [row.note] if row.note else []
    if options.quick:
        notes.append(f"smoke run: one epoch, {QUICK_DOCUMENTS} sentences of a part, 2 folds at most; scores mean nothing")
    if len(experiment.seeds) < row.seeds:
        notes.append(f"{len(experiment.seeds)} of {row.seeds} seeds")
    folds = row.folding.folds or len(SOURCES[row.corpus].folds)
    if folds and len(experiment.parts) < folds:
        notes.append(f"{len(experiment.parts)} of {folds} folds")
    skipped = {"stack.shared"} if row.same_size else set()
    paper, ours = _flat(load_config(row.preset, row.overrides)), _flat(experiment.config)
    return notes + [f"{key} = {ours[key]} (paper: {paper[key]})"
                    for key in ours if ours[key] != paper[key] and key not in skipped]


def _flat(config: Config) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in config.model_dump(mode="json", exclude={"paper"}).items():
        flat |= {f"{name}.{key}": item for key, item in value.items()} if isinstance(value, dict) else {name: value}
    return flat


def _significance(table: Table, results: Mapping[str, Results], samples: int) -> list[dict[str, Any]]:
    """The first row that was run against each other row on the same documents."""
    first = next((row for row in table.rows if row.name in results), table.rows[0])
    comparisons = []
    for row in table.rows:
        same = row.corpus == first.corpus and row.folding == first.folding
        if row is not first and same and row.name in results:
            for task in TASKS:
                comparison = compare(results[first.name], results[row.name], task, samples=samples)
                comparisons.append({"first": first.name, "second": row.name, "task": task,
                                    "difference": round(100 * comparison.difference, 2),
                                    "low": round(100 * comparison.low, 2), "high": round(100 * comparison.high, 2),
                                    "p_value": round(comparison.p_value, 4)})
    return comparisons


def _statistics(data: Path) -> dict[str, Any]:
    """Giorgi et al. 2019, Table A.1: counts of types, the paper's and ours."""
    rows: list[dict[str, Any]] = []
    for name, (key, entities, relations) in COUNTS.items():
        corpora = SOURCES[key].read(data)
        if corpora is None:
            rows.append({"name": name, "missing": SOURCES[key].missing(data), "types": []})
            continue
        documents = [document for corpus in corpora.values() for document in corpus]
        entity_counts = Counter(entity.type for document in documents for entity in document.entities)
        relation_counts = Counter(relation.type for document in documents for relation in document.relations)
        types = [{"kind": kind, "type": type, "paper": count, "ours": ours[type]}
                 for kind, counts, ours in (("entity", entities, entity_counts), ("relation", relations, relation_counts))
                 for type, count in counts.items()]
        rows.append({"name": name, "missing": "", "types": types})
    title = "Giorgi et al. 2019, Table A.1: entities and relations of each corpus"
    return {"table": STATISTICS, "title": title, "rows": rows}


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
