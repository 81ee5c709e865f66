"""Count what annotated files hold and list what is wrong.

Names every problem with its file and line. Exits with 1 when something had to be repaired, unless --lenient is given, and
when there are no documents. Notes, and annotations that an option drops, are listed but are no errors.

Examples:
  conjoin check train.jsonl
  conjoin check conll04/ --html conll04.html
  conjoin check DRUG-AE.rel --option overlap=keep-longer
  conjoin check corpus.tsv --json | jq .kinds
  conjoin check new-data.jsonl --model run
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from conjoin.cli.corpus import FormatName, FormatOption, parse_options
from conjoin.cli.messages import message
from conjoin.cli.options import Json
from conjoin.cli.tables import counts, counts_table, print_problems
from conjoin.corpora.statistics import CorpusStatistics, corpus_statistics, limits, shared_id_remarks, unknown_types
from conjoin.errors import DataError
from conjoin.readers import FORMATS, Problems, open_corpus
from conjoin.storage.atomic import write_text


def check(
    path: Annotated[Path, typer.Argument(help="File or folder of annotated text, or sample.")],
    format: FormatName = None,
    lenient: Annotated[bool, typer.Option("--lenient", help="Exit with 0 even when something was repaired.")] = False,
    option: FormatOption = None,
    preset: Annotated[str | None, typer.Option(help="Preset or TOML file; also lists what it cannot learn.")] = None,
    model: Annotated[Path | None, typer.Option(help="Folder of a model: also say what it cannot predict.")] = None,
    html: Annotated[Path | None, typer.Option(help="HTML page with charts to write.")] = None,
    as_json: Json = False,
) -> None:
    find_limits = _limits(preset, model)
    problems = Problems(lenient=True)
    file_format, streams = open_corpus(path, problems, format, options=parse_options(option))
    statistics = corpus_statistics(streams)
    for split, ids in statistics.repeated_ids.items():
        for id, count in ids.items():
            problems.note(path, None, "repeated-id", f"{count:,} documents of {split} have the id '{id}'")
    beyond = list(find_limits(statistics))
    remarks = [*shared_id_remarks(statistics), *beyond]
    if as_json:
        value = _as_json(file_format.name, statistics, problems) | {"limits": beyond}
        typer.echo(json.dumps(value, ensure_ascii=False, indent=1))
    else:
        _print(file_format.name, statistics, problems, remarks)
    if html is not None:
        from conjoin.render.statistics import statistics_to_html

        write_text(html, statistics_to_html(statistics, title=str(path), problems=problems.counts(), limits=remarks))
        message(f"wrote {html}")
    if not statistics.total.documents:
        raise DataError(f"{path}: holds no documents; see that it is the right file and is not empty")
    if any(problem.repair for problem in problems.entries) and not lenient:
        raise typer.Exit(1)


def _limits(preset: str | None, model: Path | None) -> Callable[[CorpusStatistics], Iterable[str]]:
    """A function that lists what a model cannot hold of a corpus: a trained model, or one of a preset."""
    if model is not None:
        from conjoin.artifacts.model_folder import read_contents

        contents = read_contents(model)
        decision = contents.config.relations.decision
        return lambda statistics: chain(limits(statistics, decision=decision, constrain=False),
                                        unknown_types(statistics, contents.schema))
    if preset is not None:
        from conjoin.config.presets import load_config

        relations = load_config(preset).relations
        return partial(limits, decision=relations.decision, constrain=relations.constrain)
    return partial(limits, decision="softmax", constrain=True)


def _as_json(format: str, statistics: CorpusStatistics, problems: Problems) -> dict[str, Any]:
    return {
        "format": format,
        "splits": {split: counts(numbers) for split, numbers in statistics.splits.items()},
        "statistics": statistics.to_json(),
        "repaired": sum(problem.repair for problem in problems.entries),
        "kinds": problems.counts(),
        "problems": list(map(asdict, problems.entries)),
    }


def _print(format: str, statistics: CorpusStatistics, problems: Problems, limits: list[str]) -> None:
    from conjoin.render.statistics import remarks

    console = Console()
    console.print(f"format: {format} ({FORMATS[format].description})", highlight=False, soft_wrap=True)
    columns = {split: counts(numbers) for split, numbers in statistics.splits.items()}
    if len(columns) > 1:
        columns["sum"] = counts(statistics.total)
    console.print(counts_table(columns))
    for line in (*_shape(statistics), *(f"- {remark}" for remark in remarks(statistics, limits))):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if problems.entries or statistics.total.documents:
        print_problems(problems.entries, console)


def _shape(statistics: CorpusStatistics) -> Iterable[str]:
    """Lengths, overlaps and the types of arguments, a line each."""
    total = statistics.total
    if not total.documents:
        return
    yield ""
    lengths = {"words in a document": total.document_lengths, "words in an entity": total.entity_lengths,
               "entities in a document": total.entities_per_document,
               "relations in a document": total.relations_per_document, "words between arguments": total.distances}
    for name, counter in lengths.items():
        if counter:
            mean = sum(value * count for value, count in counter.items()) / counter.total()
            yield f"- {name}: {mean:.1f} on average, {max(counter):,} at most"
    kinds = f"{total.nested:,} nested, {total.crossing:,} crossing, {total.same_words:,} on the same words"
    yield f"- entities that share words: {total.overlaps:,} pairs ({kinds})"
    for (type, head, tail), count in sorted(total.signatures.items()):
        yield f"- {type}: {head} → {tail} {count:,}"
