"""Export of extracted documents to a graph in one pass: edges as they come, nodes at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from conjoin.document import at_least
from conjoin.graph.graphml import GraphMl
from conjoin.graph.neo4j import Neo4j
from conjoin.graph.nodes import Node, Nodes
from conjoin.graph.parquet import Parquet
from conjoin.graph.records import Assertion, Record
from conjoin.graph.turtle import Turtle
from conjoin.storage.atomic import atomic_folder

MANIFEST = "graph-files.txt"  # by which a folder of a graph is recognised


class Writer(Protocol):
    """Writes edges one by one, and all nodes when the edges are done."""

    def edge(self, document: str, assertion: Assertion, head: Node, tail: Node) -> None:
        """One assertion of a document."""

    def nodes(self, nodes: Iterable[Node]) -> None:
        """All nodes, after the last edge."""

    def close(self) -> None:
        """Complete the files."""


FORMATS: dict[str, Callable[[Path], Writer]] = {"graphml": GraphMl, "neo4j": Neo4j, "turtle": Turtle, "parquet": Parquet}


@dataclass(frozen=True, slots=True)
class Summary:
    """The size of a graph: documents read, mentions, nodes and edges written."""

    documents: int
    mentions: int
    nodes: int
    edges: int


def export_graph(records: Iterable[Record], folder: Path, format: str, *, entity_threshold: float = 0.0,
                 relation_threshold: float = 0.0, alone: bool = False) -> Summary:
    """Write the graph of the documents as files of a folder, atomically; a folder with an earlier graph is replaced.

    An edge is one assertion of one document, with the characters of both mentions and its score. `format` is a key of
    `FORMATS`, the thresholds are minimum scores, and `alone` includes entities without a relation.
    """
    nodes = Nodes()
    documents = mentions = edges = 0
    with atomic_folder(folder, replaces=(MANIFEST,)) as temporary:
        with closing(FORMATS[format](temporary)) as writer:
            for record in records:
                documents += 1
                assertions = [assertion for assertion in record.assertions
                              if at_least(assertion.score, relation_threshold)
                              and all(at_least(end.score, entity_threshold) for end in (assertion.head, assertion.tail))]
                ends = {end for assertion in assertions for end in (assertion.head, assertion.tail)}
                included = [mention for mention in dict.fromkeys(record.mentions)
                            if mention in ends or (alone and at_least(mention.score, entity_threshold))]
                node_of = {mention: nodes.add(mention) for mention in included}
                mentions += len(included)
                for assertion in assertions:
                    writer.edge(record.document, assertion, node_of[assertion.head], node_of[assertion.tail])
                edges += len(assertions)
            writer.nodes(nodes)
        files = sorted(path.name for path in temporary.iterdir())
        (temporary / MANIFEST).write_text("".join(f"{name}\n" for name in files), encoding="utf-8")
    return Summary(documents, mentions, len(nodes), edges)
