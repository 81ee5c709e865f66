"""Results of a table as Markdown and as LaTeX."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def markdown(table: Mapping[str, Any]) -> str:
    """The paper's figures beside ours, with notes on missing corpora and differences from the paper below."""
    header, rows = _cells(table)
    lines = [f"# {table['title']}", "", _line(header), _line(["---"] * len(header)), *map(_line, rows), ""]
    lines += [_escaped(note) for note in _notes(table)]
    return "\n".join(lines).rstrip() + "\n"


def latex(table: Mapping[str, Any]) -> str:
    """The same table for a document that loads booktabs, with the notes as comments."""
    header, rows = _cells(table)
    body = [" & ".join(map(_tex, row)) + r" \\" for row in rows]
    notes = [f"% {note}" for note in _notes(table) if note]
    return "\n".join([
        f"% {table['title']}",
        rf"\begin{{tabular}}{{l{'r' * (len(header) - 1)}}}",
        r"\toprule",
        " & ".join(map(_tex, header)) + r" \\",
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
        *notes,
    ]) + "\n"


def _cells(table: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    if "columns" not in table:
        return _statistics(table)
    used = [column for column in table["columns"]
            if any(column in row["reported"] or column in row["ours"] for row in table["rows"])]
    header = ["", *(f"{column}, {whose}" for column in used for whose in ("paper", "ours"))]
    rows = []
    for row in table["rows"]:
        cells = [row["name"]]
        for column in used:
            cells.append(_value(row["reported"].get(column), row["reported_deviation"].get(column)))
            ours = row["ours"].get(column, {})
            several = max(row["runs"].values()) > 1 if "runs" in row else False
            cells.append(_value(ours.get("mean"), ours.get("deviation") if several else None))
        rows.append(cells)
    return header, rows


def _statistics(table: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    rows = []
    for row in table["rows"]:
        if not row["types"]:
            rows.append([row["name"], "", "", "", ""])
        for type in row["types"]:
            rows.append([row["name"], type["kind"], type["type"], f"{type['paper']}", f"{type['ours']}"])
    return ["corpus", "kind", "type", "paper", "ours"], rows


def _value(mean: float | None, deviation: float | None) -> str:
    if mean is None:
        return "–"
    return f"{mean:.2f}" if deviation is None else f"{mean:.2f} ± {deviation:.2f}"


def _notes(table: Mapping[str, Any]) -> list[str]:
    notes: list[str] = []
    if "columns" in table:
        notes += ["F1 in per cent, strict; ± is the standard deviation over seeds, or over folds where there is one seed.",
                  ""]
    shared = _in_all(table["rows"])
    for row in table["rows"]:
        if row.get("missing"):
            notes.append(f"- {row['name']}: empty; {row['missing']}")
        if "runs" in row:
            layers = row["layers"]
            notes.append(f"- {row['name']}: {row['runs']['folds']} folds or test parts, {row['runs']['seeds']} seeds, "
                         f"{row['trained_parameters']:,} trained parameters, recurrent layers {layers['shared']} shared, "
                         f"{layers['entities']} entities, {layers['relations']} relations")
        notes += [f"  - {deviation}" for deviation in row.get("deviations", []) if deviation not in shared]
    if shared:
        notes += ["", "Differences from the paper in all rows that were run:", "", *(f"- {item}" for item in shared)]
    comparisons = table.get("significance", [])
    if comparisons:
        notes += ["", "Paired bootstrap over test sentences, difference with 95 % interval:", ""]
        notes += [f"- {item['first']} against {item['second']}, {item['task']}: {item['difference']:+.2f} "
                  f"({item['low']:+.2f} to {item['high']:+.2f}), p = {item['p_value']:.4f}" for item in comparisons]
    return notes


def _in_all(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    lists = [row["deviations"] for row in rows if "deviations" in row]
    return [item for item in lists[0] if all(item in others for others in lists)] if len(lists) > 1 else []


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(map(_escaped, cells)) + " |"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def _tex(text: str) -> str:
    for character, replacement in (("&", r"\&"), ("%", r"\%"), ("_", r"\_"), ("±", r"$\pm$"), ("–", "--")):
        text = text.replace(character, replacement)
    return text
