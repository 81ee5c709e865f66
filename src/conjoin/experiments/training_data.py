"""The documents of a training run: checked, completed and drawn before anything is computed."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterable, Sequence
from dataclasses import replace

from conjoin.config.settings import Config
from conjoin.document import SPLITS, Corpus, Document
from conjoin.errors import DataError
from conjoin.modeling.architectures import Architecture
from conjoin.text.words import without_spaces

LOGGER = logging.getLogger("conjoin")


def training_corpus(
    corpus: Corpus, architecture: Architecture, *, relation_free: Sequence[Document] = (), lenient: bool = False
) -> Corpus:
    """Train, dev and test of a corpus, with `relation_free` sentences added to train, as the architecture can hold it.

    Sentences that hold a relation, or whose text is in the corpus already, are not added, so that none of dev and test
    gets into train.

    Raises:
        DataError: There is nothing to train on, or the model cannot hold it and `lenient` is not set.
    """
    splits = {split: documents for split, documents in corpus.splits.items() if split in SPLITS}
    corpus = replace(corpus, splits=splits)
    if "train" in splits and not corpus.train:
        raise DataError("there is nothing to train on: the train split holds no documents; see its file with conjoin check")
    if not corpus.train:
        raise DataError("there is nothing to train on: the data has no train split; name a file with --train, or call it "
                        "train.jsonl (or another ending)")
    train = architecture.fit((*corpus.train, *_new_documents(relation_free, corpus)), lenient)
    return replace(corpus, splits={**splits, "train": train})


def _new_documents(documents: Iterable[Document], corpus: Corpus) -> list[Document]:
    """Documents without relations whose text is in no split."""
    # without white space: the same sentence in two files may be split into words differently
    known = {without_spaces(document.text) for document in corpus.documents}
    return [document for document in documents if not document.relations and without_spaces(document.text) not in known]


def warn_about_other_splits(corpus: Corpus) -> None:
    """Warn of splits that training does not use."""
    others = [f"'{split}' ({len(corpus.splits[split]):,} documents)" for split in sorted(corpus.splits.keys() - SPLITS)]
    if others:
        LOGGER.warning("splits other than train, dev and test are not used: %s; --relation-free (relation_free=) "
                       "trains on those of their sentences that hold no relation", ", ".join(others))


def warn_about_lost_annotations(documents: Sequence[Document], config: Config, architecture: Architecture) -> None:
    """Warn of annotations that the model is not trained on."""
    for sentence in architecture.warnings(documents, config):
        LOGGER.warning("%s", sentence)


def draw_documents(documents: Sequence[Document], count: int | None, *, seed: int) -> list[Document]:
    """At most `count` of the documents (None: all), drawn at random by `seed`, in their own order."""
    if count is None or count >= len(documents):
        return list(documents)
    places = sorted(random.Random(seed).sample(range(len(documents)), count))
    return [documents[place] for place in places]
