"""The tables of the two papers: what each row is, how it is run, and ours beside theirs."""

from __future__ import annotations

from conjoin.experiments.reproduce.run import Options, reproduce
from conjoin.experiments.reproduce.tables import TABLES, Row, Table

__all__ = ["TABLES", "Options", "Row", "Table", "reproduce"]
