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


def prepare_data(
    corpus: Corpus, config: Config, architecture: Architecture, *, relation_free: Sequence[Document] = (),
    lenient: bool = False, retrain_on_dev: bool = False,
) -> tuple[Corpus, tuple[Document, ...]]:
    """Train, dev and test of a corpus as the architecture can hold them, with `relation_free` sentences added to train; and
    with `retrain_on_dev` the documents of train and dev.

    Sentences that hold a relation, or whose text is in the corpus already, are not added, so that none of dev and test
    gets into train. What is not used or lost is a warning.

    Raises:
        DataError: There is nothing to train on, or the model cannot hold it and `lenient` is not set.
    """
    splits = {split: documents for split, documents in corpus.splits.items() if split in SPLITS}
    data = replace(corpus, splits=splits)
    if "train" in splits and not data.train:
        raise DataError("there is nothing to train on: the train split holds no documents; see its file with conjoin check")
    if not data.train:
        raise DataError("there is nothing to train on: the data has no train split; name a file with --train, or call it "
                        "train.jsonl (or another ending)")
    if retrain_on_dev and not data.dev:
        raise DataError("--retrain-on-dev (retrain_on_dev=True) needs a dev split to find the epoch on; the data has none")
    train = architecture.fit((*data.train, *_new_documents(relation_free, data)), lenient)
    train_and_dev = (*train, *architecture.fit(data.dev, lenient)) if retrain_on_dev else ()
    _warn_about_other_splits(corpus)
    for sentence in architecture.warnings(train_and_dev or train, config):
        LOGGER.warning("%s", sentence)
    return replace(data, splits={**splits, "train": train}), train_and_dev


def _new_documents(documents: Iterable[Document], corpus: Corpus) -> list[Document]:
    """Documents without relations whose text is in no split."""
    # without white space: the same sentence in two files may be split into words differently
    known = {without_spaces(document.text) for document in corpus.documents}
    return [document for document in documents if not document.relations and without_spaces(document.text) not in known]


def _warn_about_other_splits(corpus: Corpus) -> None:
    """Warn of splits that training does not use."""
    others = [f"'{split}' ({len(corpus.splits[split]):,} documents)" for split in sorted(corpus.splits.keys() - SPLITS)]
    if others:
        LOGGER.warning("splits other than train, dev and test are not used: %s; --relation-free (relation_free=) "
                       "trains on those of their sentences that hold no relation", ", ".join(others))


def draw_documents(documents: Sequence[Document], count: int | None, *, seed: int) -> list[Document]:
    """At most `count` of the documents (None: all), drawn at random by `seed`, in their own order."""
    if count is None or count >= len(documents):
        return list(documents)
    places = sorted(random.Random(seed).sample(range(len(documents)), count))
    return [documents[place] for place in places]
