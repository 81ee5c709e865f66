"""Builds models from settings: the only place where names become embedders, layers and heads."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import nn

from conjoin.config.settings import (
    CharacterSettings,
    Config,
    ElmoSettings,
    EncoderSettings,
    EntitySettings,
    RelationSettings,
    StackSettings,
)
from conjoin.decoding.decoder import build_decoder, label_count
from conjoin.decoding.tags import TagDecoder
from conjoin.document import Document
from conjoin.errors import SettingError
from conjoin.features.characters import saved_alphabet
from conjoin.features.vector_table import VectorTable
from conjoin.modeling.embedders.characters import CharacterEmbedder, alphabet_of
from conjoin.modeling.embedders.elmo import Elmo, load_elmo, saved_elmo
from conjoin.modeling.embedders.embedder import Embedder, JoinedEmbedder
from conjoin.modeling.embedders.encoder import open_encoder
from conjoin.modeling.embedders.feature_cache import FeatureCache
from conjoin.modeling.embedders.frozen import FrozenEmbedder, FrozenTransformer
from conjoin.modeling.embedders.static import CasingEmbedder, WordVectors, saved_words
from conjoin.modeling.embedders.transformer import InputEmbedder, TransformerEmbedder
from conjoin.modeling.heads.relations import PairFeatures, Projections, RelationHead
from conjoin.modeling.heads.tagger import TaggerHead
from conjoin.modeling.joint import CandidateSettings, JointModel
from conjoin.modeling.nn.layers import FeedForward, SpanPooling
from conjoin.modeling.nn.pairs import SCORERS, ScorerSizes
from conjoin.modeling.nn.recurrent import RecurrentStack
from conjoin.schema import Schema
from conjoin.storage.cache import cache_folder
from conjoin.storage.downloads import local_file

LOGGER = logging.getLogger("conjoin")
MIN_COVERAGE = 0.1  # of the words of the training data; with less it is hardly the right file


def build_model(
    config: Config, schema: Schema, *, documents: Sequence[Document] = (), folder: Path | None = None,
    cache: FeatureCache | None = None, training: bool = True,
) -> JointModel:
    """Build a model for a schema.

    Args:
        documents: Training data, whose words and characters become vocabularies.
        folder: A saved model, whose vocabularies and encoder settings are read; the weights are left to the caller.
        cache: For the vectors of frozen encoders.
        training: Whether it may be trained or exported; otherwise a saved BERT is computed without transformers.
    """
    embedder = build_embedder(config, documents=documents, folder=folder, cache=cache, training=training)
    return assemble_model(config, schema, embedder)


def assemble_model(config: Config, schema: Schema, embedder: Embedder) -> JointModel:
    """Build stacks and heads over an embedder."""
    decoder = build_decoder(config, schema)
    stack = config.stack
    shared = build_stack(stack, embedder.width, stack.shared)
    entity_stack = build_stack(stack, shared.width, stack.entities)
    entities = build_entity_head(config.entities, decoder.entities, entity_stack.width)
    relation_stack = relations = None
    if schema.relation_types:
        relation_stack = build_stack(stack, shared.width, stack.relations)
        relations = build_relation_head(
            config.relations, relation_stack.width, types=len(schema.relation_types),
            labels=label_count(config.relations, decoder.entities),
        )
    settings = config.relations
    candidates = CandidateSettings(settings.proposals, settings.mixture, settings.label_embedding, settings.label_source)
    return JointModel(
        schema, decoder, embedder=embedder, shared=shared, entity_stack=entity_stack, entities=entities,
        relation_stack=relation_stack, relations=relations, candidates=candidates,
    )


def build_embedder(
    config: Config, *, documents: Sequence[Document] = (), folder: Path | None = None, cache: FeatureCache | None = None,
    training: bool = True,
) -> Embedder:
    """Build all embedders of the settings, joined; arguments as for `build_model`."""
    texts = [document.words for document in documents]
    parts: dict[str, Embedder] = {}
    to_input = config.characters.size > 0 and config.characters.place == "input"
    if config.encoder.name is not None:
        inputs: dict[str, InputEmbedder] = {"casing": CasingEmbedder()} if config.encoder.casing else {}
        if to_input:
            inputs["characters"] = build_characters(config.characters, texts, folder=folder)
        parts["transformer"] = build_transformer(config.encoder, inputs=inputs, folder=folder, cache=cache,
                                                 training=training)
    if config.elmo.options is not None:
        parts["elmo"] = FrozenEmbedder(build_elmo(config.elmo, folder=folder), cache=cache)
    if config.words.vectors is not None:
        parts["words"] = build_word_vectors(config.words.vectors, texts, folder=folder)
    if config.characters.size and not to_input:
        parts["characters"] = build_characters(config.characters, texts, folder=folder)
    if config.words.casing:
        parts["casing"] = CasingEmbedder()
    if not parts:
        raise SettingError("the model has no embedder: set encoder.name, elmo.options, words.vectors or characters.size")
    return next(iter(parts.values())) if len(parts) == 1 else JoinedEmbedder(parts)


def build_characters(
    settings: CharacterSettings, texts: Sequence[Sequence[str]], *, folder: Path | None
) -> CharacterEmbedder:
    """An embedder of characters, with the alphabet of the texts or of a saved model."""
    return CharacterEmbedder(
        saved_alphabet(folder) if folder else alphabet_of(texts), embedding_size=settings.embedding_size,
        size=settings.size, cell=settings.cell, masking=settings.masking,
    )


def build_transformer(
    settings: EncoderSettings,
    *,
    inputs: Mapping[str, InputEmbedder],
    folder: Path | None,
    cache: FeatureCache | None,
    training: bool,
) -> TransformerEmbedder | FrozenEmbedder:
    """A Hugging Face encoder, fine-tuned or frozen."""
    encoder = open_encoder(str(settings.name), dropout=settings.dropout, folder=folder, training=training)
    fine_tuned = not settings.frozen
    embedder = TransformerEmbedder(
        encoder, word_pooling=settings.word_pooling, max_pieces=settings.max_pieces, overlap=settings.overlap,
        train_word_table=settings.train_word_table, masking=settings.masking, inputs=inputs,
        mix=settings.layers == "mix" and fine_tuned,
    )
    if fine_tuned:
        return embedder
    return FrozenEmbedder(FrozenTransformer(embedder, all_layers=settings.layers == "mix"), cache=cache)


def build_elmo(settings: ElmoSettings, *, folder: Path | None) -> Elmo:
    """The ELMo model of the settings, or the saved one."""
    if folder:
        return saved_elmo(folder)
    options = local_file(str(settings.options), sha256=None, cache=cache_folder())
    return load_elmo(options, local_file(str(settings.weights), sha256=settings.weights_sha256, cache=cache_folder()))


def build_word_vectors(source: str, texts: Sequence[Sequence[str]], *, folder: Path | None) -> WordVectors:
    """Word vectors for the words of the texts, or those of a saved model."""
    if folder is not None:
        return saved_words(folder, source=source, cache=cache_folder())
    embedder = WordVectors.from_table(VectorTable.open(source, cache=cache_folder()), texts)
    covered, words = embedder.coverage or (0, 0)
    if covered < MIN_COVERAGE * words:
        LOGGER.warning("%s has a vector for only %d of the %d words of the training data; check its language, and that it "
                       "spells words as in texts or in lower case", source, covered, words)
    return embedder


def build_stack(settings: StackSettings, width: int, layers: int) -> RecurrentStack:
    """Recurrent layers over states [batch, word, width]."""
    return RecurrentStack(
        width, layers=layers, size=settings.size, cell=settings.cell, dropout=settings.dropout, residual=settings.residual
    )


def build_entity_head(settings: EntitySettings, decoder: TagDecoder, width: int) -> TaggerHead:
    """The entity head over states [batch, word, width]."""
    return TaggerHead(
        width, decoder, layers=settings.layers, size=settings.size, activation=settings.activation,
        dropout=settings.dropout, output=settings.output, reduction=settings.reduction,
        outside_prior=settings.outside_prior,
    )


def build_relation_head(settings: RelationSettings, width: int, *, types: int, labels: int) -> RelationHead:
    """The relation head over states [batch, word, width], for a number of relation types and of labels."""
    pooling = SpanPooling(width, how=settings.pooling)
    embedding = nn.Linear(labels, settings.label_size, bias=False) if labels else None
    projections = build_projections(settings, pooling.width + (settings.label_size if labels else 0))
    features = PairFeatures(width, context=settings.context, distance=settings.distance, dropout=settings.dropout)
    outputs = types + (settings.decision == "softmax")
    return RelationHead(
        pooling=pooling, labels=embedding, projections=projections, features=features, decision=settings.decision,
        scorer=build_scorer(settings, projections.width, outputs, features.width), dropout=settings.dropout,
    )


def build_projections(settings: RelationSettings, width: int) -> Projections:
    """The head and tail networks: two, a shared one, or none."""
    if settings.projections == "none":
        return Projections(nn.Identity(), nn.Identity(), width)

    def network() -> FeedForward:
        return FeedForward(
            width, settings.size, layers=settings.layers, activation=settings.activation, dropout=settings.dropout,
            output=settings.output_size,
        )

    head = network()
    return Projections(head, head if settings.projections == "shared" else network(), head.width)


def build_scorer(settings: RelationSettings, width: int, relations: int, features: int) -> nn.Module:
    sizes = ScorerSizes(
        width, relations, features, hidden=settings.scorer_size, activation=settings.activation, dropout=settings.dropout,
        bilinear=settings.bilinear,
    )
    return SCORERS[settings.scorer](sizes)
