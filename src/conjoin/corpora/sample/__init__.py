"""A small corpus written for this project, so that everything runs without a download.

News sentences with people, places, organisations and other names, and case reports with drugs and their effects.
"""

from __future__ import annotations

from conjoin.document import Corpus
from conjoin.readers.corpus import SAMPLE_FOLDER, read_corpus


def sample_corpus() -> Corpus:
    """The sample corpus: the files train.jsonl, dev.jsonl and test.jsonl of this folder."""
    return read_corpus(SAMPLE_FOLDER, "jsonl")
