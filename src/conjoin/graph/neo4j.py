"""CSV files for `neo4j-admin database import`, and the command to import them."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from conjoin.graph.nodes import Node
from conjoin.graph.records import Assertion

NODES = ["id:ID", "name", "mentions:int", "score:double", "spellings:string[]", ":LABEL"]
EDGES = [":START_ID", ":END_ID", ":TYPE", "document", "head_start:int", "head_end:int", "tail_start:int", "tail_end:int",
         "score:double"]
COMMAND = ("neo4j-admin database import full neo4j --multiline-fields=true --array-delimiter='|' "
           "--nodes=nodes.csv --relationships=edges.csv")
NOTES = "# run in this folder with the server stopped; --overwrite-destination replaces an existing database\n"


class Neo4j:
    """`nodes.csv`, `edges.csv` and `import.sh`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = (folder / "edges.csv").open("w", encoding="utf-8", errors="replace", newline="")
        self._edges = csv.writer(self._file)
        self._edges.writerow(EDGES)

    def close(self) -> None:
        self._file.close()
        script = f"#!/bin/sh\n{NOTES}{COMMAND}\n"
        (self._folder / "import.sh").write_text(script, encoding="utf-8")

    def edge(self, document: str, assertion: Assertion, head: Node, tail: Node) -> None:
        ends = (position for end in (assertion.head, assertion.tail) for position in (end.char_start, end.char_end))
        self._edges.writerow([head.id, tail.id, assertion.type, document, *ends, assertion.score])

    def nodes(self, nodes: Iterable[Node]) -> None:
        """As `Writer.nodes`; a `|` in a spelling, which separates the list, becomes `/`."""
        with (self._folder / "nodes.csv").open("w", encoding="utf-8", errors="replace", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(NODES)
            for node in nodes:
                spellings = "|".join(spelling.replace("|", "/") for spelling in sorted(node.spellings))
                rows.writerow([node.id, node.name, node.mentions, node.score, spellings, node.type])
