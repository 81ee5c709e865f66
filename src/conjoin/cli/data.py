"""What the verbs that read annotated files share: options of formats, counts as a table, problems as a list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from conjoin.cli.messages import messages
from conjoin.document import Corpus, Document, Problem
from conjoin.errors import SettingError
from conjoin.readers import FORMATS

SHOWN = 50
FORMAT_HELP = f"Format of the files ({', '.join(FORMATS)}); detected from the content when absent."
OPTION_HELP = "Option of the format, as key=value (overlap=keep-longer); may be given several times."


def parse_options(options: Sequence[str]) -> dict[str, str]:
    """`["key=value"]` → `{"key": "value"}`; raises `SettingError` where the `=` is missing."""
    for option in options:
        if "=" not in option:
            raise SettingError(f"option '{option}' has no '='; write it as key=value, such as overlap=keep-longer")
    return {key.strip(): value.strip() for key, _, value in (option.partition("=") for option in options)}


def counts(documents: Sequence[Document]) -> dict[str, Any]:
    """Documents, words, and entities and relations by type."""
    return {
        "documents": len(documents),
        "words": sum(len(document.tokens) for document in documents),
        "entities": dict(sorted(Counter(e.type for document in documents for e in document.entities).items())),
        "relations": dict(sorted(Counter(r.type for document in documents for r in document.relations).items())),
    }


def counts_table(columns: dict[str, dict[str, Any]]) -> Table:
    """A row per count and type, a column for each of the `counts`. Types stand as written, `[b]` too."""
    table = Table("", box=None, pad_edge=False)
    for name in columns:
        table.add_column(name, justify="right")
    for key in ("documents", "words"):
        table.add_row(key, *(f"{column[key]:,}" for column in columns.values()))
    for key in ("entities", "relations"):
        table.add_row(key, *(f"{sum(column[key].values()):,}" for column in columns.values()))
        for type in sorted({type for column in columns.values() for type in column[key]}):
            table.add_row(Text(f"  {type}"), *(f"{column[key].get(type, 0):,}" for column in columns.values()))
    return table


def problems_as_json(found: Sequence[Problem]) -> list[dict[str, Any]]:
    """One object per problem; `repair` tells what had to be repaired from notes."""
    return [asdict(problem) for problem in found]


def print_problems(found: Sequence[Problem], console: Console) -> None:
    """Problems counted by kind, then the first repairs and losses in full, then one example of each kind of note."""
    if not found:
        console.print("no problems")
        return
    table = Table(box=None, pad_edge=False, title_justify="left")
    for name in ("problem", "count", "of these lost", ""):
        table.add_column(name, justify="right" if name in ("count", "of these lost") else "left")
    lost = Counter(problem.kind for problem in found if problem.loss)
    repaired = {problem.kind for problem in found if problem.repair}
    for kind, count in Counter(problem.kind for problem in found).most_common():
        table.add_row(kind, f"{count:,}", f"{lost[kind]:,}", "repaired" if kind in repaired else "note")
    console.print()
    console.print(table)
    console.print()
    wrong = sorted((problem for problem in found if problem.repair or problem.loss), key=lambda problem: not problem.repair)
    for problem in wrong[:SHOWN]:
        console.print(str(problem), markup=False, highlight=False, soft_wrap=True)
    if len(wrong) > SHOWN:
        console.print(f"and {len(wrong) - SHOWN:,} more; --json lists all", highlight=False)
    notes = [problem for problem in found if not problem.repair and not problem.loss]
    alike = Counter(problem.kind for problem in notes)
    for problem in {problem.kind: problem for problem in reversed(notes)}.values():
        more = alike[problem.kind] - 1
        told = f"{problem} (and {more:,} more {problem.kind} notes; --json lists all)" if more else str(problem)
        console.print(told, markup=False, highlight=False, soft_wrap=True)


def mention_problems(corpus: Corpus) -> None:
    """Say on standard error that the data were repaired or have notes."""
    if corpus.problems:
        count = len(corpus.problems)
        what = "1 repair or note" if count == 1 else f"{count:,} repairs and notes"
        messages().print(f"{what} on the data; conjoin check lists {'it' if count == 1 else 'them'}")
