"""`conjoin evaluate`: score a trained model on annotated text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from conjoin.cli.data import mention_problems, parse_options
from conjoin.cli.options import FormatName, FormatOptions, Lenient, PrecisionName, chosen_precision
from conjoin.document import Document
from conjoin.errors import DataError
from conjoin.evaluation.metrics import Report, Score
from conjoin.readers import read_corpus


def evaluate(
    run: Annotated[Path, typer.Argument(help="Folder of a training run or of a model.")],
    data: Annotated[Path, typer.Option(help="Annotated file or folder.")],
    split: Annotated[str | None, typer.Option(help="Which split of a folder; test when absent.")] = None,
    format: FormatName = None,
    option: FormatOptions = None,
    lenient: Lenient = False,
    gold_entities: Annotated[
        bool, typer.Option("--gold-entities", help="Give the model the annotated entities; score relations only.")
    ] = False,
    raw_text: Annotated[
        bool, typer.Option("--raw-text", help="Give the model the bare text only; compare spans by characters.")
    ] = False,
    precision: PrecisionName = "no",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, fractions of 1, in place of a table.")] = False,
) -> None:
    """Score a trained model on annotated text.

    Counts every match (strict, boundaries, relaxed, last-word), micro and macro, and every type. The JSON names split
    and mode (gold words, raw text, gold entities); with gold entities its figures of entities are those of the given ones.

    Examples:

      conjoin evaluate run --data corpus/

      conjoin evaluate run --data corpus/ --split dev --json

      conjoin evaluate run --data test.jsonl --raw-text
    """
    if gold_entities and raw_text:
        raise typer.BadParameter("--gold-entities and --raw-text exclude each other: bare text has no entities")
    used = chosen_precision(precision)
    corpus = read_corpus(data, format, lenient=lenient, options=parse_options(option or []))
    chosen = chosen_split(corpus.splits, split, data)
    documents = corpus.splits[chosen]
    if not documents:
        raise DataError(f"{data}: the {chosen} split holds no documents; see it with conjoin check")
    if not any(document.entities for document in documents):
        raise DataError(f"{data}: no document of the {chosen} split holds an entity, so there is nothing to score against; "
                        "give annotated documents, or see what is found with conjoin extract")
    mention_problems(corpus)

    from conjoin.extractor import Extractor

    extractor = Extractor.load(run, precision=used)
    report = extractor.evaluate(documents, gold_entities=gold_entities, raw_text=raw_text)
    if as_json:
        mode = "gold entities" if gold_entities else ("raw text" if raw_text else "gold words")
        typer.echo(json.dumps({"split": chosen, "mode": mode, **_as_json(report)}, indent=1))
        return
    how = "with gold entities" if gold_entities else ("raw text" if raw_text else "predicted entities")
    table = report.table("relations") if gold_entities else str(report)  # given entities score 100 and say nothing
    typer.echo(f"{len(documents)} documents, {how}\n{table}")


def _as_json(report: Report) -> dict[str, Any]:
    """`{"entities": {match: {"micro": {"precision", "recall", "f1", "support"}, "macro", "per_type"}}, "relations"}`."""
    return {
        task: {
            match: {
                "micro": _figures(scores.micro),
                "macro": _figures(scores.macro),
                "per_type": {type: _figures(figures) for type, figures in scores.per_type.items()},
            }
            for match, scores in matches.items()
        }
        for task, matches in (("entities", report.entities), ("relations", report.relations))
    }


def _figures(score: Score) -> dict[str, float]:
    return {"precision": score.precision, "recall": score.recall, "f1": score.f1, "support": score.support}


def chosen_split(
    held: Mapping[str, tuple[Document, ...]], split: str | None, data: Path, *, default: str = "test"
) -> str:
    """The split that is asked for, the only one, or the default one."""
    if split is None and len(held) == 1:
        return next(iter(held))
    wanted = split or default
    if wanted not in held:
        raise DataError(f"{data}: no {wanted} split among {', '.join(held) or 'its files'}; name another with --split")
    return wanted
