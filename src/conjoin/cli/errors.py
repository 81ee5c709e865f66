"""`conjoin errors`: what a model gets wrong, by kind and cause, with a page to read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from conjoin.cli.data import mention_problems, parse_options
from conjoin.cli.evaluate import chosen_split
from conjoin.cli.messages import messages
from conjoin.cli.options import FormatName, FormatOptions, Json, Lenient
from conjoin.errors import DataError
from conjoin.readers import read_corpus
from conjoin.storage.atomic import write_text


def errors(
    run: Annotated[Path, typer.Argument(help="Folder of a training run or of a model.")],
    data: Annotated[Path, typer.Option(help="Annotated file or folder.")],
    split: Annotated[str | None, typer.Option(help="Which split of a folder; dev when absent.")] = None,
    page: Annotated[Path | None, typer.Option(help="The page to write; errors.html when absent.")] = None,
    format: FormatName = None,
    option: FormatOptions = None,
    lenient: Lenient = False,
    as_json: Json = False,
) -> None:
    """Show what a model gets wrong, by kind.

    Every wrong or missed entity and relation has one kind, such as a wrong boundary or a relation that is right but for
    an entity. The page has the sentences, annotated and predicted, and can be filtered by kind.

    Examples:

      conjoin errors run --data corpus/

      conjoin errors run --data dev.jsonl --page dev-errors.html
    """
    corpus = read_corpus(data, format, lenient=lenient, options=parse_options(option or []))
    chosen = chosen_split(corpus.splits, split, data, default="dev")
    gold = corpus.splits[chosen]
    if not gold:
        raise DataError(f"{data}: the {chosen} split holds no documents; see it with conjoin check")
    mention_problems(corpus)

    from conjoin.evaluation.error_analysis import KINDS, mistakes, summary
    from conjoin.extractor import Extractor
    from conjoin.render.error_analysis import mistakes_to_html

    extractor = Extractor.load(run)
    predicted = extractor.annotate(gold)
    found = [mistakes(ours, theirs, symmetric=extractor.schema.symmetric)
             for ours, theirs in zip(gold, predicted, strict=True)]
    counts = summary(found)
    target = page or Path("errors.html")
    write_text(target, mistakes_to_html(gold, predicted, found, title=f"What {run} gets wrong on {data} ({chosen})"))
    if as_json:
        typer.echo(json.dumps({"split": chosen, "documents": len(gold), "mistakes": counts}, indent=1))
    else:
        table = Table(box=None, pad_edge=False)
        for name in ("kind", "count", "what it means"):
            table.add_column(name, justify="right" if name == "count" else "left")
        for kind, count in counts.items():
            table.add_row(kind, str(count), KINDS[kind])
        Console(highlight=False).print(table)
    messages().print(f"wrote {target}", markup=False, soft_wrap=True)
