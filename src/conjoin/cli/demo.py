"""Train, score and extract on the sample corpus.

Writes an HTML page with the entities and relations of a paragraph of raw text. Takes a few minutes on two cores. A
finished model in the output folder is replaced only with --overwrite.

Examples:
  conjoin demo
  conjoin demo --set training.epochs=3 --html quick.html --overwrite
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from conjoin.cli.options import Overwrite, SettingOptions, TrainingProgress
from conjoin.cli.tables import print_documents, print_record

PARAGRAPH = """\
Ines Karlsen, who has led Nordlys Energi in Bergen since 2011, met the governor of Alaska, Thomas Whitfield, on \
Tuesday. The Anchorage-based Denali Pipeline Corporation had asked for the talks after a court in Juneau, Alaska, \
stopped its project. Whitfield, a former member of the Republican Party, lives in Fairbanks.

Doctors at St. Olav's Hospital in Trondheim reported that a patient developed severe hepatitis after amoxicillin; the \
rash that followed was caused by ibuprofen.
"""


def demo(
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the run.")] = Path("demo-run"),
    html: Annotated[Path, typer.Option(help="HTML page to write.")] = Path("demo.html"),
    preset: Annotated[str, typer.Option(help="Name of a preset, or a TOML file of settings.")] = "conjoin-base",
    settings: SettingOptions,
    overwrite: Overwrite = False,
    progress: TrainingProgress = None,
) -> None:
    from conjoin.corpora.sample import sample_corpus
    from conjoin.experiments.train import train
    from conjoin.render import to_html
    from conjoin.storage.atomic import write_text

    config = settings.config(preset)
    extractor = train(config, sample_corpus(), output=output, overwrite=overwrite, progress=progress is not False)
    print_record(extractor.record)
    document = extractor(PARAGRAPH, id="paragraph")
    console = Console(highlight=False)
    console.print(f"\n{PARAGRAPH}", markup=False)
    print_documents([document], console)
    write_text(html, to_html([document], title="conjoin demo", types=extractor.schema.entity_types))
    typer.echo(f"wrote {html}; the model is in {output / 'model'}")
