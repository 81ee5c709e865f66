"""Scores to annotated documents: the one place where decisions are made, for every back end.

A back end turns documents into scores: a torch model (`modeling.backend`), an exported graph (`artifacts.exported`), or
anything else with `compute` and the four methods of `BackEnd`. The decoder turns scores into entities, candidate pairs
and relations; calibration and thresholds say which of them are kept. All of it is numpy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from conjoin.decoding.decoder import Decoder
from conjoin.decoding.spans import Floats, Numbers, Spans
from conjoin.decoding.tags import TagScores
from conjoin.document import Document, Entity, Relation, at_least
from conjoin.errors import SettingError
from conjoin.evaluation.calibration import Calibration
from conjoin.parallel.threads import BatchThreads, Compute


class BackEnd(Protocol):
    """A model that gives scores. Batches and states are its own: they are only handed back to it."""

    @property
    def compute(self) -> Compute:
        """The size of its batches and its threads."""

    def sizes(self, documents: Sequence[Document]) -> list[int]:
        """The cost of each document in pieces, by which batches are filled."""

    def collate(self, documents: Sequence[Document]) -> Any:
        """Documents as one batch; annotations are not looked at."""

    def entity_scores(self, batch: Any) -> tuple[TagScores, Any]:
        """Scores of the entity head, and the state that `relation_scores` needs."""

    def relation_scores(self, state: Any, spans: Spans, pairs: Numbers) -> Floats:
        """Scores [pair, relation] of pairs [2, pair] of spans, with NEG at index 0 under softmax."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Minimum scores of results, from 0 to 1. Dropping an entity also drops its relations."""

    entities: float = 0.0
    relations: float = 0.0

    def __post_init__(self) -> None:
        for name, score in (("entities", self.entities), ("relations", self.relations)):
            if not 0 <= score <= 1:
                raise SettingError(f"the threshold of {name} is {score}; give a number from 0 to 1, as scores are")

    def apply(self, document: Document) -> Document:
        """The document without entities and relations that score below; those without a score stay."""
        if self.entities <= 0 and self.relations <= 0:
            return document
        entities = [entity for entity in document.entities if at_least(entity.score, self.entities)]
        present = set(entities)
        relations = [
            relation for relation in document.relations
            if relation.head in present and relation.tail in present and at_least(relation.score, self.relations)
        ]
        return document.annotated(entities, relations)


@dataclass(frozen=True, slots=True)
class Annotator:
    """Annotates documents with a back end.

    A relation of an allowed type passes three tests, in this order: the threshold of `decoder.relations`, in whose place a
    calibration puts a lower one (`Calibration.candidates`); the calibrated minimum score of its type; `thresholds`.
    """

    backend: BackEnd
    decoder: Decoder
    calibration: Calibration | None = None
    thresholds: Thresholds = Thresholds()

    def annotate(self, documents: Sequence[Document], *, gold_entities: bool = False) -> list[Document]:
        """The documents with predicted annotations, in their order; `gold_entities` keeps their entities and predicts only
        relations. They are annotated in batches of like lengths."""
        with BatchThreads[Document](self.backend.compute) as threads:
            return self.begin(documents, threads, gold_entities=gold_entities)()

    def begin(
        self, documents: Sequence[Document], threads: BatchThreads[Document], *, gold_entities: bool = False
    ) -> Callable[[], list[Document]]:
        """As `annotate`, but return at once where batches run in threads: call the returned function for the results."""

        def annotate(members: list[int]) -> list[Document]:
            return self.annotate_batch([documents[index] for index in members], gold_entities=gold_entities)

        return threads.begin(annotate, self.backend.sizes(documents))

    def annotate_batch(self, documents: Sequence[Document], *, gold_entities: bool = False) -> list[Document]:
        """As `annotate`, all documents as one batch."""
        entities: Sequence[Sequence[Entity]] = [document.entities if gold_entities else () for document in documents]
        relations: Sequence[Sequence[Relation]] = [()] * len(documents)
        if any(document.tokens for document in documents):
            scores, state = self.backend.entity_scores(self.backend.collate(documents))
            if not gold_entities:
                entities = self.decoder.entities.decode(scores).entities(self.decoder.entities.types)
            relations = self._relations(state, entities)
        return [
            self._finish(document.annotated(of_entities, of_relations))
            for document, of_entities, of_relations in zip(documents, entities, relations, strict=True)
        ]

    def uncertainty(self, documents: Sequence[Document]) -> NDArray[np.float64]:
        """The expected number of wrong tags and of wrong decisions on pairs, by the model's own probabilities
        [document, 2]."""

        def uncertainty(members: list[int]) -> list[NDArray[np.float64]]:
            return list(self._batch_uncertainty([documents[index] for index in members]))

        with BatchThreads[NDArray[np.float64]](self.backend.compute) as threads:
            return np.array(threads.begin(uncertainty, self.backend.sizes(documents))()).reshape(-1, 2)

    def _batch_uncertainty(self, documents: Sequence[Document]) -> NDArray[np.float64]:
        result = np.zeros((len(documents), 2))
        if not any(document.tokens for document in documents):
            return result
        scores, state = self.backend.entity_scores(self.backend.collate(documents))
        result[:, 0] = self.decoder.entities.uncertainty(scores)
        decoder = self.decoder.relations
        if decoder is not None:
            spans, pairs = decoder.candidates(self.decoder.entities.decode(scores).entities(self.decoder.entities.types))
            if pairs.shape[1]:
                result[:, 1] = decoder.uncertainty(self.backend.relation_scores(state, spans, pairs), spans, pairs)
        return result

    def _relations(self, state: Any, entities: Sequence[Sequence[Entity]]) -> Sequence[Sequence[Relation]]:
        decoder = self.decoder.relations
        if decoder is None:
            return [()] * len(entities)
        if self.calibration is not None and self.calibration.candidates is not None:
            decoder = replace(decoder, threshold=self.calibration.candidates)  # each type has its own minimum, in _finish
        spans, pairs = decoder.candidates(entities)
        if not pairs.shape[1]:
            return [()] * len(entities)
        return decoder.decode(self.backend.relation_scores(state, spans, pairs), spans, pairs, entities)

    def _finish(self, document: Document) -> Document:
        """The document with calibrated scores, without results that score too low."""
        return self.thresholds.apply(document if self.calibration is None else self.calibration.apply(document))

    def uncalibrated(self, threshold: float | None) -> Annotator:
        """The same annotator without calibration and thresholds, with a threshold of its own for relations."""
        relations = self.decoder.relations
        decoder = replace(self.decoder, relations=relations and replace(relations, threshold=threshold))
        return Annotator(self.backend, decoder)
