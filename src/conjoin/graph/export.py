"""One pass over extracted documents into a graph's files: edges are written as they come, nodes at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
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

WHOLE = ("graph-files.txt",)  # by which a folder of a graph is known


class Writer(Protocol):
    """Writes edges one by one, and all nodes when the edges are done."""

    def edge(self, document: str, assertion: Assertion, head: Node, tail: Node) -> None:
        """One assertion of a document."""

    def nodes(self, nodes: Iterable[Node]) -> None:
        """All nodes, after the last edge."""


FORMATS: dict[str, Callable[[Path], AbstractContextManager[Writer]]] = {
    "graphml": GraphMl, "neo4j": Neo4j, "turtle": Turtle, "parquet": Parquet,
}


@dataclass(frozen=True, slots=True)
class Summary:
    """What a graph holds."""

    documents: int
    mentions: int
    nodes: int
    edges: int


def export_graph(
    records: Iterable[Record], folder: Path, format: str, *, entity_threshold: float = 0.0, relation_threshold: float = 0.0,
    alone: bool = False,
) -> Summary:
    """Write the graph of the documents as files of a folder, whole or not at all.

    An edge is one assertion of one document, with the places of both mentions and its score. Mentions and assertions that
    score less than the thresholds are left out; entities without any relation too, unless `alone`.
    """
    nodes = Nodes()
    documents = mentions = edges = 0
    with atomic_folder(folder, replaces=WHOLE) as temporary:
        with FORMATS[format](temporary) as writer:
            for record in records:
                documents += 1
                told = [assertion for assertion in record.assertions
                        if at_least(assertion.score, relation_threshold)
                        and all(at_least(end.score, entity_threshold) for end in (assertion.head, assertion.tail))]
                ends = {end for assertion in told for end in (assertion.head, assertion.tail)}
                kept = [mention for mention in dict.fromkeys(record.mentions)
                        if mention in ends or (alone and at_least(mention.score, entity_threshold))]
                of = {mention: nodes.add(mention) for mention in kept}
                mentions += len(kept)
                for assertion in told:
                    writer.edge(record.document, assertion, of[assertion.head], of[assertion.tail])
                edges += len(told)
            writer.nodes(nodes)
        files = sorted(path.name for path in temporary.iterdir())
        (temporary / WHOLE[0]).write_text("".join(f"{name}\n" for name in files), encoding="utf-8")
    return Summary(documents, mentions, len(nodes), edges)
