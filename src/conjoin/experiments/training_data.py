"""The documents of a training run: checked, completed and drawn before anything is computed."""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from conjoin.config.settings import Config
from conjoin.document import SPLITS, Corpus, Document
from conjoin.errors import DataError
from conjoin.readers.overlap import keep_longer, overlapping_pairs
from conjoin.schema import canonical
from conjoin.text.words import without_spaces

LOGGER = logging.getLogger("conjoin")


def training_corpus(corpus: Corpus, *, relation_free: Sequence[Document] = (), lenient: bool = False) -> Corpus:
    """Train, dev and test of a corpus, with `relation_free` sentences added to train.

    Sentences that hold a relation, or whose text is in the corpus already, are not added, so that none of dev and test
    gets into train.

    Raises:
        DataError: There is nothing to train on, or entities of train overlap and `lenient` is not set.
    """
    splits = {split: documents for split, documents in corpus.splits.items() if split in SPLITS}
    corpus = replace(corpus, splits=splits)
    if "train" in splits and not corpus.train:
        raise DataError("there is nothing to train on: the train split holds no documents; see its file with conjoin check")
    if not corpus.train:
        raise DataError("there is nothing to train on: the data has no train split; name a file with --train, or call it "
                        "train.jsonl (or another ending)")
    train = without_overlaps((*corpus.train, *_new_documents(relation_free, corpus)), lenient=lenient)
    return replace(corpus, splits={**splits, "train": train})


def _new_documents(documents: Iterable[Document], corpus: Corpus) -> list[Document]:
    """Documents without relations whose text is in no split."""
    # without white space: the same sentence in two files may be split into words differently
    known = {without_spaces(document.text) for document in corpus.documents}
    return [document for document in documents if not document.relations and without_spaces(document.text) not in known]


def without_overlaps(documents: Sequence[Document], *, lenient: bool) -> tuple[Document, ...]:
    """Documents whose entities do not overlap, since a tagger holds one entity per word.

    With `lenient` the longer of overlapping entities is kept; otherwise they raise `DataError`.
    """
    if lenient:
        return tuple(keep_longer(document) for document in documents)
    for document in documents:
        for first, second in overlapping_pairs(document):
            raise DataError(f"document '{document.id}': the entities {first.type} '{first.text}' and {second.type} "
                            f"'{second.text}' overlap, and a tagger holds one entity per word; --lenient (lenient=True) "
                            "trains on the longer")
    return tuple(documents)


def warn_about_other_splits(corpus: Corpus) -> None:
    """Warn of splits that training does not use."""
    others = [f"'{split}' ({len(corpus.splits[split]):,} documents)" for split in sorted(corpus.splits.keys() - SPLITS)]
    if others:
        LOGGER.warning("splits other than train, dev and test are not used: %s; --relation-free (relation_free=) "
                       "trains on those of their sentences that hold no relation", ", ".join(others))


def warn_about_several_types(documents: Iterable[Document], config: Config) -> None:
    """Warn of pairs that have relations of several types, of which a softmax over types trains on one."""
    if config.relations.decision != "softmax":
        return
    symmetric = frozenset(config.symmetric)
    several = 0
    for document in documents:
        relations = {canonical(relation, symmetric) for relation in document.relations}
        types = Counter((relation.head, relation.tail) for relation in relations)
        several += sum(number > 1 for number in types.values())
    if several:
        LOGGER.warning("%d pairs of entities have relations of several types, of which relations.decision=softmax trains "
                       "on one; to train on all of them set relations.decision=sigmoid", several)


def draw_documents(documents: Sequence[Document], count: int | None, *, seed: int) -> list[Document]:
    """At most `count` of the documents (None: all), drawn at random by `seed`, in their own order."""
    if count is None or count >= len(documents):
        return list(documents)
    places = sorted(random.Random(seed).sample(range(len(documents)), count))
    return [documents[place] for place in places]
