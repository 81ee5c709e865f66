"""Choose the texts that are most useful to annotate next.

Cuts the texts into sentences and chooses those that the model is least sure of, in entities and in relations, and that
differ from one another. Writes them with the model's annotations, for an annotation tool to correct; conjoin check and
conjoin train read the corrected file like any other.

Examples:
  conjoin suggest run pool.txt --lines --count 100 --output tasks.json
  conjoin suggest run texts/ --count 50 --format brat --output to-correct/
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from conjoin.cli.messages import message
from conjoin.cli.options import Model, Overwrite, TextOptions
from conjoin.document import Document
from conjoin.errors import DataError, SettingError
from conjoin.readers import FORMATS, write_documents
from conjoin.text.sources import Source, check_sources, find_sources, read_texts
from conjoin.text.windows import split
from conjoin.text.words import Hyphens


def suggest(
    model: Model,
    pool: Annotated[list[Path], typer.Argument(metavar="FILES|FOLDERS|-", help="Texts to choose from; - reads stdin.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="File or folder of the chosen sentences.")],
    *,
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="Number of sentences to choose.")] = 100,
    format: Annotated[str, typer.Option(help="Format to write: labelstudio, brat, prodigy, jsonl, ….")] = "labelstudio",
    diversity: Annotated[float, typer.Option(min=0.0, max=1.0, help="Weight of the difference between sentences.")] = 0.5,
    texts: TextOptions,
    overwrite: Overwrite = False,
) -> None:
    formats = [name for name, one in FORMATS.items() if one.writable]
    if format not in formats:
        raise SettingError(f"'{format}' is no format that is written; choose {', '.join(formats)}")
    if output.exists() and not overwrite:
        raise SettingError(f"{output}: is there already; give another name, or --overwrite")
    sources = find_sources(pool, output=output)
    check_sources(sources, texts.columns)

    from conjoin.experiments.active_learning import suggest as choose
    from conjoin.extractor import Extractor

    extractor = Extractor.load(model)
    sentences = list(_sentences(sources, texts, extractor.pipeline.hyphens))
    if not sentences:
        raise DataError(f"{pool[0]}: holds no text")
    suggestions = choose(extractor, sentences, count, diversity=diversity)
    write_documents([suggestion.document for suggestion in suggestions], output, format, lenient=True)
    words = sum(len(suggestion.document.tokens) for suggestion in suggestions)
    message(f"{len(suggestions)} of {len(sentences):,} sentences, {words:,} words, expected wrong: "
            f"{sum(suggestion.uncertain_words for suggestion in suggestions):.0f} words, "
            f"{sum(suggestion.uncertain_pairs for suggestion in suggestions):.0f} decisions on relations")
    message(f"wrote {output}")


def _sentences(sources: list[Source], options: TextOptions, hyphens: Hyphens) -> Iterator[Document]:
    """The sentences of the texts, each once. Leaves out a text that cannot be read, and says so."""
    seen: set[str] = set()
    for record in read_texts(sources, options.columns, lines=options.lines):
        if record.text is None:
            message(f"{record.place}: {record.error}; left out")
            continue
        for unit in split(record.text, id=record.id, hyphens=hyphens):
            if unit.document.text not in seen:
                seen.add(unit.document.text)
                yield unit.document
