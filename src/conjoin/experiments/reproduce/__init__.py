"""The tables of the two papers, run with conjoin and rendered with both figures side by side."""

from __future__ import annotations

from conjoin.experiments.reproduce.run import Options, reproduce
from conjoin.experiments.reproduce.tables import TABLES, Row, Table

__all__ = ["TABLES", "Options", "Row", "Table", "reproduce"]
