"""Parquet tables of nodes and edges, for data frames."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from conjoin.errors import needs_extra
from conjoin.graph.nodes import Node
from conjoin.graph.records import Assertion

ROWS = 10_000  # of a row group


class Parquet:
    """`nodes.parquet` and `edges.parquet`."""

    def __init__(self, folder: Path) -> None:
        with needs_extra("parquet", "pyarrow"):
            import pyarrow
            from pyarrow import parquet
        whole, text, number = pyarrow.int64(), pyarrow.string(), pyarrow.float64()
        self._nodes = pyarrow.schema([("id", text), ("name", text), ("type", text), ("mentions", whole), ("score", number),
                                      ("spellings", pyarrow.list_(text))])
        self._edges = pyarrow.schema([("head", text), ("type", text), ("tail", text), ("document", text),
                                      ("head_start", whole), ("head_end", whole), ("tail_start", whole),
                                      ("tail_end", whole), ("score", number)])
        self._table = pyarrow.Table.from_pylist
        self._open = parquet.ParquetWriter
        self._folder = folder
        self._file = self._open(folder / "edges.parquet", self._edges)
        self._rows: list[dict[str, Any]] = []

    def close(self) -> None:
        self._flush()
        self._file.close()

    def edge(self, document: str, assertion: Assertion, head: Node, tail: Node) -> None:
        self._rows.append({
            "head": head.id, "type": assertion.type, "tail": tail.id, "document": _storable(document),
            "head_start": assertion.head.char_start, "head_end": assertion.head.char_end,
            "tail_start": assertion.tail.char_start, "tail_end": assertion.tail.char_end, "score": assertion.score,
        })
        if len(self._rows) >= ROWS:
            self._flush()

    def nodes(self, nodes: Iterable[Node]) -> None:
        rows = [{"id": node.id, "name": _storable(node.name), "type": node.type, "mentions": node.mentions,
                 "score": node.score, "spellings": [_storable(spelling) for spelling in sorted(node.spellings)]}
                for node in nodes]
        with self._open(self._folder / "nodes.parquet", self._nodes) as file:
            file.write_table(self._table(rows, self._nodes))

    def _flush(self) -> None:
        if self._rows:
            self._file.write_table(self._table(self._rows, self._edges))
        self._rows = []


def _storable(text: str) -> str:
    """Half a surrogate pair, which UTF-8 cannot hold, as a question mark."""
    return text.encode("utf-8", "replace").decode("utf-8")
