"""Settings, presets and the builders: the only place where names become objects."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from torch import nn

from conjoin.embedders.transformer import TransformerEmbedder, WordPooling, load_transformer
from conjoin.errors import SettingError, unknown_name
from conjoin.heads.relations import Decision, PairFeatures, Projections, RelationHead
from conjoin.heads.tagger import Decoding, Labels, TaggerHead
from conjoin.model import JointModel, Proposals
from conjoin.nn.layers import Activation, FeedForward, SpanPooling
from conjoin.nn.pairs import Biaffine, FeedForwardPairs, SummedPairs
from conjoin.schema import Schema
from conjoin.tagging import Scheme
from conjoin.training.optimizer import Schedule
from conjoin.training.precision import Precision

Share = Annotated[float, Field(ge=0, le=1)]
Dropout = Annotated[float, Field(ge=0, lt=1)]


class Settings(BaseModel):
    """Parent of all tables of settings: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class EncoderSettings(Settings):
    """The pre-trained encoder. `name` is a hub name, a folder or the alias `minilm`."""

    name: str = "minilm"
    dropout: Dropout | None = Field(None, description="in the encoder; none keeps its own setting")
    word_pooling: WordPooling = Field("first", description="how the pieces of a word become one vector")
    most_pieces: int = Field(512, ge=1, description="longest window in pieces, if the encoder takes that many")
    overlap: int = Field(64, ge=0, description="pieces that neighbouring windows share")
    masking: Dropout = Field(0.0, description="share of pieces hidden behind the mask piece in training")
    casing: bool = Field(False, description="let an uncased encoder see casing, as vectors added to its input")
    train_word_table: bool = Field(True, description="whether the embeddings of the pieces are fine-tuned too")


class EntitySettings(Settings):
    """The entity head."""

    scheme: Scheme = "bioes"
    layers: int = Field(1, ge=1, description="linear layers, the last of which gives the tags")
    size: int = Field(256, ge=1, description="width of the inner layers")
    activation: Activation = "gelu"
    dropout: Dropout = 0.1
    decoding: Decoding = Field("legal", description="argmax of each word, or the best legal string of tags")


class RelationSettings(Settings):
    """The relation head."""

    proposals: Proposals = Field("both", description="entities that training builds candidates from")
    pooling: Literal["last", "first-last", "max"] = Field("max", description="how an entity's words become one vector")
    labels: Labels = Field("type", description="what the label embedding shows of an entity")
    label_size: int = Field(128, ge=1)
    projections: Literal["separate", "shared", "none"] = Field("separate", description="head and tail networks")
    layers: int = Field(2, ge=1)
    size: int = Field(512, ge=1, description="width of the head and tail networks")
    output_size: int | None = Field(None, ge=1, description="width of their last layer; none: as the others")
    activation: Activation = "relu"
    dropout: Dropout = 0.1
    scorer: Literal["biaffine", "feedforward", "biaffine+feedforward"] = "biaffine"
    bilinear: bool = Field(True, description="whether the biaffine scorer has its bilinear term")
    scorer_size: int = Field(256, ge=1, description="hidden width of the feedforward scorer")
    context: bool = Field(True, description="add the max-pooled words between the two entities")
    distance: int = Field(32, ge=0, description="size of the embedding of the distance in words; 0 for none")
    decision: Decision = Field("softmax", description="one type or NEG a pair, or each type on its own")
    threshold: Share | None = Field(None, description="least probability of a relation; none: above NEG (sigmoid: 0.5)")
    constrain: bool = Field(True, description="only argument types seen in training (or written in the schema)")

    @field_validator("labels", "projections", mode="before")
    @classmethod
    def _none_is_a_choice(cls, value: Any) -> Any:
        """`relations.labels=none` reads as absent everywhere else; here it names a choice."""
        return "none" if value is None else value


class TrainingSettings(Settings):
    """The training loop. Sizes of batches are in documents and in pieces, whichever is reached first."""

    epochs: int = Field(20, ge=1)
    batch_size: int = Field(16, ge=1)
    batch_pieces: int = Field(1024, ge=1, description="most pieces of a batch, padding included")
    bucket_batches: int = Field(16, ge=1, description="batches sorted by length together; 1 for none")
    accumulation: int = Field(1, ge=1, description="batches whose gradients are added before a step")
    learning_rate: float = Field(5e-5, gt=0, description="of the encoder")
    head_learning_rate: float | None = Field(None, gt=0, description="of everything else; none: as the encoder's")
    layer_decay: float = Field(1.0, gt=0, le=1, description="factor on the rate of each lower encoder layer")
    weight_decay: float = Field(0.01, ge=0)
    schedule: Schedule = "linear"
    warmup: Share = Field(0.1, description="share of all steps in which learning rates rise from 0")
    max_gradient_norm: float = Field(1.0, gt=0)
    precision: Precision = Field("no", description="auto is bf16 where the hardware computes it, else no")
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
    entities: EntitySettings = EntitySettings()
    relations: RelationSettings = RelationSettings()
    training: TrainingSettings = TrainingSettings()
    text: TextSettings = TextSettings()
    symmetric: tuple[str, ...] = Field((), description="relation types that hold both ways")
    paper: PaperSettings | None = None


def preset_names() -> list[str]:
    """The names of the presets that come with conjoin."""
    folder = resources.files("conjoin") / "presets"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load_config(source: str | Path, overrides: Iterable[str] = ()) -> Config:
    """Settings of a preset's name or a TOML file, with overrides like `training.learning_rate=2e-5`.

    Raises `SettingError` for unknown names, unknown keys and values out of range.
    """
    values = _read(source, seen=())
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key.strip():
            raise SettingError(f"override '{override}' has no key=value form, like training.learning_rate=2e-5")
        _put(values, key.strip().split("."), _parse(text.strip()))
    return parse_config(values, str(source))


def parse_config(values: Mapping[str, Any], source: str) -> Config:
    """Settings from plain values; `source` names them in errors."""
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise SettingError(f"{source}: {_explain(error)}") from error


def _read(source: str | Path, seen: tuple[str, ...]) -> dict[str, Any]:
    name = str(source)
    if name in seen:
        raise SettingError(f"presets name each other as base: {' -> '.join([*seen, name])}")
    path = Path(name)
    if name.endswith(".toml") or path.is_file():
        if not path.is_file():
            raise SettingError(f"{path}: no such settings file; take a preset: {', '.join(preset_names())}")
        text = _read_text(path)
    elif name in preset_names():
        text = (resources.files("conjoin") / "presets" / f"{name}.toml").read_text(encoding="utf-8")
    else:
        raise SettingError(unknown_name("preset", name, preset_names()))
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingError(f"{name}: not valid TOML: {error}") from error
    base = values.pop("base", None)
    if str(base).endswith(".toml"):  # named from where the file that names it lies
        base = (path.parent / str(base)).resolve()
    return _merge(_read(base, (*seen, name)), values) if base else values


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"{path}: not readable as UTF-8 text: {error}") from error


def _merge(base: dict[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in values.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _put(values: dict[str, Any], path: Sequence[str], value: Any) -> None:
    for key in path[:-1]:
        values = values.setdefault(key, {})
        if not isinstance(values, dict):
            raise SettingError(f"override '{'.'.join(path)}': '{key}' is a value, not a table of settings")
    values[path[-1]] = value


def _parse(text: str) -> Any:
    if text.lower() == "none":
        return None
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _explain(error: ValidationError) -> str:
    """The first thing wrong, in one sentence."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return unknown_name("setting", place, all_keys())
    return f"setting {place} = {first['input']!r}: {first['msg'][0].lower()}{first['msg'][1:]}"


def to_toml(config: Config) -> str:
    """All settings as TOML that `load_config` reads back; settings that are none are comments."""
    lines = []
    tables = []
    for name, value in config.model_dump(mode="json").items():
        if isinstance(value, dict):
            tables += ["", f"[{name}]", *_toml_lines(value)]
        else:
            lines += _toml_lines({name: value})
    return "\n".join([*lines, *tables]).lstrip("\n") + "\n"


def _toml_lines(values: Mapping[str, Any]) -> list[str]:
    """`key = value` lines; JSON strings, numbers, booleans and lists are valid TOML too."""
    lines = []
    for key, value in values.items():
        if value is None:
            lines.append(f"# {key} = none")
        elif isinstance(value, dict):
            inner = ", ".join(f"{_toml_value(name)} = {_toml_value(entry)}" for name, entry in value.items())
            lines.append(f"{key} = {{ {inner} }}")
        else:
            lines.append(f"{key} = {_toml_value(value)}")
    return lines


def _toml_value(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # the one character JSON alone allows raw


def all_keys() -> list[str]:
    """Every dotted key of the settings."""
    keys = []
    for name, field in Config.model_fields.items():
        if isinstance(field.default, Settings):
            keys += [f"{name}.{inner}" for inner in type(field.default).model_fields]
        else:
            keys.append(name)
    return keys


def build_model(config: Config, schema: Schema, *, folder: Path | None = None) -> JointModel:
    """A new model for a schema. With `folder`, a saved encoder's, pre-trained weights are not loaded."""
    encoder, tokenizer = load_transformer(config.encoder.name, dropout=config.encoder.dropout, folder=folder)
    embedder = TransformerEmbedder(
        encoder,
        tokenizer,
        word_pooling=config.encoder.word_pooling,
        most_pieces=config.encoder.most_pieces,
        overlap=config.encoder.overlap,
        train_word_table=config.encoder.train_word_table,
        masking=config.encoder.masking,
        see_casing=config.encoder.casing,
    )
    entities = build_entity_head(config.entities, schema, embedder.width)
    labels = config.relations.labels
    relations = None
    if schema.relation_types:
        relations = build_relation_head(config.relations, schema, embedder.width, entities.marks_width(labels))
    return JointModel(
        schema,
        embedder=embedder,
        entities=entities,
        relations=relations,
        labels=labels,
        proposals=config.relations.proposals,
    )


def build_entity_head(settings: EntitySettings, schema: Schema, width: int) -> TaggerHead:
    """The entity head on states of a width."""
    return TaggerHead(
        width,
        schema.entity_types,
        scheme=settings.scheme,
        layers=settings.layers,
        size=settings.size,
        activation=settings.activation,
        dropout=settings.dropout,
        decoding=settings.decoding,
    )


def build_relation_head(settings: RelationSettings, schema: Schema, width: int, marks: int) -> RelationHead:
    """The relation head on states of a width and label indicators of a width."""
    pooling = SpanPooling(width, how=settings.pooling)
    labels = nn.Linear(marks, settings.label_size, bias=False) if marks else None
    projections = build_projections(settings, pooling.width + (settings.label_size if marks else 0))
    features = PairFeatures(width, context=settings.context, distance=settings.distance, dropout=settings.dropout)
    outputs = len(schema.relation_types) + (settings.decision == "softmax")
    return RelationHead(
        schema,
        pooling=pooling,
        labels=labels,
        projections=projections,
        features=features,
        scorer=build_scorer(settings, projections.width, outputs, features.width),
        decision=settings.decision,
        threshold=settings.threshold,
        dropout=settings.dropout,
        constrain=settings.constrain,
    )


def build_projections(settings: RelationSettings, width: int) -> Projections:
    """The head and tail networks: two, one for both, or none."""
    if settings.projections == "none":
        return Projections(nn.Identity(), nn.Identity(), width)

    def network() -> FeedForward:
        return FeedForward(
            width, settings.size, layers=settings.layers, activation=settings.activation, dropout=settings.dropout,
            output=settings.output_size,
        )

    head = network()
    return Projections(head, head if settings.projections == "shared" else network(), head.width)


def build_scorer(settings: RelationSettings, width: int, outputs: int, features: int) -> nn.Module:
    """The pair scorer."""

    def biaffine() -> nn.Module:
        return Biaffine(width, outputs, features=features, bilinear=settings.bilinear)

    def feedforward() -> nn.Module:
        return FeedForwardPairs(
            width,
            outputs,
            features=features,
            size=settings.scorer_size,
            activation=settings.activation,
            dropout=settings.dropout,
        )

    scorers: dict[str, Callable[[], nn.Module]] = {
        "biaffine": biaffine,
        "feedforward": feedforward,
        "biaffine+feedforward": lambda: SummedPairs(biaffine(), feedforward()),
    }
    return scorers[settings.scorer]()
