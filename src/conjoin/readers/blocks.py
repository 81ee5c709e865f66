"""Nine tab-separated columns (Roth & Yih 2004): blocks of rows, then blocks of relations `first second type`.

The original CoNLL04 file has a row per chunk, the ADE file of Giorgi et al. a row per word; the layout is the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from conjoin.readers.lines import lines
from conjoin.readers.problems import Place, Problems


@dataclass(frozen=True, slots=True)
class Row:
    """A word or chunk: `tag` is column 2, `number` column 3, `pos` column 5, `word` column 6."""

    line: int
    tag: str
    number: int
    pos: str
    word: str


@dataclass(frozen=True, slots=True)
class RelationRow:
    """A relation between the rows numbered `first` and `second`."""

    line: int
    first: int
    second: int
    type: str


@dataclass(slots=True)
class Block:
    """A sentence and its relations; `place` is that of the first row."""

    id: str
    place: Place
    rows: list[Row] = field(default_factory=list)
    relations: list[RelationRow] = field(default_factory=list)


def blocks(path: Path, problems: Problems) -> Iterator[Block]:
    """The sentences of a nine-column file."""
    block: Block | None = None
    after_blank = True
    for number, line in lines(path, problems):
        columns = line.split("\t")
        if not line.strip():
            after_blank = True
            continue
        row = _parse(columns, number)
        if isinstance(row, Row):
            if block is None or after_blank or columns[0] != block.id:
                if block is not None:
                    yield block
                block = Block(columns[0], Place(path, problems, number))
            _check_number(row, block)
            block.rows.append(row)
        elif isinstance(row, RelationRow) and block is not None:
            block.relations.append(row)
        else:
            problems.repair(path, number, "malformed-row", f"'{line[:60]}' is neither a row of nine columns nor a "
                            "relation 'first, second, type' after one, separated by tabs", "leaves the line out")
        after_blank = False
    if block is not None:
        yield block


def _parse(columns: list[str], line: int) -> Row | RelationRow | None:
    match columns:
        case [_, tag, number, _, pos, word, _, _, _] if number.isdecimal() and tag and word:
            return Row(line, tag, int(number), pos, word)
        case [first, second, type] if first.isdecimal() and second.isdecimal() and type:
            return RelationRow(line, int(first), int(second), type)
    return None


def _check_number(row: Row, block: Block) -> None:
    expected = block.rows[-1].number + 1 if block.rows else 0
    if row.number != expected:
        block.place.at(row.line).repair("word-number", f"the row is numbered {row.number}, {expected} comes next",
                                        "keeps the order of the lines", loss=False)
