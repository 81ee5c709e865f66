"""Knowledge graphs from extracted documents: nodes, edges and the formats to write them in."""

from conjoin.graph.export import FORMATS, Summary, export_graph
from conjoin.graph.nodes import Node, Nodes, normal_form
from conjoin.graph.records import Assertion, Mention, Record, read_records

__all__ = [
    "FORMATS", "Assertion", "Mention", "Node", "Nodes", "Record", "Summary", "export_graph", "normal_form", "read_records",
]
