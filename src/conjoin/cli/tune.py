"""Search over settings for the best scores on dev.

A trial scores what training keeps: its best epoch on dev, or the last one under training.select=last. Trials below the
median of the others are stopped early. Writes the settings of the best trial to best.toml, with which conjoin train comes
to the same score. The same command resumes a stopped search.

Examples:
  conjoin tune crone2020-conll04-minilm --data conll04/ --output depth --trials 30
  conjoin tune conjoin-base --data corpus/ --output rates --space training.learning_rate=1e-5..1e-3:log
  conjoin train depth/best.toml --data conll04/ --retrain-on-dev --output run
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from conjoin.cli.corpus import TrainingData
from conjoin.cli.messages import message, stopped
from conjoin.cli.options import CacheOptions, Preset, SettingOptions, Workers
from conjoin.cli.tables import plain_table

if TYPE_CHECKING:
    from conjoin.extras.tune import TrialResult

MAX_TRIALS = 20  # in the table
SPACE_HELP = ("Values to search, as stack.shared=1..3, stack.cell=gru|lstm or training.learning_rate=1e-4..1e-2:log, or a "
              "paper's space: crone2020 (recurrent layers and depth of sharing; the default) or giorgi2019 (batch size and "
              "learning rate); repeatable.")


def tune(
    preset: Preset,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the study.")],
    *,
    data: TrainingData,
    settings: SettingOptions,
    space: Annotated[list[str] | None, typer.Option(metavar="KEY=CHOICES", help=SPACE_HELP)] = None,
    trials: Annotated[int, typer.Option(min=1, help="Trials of the whole study.")] = 20,
    workers: Workers = 1,
    no_prune: Annotated[bool, typer.Option("--no-prune", help="Run every trial to its end.")] = False,
    cache: CacheOptions,
) -> None:
    from conjoin.extras.search_space import check_choices, parse_space

    overrides, choices = tuple(settings.overrides()), parse_space(space or ())
    check_choices(preset, overrides, choices)
    corpus = data.read_splits()

    from conjoin.extras.tune import Search
    from conjoin.extras.tune import tune as run

    search = Search(preset, overrides, choices, corpus, output, trials, prune=not no_prune, lenient=data.files.lenient,
                    cache_limit=cache.limit)
    try:
        results = run(search, workers=workers, listen=lambda result: message(_line(result)))
    except KeyboardInterrupt:
        raise stopped(f"stopped; the same command goes on, and {output / 'best.toml'} holds the best so far if a trial has "
                      "ended") from None
    Console(highlight=False).print(_table(results))
    message(f"wrote {output / 'best.toml'} and {output / 'trials.json'}")


def _line(result: TrialResult) -> str:
    values = ", ".join(f"{key}={value}" for key, value in result.values.items())
    scores = (f"dev F1 entities {100 * (result.entities or 0):.1f} relations {100 * (result.relations or 0):.1f}"
              if result.score is not None else result.state)
    return f"trial {result.number}: {values}: {scores}, {result.seconds:.0f} s"


def _table(results: list[TrialResult]) -> Table:
    keys = list(dict.fromkeys(key for result in results for key in result.values))
    table = plain_table(*(key.replace(".", ".\n") for key in keys))
    table.title = "best on dev"
    for name in ("entities", "relations", "mean", "epoch", "trial"):
        table.add_column(name, justify="right", no_wrap=True)
    scored = [result for result in results if result.score is not None]
    for result in scored[:MAX_TRIALS]:
        figures = (f"{100 * (value or 0):.2f}" for value in (result.entities, result.relations, result.score))
        table.add_row(*(str(result.values.get(key, "")) for key in keys), *figures, str(result.epoch), str(result.number))
    table.caption = f"{len(scored)} finished, {sum(result.state == 'pruned' for result in results)} stopped early"
    return table
