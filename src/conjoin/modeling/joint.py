"""The one joint model: embedder → shared stack → (its own stack → entity head), (its own stack → relation head)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from conjoin.config.options import LabelEmbedding, LabelSource, Proposals
from conjoin.decoding.pairs import min_score
from conjoin.document import Document, Entity
from conjoin.modeling.embedders.embedder import Embedder
from conjoin.modeling.heads.relations import RelationHead
from conjoin.modeling.heads.spans import Spans
from conjoin.modeling.heads.tagger import TaggerHead
from conjoin.modeling.nn.recurrent import RecurrentStack
from conjoin.modeling.nn.term import Term
from conjoin.schema import Schema


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

    The world uses `collate`, `loss` (training: `terms`, the same with sizes) and `annotate`. Words become vectors in the
    embedder, pass the shared stack, and then each task's own stack and head (Crone 2020, Fig. 2); stacks without layers
    leave Giorgi et al. 2019.

    `proposals` says which entities relation candidates are built from in training: `predicted` (Giorgi et al. 2019 §2),
    `gold` (Crone 2020 §3.3), `both`, their union, or a `mixture`: for a share of the sentences predicted, else gold.
    With `label_source` `predicted` a proposed entity is labelled in training by the tag predicted for its last word (Crone
    2020, footnote 2), else by its own type.
    """

    def __init__(
        self,
        schema: Schema,
        *,
        embedder: Embedder,
        shared: RecurrentStack,
        entity_stack: RecurrentStack,
        entities: TaggerHead,
        relation_stack: RecurrentStack | None,
        relations: RelationHead | None,
        labels: LabelEmbedding,
        label_source: LabelSource = "own",
        proposals: Proposals,
        mixture: float = 0.5,
    ) -> None:
        super().__init__()
        self.schema = schema
        self.embedder = embedder
        self.shared = shared
        self.entity_stack = entity_stack
        self.entities = entities
        self.relation_stack = relation_stack
        self.relations = relations
        self.labels: LabelEmbedding = labels
        self.label_source = label_source
        self.proposals = proposals
        self.mixture = mixture
        self.bf16 = False  # whether annotation runs an encoder in bf16

    @property
    def device(self) -> torch.device:
        return self.entities.output.weight.device

    def sizes(self, documents: Sequence[Document]) -> list[int]:
        """The cost of each document in pieces, by which batches are filled."""
        return self.embedder.sizes([document.words for document in documents])

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
        """The terms of the loss by name, scalars; training weighs and adds them (Giorgi et al. 2019, eq. 9 and 10)."""
        return {name: term.mean for name, term in self.terms(batch).items()}

    def terms(self, batch: Batch) -> dict[str, Term]:
        """The terms of the loss with what each is a mean over, for the mean over several batches.

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

    def _terms(self, batch: Batch, targets: Tensor, states: Tensor) -> dict[str, Term]:
        states = self.shared(states, batch.lengths)
        emissions = self.entities(self.entity_stack(states, batch.lengths))
        terms = {"entities": self.entities.loss(emissions, targets)}
        if self.relations is not None:
            gold = [document.entities for document in batch.documents]
            predicted = self.entities.decode(emissions, batch.lengths) if self._needs_predicted() else gold
            spans = self._spans(self._proposed(gold, predicted))
            scores, pairs = self._relation_scores(states, batch.lengths, spans, self._training_marks(spans, predicted))
            related = [document.relations for document in batch.documents]
            terms["relations"] = self.relations.loss(scores, self.relations.targets(spans, pairs, related))
        return terms

    forward = terms

    def _relation_scores(
        self, states: Tensor, lengths: Tensor, spans: Spans, marks: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Scores [pair, relation] and pairs [2, pair] of all candidates; states are the shared ones."""
        if self.relations is None or self.relation_stack is None:
            raise ValueError("the schema has no relation types")
        pairs = self.relations.candidates(spans)
        states = self._read_for_pairs(self.relation_stack, states, lengths, spans.rows[pairs[0]].unique())
        return self.relations(states, spans, marks, pairs), pairs

    def _read_for_pairs(self, stack: RecurrentStack, states: Tensor, lengths: Tensor, rows: Tensor) -> Tensor:
        """What a stack makes of states; outside training only of the rows [row] that hold candidates, zeros elsewhere."""
        if self.training or not len(stack.layers) or len(rows) == len(states):
            read: Tensor = stack(states, lengths)
            return read
        result = states.new_zeros(*states.shape[:2], stack.width)
        if len(rows):
            result[rows] = stack(states[rows], lengths[rows])
        return result

    def _needs_predicted(self) -> bool:
        return self.proposals != "gold" or self.label_source == "predicted"

    def _proposed(
        self, gold: Sequence[Sequence[Entity]], predicted: Sequence[Sequence[Entity]]
    ) -> Sequence[Sequence[Entity]]:
        """The entities of each row that candidates are built from in training."""
        if self.proposals == "gold":
            return gold
        if self.proposals == "predicted":
            return predicted
        if self.proposals == "both":
            return [list(dict.fromkeys([*ours, *found])) for ours, found in zip(gold, predicted, strict=True)]
        chosen = (torch.rand(len(gold)) < self.mixture).tolist()
        return [found if take else ours for ours, found, take in zip(gold, predicted, chosen, strict=True)]

    def _spans(self, entities: Sequence[Sequence[Entity]]) -> Spans:
        return Spans.of(entities, self.schema.entity_types, self.device)

    def _training_marks(self, spans: Spans, predicted: Sequence[Sequence[Entity]]) -> Tensor | None:
        if self.labels == "none" or self.label_source == "own":
            return self._marks(spans)
        longest = max((entity.end for row in (*spans.entities, *predicted) for entity in row), default=0)
        tags = self.entities.targets(predicted, [longest] * len(predicted)).to(self.device)
        return self.entities.marks(tags[spans.rows, spans.ends - 1], self.labels)

    def _marks(self, spans: Spans) -> Tensor | None:
        return None if self.labels == "none" else self.entities.marks(self.entities.last_tags(spans), self.labels)

    @property
    def batch_pieces(self) -> int:
        """Small batches stay in a CPU's caches and waste less on padding; a GPU wants large ones."""
        return 1024 if self.device.type == "cpu" else 16384

    @property
    def relation_threshold(self) -> float | None:
        """The least score of a relation; None where the best type wins, or where there are no relations."""
        return None if self.relations is None else min_score(self.relations.decision, self.relations.threshold)

    @relation_threshold.setter
    def relation_threshold(self, least: float | None) -> None:
        if self.relations is not None:
            self.relations.threshold = least

    @property
    def threads(self) -> int:
        """Those of torch on a CPU; a GPU computes one batch at a time."""
        return torch.get_num_threads() if self.device.type == "cpu" else 1

    def use_threads(self, count: int) -> None:
        """Those of torch in the calling thread."""
        torch.set_num_threads(count)

    def prepare(self) -> None:
        """Leave training, which no batch may do while another is computed."""
        if self.training:
            self.eval()

    def annotate(self, documents: Sequence[Document], *, gold_entities: bool = False) -> list[Document]:
        """The documents as one batch with predicted entities and relations in place of whatever they held.

        With `gold_entities` their entities are kept and only relations are predicted.
        """
        return self.annotate_batch(self.collate(documents, gold=False), gold_entities=gold_entities) if documents else []

    def _encoded(self, batch: Batch) -> Tensor:
        """The shared states of words for annotation [batch, word, width]; an encoder may run in bf16."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            states = self.embedder(batch.features).float()
        shared: Tensor = self.shared(states, batch.lengths)
        return shared

    @torch.inference_mode()
    def doubts(self, batch: Batch) -> list[tuple[float, float]]:
        """For each document the expected number of words whose tag is wrong, and of decisions on its candidate pairs that
        are, by the model's own probabilities."""
        self.prepare()
        batch = batch.to(self.device)
        states = self._encoded(batch)
        emissions = self.entities(self.entity_stack(states, batch.lengths))
        words = self.entities.doubts(emissions, batch.lengths)
        spans = self._spans(self.entities.decode(emissions, batch.lengths))
        pairs = torch.zeros_like(words)
        if self.relations is not None and len(spans):
            scores, candidates = self._relation_scores(states, batch.lengths, spans, self._marks(spans))
            pairs.index_add_(0, spans.rows[candidates[0]], self.relations.doubts(scores, spans, candidates))
        return list(zip(words.tolist(), pairs.tolist(), strict=True))

    @torch.inference_mode()
    def annotate_batch(self, batch: Batch, *, gold_entities: bool = False) -> list[Document]:
        """As `annotate`, of documents that are collated."""
        self.prepare()
        documents, batch = batch.documents, batch.to(self.device)
        states = self._encoded(batch)
        if gold_entities:
            entities = [list(document.entities) for document in documents]
        else:
            entities = self.entities.decode(self.entities(self.entity_stack(states, batch.lengths)), batch.lengths)
        spans = self._spans(entities)
        if self.relations is None or len(spans) == 0:
            return [document.annotated(found, ()) for document, found in zip(documents, entities, strict=True)]
        scores, pairs = self._relation_scores(states, batch.lengths, spans, self._marks(spans))
        relations = self.relations.decode(scores, spans, pairs)
        return [
            document.annotated(found, related)
            for document, found, related in zip(documents, entities, relations, strict=True)
        ]
