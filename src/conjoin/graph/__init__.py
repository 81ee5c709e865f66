"""Knowledge graphs from extracted documents: who is one node, what is asserted where, and the formats that hold it."""

from conjoin.graph.export import FORMATS, Summary, export_graph
from conjoin.graph.nodes import Node, Nodes, normal_form
from conjoin.graph.records import Assertion, Mention, Record, read_records

__all__ = [
    "FORMATS", "Assertion", "Mention", "Node", "Nodes", "Record", "Summary", "export_graph", "normal_form", "read_records",
]
