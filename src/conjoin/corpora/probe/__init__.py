"""A probe for invented relations: sentences whose entities merely co-occur, and similar ones that state a relation.

Written for this project, with the types of CoNLL04.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from conjoin.document import Document
from conjoin.readers import read_documents


def cooccurrence_probe() -> tuple[tuple[Document, ...], tuple[Document, ...]]:
    """The sentences whose entities merely co-occur, and those that state a relation."""
    folder = Path(str(resources.files("conjoin.corpora") / "probe"))
    return read_documents(folder / "cooccurring.jsonl")[0], read_documents(folder / "related.jsonl")[0]
