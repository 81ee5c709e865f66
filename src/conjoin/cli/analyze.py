"""Show which errors a model makes, by kind.

Every wrong or missed entity and relation of the split (dev by default) has one kind, such as a wrong boundary, or a
relation that is right but for an entity. Prints their numbers and writes an HTML page of the sentences, annotated and
predicted, which can be filtered by kind.

Examples:
  conjoin analyze run --data corpus/
  conjoin analyze run --data dev.jsonl --html dev-errors.html
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from conjoin.cli.corpus import AnnotatedData
from conjoin.cli.messages import message
from conjoin.cli.options import Json, Model
from conjoin.cli.tables import plain_table
from conjoin.storage.atomic import write_text


def analyze(
    model: Model,
    data: AnnotatedData,
    html: Annotated[Path, typer.Option(help="HTML page to write.")] = Path("errors.html"),
    as_json: Json = False,
) -> None:
    split, gold = data.read(default="dev")

    from conjoin.evaluation.error_analysis import KINDS, analyze_errors
    from conjoin.extractor import Extractor
    from conjoin.render.error_analysis import errors_to_html

    extractor = Extractor.load(model)
    analysis = analyze_errors(gold, extractor.annotate(gold), symmetric=extractor.schema.symmetric)
    write_text(html, errors_to_html(analysis, title=f"Errors of {model} on {data.data} ({split})"))
    counts = analysis.counts()
    if as_json:
        typer.echo(json.dumps({"split": split, "documents": len(gold), "errors": counts}, indent=1))
    else:
        table = plain_table("kind", "count", "meaning", right=("count",))
        for kind, count in counts.items():
            table.add_row(kind, str(count), KINDS[kind])
        Console(highlight=False).print(table)
    message(f"wrote {html}")
