"""docs/data.md and docs/formats.md agree with the code."""

from __future__ import annotations

import json
import re
from pathlib import Path

from conjoin.readers import FORMATS, read_documents

DOCS = Path(__file__).parents[2] / "docs"
DATA, PAGE = ((DOCS / name).read_text(encoding="utf-8") for name in ("data.md", "formats.md"))


def test_the_example_is_read_without_a_problem(tmp_path: Path) -> None:
    example = re.findall(r"```json\n(.*?)```", DATA, re.DOTALL)[0]
    (tmp_path / "a.jsonl").write_text(json.dumps(json.loads(example)) + "\n")
    (document,), problems = read_documents(tmp_path / "a.jsonl")
    assert problems == ()
    assert document.to_json() == json.loads(example)


def row(name: str) -> list[str]:
    """The cells of the row that begins with a name."""
    line = next(line for line in PAGE.splitlines() if line.startswith(f"| `{name}`"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_every_format_and_option_is_named() -> None:
    for format in FORMATS.values():
        cells = row(format.name)
        assert cells[3] == ("yes" if format.writable else "")
        assert re.findall(r"`([^`]+)`", cells[4]) == list(format.options)
    assert len(re.findall(r"^\| `\w+` \|.*\| yes \|", PAGE, re.MULTILINE)) == len(FORMATS)


def test_every_value_of_an_option_is_named_with_the_default_first() -> None:
    for format in FORMATS.values():
        for option, values in format.options.items():
            texts = re.split(r";|, (?=`\w+` and)", row(option)[1])  # some formats have values or an order of their own
            orders = [re.findall(r"`([^`]+)`", text.rpartition(": ")[2]) for text in texts]
            expected = ["cv0", "cv4"] if "cv0" in values else []
            named = [value for value in values if not value.startswith("cv")] + expected
            assert any(order[-len(named):] == named for order in orders), (format.name, option, values, orders)
