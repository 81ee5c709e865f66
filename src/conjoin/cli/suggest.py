"""`conjoin suggest`: choose the texts that are worth most to annotate next."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from conjoin.bulk import inputs
from conjoin.cli.messages import messages
from conjoin.document import Document
from conjoin.errors import DataError, SettingError
from conjoin.readers import FORMATS, write_documents
from conjoin.text.windows import split
from conjoin.text.words import Hyphens


def suggest(
    run: Annotated[Path, typer.Argument(help="Folder of a training run or of a model.")],
    pool: Annotated[list[Path], typer.Argument(help="Texts: folders or files, .txt, .jsonl, .csv or .parquet.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="File or folder of the pre-annotated texts.")],
    count: Annotated[int, typer.Option("-n", "--n", min=1, help="How many.")] = 100,
    format: Annotated[str, typer.Option(help="Format: labelstudio, brat, prodigy, jsonl, ….")] = "labelstudio",
    diversity: Annotated[float, typer.Option(min=0.0, max=1.0, help="How much likeness to one chosen before costs.")] = 0.5,
    column: Annotated[
        str, typer.Option("--text-column", help="Column of the text in .jsonl, .csv and .parquet.")
    ] = "text",
    lines: Annotated[bool, typer.Option("--lines", help="Each line of a .txt is a text of its own.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
) -> None:
    """Choose the texts that are worth most to annotate next.

    The pool is cut into sentences. Those come first of which the model is least sure, in entities and in relations, and
    that differ from one another. They are written as the model annotates them, for a tool to correct; the corrected file
    is read like any other (conjoin check, conjoin train).

    Examples:

      conjoin suggest run pool.txt --lines --n 100 --output tasks.json

      conjoin suggest run texts/ --n 50 --format brat --output to-correct/
    """
    known = [name for name, one in FORMATS.items() if one.writable]
    if format not in known:
        raise SettingError(f"'{format}' is no format that is written; choose {', '.join(known)}")
    if output.exists() and not overwrite:
        raise SettingError(f"{output}: is there already; give another name, or --overwrite")
    console = messages()

    from conjoin.experiments.active_learning import suggest as chosen
    from conjoin.extractor import Extractor

    extractor = Extractor.load(run)
    sentences = list(_sentences(pool, inputs.Columns(column), lines, extractor.pipeline.hyphens))
    if not sentences:
        raise DataError(f"{pool[0]}: holds no text")
    found = chosen(extractor, sentences, count, diversity=diversity)
    write_documents([one.document for one in found], output, format, lenient=True)
    words = sum(len(one.document.tokens) for one in found)
    console.print(f"{len(found)} of {len(sentences):,} sentences, {words:,} words, expected wrong: "
                  f"{sum(one.words_in_doubt for one in found):.0f} words, {sum(one.pairs_in_doubt for one in found):.0f} "
                  "decisions on relations", markup=False, soft_wrap=True)
    console.print(f"wrote {output}", markup=False, soft_wrap=True)


def _sentences(paths: list[Path], columns: inputs.Columns, lines: bool, hyphens: Hyphens) -> Iterator[Document]:
    """The sentences of the pool, each text once; what cannot be read is left out, and said."""
    found = inputs.sources(paths)
    inputs.check(found, columns)
    seen: set[str] = set()
    for raw in inputs.documents(found, columns, lines=lines):
        if raw.text is None:
            typer.echo(f"{raw.id}: {raw.error}; left out", err=True)
            continue
        for unit in split(raw.text, id=raw.id, hyphens=hyphens):
            if unit.document.text not in seen:
                seen.add(unit.document.text)
                yield unit.document
