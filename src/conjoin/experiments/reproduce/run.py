"""Running a table: each row an experiment, then ours beside the paper's."""

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
from conjoin.experiments.folds import Folding, parts
from conjoin.experiments.reproduce.sources import SOURCES
from conjoin.experiments.reproduce.tables import COUNTS, STATISTICS, TABLES, Column, Row, Table
from conjoin.experiments.significance import compare
from conjoin.experiments.summary import TASKS, Results, Task
from conjoin.modeling.build import assemble_model, build_embedder
from conjoin.schema import Schema
from conjoin.storage.cache import CACHE_LIMIT

QUICK_DOCUMENTS = 24
MAX_SHARED = 8


@dataclass(frozen=True, slots=True)
class Options:
    """How a table is run here.

    `encoder` stands in for the paper's (in Crone 2020's model, frozen, for ELMo and GloVe). `seeds` and `folds` cut the
    protocol down to the first so many. `quick` is a smoke run: one epoch on a few sentences, whose scores mean nothing.
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
    name: str,
    data: Path,
    output: Path,
    options: Options = Options(),
    *,
    listen: Callable[[str, Mapping[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Run the rows of a table whose corpora are under `data`; a run that was stopped goes on.

    → what `render` makes Markdown and LaTeX of. `listen` is told each finished training run with its row's name. Raises
    `SettingError` for an unknown table or row.
    """
    if name not in (*TABLES, STATISTICS):
        raise SettingError(unknown_name("table", name, (*TABLES, STATISTICS)))
    if not data.is_dir():
        raise DataError(f"{data}: is no folder; name the one that holds the corpora (conll04/, ade/, ace04/ …)")
    if name == STATISTICS:
        return _statistics(data)
    table = TABLES[name]
    for asked in options.rows:
        if asked not in {row.name for row in table.rows}:
            raise SettingError(unknown_name("row", asked, [row.name for row in table.rows]))
    rows, results = [], {}
    for row in table.rows:
        if options.rows and row.name not in options.rows:
            rows.append(_empty(row, "not asked for"))
            continue
        made = _row(table, row, data, output / name, options, listen)
        rows.append(made[0])
        if made[1] is not None:
            results[row.name] = made[1]
    return {
        "table": name, "title": table.title, "columns": list(table.columns), "quick": options.quick,
        "encoder": options.encoder, "settings": list(options.settings), "rows": rows,
        "significance": _significance(table, results, options.samples),
    }


def _empty(row: Row, reason: str) -> dict[str, Any]:
    return {"name": row.name, "reported": dict(row.reported), "reported_deviation": dict(row.deviation), "ours": {},
            "missing": reason}


def _row(
    table: Table,
    row: Row,
    data: Path,
    output: Path,
    options: Options,
    listen: Callable[[str, Mapping[str, Any]], None] | None,
) -> tuple[dict[str, Any], Results | None]:
    source = SOURCES[row.corpus]
    corpora = source.read(data)
    if corpora is None:
        return _empty(row, source.missing(data)), None
    config = settings_of(row, options)
    made = _parts(corpora, _folding(row, options))
    if options.quick:
        made = {name: _few(corpus) for name, corpus in made.items()}
    made = dict(list(made.items())[: _max_folds(options)])
    if row.same_size:
        full = settings_of(replace(row, overrides=()), options)
        config = same_size(config, full, next(iter(made.values())).train)
    experiment = Experiment(
        config, made, output / _slug(row.name), seeds=tuple(range(_seeds(row, options))), dev=row.dev, lenient=True,
        cache_limit=options.cache_limit, notes={"row": row.name},
    )
    results = conduct(
        experiment, workers=options.workers, listen=(lambda result: listen(row.name, result)) if listen else None
    )
    value = {
        **_empty(row, ""),
        "ours": {column: _figure(results, column) for column in table.columns},
        "runs": {"folds": len(made), "seeds": len(experiment.seeds)},
        "trained_parameters": results.runs[0]["trainable"],
        "layers": {"shared": config.stack.shared, "entities": config.stack.entities, "relations": config.stack.relations},
        "deviations": _deviations(row, config, made, options),
    }
    return value, results


def settings_of(row: Row, options: Options) -> Config:
    """The settings of a row: its preset with another encoder where one is asked for, and what tells the row apart."""
    given: list[str] = []
    preset = row.preset
    if options.encoder is not None:
        preset = f"{preset}-minilm" if preset.startswith("crone2020") else preset
        given.append(f"encoder.name='{options.encoder}'")
    if options.quick:
        given.append("training.epochs=1")
    return load_config(preset, [*given, *options.settings, *row.overrides])


def same_size(config: Config, full: Config, documents: Sequence[Document]) -> Config:
    """The settings with as many shared layers as bring the number of trained parameters nearest to that of `full`."""
    embedder = build_embedder(full, documents=documents)
    schema = Schema.from_documents(documents, symmetric=full.symmetric)

    def size(settings: Config) -> int:
        model = assemble_model(settings, schema, embedder)
        return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)

    def sharing(layers: int) -> Config:
        return config.model_copy(update={"stack": config.stack.model_copy(update={"shared": layers})})

    aim = size(full)
    return min(map(sharing, range(MAX_SHARED + 1)), key=lambda settings: abs(size(settings) - aim))


def _folding(row: Row, options: Options) -> Folding:
    return replace(row.folding, folds=2) if options.quick and row.folding.folds else row.folding


def _parts(corpora: Mapping[str, Corpus], folding: Folding) -> dict[str, Corpus]:
    if len(corpora) == 1:
        return parts(next(iter(corpora.values())), folding)
    return {name: parts(corpus, folding)["test"] for name, corpus in corpora.items()}


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


def _deviations(row: Row, config: Config, made: Mapping[str, Corpus], options: Options) -> list[str]:
    """What is otherwise than in the paper."""
    paper = load_config(row.preset, row.overrides)
    found = [row.note] if row.note else []
    if options.quick:
        found.append(f"smoke run: one epoch, {QUICK_DOCUMENTS} sentences of a part, 2 folds at most; scores mean nothing")
    seeds = _seeds(row, options)
    if seeds < row.seeds:
        found.append(f"{seeds} of {row.seeds} seeds")
    folds = row.folding.folds or len(SOURCES[row.corpus].folds)
    if folds and len(made) < folds:
        found.append(f"{len(made)} of {folds} folds")
    skipped = {"stack.shared"} if row.same_size else set()
    theirs, ours = _flat(paper), _flat(config)
    for key in ours:
        if ours[key] != theirs[key] and key not in skipped:
            found.append(f"{key} = {ours[key]} (paper: {theirs[key]})")
    return found


def _flat(config: Config) -> dict[str, Any]:
    """Settings by dotted key."""
    flat: dict[str, Any] = {}
    for name, value in config.model_dump(mode="json", exclude={"paper"}).items():
        flat |= {f"{name}.{key}": item for key, item in value.items()} if isinstance(value, dict) else {name: value}
    return flat


def _significance(table: Table, results: Mapping[str, Results], samples: int) -> list[dict[str, Any]]:
    """The first row that was run against each other row on the same documents."""
    first = next((row for row in table.rows if row.name in results), table.rows[0])
    found = []
    for row in table.rows:
        same = row.corpus == first.corpus and row.folding == first.folding
        if row is not first and same and row.name in results:
            for task in TASKS:
                comparison = compare(results[first.name], results[row.name], task, samples=samples)
                found.append({"first": first.name, "second": row.name, "task": task,
                              "difference": round(100 * comparison.difference, 2),
                              "low": round(100 * comparison.low, 2), "high": round(100 * comparison.high, 2),
                              "p_value": round(comparison.p_value, 4)})
    return found


def _statistics(data: Path) -> dict[str, Any]:
    """Giorgi et al. 2019, Table A.1: counts of types, the paper's and ours."""
    rows: list[dict[str, Any]] = []
    for name, (key, entities, relations) in COUNTS.items():
        corpora = SOURCES[key].read(data)
        if corpora is None:
            rows.append({"name": name, "missing": SOURCES[key].missing(data), "types": []})
            continue
        documents = [document for corpus in corpora.values() for document in corpus]
        found = Counter(entity.type for document in documents for entity in document.entities)
        linked = Counter(relation.type for document in documents for relation in document.relations)
        types = [{"kind": kind, "type": type, "paper": count, "ours": ours[type]}
                 for kind, counts, ours in (("entity", entities, found), ("relation", relations, linked))
                 for type, count in counts.items()]
        rows.append({"name": name, "missing": "", "types": types})
    title = "Giorgi et al. 2019, Table A.1: entities and relations of each corpus"
    return {"table": STATISTICS, "title": title, "rows": rows}


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
