"""The joint model: embedder → shared stack → (entity stack → entity head), (relation stack → relation head)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from conjoin.config.options import LabelEmbedding, LabelSource, Proposals
from conjoin.decoding.decoder import Decoder
from conjoin.decoding.spans import Numbers, Spans
from conjoin.document import Document, Entity
from conjoin.modeling.embedders.embedder import Embedder
from conjoin.modeling.heads.relations import PairInputs, RelationHead
from conjoin.modeling.heads.tagger import TaggerHead
from conjoin.modeling.nn.recurrent import RecurrentStack
from conjoin.modeling.nn.term import Term
from conjoin.schema import Schema


@dataclass(frozen=True, slots=True)
class Batch:
    """Documents as tensors."""

    documents: tuple[Document, ...]
    features: Mapping[str, Tensor]  # of the embedder
    lengths: Tensor  # [batch] words of each document
    targets: Tensor | None  # [batch, word] gold tags, or None without annotations

    def to(self, device: torch.device) -> Batch:
        return replace(
            self,
            features={name: value.to(device, non_blocking=True) for name, value in self.features.items()},
            lengths=self.lengths.to(device),
            targets=None if self.targets is None else self.targets.to(device),
        )


@dataclass(frozen=True, slots=True)
class CandidateSettings:
    """The entities of candidate pairs in training.

    Attributes:
        proposals: `predicted` (Giorgi et al. 2019 §2), `gold` (Crone 2020 §3.3), `both` joined, or a `mixture`.
        mixture: Share of sentences with predicted entities; the others have gold ones.
        label_embedding: Labels are entity types, tags of last words, or none.
        label_source: `own` label of the proposed entity, or that of the tag `predicted` for its last word (Crone 2020,
            footnote 2).
    """

    proposals: Proposals
    mixture: float
    label_embedding: LabelEmbedding
    label_source: LabelSource

    @property
    def needs_predictions(self) -> bool:
        """True if training predicts entities."""
        return self.proposals != "gold" or self.label_source == "predicted"


class JointModel(nn.Module):
    """Scores and losses of joint entity and relation extraction.

    Word vectors pass the shared stack, then the stack and head of each task (Crone 2020, Fig. 2); with stacks of zero
    layers this is Giorgi et al. 2019. `conjoin.annotator` decodes scores; training predicts entities with the same decoder.
    """

    def __init__(
        self, schema: Schema, decoder: Decoder, *, embedder: Embedder, shared: RecurrentStack, entity_stack: RecurrentStack,
        entities: TaggerHead, relation_stack: RecurrentStack | None, relations: RelationHead | None,
        candidates: CandidateSettings,
    ) -> None:
        super().__init__()
        self.schema, self.decoder, self.candidates = schema, decoder, candidates
        self.embedder, self.shared = embedder, shared
        self.entity_stack, self.entities = entity_stack, entities
        self.relation_stack, self.relations = relation_stack, relations

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def sizes(self, documents: Sequence[Document]) -> list[int]:
        """The cost of each document in pieces, by which batches are filled."""
        return self.embedder.sizes([document.words for document in documents])

    def collate(self, documents: Sequence[Document], *, gold: bool = True) -> Batch:
        """Documents as one batch, on the CPU. Without `gold`, annotations are ignored."""
        lengths = [len(document.tokens) for document in documents]
        entities = [document.entities for document in documents]
        return Batch(
            tuple(documents),
            self.embedder.features([document.words for document in documents]),
            torch.tensor(lengths, dtype=torch.long),
            torch.from_numpy(self.decoder.entities.encode(entities, lengths)) if gold else None,
        )

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The terms of the loss by name, scalars; training adds them with weights (Giorgi et al. 2019, eq. 9 and 10)."""
        return {name: term.mean for name, term in self(batch).items()}

    def forward(self, batch: Batch) -> dict[str, Term]:
        """The terms of the loss with their sizes.

        Only the encoder runs in mixed precision. The heads are small and their shapes change with every batch; on a CPU
        each new shape of a bf16 product takes memory in the cache of the matrix library.
        """
        batch = batch.to(self.device)
        if batch.targets is None:
            raise ValueError("loss needs a batch with gold annotations: collate(documents, gold=True)")
        states = self.embedder(batch.features).float()
        with torch.autocast(states.device.type, enabled=False):
            states = self.shared(states, batch.lengths)
            emissions = self.emissions(states, batch.lengths)
            terms = {"entities": self.entities.loss(emissions, batch.targets)}
            if self.relations is not None:
                terms["relations"] = self._relation_loss(self.relations, batch, states, emissions)
        return terms

    def emissions(self, states: Tensor, lengths: Tensor) -> Tensor:
        """Scores of tags [batch, word, tag] from the shared states [batch, word, width]."""
        emissions: Tensor = self.entities(self.entity_stack(states, lengths))
        return emissions

    def relation_scores(self, states: Tensor, lengths: Tensor, spans: Spans, pairs: Numbers) -> Tensor:
        """Scores [pair, relation] of candidates from the shared states [batch, word, width]."""
        if self.relations is None or self.relation_stack is None:
            raise ValueError("the schema has no relation types")
        inputs = PairInputs.of(spans, pairs, states.device)
        states = self._pair_states(self.relation_stack, states, lengths, inputs.rows[inputs.pairs[0]].unique())
        scores: Tensor = self.relations(states, inputs)
        return scores

    def _relation_loss(self, head: RelationHead, batch: Batch, states: Tensor, emissions: Tensor) -> Term:
        decoder = self.decoder.relations
        if decoder is None:
            raise ValueError("a model with a relation head needs a decoder of relations")
        gold: Sequence[Sequence[Entity]] = [document.entities for document in batch.documents]
        predicted = gold
        if self.candidates.needs_predictions:
            scores = self.entities.scores(emissions, batch.lengths)
            predicted = self.decoder.entities.decode(scores).entities(self.schema.entity_types)
        proposed = self._proposed(gold, predicted)
        spans, pairs = decoder.candidates(proposed)
        if spans.labels is not None and self.candidates.label_source == "predicted":
            spans = replace(spans, labels=self._predicted_labels(spans, predicted, batch.lengths.tolist()))
        related = [document.relations for document in batch.documents]
        targets = torch.from_numpy(decoder.targets(spans, pairs, proposed, related)).to(self.device)
        return head.loss(self.relation_scores(states, batch.lengths, spans, pairs), targets)

    def _pair_states(self, stack: RecurrentStack, states: Tensor, lengths: Tensor, rows: Tensor) -> Tensor:
        """Output of a stack; outside training only for the `rows` that have candidates, zeros elsewhere."""
        if self.training or not len(stack.layers) or len(rows) == len(states):
            result: Tensor = stack(states, lengths)
            return result
        result = states.new_zeros(*states.shape[:2], stack.width)
        if len(rows):
            result[rows] = stack(states[rows], lengths[rows])
        return result

    def _proposed(
        self, gold: Sequence[Sequence[Entity]], predicted: Sequence[Sequence[Entity]]
    ) -> Sequence[Sequence[Entity]]:
        """The entities of each row for candidate pairs in training."""
        match self.candidates.proposals:
            case "gold":
                return gold
            case "predicted":
                return predicted
            case "both":
                return [list(dict.fromkeys([*row, *others])) for row, others in zip(gold, predicted, strict=True)]
            case "mixture":
                draws = (torch.rand(len(gold)) < self.candidates.mixture).tolist()
                return [others if draw else row for row, others, draw in zip(gold, predicted, draws, strict=True)]

    def _predicted_labels(
        self, spans: Spans, predicted: Sequence[Sequence[Entity]], lengths: Sequence[int]
    ) -> Numbers:
        """The label [span] of the tag predicted for the last word of each span; -1 for the type of O."""
        tags: Numbers = self.decoder.entities.encode(predicted, lengths)[spans.rows, spans.ends - 1]
        return tags if self.candidates.label_embedding == "tag" else self.decoder.entities.tag_types[tags]
