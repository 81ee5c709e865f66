"""Annotations that the joint model cannot be trained on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from conjoin.config.settings import Config
from conjoin.document import Document
from conjoin.errors import DataError
from conjoin.readers.overlap import keep_longer, overlapping_pairs
from conjoin.schema import canonical


def fit_documents(documents: Sequence[Document], lenient: bool) -> tuple[Document, ...]:
    """Documents whose entities do not overlap, since its tagger holds one entity per word.

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


def data_warnings(documents: Sequence[Document], config: Config) -> Iterator[str]:
    """A sentence about pairs that have relations of several types, of which a softmax over types trains on one."""
    if config.relations.decision != "softmax":
        return
    symmetric = frozenset(config.symmetric)
    several = 0
    for document in documents:
        relations = {canonical(relation, symmetric) for relation in document.relations}
        types = Counter((relation.head, relation.tail) for relation in relations)
        several += sum(number > 1 for number in types.values())
    if several:
        yield (f"{several} pairs of entities have relations of several types, of which relations.decision=softmax trains "
               "on one; to train on all of them set relations.decision=sigmoid")
