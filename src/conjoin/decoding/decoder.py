"""The decoder of a model, built from its settings and schema: one for training, torch and exports."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from conjoin.config.settings import Config, RelationSettings
from conjoin.decoding.pairs import RelationDecoder
from conjoin.decoding.tags import TagDecoder
from conjoin.schema import Schema


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
