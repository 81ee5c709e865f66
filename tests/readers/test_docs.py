"""docs/data.md says what the code does."""

from __future__ import annotations

import json
import re
from pathlib import Path

from conjoin.readers import FORMATS, read_documents

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")


def test_the_example_is_read_without_a_problem(tmp_path: Path) -> None:
    example = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)[0]
    (tmp_path / "a.jsonl").write_text(json.dumps(json.loads(example)) + "\n")
    (document,), problems = read_documents(tmp_path / "a.jsonl")
    assert problems == ()
    assert document.to_json() == json.loads(example)


def test_every_format_and_option_is_named() -> None:
    for format in FORMATS.values():
        row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{format.name}`"))
        assert row.split("|")[4].strip() == ("yes" if format.writable else "")
        assert all(option in row for option in format.options)
    assert f"overlap={'|'.join(FORMATS['ade'].options['overlap'])}" in PAGE
