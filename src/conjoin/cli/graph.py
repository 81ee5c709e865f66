"""`conjoin graph`: a knowledge graph from extracted documents."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from conjoin.cli.messages import messages
from conjoin.errors import SettingError, unknown_name

NAMES = "graphml, neo4j, turtle or parquet"


def graph(
    inputs: Annotated[list[Path], typer.Argument(metavar="DOCS…", help="JSONL of extract, or files and folders of bulk.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the graph's files.")],
    format: Annotated[str, typer.Option(help=f"What is written: {NAMES}.")] = "graphml",
    entity_threshold: Annotated[float, typer.Option(min=0, max=1, help="Least score of an entity.")] = 0.0,
    relation_threshold: Annotated[float, typer.Option(min=0, max=1, help="Least score of a relation.")] = 0.0,
    alone: Annotated[bool, typer.Option("--alone", help="Keep entities without any relation too.")] = False,
) -> None:
    """Make a knowledge graph of extracted documents.

    Entities of one type are one node when they are called alike but for case, blanks, an article in front, a possessive
    and punctuation at the ends; a node is named by its most frequent spelling. Every relation of every document is an
    edge, with the document, the characters of both entities, and the score. Edges are written as they come; memory grows
    with the number of nodes. neo4j writes CSV files and the command that imports them.

    Examples:

      conjoin extract run articles/ --output found.jsonl

      conjoin graph found.jsonl --output graph --relation-threshold 0.8

      conjoin graph found/ --output graph --format neo4j
    """
    from conjoin.graph import FORMATS, export_graph, read_records

    if format not in FORMATS:
        raise SettingError(unknown_name("format of a graph", format, FORMATS))
    made = export_graph(read_records(inputs), output, format, entity_threshold=entity_threshold,
                        relation_threshold=relation_threshold, alone=alone)
    messages().print(f"wrote {output}: {made.nodes:,} nodes of {made.mentions:,} mentions and {made.edges:,} edges, from "
                     f"{made.documents:,} documents", markup=False, soft_wrap=True)
