"""Tables and lists that several verbs print: counts of a corpus, problems of the data, scores, extracted documents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from conjoin.corpora.statistics import SplitCounts
from conjoin.document import Document, Problem
from conjoin.render import ENTITY_COLUMNS, RELATION_COLUMNS, entity_rows, relation_rows

if TYPE_CHECKING:
    from conjoin.artifacts.run_record import RunRecord

MAX_PROBLEMS = 50  # listed in full


def plain_table(*columns: str, right: Iterable[str] = ()) -> Table:
    """A table without lines; the columns named in `right` are aligned to the right."""
    table = Table(box=None, pad_edge=False, title_justify="left")
    for name in columns:
        table.add_column(name, justify="right" if name in right else "left")
    return table


def counts(split: SplitCounts) -> dict[str, Any]:
    """Documents, words, and entities and relations by type."""
    return {"documents": split.documents, "words": split.words, "entities": dict(sorted(split.entities.items())),
            "relations": dict(sorted(split.relations.items()))}


def counts_table(columns: dict[str, dict[str, Any]]) -> Table:
    """A row for each count and type, a column for each of the `counts`."""
    table = plain_table("", *columns, right=columns)
    for key in ("documents", "words"):
        table.add_row(key, *(f"{column[key]:,}" for column in columns.values()))
    for key in ("entities", "relations"):
        table.add_row(key, *(f"{sum(column[key].values()):,}" for column in columns.values()))
        for type in sorted({type for column in columns.values() for type in column[key]}):
            table.add_row(Text(f"  {type}"), *(f"{column[key].get(type, 0):,}" for column in columns.values()))
    return table


def print_problems(problems: Sequence[Problem], console: Console) -> None:
    """Count problems by kind, list the first repairs and losses, then one example of each kind of note."""
    if not problems:
        console.print("no problems")
        return
    console.print()
    console.print(_problems_table(problems))
    console.print()
    serious = sorted((problem for problem in problems if problem.repair or problem.loss),
                     key=lambda problem: not problem.repair)
    lines = [str(problem) for problem in serious[:MAX_PROBLEMS]]
    if len(serious) > MAX_PROBLEMS:
        lines.append(f"and {len(serious) - MAX_PROBLEMS:,} more; --json lists all")
    notes = [problem for problem in problems if not problem.repair and not problem.loss]
    counts = Counter(problem.kind for problem in notes)
    for problem in {problem.kind: problem for problem in reversed(notes)}.values():
        more = counts[problem.kind] - 1
        lines.append(f"{problem} (and {more:,} more {problem.kind} notes; --json lists all)" if more else str(problem))
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _problems_table(problems: Sequence[Problem]) -> Table:
    table = plain_table("problem", "count", "of these lost", "", right=("count", "of these lost"))
    losses = Counter(problem.kind for problem in problems if problem.loss)
    repairs = {problem.kind for problem in problems if problem.repair}
    for kind, count in Counter(problem.kind for problem in problems).most_common():
        table.add_row(kind, f"{count:,}", f"{losses[kind]:,}", "repaired" if kind in repairs else "note")
    return table


def print_documents(documents: list[Document], console: Console) -> None:
    """Print entities and relations as two tables."""
    for title, columns, rows in (
        ("entities", ENTITY_COLUMNS, entity_rows(documents)),
        ("relations", RELATION_COLUMNS, relation_rows(documents)),
    ):
        if not rows:
            console.print(f"no {title}")
            continue
        table = Table(*columns, title=title, title_justify="left")
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        console.print(table)


def print_record(record: RunRecord) -> None:
    """Print scores on test, or on dev where there is no test, and those on the probe."""
    split, report = ("test", record.test) if record.test is not None else ("dev", record.dev)
    if report is not None:
        typer.echo(f"\nscores on {split}\n{report}")
    probe = record.probe
    if probe is not None:
        typer.echo(f"\nprobe: a relation was invented in {100 * probe.false_share:.0f} % of {probe.cooccurring} "
                   f"sentences whose entities merely co-occur; {100 * probe.found_share:.0f} % of the relations in "
                   f"{probe.related} similar sentences that state one were found")


def run_line(result: Mapping[str, Any]) -> str:
    """The part, seed and scores of a run of an experiment."""
    figures = {task: 100 * result["test"][task]["strict"]["micro"]["f1"] for task in ("entities", "relations")}
    scores = ", ".join(f"{task} {figure:.2f}" for task, figure in figures.items())
    return f"{result['part']}, seed {result['seed']}: {scores}"
