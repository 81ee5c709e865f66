"""GraphML, as Gephi, yEd, Cytoscape and networkx read it: a multigraph with an edge for each assertion."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from conjoin.graph.nodes import Node
from conjoin.graph.records import Assertion

NODE_KEYS = {"name": "string", "type": "string", "mentions": "int", "score": "double", "spellings": "string"}
EDGE_KEYS = {"relation": "string", "document": "string", "head_start": "int", "head_end": "int", "tail_start": "int",
             "tail_end": "int", "score": "double"}
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class GraphMl:
    """`graph.graphml`. Its edges stand before its nodes, which the format allows."""

    def __init__(self, folder: Path) -> None:
        self._file = (folder / "graph.graphml").open("w", encoding="utf-8", newline="\n")
        keys = [("node", name, type) for name, type in NODE_KEYS.items()]
        keys += [("edge", name, type) for name, type in EDGE_KEYS.items()]
        self._file.write('<?xml version="1.0" encoding="UTF-8"?>\n<graphml xmlns="http://graphml.graphdrawing.org/xmlns">\n')
        for kind, name, type in keys:
            self._file.write(f'<key id="{kind}-{name}" for="{kind}" attr.name="{name}" attr.type="{type}"/>\n')
        self._file.write('<graph edgedefault="directed">\n')

    def close(self) -> None:
        self._file.write("</graph>\n</graphml>\n")
        self._file.close()

    def edge(self, document: str, assertion: Assertion, head: Node, tail: Node) -> None:
        values = {"relation": assertion.type, "document": document, "head_start": assertion.head.char_start,
                  "head_end": assertion.head.char_end, "tail_start": assertion.tail.char_start,
                  "tail_end": assertion.tail.char_end, "score": assertion.score}
        self._file.write(f'<edge source="{head.id}" target="{tail.id}">{_data("edge", values)}</edge>\n')

    def nodes(self, nodes: Iterable[Node]) -> None:
        for node in nodes:
            values = {"name": node.name, "type": node.type, "mentions": node.mentions, "score": node.score,
                      "spellings": " | ".join(sorted(node.spellings))}
            self._file.write(f"<node id={quoteattr(node.id)}>{_data('node', values)}</node>\n")


def _data(kind: str, values: dict[str, Any]) -> str:
    """The data elements; characters that XML cannot hold become U+FFFD."""
    texts = ((name, _NOT_XML.sub("\ufffd", str(value))) for name, value in values.items() if value is not None)
    return "".join(f'<data key="{kind}-{name}">{escape(value)}</data>' for name, value in texts)
