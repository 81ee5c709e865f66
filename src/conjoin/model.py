"""The one joint model: embedder → entity head, and entities → relation head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from conjoin.document import Document, Entity
from conjoin.embedders.transformer import TransformerEmbedder
from conjoin.heads.relations import RelationHead
from conjoin.heads.spans import Spans
from conjoin.heads.tagger import Labels, TaggerHead
from conjoin.schema import Schema

Proposals = Literal["gold", "predicted", "both"]


@dataclass(frozen=True, slots=True)
class Batch:
    """Documents as tensors.

    features: the embedder's, see there; lengths: [batch] words of each document; targets: [batch, word] gold tags, None
    for documents that are only to be annotated.
    """

    documents: tuple[Document, ...]
    features: Mapping[str, Tensor]
    lengths: Tensor
    targets: Tensor | None

    def to(self, device: torch.device) -> Batch:
        """The same batch with its tensors on a device."""
        return replace(
            self,
            features={name: value.to(device, non_blocking=True) for name, value in self.features.items()},
            lengths=self.lengths.to(device),
            targets=None if self.targets is None else self.targets.to(device),
        )


class JointModel(nn.Module):
    """Joint entity and relation extraction with slots.

    The world uses `collate`, `loss` and `annotate`. `proposals` says which entities relation candidates are built from
    in training: `predicted` (Giorgi et al. 2019 §2), `gold` (Crone 2020 §3.3) or `both`, their union.
    """

    def __init__(
        self,
        schema: Schema,
        *,
        embedder: TransformerEmbedder,
        entities: TaggerHead,
        relations: RelationHead | None,
        labels: Labels,
        proposals: Proposals,
    ) -> None:
        super().__init__()
        self.schema = schema
        self.embedder = embedder
        self.entities = entities
        self.relations = relations
        self.labels: Labels = labels
        self.proposals = proposals

    @property
    def device(self) -> torch.device:
        return self.embedder.device

    def sizes(self, documents: Sequence[Document]) -> list[int]:
        """The cost of each document in pieces, by which batches are filled."""
        return self.embedder.count_pieces([document.words for document in documents])

    def collate(self, documents: Sequence[Document], *, gold: bool = True) -> Batch:
        """Documents → batch, on the CPU. Without `gold`, annotations are neither needed nor looked at."""
        lengths = [len(document.tokens) for document in documents]
        return Batch(
            tuple(documents),
            self.embedder.features([document.words for document in documents]),
            torch.tensor(lengths, dtype=torch.long),
            self.entities.targets([document.entities for document in documents], lengths) if gold else None,
        )

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The terms of the loss by name, scalars; training weighs and adds them (Giorgi et al. 2019, eq. 9 and 10).

        Mixed precision is for the encoder. The heads are small, and compute in full precision: their shapes change with
        every batch, and on a CPU each new shape of a bf16 product leaves memory behind in the library's cache.
        """
        batch = batch.to(self.device)
        targets = batch.targets
        if targets is None:
            raise ValueError("loss needs a batch with gold annotations: collate(documents, gold=True)")
        states = self.embedder(batch.features).float()
        with torch.autocast(states.device.type, enabled=False):
            return self._terms(batch, targets, states)

    def _terms(self, batch: Batch, targets: Tensor, states: Tensor) -> dict[str, Tensor]:
        emissions = self.entities(states)
        terms = {"entities": self.entities.loss(emissions, targets)}
        if self.relations is not None:
            spans = self._proposed(batch, emissions)
            pairs = self.relations.candidates(spans)
            scores = self.relations(states, spans, self._marks(spans), pairs)
            gold = [document.relations for document in batch.documents]
            terms["relations"] = self.relations.loss(scores, self.relations.targets(spans, pairs, gold))
        return terms

    forward = loss

    def _proposed(self, batch: Batch, emissions: Tensor) -> Spans:
        gold = [document.entities for document in batch.documents]
        if self.proposals == "gold":
            return self._spans(gold)
        predicted = self.entities.decode(emissions, batch.lengths)
        if self.proposals == "predicted":
            return self._spans(predicted)
        return self._spans([list(dict.fromkeys([*ours, *found])) for ours, found in zip(gold, predicted, strict=True)])

    def _spans(self, entities: Sequence[Sequence[Entity]]) -> Spans:
        return Spans.of(entities, self.schema.entity_types, self.device)

    def _marks(self, spans: Spans) -> Tensor | None:
        return None if self.labels == "none" else self.entities.marks(spans, self.labels)

    @torch.inference_mode()
    def annotate(self, documents: Sequence[Document], *, gold_entities: bool = False) -> list[Document]:
        """The documents as one batch with predicted entities and relations in place of whatever they held.

        With `gold_entities` their entities are kept and only relations are predicted.
        """
        if not documents:
            return []
        batch = self.collate(documents, gold=False).to(self.device)
        states = self.embedder(batch.features)
        if gold_entities:
            entities = [list(document.entities) for document in documents]
        else:
            entities = self.entities.decode(self.entities(states), batch.lengths)
        spans = self._spans(entities)
        if self.relations is None or len(spans) == 0:
            return [document.annotated(found, ()) for document, found in zip(documents, entities, strict=True)]
        pairs = self.relations.candidates(spans)
        scores = self.relations(states, spans, self._marks(spans), pairs)
        relations = self.relations.decode(scores, spans, pairs)
        return [
            document.annotated(found, related)
            for document, found, related in zip(documents, entities, relations, strict=True)
        ]
