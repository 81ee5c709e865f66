"""The tables of settings, with types, defaults and descriptions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from conjoin.config.options import (
    OUTSIDE_PRIOR,
    Activation,
    Cell,
    Decision,
    Decoding,
    LabelEmbedding,
    LabelSource,
    Optimizer,
    Output,
    Precision,
    Proposals,
    Reduction,
    Schedule,
    Scorer,
    WordPooling,
)
from conjoin.tagging import Scheme

SHA256 = re.compile("[0-9a-fA-F]{64}")
Place = Literal["beside", "input"]
Share = Annotated[float, Field(ge=0, le=1)]
Dropout = Annotated[float, Field(ge=0, lt=1)]


class Settings(BaseModel):
    """Base of all tables of settings: frozen, and unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _none_to_absent(cls, values: Any) -> Any:
        """TOML has no null: "none" stands for it where a setting may be absent."""
        if not isinstance(values, dict):
            return values
        fields = cls.model_fields
        optional = {key for key in values if key in fields and type(None) in get_args(fields[key].annotation)}
        return {key: None if value == "none" and key in optional else value for key, value in values.items()}


class EncoderSettings(Settings):
    """The pre-trained encoder."""

    name: str | None = Field("minilm", description="hub name, folder or the alias minilm; none for no encoder")
    frozen: bool = Field(False, description="keep its weights fixed and cache its vectors, instead of fine-tuning it")
    layers: Literal["last", "mix"] = Field("last", description="vector of a word: the last layer, or a trained mix of all")
    dropout: Dropout | None = Field(None, description="dropout in the encoder; none: the encoder's own setting")
    word_pooling: WordPooling = Field("first", description="pooling of a word's pieces")
    max_pieces: int = Field(512, ge=1, description="maximum pieces of a window, within the encoder's limit")
    overlap: int = Field(64, ge=0, description="pieces shared by neighbouring windows")
    masking: Dropout = Field(0.0, description="share of pieces replaced by the mask piece in training")
    casing: bool = Field(False, description="add vectors of casing to the encoder's input, for uncased encoders")
    train_word_table: bool = Field(True, description="fine-tune the embeddings of the pieces too")


class ElmoSettings(Settings):
    """Frozen ELMo with a trained mix of its layers, in the published format."""

    options: str | None = Field(None, description="path or address of options.json; none for no ELMo")
    weights: str | None = Field(None, description="path or address of the HDF5 file of weights")
    weights_sha256: str | None = Field(None, description="SHA-256 checksum of the weights")


class WordSettings(Settings):
    """Frozen word vectors and casing."""

    vectors: str | None = Field(None, description="vectors in the text format of GloVe or word2vec, plain or .gz")
    casing: bool = Field(False, description="one-hot casing of the word")


class CharacterSettings(Settings):
    """Word vectors from characters."""

    size: int = Field(0, ge=0, description="size of the character RNN in each direction; 0 for none")
    place: Place = Field("beside", description="beside other word vectors, or in the input of a fine-tuned encoder")
    embedding_size: int = Field(25, ge=1, description="size of the character embeddings")
    cell: Cell = "gru"
    masking: Dropout = Field(0.005, description="share of characters replaced by the unknown character in training")


class StackSettings(Settings):
    """Recurrent layers over words."""

    shared: int = Field(0, ge=0, description="layers shared by both heads")
    entities: int = Field(0, ge=0, description="additional layers of the entity head")
    relations: int = Field(0, ge=0, description="additional layers of the relation head")
    cell: Cell = "gru"
    size: int = Field(256, ge=1, description="size of a layer in each direction")
    dropout: Dropout = Field(0.0, description="dropout before each layer")
    residual: bool = Field(False, description="residual layers that start as the identity, where widths agree")


class EntitySettings(Settings):
    """The entity head."""

    scheme: Scheme = "bioes"
    output: Output = Field("softmax", description="softmax for each word, or a conditional random field")
    reduction: Reduction = Field("words", description="unit that the loss is averaged over")
    layers: int = Field(1, ge=1, description="number of linear layers, including the output layer")
    size: int = Field(256, ge=1, description="width of the hidden layers")
    activation: Activation = "gelu"
    dropout: Dropout = 0.1
    decoding: Decoding = Field("legal", description="best tag of each word, or best legal sequence of tags")
    outside_prior: float = Field(OUTSIDE_PRIOR, description="initial bias of the tag O; 0 for a random one")


class RelationSettings(Settings):
    """The relation head."""

    proposals: Proposals = Field("both", description="entities of candidate pairs in training")
    mixture: Share = Field(0.5, description="share of sentences with predicted entities, for proposals=mixture")
    pooling: Literal["last", "first-last", "max"] = Field("max", description="pooling of an entity's words")
    label_embedding: LabelEmbedding = Field("type", description="embedding of entity types, of last words' tags, or none")
    label_source: LabelSource = Field("own", description="label in training: own or predicted")
    label_size: int = Field(128, ge=1, description="size of the label embedding")
    projections: Literal["separate", "shared", "none"] = Field("separate", description="head and tail networks")
    layers: int = Field(2, ge=1, description="layers of the head and tail networks")
    size: int = Field(512, ge=1, description="width of the head and tail networks")
    output_size: int | None = Field(None, ge=1, description="width of their last layer; none: as `size`")
    activation: Activation = "relu"
    dropout: Dropout = 0.1
    scorer: Scorer = "biaffine"
    bilinear: bool = Field(True, description="use the bilinear term of the biaffine scorer")
    scorer_size: int = Field(256, ge=1, description="hidden width of the feedforward and distmult+cosine scorers")
    context: bool = Field(True, description="use the max-pooled words between the two entities")
    distance: int = Field(32, ge=0, description="size of the embedding of the distance between entities; 0 for none")
    decision: Decision = Field("softmax", description="one type or none for a pair, or each type independently")
    threshold: Share | None = Field(None, description="minimum probability of a relation; none: best class (sigmoid: 0.5)")
    constrain: bool = Field(True, description="allow only head and tail types of the training data or schema")


class TrainingSettings(Settings):
    """The training loop. A batch is full at `batch_size` documents or `batch_pieces` pieces, whichever comes first."""

    epochs: int = Field(20, ge=1)
    batch_size: int = Field(16, ge=1, description="maximum documents of a batch")
    batch_pieces: int = Field(1024, ge=1, description="maximum pieces of a batch, padding included")
    bucket_batches: int = Field(16, ge=1, description="batches sorted by length together; 1 for no sorting")
    optimizer: Optimizer = Field("adamw", description="Adam, or with Nesterov momentum; decoupled weight decay")
    accumulation: int = Field(1, ge=1, description="batches accumulated for one optimizer step")
    learning_rate: float = Field(5e-5, gt=0, description="learning rate of the encoder")
    head_learning_rate: float | None = Field(None, gt=0, description="rate of other weights; none: the same")
    layer_decay: float = Field(1.0, gt=0, le=1, description="factor on the learning rate for each lower encoder layer")
    weight_decay: float = Field(0.01, ge=0)
    schedule: Schedule = "linear"
    warmup: Share = Field(0.1, description="share of steps in which learning rates rise from 0")
    max_gradient_norm: float | None = Field(1.0, gt=0, description="maximum norm of the gradient; none: no clipping")
    precision: Precision = Field("no", description="mixed precision; auto is bf16 where the hardware supports it, else no")
    entity_weight: float = Field(1.0, ge=0, description="weight of the entity loss")
    relation_weight: float = Field(1.0, ge=0, description="weight of the relation loss (lambda)")
    relation_ramp: float = Field(1.0, ge=0, description="epochs in which relation_weight rises from 0")
    averaging: Share = Field(0.0, description="decay of the exponential moving average of weights; 0 for none")
    select: Literal["best", "last"] = Field("best", description="epoch to keep: the best on dev, or the last")
    patience: int | None = Field(None, ge=1, description="epochs without a better dev score before stopping")
    checkpoint_steps: int | None = Field(None, ge=1, description="also write a checkpoint after so many steps")
    seed: int = 0

    def term_weights(self, step: int, *, epoch_steps: int) -> dict[str, float]:
        """The weights of the terms of the loss, by name, at a step (from 0); terms without a weight here weigh 1.

        The weight of relations rises linearly from 0 over `relation_ramp` epochs (Giorgi et al. 2019 §2.1).
        """
        ramp = self.relation_ramp * epoch_steps
        risen = min(1.0, step / ramp) if ramp > 0 else 1.0
        return {"entities": self.entity_weight, "relations": self.relation_weight * risen}


class TextSettings(Settings):
    """Splitting of raw text into words."""

    hyphens: Literal["learn", "cut", "whole"] = Field("learn", description="hyphenated words; learn: as in training data")


class PaperSettings(Settings):
    """The paper of a preset, with its reported scores."""

    citation: str
    table: str
    protocol: str
    reported: dict[str, float] = Field(default_factory=dict, description="reported scores in per cent")


class Config(Settings):
    """All settings of a model and its training."""

    encoder: EncoderSettings = EncoderSettings()
    elmo: ElmoSettings = ElmoSettings()
    words: WordSettings = WordSettings()
    characters: CharacterSettings = CharacterSettings()
    stack: StackSettings = StackSettings()
    entities: EntitySettings = EntitySettings()
    relations: RelationSettings = RelationSettings()
    training: TrainingSettings = TrainingSettings()
    text: TextSettings = TextSettings()
    symmetric: tuple[str, ...] = Field((), description="relation types that hold in both directions")
    paper: PaperSettings | None = None

    @model_validator(mode="after")
    def _refuse_conflicts(self) -> Config:
        """Refuse a setting that would have no effect because of another."""
        for problem in (*_encoder_conflicts(self), *_head_conflicts(self)):
            raise ValueError(problem)
        return self


def _encoder_conflicts(config: Config) -> Iterator[str]:
    encoder, elmo, characters = config.encoder, config.elmo, config.characters
    remedies = {"encoder.casing=false": encoder.casing, "encoder.masking=0": encoder.masking}
    if encoder.name is not None and encoder.frozen and any(remedies.values()):
        yield ("encoder.casing and encoder.masking are for fine-tuned encoders, and encoder.frozen is true; set "
               + " and ".join(remedy for remedy, needed in remedies.items() if needed))
    if characters.size and characters.place == "input" and (encoder.name is None or encoder.frozen):
        yield ("characters.place=input needs a fine-tuned encoder; set encoder.name and encoder.frozen=false, or "
               "characters.place=beside")
    if (elmo.options is None) != (elmo.weights is None):
        yield "elmo.options and elmo.weights are the two files of one model; set both, or both to none"
    if elmo.weights_sha256 is not None and elmo.weights is None:
        yield "elmo.weights_sha256 is the checksum of elmo.weights; set both, or elmo.weights_sha256=none"
    if elmo.weights_sha256 is not None and not SHA256.fullmatch(elmo.weights_sha256):
        yield (f"elmo.weights_sha256 = '{elmo.weights_sha256}' is not a SHA-256 checksum of 64 hexadecimal digits; "
               "sha256sum FILE prints it")


def _head_conflicts(config: Config) -> Iterator[str]:
    entities, relations = config.entities, config.relations
    if entities.output == "crf" and entities.decoding == "argmax":
        yield "entities.decoding=argmax is for entities.output=softmax, and this is a crf; set entities.decoding=legal"
    if not relations.bilinear and "biaffine" not in relations.scorer:
        yield f"relations.bilinear=false is for a biaffine scorer, and {relations.scorer} has no bilinear term; set " \
              "relations.bilinear=true, or relations.scorer=biaffine"
