"""`conjoin demo`: everything once, on the sample corpus."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from conjoin.cli.options import Encoder, Overwrite, Settings

PARAGRAPH = """\
Ines Karlsen, who has led Nordlys Energi in Bergen since 2011, met the governor of Alaska, Thomas Whitfield, on \
Tuesday. The Anchorage-based Denali Pipeline Corporation had asked for the talks after a court in Juneau, Alaska, \
stopped its project. Whitfield, a former member of the Republican Party, lives in Fairbanks.

Doctors at St. Olav's Hospital in Trondheim reported that a patient developed severe hepatitis after amoxicillin; the \
rash that followed was caused by ibuprofen.
"""


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the run.")] = Path("demo-run"),
    page: Annotated[Path, typer.Option(help="The page to write.")] = Path("demo.html"),
    preset: Annotated[str, typer.Option(help="A preset's name or a TOML file of settings.")] = "conjoin-base",
    encoder: Encoder = None,
    settings: Settings = None,
    overwrite: Overwrite = False,
) -> None:
    """Train, score and extract on the sample corpus; write a page.

    The page shows what was found in a paragraph of raw text. A folder that holds a finished model is left alone, unless
    --overwrite is given.

    It takes a few minutes on two cores.

    Examples:

      conjoin demo

      conjoin demo --set training.epochs=3 --page quick.html --overwrite
    """
    from conjoin.cli.extract import print_tables
    from conjoin.cli.progress import TrainingProgress
    from conjoin.cli.train import overrides, print_metrics
    from conjoin.config.presets import check_files, load_config
    from conjoin.corpora.sample import sample_corpus
    from conjoin.experiments.train import train
    from conjoin.render import to_html
    from conjoin.storage.atomic import write_text

    config = load_config(preset, overrides(settings, encoder, None))
    check_files(config)
    with TrainingProgress() as progress:
        extractor = train(
            config, sample_corpus(), output=output, overwrite=overwrite, listen=progress.listen
        )
    print_metrics(extractor.metrics)
    document = extractor(PARAGRAPH, id="paragraph")
    console = Console(highlight=False)
    console.print(f"\n{PARAGRAPH}", markup=False)
    print_tables([document], console)
    write_text(page, to_html([document], title="conjoin demo", types=extractor.schema.entity_types))
    console.print(f"wrote {page}; the model is in {output / 'model'}", markup=False, soft_wrap=True)
