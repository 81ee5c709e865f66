"""The decoder of a model, built from its settings and schema: one for training, torch and exports; and the annotations
that it can hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from conjoin.config.settings import Config, RelationSettings
from conjoin.decoding.pairs import RelationDecoder
from conjoin.decoding.tags import TagDecoder
from conjoin.document import Document
from conjoin.errors import DataError
from conjoin.readers.overlap import keep_longer, overlapping_pairs
from conjoin.schema import Schema, canonical


@dataclass(frozen=True, slots=True)
class Decoder:
    """Decoders of entities and, if the schema has relation types, of relations."""

    entities: TagDecoder
    relations: RelationDecoder | None


def build_decoder(config: Config, schema: Schema) -> Decoder:
    """Build the decoder of a model."""
    entities = TagDecoder(schema.entity_types, config.entities.scheme, legal=config.entities.decoding == "legal")
    if not schema.relation_types:
        return Decoder(entities, None)
    relations = RelationDecoder.of(
        schema,
        constrain=config.relations.constrain,
        decision=config.relations.decision,
        threshold=config.relations.threshold,
        labels=_labels(config.relations, entities),
    )
    return Decoder(entities, relations)


def label_count(settings: RelationSettings, entities: TagDecoder) -> int:
    """Rows of the label embedding: one for each tag, for each type, or none."""
    return {"none": 0, "tag": len(entities.tags), "type": len(entities.types)}[settings.label_embedding]


def _labels(settings: RelationSettings, entities: TagDecoder) -> np.ndarray | None:
    """The labels of entities of one word and of several [entity type, 2]."""
    if settings.label_embedding == "none":
        return None
    if settings.label_embedding == "tag":
        return entities.last_tags()
    return np.repeat(np.arange(len(entities.types))[:, None], 2, axis=1)


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
