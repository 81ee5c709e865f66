"""Score a trained model on annotated text.

Scores the test split by default. Prints every kind of match (strict, boundaries, relaxed, last-word), micro and macro
averages, and every type. The JSON holds fractions of 1 and names the split and the mode: gold words, raw text or gold
entities. With --gold-entities the figures for entities are those of the annotated ones.

Examples:
  conjoin evaluate run --data corpus/
  conjoin evaluate run --data corpus/ --split dev --json
  conjoin evaluate run --data test.jsonl --raw-text
"""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from conjoin.cli.corpus import AnnotatedData
from conjoin.cli.options import Json, Model, PrecisionName
from conjoin.errors import DataError
from conjoin.evaluation.metrics import Report, Score


def evaluate(
    model: Model,
    data: AnnotatedData,
    gold_entities: Annotated[bool, typer.Option("--gold-entities", help="Score relations between gold entities.")] = False,
    raw_text: Annotated[bool, typer.Option("--raw-text", help="Score on raw text; compare spans by characters.")] = False,
    precision: PrecisionName = "no",
    as_json: Json = False,
) -> None:
    if gold_entities and raw_text:
        raise typer.BadParameter("--gold-entities and --raw-text exclude each other: bare text has no entities")
    split, documents = data.read(default="test")
    if not any(document.entities for document in documents):
        raise DataError(f"{data.data}: no document of the {split} split holds an entity to score against; give annotated "
                        "documents, or see what the model finds with conjoin extract")

    from conjoin.extractor import Extractor

    extractor = Extractor.load(model, precision=precision)
    report = extractor.evaluate(documents, gold_entities=gold_entities, raw_text=raw_text)
    if as_json:
        mode = "gold entities" if gold_entities else ("raw text" if raw_text else "gold words")
        typer.echo(json.dumps({"split": split, "mode": mode, **_as_json(report)}, indent=1))
        return
    mode = "with gold entities" if gold_entities else ("raw text" if raw_text else "predicted entities")
    table = report.table("relations") if gold_entities else str(report)  # gold entities score 100 and say nothing
    typer.echo(f"{len(documents)} documents, {mode}\n{table}")


def _as_json(report: Report) -> dict[str, Any]:
    """`{"entities": {match: {"micro": {"precision", "recall", "f1", "support"}, "macro", "per_type"}}, "relations"}`."""
    return {task: {match: {"micro": _figures(scores.micro), "macro": _figures(scores.macro),
                           "per_type": {type: _figures(figures) for type, figures in scores.per_type.items()}}
                   for match, scores in matches.items()}
            for task, matches in (("entities", report.entities), ("relations", report.relations))}


def _figures(score: Score) -> dict[str, float]:
    return {"precision": score.precision, "recall": score.recall, "f1": score.f1, "support": score.support}
