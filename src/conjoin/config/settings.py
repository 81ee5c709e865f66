"""The tables of settings: what may be set, to what, and what it means."""

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
    """Parent of all tables of settings: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _absent(cls, values: Any) -> Any:
        """TOML has no word for what is absent; for a setting that may be, it is "none"."""
        if not isinstance(values, dict):
            return values
        fields = cls.model_fields
        optional = {key for key in values if key in fields and type(None) in get_args(fields[key].annotation)}
        return {key: None if value == "none" and key in optional else value for key, value in values.items()}


class EncoderSettings(Settings):
    """The pre-trained encoder. `name` is a hub name, a folder or the alias `minilm`; none for a model without one."""

    name: str | None = "minilm"
    frozen: bool = Field(False, description="keep its weights and cache its vectors, or fine-tune it")
    layers: Literal["last", "mix"] = Field("last", description="a word's vector: the last layer's, or a trained mix")
    dropout: Dropout | None = Field(None, description="in the encoder; none keeps its own setting")
    word_pooling: WordPooling = Field("first", description="how the pieces of a word become one vector")
    max_pieces: int = Field(512, ge=1, description="longest window in pieces, if the encoder takes that many")
    overlap: int = Field(64, ge=0, description="pieces that neighbouring windows share")
    masking: Dropout = Field(0.0, description="share of pieces hidden behind the mask piece in training")
    casing: bool = Field(False, description="let an uncased encoder see casing, as vectors added to its input")
    train_word_table: bool = Field(True, description="whether the embeddings of the pieces are fine-tuned too")


class ElmoSettings(Settings):
    """ELMo, frozen, all its layers mixed: paths or http(s) addresses of a model in the published format."""

    options: str | None = Field(None, description="options.json; none for a model without ELMo")
    weights: str | None = Field(None, description="the HDF5 file of weights")
    weights_sha256: str | None = Field(None, description="checksum that the weights must have")


class WordSettings(Settings):
    """What words alone tell: pre-trained vectors, frozen, and casing."""

    vectors: str | None = Field(None, description="file in the text format of GloVe or word2vec, plain or .gz")
    casing: bool = Field(False, description="one-hot casing of the word")


class CharacterSettings(Settings):
    """Vectors of words from their characters."""

    size: int = Field(0, ge=0, description="size of the RNN over characters, each way; 0 for none")
    place: Place = Field("beside", description="beside a word's other vectors, or in the input of a fine-tuned encoder")
    embedding_size: int = Field(25, ge=1)
    cell: Cell = "gru"
    masking: Dropout = Field(0.005, description="share of characters read as unknown in training")


class StackSettings(Settings):
    """Recurrent layers over the words: shared by both tasks, then each task's own."""

    shared: int = Field(0, ge=0, description="layers that both tasks use")
    entities: int = Field(0, ge=0, description="further layers of the entity head alone")
    relations: int = Field(0, ge=0, description="further layers of the relation head alone")
    cell: Cell = "gru"
    size: int = Field(256, ge=1, description="of one direction")
    dropout: Dropout = Field(0.0, description="before each layer")
    residual: bool = Field(False, description="a layer as wide as its input adds to it, starting from nothing")


class EntitySettings(Settings):
    """The entity head."""

    scheme: Scheme = "bioes"
    output: Output = Field("softmax", description="each word on its own, or a conditional random field")
    reduction: Reduction = Field("words", description="what the loss is a mean over")
    layers: int = Field(1, ge=1, description="linear layers, the last of which gives the tags")
    size: int = Field(256, ge=1, description="width of the inner layers")
    activation: Activation = "gelu"
    dropout: Dropout = 0.1
    decoding: Decoding = Field("legal", description="argmax of each word, or the best legal string of tags")
    outside_prior: float = Field(OUTSIDE_PRIOR, description="the bias of O to begin with; 0 leaves it to chance")


class RelationSettings(Settings):
    """The relation head."""

    proposals: Proposals = Field("both", description="entities that training builds candidates from")
    mixture: Share = Field(0.5, description="share of sentences with predicted entities when proposals = mixture")
    pooling: Literal["last", "first-last", "max"] = Field("max", description="how an entity's words become one vector")
    label_embedding: LabelEmbedding = Field("type", description="of an entity's type, of its last word's tag, or none")
    label_source: LabelSource = Field("own", description="an entity's own label, or in training the predicted tag's")
    label_size: int = Field(128, ge=1)
    projections: Literal["separate", "shared", "none"] = Field("separate", description="head and tail networks")
    layers: int = Field(2, ge=1)
    size: int = Field(512, ge=1, description="width of the head and tail networks")
    output_size: int | None = Field(None, ge=1, description="width of their last layer; none: as the others")
    activation: Activation = "relu"
    dropout: Dropout = 0.1
    scorer: Scorer = "biaffine"
    bilinear: bool = Field(True, description="whether the biaffine scorer has its bilinear term")
    scorer_size: int = Field(256, ge=1, description="hidden width of the feedforward and distmult+cosine scorers")
    context: bool = Field(True, description="add the max-pooled words between the two entities")
    distance: int = Field(32, ge=0, description="size of the embedding of the distance in words; 0 for none")
    decision: Decision = Field("softmax", description="one type or NEG a pair, or each type on its own")
    threshold: Share | None = Field(None, description="least probability of a relation; none: above NEG (sigmoid: 0.5)")
    constrain: bool = Field(True, description="only argument types seen in training (or written in the schema)")

class TrainingSettings(Settings):
    """The training loop. Sizes of batches are in documents and in pieces, whichever is reached first."""

    epochs: int = Field(20, ge=1)
    batch_size: int = Field(16, ge=1)
    batch_pieces: int = Field(1024, ge=1, description="most pieces of a batch, padding included")
    bucket_batches: int = Field(16, ge=1, description="batches sorted by length together; 1 for none")
    optimizer: Optimizer = Field("adamw", description="nadam is Adam with Nesterov momentum; the decay is decoupled in all")
    accumulation: int = Field(1, ge=1, description="batches that make one step together, as one large one")
    learning_rate: float = Field(5e-5, gt=0, description="of the encoder")
    head_learning_rate: float | None = Field(None, gt=0, description="of everything else; none: as the encoder's")
    layer_decay: float = Field(1.0, gt=0, le=1, description="factor on the rate of each lower encoder layer")
    weight_decay: float = Field(0.01, ge=0)
    schedule: Schedule = "linear"
    warmup: Share = Field(0.1, description="share of all steps in which learning rates rise from 0")
    max_gradient_norm: float | None = Field(1.0, gt=0, description="longer gradients are cut to it; none: never")
    precision: Precision = Field("no", description="auto is bf16 where the hardware computes it, else no")
    entity_weight: float = Field(1.0, ge=0, description="weight of the entity loss")
    relation_weight: float = Field(1.0, ge=0, description="lambda: weight of the relation loss")
    relation_ramp: float = Field(1.0, ge=0, description="epochs over which that weight rises from 0")
    averaging: Share = Field(0.0, description="decay of the exponential moving average of weights; 0 for none")
    select: Literal["best", "last"] = Field("best", description="which epoch to keep: best on dev, or the last")
    patience: int | None = Field(None, ge=1, description="epochs without a better dev score before stopping")
    checkpoint_steps: int | None = Field(None, ge=1, description="also write a checkpoint every so many steps")
    seed: int = 0


class TextSettings(Settings):
    """How raw text becomes words."""

    hyphens: Literal["learn", "cut", "whole"] = Field("learn", description="compounds; learn: as in the training data")


class PaperSettings(Settings):
    """Where a preset comes from; read by people and by the tables."""

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
    symmetric: tuple[str, ...] = Field((), description="relation types that hold both ways")
    paper: PaperSettings | None = None

    @model_validator(mode="after")
    def _goes_together(self) -> Config:
        """Refuse settings of which one would be dropped silently because of another."""
        for wrong in (*_encoder_conflicts(self), *_head_conflicts(self)):
            raise ValueError(wrong)
        return self


def _encoder_conflicts(config: Config) -> Iterator[str]:
    encoder, elmo, characters = config.encoder, config.elmo, config.characters
    switched = {"casing": (encoder.casing, "false"), "masking": (encoder.masking, "0")}
    useless = {name: off for name, (on, off) in switched.items() if on}
    if encoder.name is not None and encoder.frozen and useless:
        named = " and ".join(f"encoder.{name}" for name in useless)
        off = " and ".join(f"encoder.{name}={off}" for name, off in useless.items())
        change = "changes" if len(useless) == 1 else "change"
        yield f"{named} {change} what a fine-tuned encoder reads, and encoder.frozen keeps it as it is; set {off}"
    if characters.size and characters.place == "input" and (encoder.name is None or encoder.frozen):
        yield ("characters.place=input needs an encoder that is fine-tuned; set encoder.name and encoder.frozen=false, or "
               "characters.place=beside")
    if (elmo.options is None) != (elmo.weights is None):
        yield "elmo.options and elmo.weights belong together, each the path or address of a file; set both, or both to none"
    if elmo.weights_sha256 is not None and elmo.weights is None:
        yield "elmo.weights_sha256 is the checksum of elmo.weights; set both, or elmo.weights_sha256=none"
    if elmo.weights_sha256 is not None and not SHA256.fullmatch(elmo.weights_sha256):
        yield (f"elmo.weights_sha256 = '{elmo.weights_sha256}' is no SHA-256 checksum, which has 64 digits from 0 to 9 and "
               "a to f; sha256sum FILE prints it")


def _head_conflicts(config: Config) -> Iterator[str]:
    entities, relations = config.entities, config.relations
    if entities.output == "crf" and entities.decoding == "argmax":
        yield "entities.decoding=argmax is for entities.output=softmax, and a crf takes the best string; set " \
              "entities.decoding=legal"
    if not relations.bilinear and "biaffine" not in relations.scorer:
        yield f"relations.bilinear=false is for a biaffine scorer, and {relations.scorer} has no bilinear term; set " \
              "relations.bilinear=true, or relations.scorer=biaffine"
