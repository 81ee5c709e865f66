"""`conjoin tune`: search over settings, first of all over how deep to share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from conjoin.cli.data import mention_problems
from conjoin.cli.messages import messages, stopped
from conjoin.cli.options import (
    CacheLimit,
    Data,
    DevFile,
    Encoder,
    FormatName,
    FormatOptions,
    Lenient,
    NoCache,
    Preset,
    Settings,
    TrainFile,
    Workers,
)
from conjoin.storage.cache import CACHE_LIMIT

if TYPE_CHECKING:
    from conjoin.extras.tune import TrialResult

SHOWN = 20


def tune(
    preset: Preset,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the study.")],
    data: Data = None,
    train_file: TrainFile = None,
    dev_file: DevFile = None,
    format: FormatName = None,
    option: FormatOptions = None,
    lenient: Lenient = False,
    encoder: Encoder = None,
    space: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=CHOICES", help="As stack.shared=1..3, stack.cell=gru|lstm, "
                     "training.learning_rate=1e-4..1e-2:log, or a paper's: crone2020 (RNN and depth of sharing; the "
                     "same without any) or giorgi2019 (batch size and learning rate)."),
    ] = None,
    settings: Settings = None,
    trials: Annotated[int, typer.Option(min=1, help="Trials the study is to hold in the end.")] = 20,
    workers: Workers = 1,
    no_prune: Annotated[bool, typer.Option("--no-prune", help="Let every trial run to its end.")] = False,
    no_cache: NoCache = False,
    cache_limit: CacheLimit = CACHE_LIMIT,
) -> None:
    """Search over settings for the best scores on dev.

    A trial scores what training keeps: its best epoch on dev, or under training.select=last its last one, so that conjoin
    train with best.toml comes to the same score. Trials that do worse than the median of the others are stopped early. A
    search that was stopped goes on when the same command is given again. The settings of the best trial land in best.toml,
    which conjoin train takes.

    Examples:

      conjoin tune crone2020-conll04-minilm --data conll04/ --output depth --trials 30

      conjoin tune conjoin-base --data corpus/ --output rates --space training.learning_rate=1e-5..1e-3:log

      conjoin train depth/best.toml --data conll04/ --retrain-on-dev --output run
    """
    from conjoin.cli.train import overrides, read_splits
    from conjoin.extras.search_space import check_choices, parse_space

    fixed, choices = tuple(overrides(settings, encoder, None)), parse_space(space or ())
    check_choices(preset, fixed, choices)
    corpus = read_splits(data, {"train": train_file, "dev": dev_file}, format, option, lenient)
    mention_problems(corpus)

    from conjoin.extras.tune import Search
    from conjoin.extras.tune import tune as run

    search = Search(preset, fixed, choices, corpus, output, trials,
                    prune=not no_prune, lenient=lenient, cache_limit=0.0 if no_cache else cache_limit)
    console = messages()

    def say(result: TrialResult) -> None:
        console.print(_line(result), markup=False, soft_wrap=True)

    try:
        results = run(search, workers=workers, listen=say)
    except KeyboardInterrupt:
        raise stopped(f"stopped; the same command goes on, and {output / 'best.toml'} holds the best so far if a trial has "
                      "ended") from None
    Console(highlight=False).print(_table(results))
    console.print(f"wrote {output / 'best.toml'} and {output / 'trials.json'}", markup=False)


def _line(result: TrialResult) -> str:
    values = ", ".join(f"{key}={value}" for key, value in result.values.items())
    scores = (f"dev F1 entities {100 * (result.entities or 0):.1f} relations {100 * (result.relations or 0):.1f}"
              if result.score is not None else result.state)
    return f"trial {result.number}: {values}: {scores}, {result.seconds:.0f} s"


def _table(results: list[TrialResult]) -> Table:
    table = Table(box=None, pad_edge=False, title="best on dev", title_justify="left")
    keys = list(dict.fromkeys(key for result in results for key in result.values))
    for key in keys:
        table.add_column(key.replace(".", ".\n"))
    for name in ("entities", "relations", "mean", "epoch", "trial"):
        table.add_column(name, justify="right", no_wrap=True)
    done = [result for result in results if result.score is not None]
    for result in done[:SHOWN]:
        figures = (f"{100 * (value or 0):.2f}" for value in (result.entities, result.relations, result.score))
        table.add_row(*(str(result.values.get(key, "")) for key in keys), *figures, str(result.epoch), str(result.number))
    table.caption = f"{len(done)} finished, {sum(result.state == 'pruned' for result in results)} stopped early"
    return table
