"""A small corpus written for this project, so that everything runs without a download.

News sentences with people, places, organisations and other names, and case reports with drugs and their effects.
Beside it lies a probe: sentences whose entities merely stand together, and sentences that relate the same kinds.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from conjoin.document import Corpus, Document
from conjoin.readers import read_corpus, read_documents


def sample_folder() -> Path:
    """Where the sample corpus lies: train.jsonl, dev.jsonl, test.jsonl."""
    return Path(str(resources.files("conjoin") / "sample"))


def sample_corpus() -> Corpus:
    """The sample corpus."""
    return read_corpus(sample_folder(), "jsonl")


def cooccurrence_probe() -> tuple[tuple[Document, ...], tuple[Document, ...]]:
    """Sentences whose entities merely co-occur, and sentences that state a relation; types as in CoNLL04."""
    folder = sample_folder() / "probe"
    return read_documents(folder / "cooccurring.jsonl")[0], read_documents(folder / "related.jsonl")[0]
