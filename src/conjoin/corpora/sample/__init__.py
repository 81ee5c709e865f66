"""A small corpus written for this project, so that everything runs without a download.

News sentences with people, places, organisations and other names, and case reports with drugs and their effects.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from conjoin.document import Corpus
from conjoin.readers import read_corpus


def sample_folder() -> Path:
    """Where the sample corpus lies: train.jsonl, dev.jsonl, test.jsonl."""
    return Path(str(resources.files("conjoin.corpora") / "sample"))


def sample_corpus() -> Corpus:
    """The sample corpus."""
    return read_corpus(sample_folder(), "jsonl")
