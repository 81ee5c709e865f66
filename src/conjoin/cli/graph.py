"""Build a knowledge graph from extracted documents.

Entities of one type become one node when their texts differ only in case, blanks, an article in front, a possessive or
punctuation at the ends; the most frequent spelling names the node. Every relation of every document becomes an edge, with
the document, the characters of both entities, and the score. Edges are written as they come, so memory grows with the
number of nodes only. The format neo4j is CSV files and the command that imports them.

Examples:
  conjoin extract run articles/ --output found.jsonl
  conjoin graph found.jsonl --output graph --relation-threshold 0.8
  conjoin graph found/ --output graph --format neo4j
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from conjoin.cli.messages import message
from conjoin.cli.options import ThresholdOptions, choice
from conjoin.graph import FORMATS, export_graph, read_records


def graph(
    inputs: Annotated[list[Path], typer.Argument(metavar="FILES|FOLDERS", help="Results of conjoin extract or bulk.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the graph's files.")],
    *,
    format: Annotated[str, choice("format of a graph", list(FORMATS), help="Format of the graph.")] = "graphml",
    thresholds: ThresholdOptions,
    isolated: Annotated[bool, typer.Option("--isolated", help="Keep entities without relations too.")] = False,
) -> None:
    summary = export_graph(read_records(inputs), output, format, alone=isolated,
                           entity_threshold=thresholds.entity_threshold, relation_threshold=thresholds.relation_threshold)
    message(f"wrote {output}: {summary.nodes:,} nodes of {summary.mentions:,} mentions and {summary.edges:,} edges, from "
            f"{summary.documents:,} documents")
