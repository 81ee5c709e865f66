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

from conjoin.document import Document
from conjoin.download import local_file
from conjoin.embedders.characters import CharacterEmbedder, alphabet_of, saved_alphabet
from conjoin.embedders.elmo import Elmo, load_elmo, saved_elmo
from conjoin.embedders.embedder import Embedder, JoinedEmbedder
from conjoin.embedders.feature_cache import FeatureCache, cache_folder
from conjoin.embedders.frozen import FrozenEmbedder, FrozenTransformer
from conjoin.embedders.static import CasingEmbedder, WordVectors, saved_words
from conjoin.embedders.transformer import TransformerEmbedder, WordPooling, load_transformer
from conjoin.embedders.vector_table import VectorTable
from conjoin.errors import SettingError, unknown_name
from conjoin.heads.relations import Decision, PairFeatures, Projections, RelationHead
from conjoin.heads.tagger import Decoding, Labels, Output, Reduction, TaggerHead
from conjoin.model import JointModel, LabelSource, Proposals
from conjoin.nn.layers import Activation, FeedForward, LayerMix, SpanPooling
from conjoin.nn.pairs import Biaffine, Cosine, DistMult, DistMultCosine, FeedForwardPairs, SummedPairs
from conjoin.nn.recurrent import Cell, RecurrentStack
from conjoin.schema import Schema
from conjoin.tagging import Scheme
from conjoin.training.optimizer import Optimizer, Schedule
from conjoin.training.precision import Precision

Scorer = Literal["biaffine", "feedforward", "biaffine+feedforward", "distmult", "cosine", "distmult+cosine"]
Share = Annotated[float, Field(ge=0, le=1)]
Dropout = Annotated[float, Field(ge=0, lt=1)]


class Settings(BaseModel):
    """Parent of all tables of settings: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class EncoderSettings(Settings):
    """The pre-trained encoder. `name` is a hub name, a folder or the alias `minilm`; none for a model without one."""

    name: str | None = "minilm"
    frozen: bool = Field(False, description="keep its weights and cache its vectors, or fine-tune it")
    layers: Literal["last", "mix"] = Field("last", description="a word's vector: the last layer's, or a trained mix")
    dropout: Dropout | None = Field(None, description="in the encoder; none keeps its own setting")
    word_pooling: WordPooling = Field("first", description="how the pieces of a word become one vector")
    most_pieces: int = Field(512, ge=1, description="longest window in pieces, if the encoder takes that many")
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
    embedding_size: int = Field(25, ge=1)
    cell: Cell = "gru"


class StackSettings(Settings):
    """Recurrent layers over the words: shared by both tasks, then each task's own."""

    shared: int = Field(0, ge=0, description="layers that both tasks use")
    entities: int = Field(0, ge=0, description="further layers of the entity head alone")
    relations: int = Field(0, ge=0, description="further layers of the relation head alone")
    cell: Cell = "gru"
    size: int = Field(256, ge=1, description="of one direction")
    dropout: Dropout = Field(0.0, description="before each layer")
    residual: bool = Field(False, description="a layer as wide as its input adds the input to its output")


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


class RelationSettings(Settings):
    """The relation head."""

    proposals: Proposals = Field("both", description="entities that training builds candidates from")
    mixture: Share = Field(0.5, description="share of sentences with predicted entities when proposals = mixture")
    pooling: Literal["last", "first-last", "max"] = Field("max", description="how an entity's words become one vector")
    labels: Labels = Field("type", description="what the label embedding shows of an entity")
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
    optimizer: Optimizer = Field("adamw", description="nadam is Adam with Nesterov momentum; the decay is decoupled in all")
    accumulation: int = Field(1, ge=1, description="batches whose gradients are added before a step")
    learning_rate: float = Field(5e-5, gt=0, description="of the encoder")
    head_learning_rate: float | None = Field(None, gt=0, description="of everything else; none: as the encoder's")
    layer_decay: float = Field(1.0, gt=0, le=1, description="factor on the rate of each lower encoder layer")
    weight_decay: float = Field(0.01, ge=0)
    schedule: Schedule = "linear"
    warmup: Share = Field(0.1, description="share of all steps in which learning rates rise from 0")
    max_gradient_norm: float = Field(1.0, gt=0)
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
        return Config.model_validate(_absent(values))
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


def _absent(value: Any) -> Any:
    """TOML has no word for what is absent; in settings it is "none"."""
    if isinstance(value, dict):
        return {key: _absent(inner) for key, inner in value.items()}
    return None if value == "none" else value


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
        inner = next(iter(first["input"]), "") if isinstance(first["input"], dict) else ""
        place += f".{inner}" if inner else ""  # of an unknown table, the first key in it
        return unknown_name("setting", place, all_keys(), listed_by="conjoin presets conjoin-base")
    return f"setting {place} = {first['input']!r}: {first['msg'][0].lower()}{first['msg'][1:]}"


def to_toml(config: Config) -> str:
    """All settings as TOML that `load_config` reads back; absent ones are "none"."""
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
            lines.append(f'{key} = "none"')
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


def build_model(
    config: Config,
    schema: Schema,
    *,
    documents: Sequence[Document] = (),
    folder: Path | None = None,
    cache: FeatureCache | None = None,
) -> JointModel:
    """A new model for a schema.

    Words and characters that it learns are those of `documents`. With `folder`, a saved model's, they are read from there
    and no pre-trained weights are loaded. `cache` keeps the vectors of frozen encoders.
    """
    return assemble_model(config, schema, build_embedder(config, documents=documents, folder=folder, cache=cache))


def assemble_model(config: Config, schema: Schema, embedder: Embedder) -> JointModel:
    """A new model over an embedder: stacks and heads."""
    stack = config.stack
    shared = build_stack(stack, embedder.width, stack.shared)
    entity_stack = build_stack(stack, shared.width, stack.entities)
    entities = build_entity_head(config.entities, schema, entity_stack.width)
    labels = config.relations.labels
    relation_stack = relations = None
    if schema.relation_types:
        relation_stack = build_stack(stack, shared.width, stack.relations)
        relations = build_relation_head(config.relations, schema, relation_stack.width, entities.marks_width(labels))
    return JointModel(
        schema,
        embedder=embedder,
        shared=shared,
        entity_stack=entity_stack,
        entities=entities,
        relation_stack=relation_stack,
        relations=relations,
        labels=labels,
        label_source=config.relations.label_source,
        proposals=config.relations.proposals,
        mixture=config.relations.mixture,
    )


def build_embedder(
    config: Config, *, documents: Sequence[Document] = (), folder: Path | None = None, cache: FeatureCache | None = None
) -> Embedder:
    """All embedders that the settings ask for, joined; arguments as for `build_model`."""
    texts = [document.words for document in documents]
    parts: dict[str, Any] = {}
    if config.encoder.name is not None:
        parts["transformer"] = build_transformer(config.encoder, folder=folder, cache=cache)
    if config.elmo.options is not None:
        parts["elmo"] = FrozenEmbedder(build_elmo(config.elmo, folder=folder), cache=cache)
    if config.words.vectors is not None:
        parts["words"] = build_word_vectors(config.words.vectors, texts, folder=folder)
    if config.characters.size:
        parts["characters"] = CharacterEmbedder(
            saved_alphabet(folder) if folder else alphabet_of(texts),
            embedding_size=config.characters.embedding_size,
            size=config.characters.size,
            cell=config.characters.cell,
        )
    if config.words.casing:
        parts["casing"] = CasingEmbedder()
    if not parts:
        raise SettingError("the model would see nothing of its words: set encoder.name, elmo.options, words.vectors or "
                           "characters.size")
    embedder: Embedder = next(iter(parts.values())) if len(parts) == 1 else JoinedEmbedder(parts)
    return embedder


def build_transformer(
    settings: EncoderSettings, *, folder: Path | None, cache: FeatureCache | None
) -> TransformerEmbedder | FrozenEmbedder:
    """A Hugging Face encoder, to be fine-tuned or frozen."""
    encoder, tokenizer = load_transformer(str(settings.name), dropout=settings.dropout, folder=folder)
    fine_tuned = not settings.frozen
    layers = 1 + int(encoder.config.num_hidden_layers)  # type: ignore[union-attr, arg-type]
    embedder = TransformerEmbedder(
        encoder,
        tokenizer,
        word_pooling=settings.word_pooling,
        most_pieces=settings.most_pieces,
        overlap=settings.overlap,
        train_word_table=settings.train_word_table,
        masking=settings.masking if fine_tuned else 0.0,
        see_casing=settings.casing and fine_tuned,
        mix=LayerMix(layers) if settings.layers == "mix" and fine_tuned else None,
    )
    if fine_tuned:
        return embedder
    return FrozenEmbedder(FrozenTransformer(embedder, all_layers=settings.layers == "mix"), cache=cache)


def build_elmo(settings: ElmoSettings, *, folder: Path | None) -> Elmo:
    """The ELMo model of the settings, or the saved one."""
    if folder:
        return saved_elmo(folder)
    if settings.options is None or settings.weights is None:
        raise SettingError("ELMo needs both elmo.options and elmo.weights, each the path or address of a file")
    options = local_file(settings.options, sha256=None, cache=cache_folder())
    return load_elmo(options, local_file(settings.weights, sha256=settings.weights_sha256, cache=cache_folder()))


def build_word_vectors(source: str, texts: Sequence[Sequence[str]], *, folder: Path | None) -> WordVectors:
    """Word vectors for the words of the texts; of a saved model, with the whole file beside them if it is still there."""
    if folder is None:
        return WordVectors.from_table(VectorTable.open(source, cache=cache_folder()), texts)
    table = VectorTable.open(source, cache=cache_folder()) if Path(source).expanduser().is_file() else None
    return saved_words(folder, table=table)


def build_stack(settings: StackSettings, width: int, layers: int) -> RecurrentStack:
    """Recurrent layers over states of a width."""
    return RecurrentStack(
        width, layers=layers, size=settings.size, cell=settings.cell, dropout=settings.dropout, residual=settings.residual
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
        output=settings.output,
        reduction=settings.reduction,
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

    scorers: dict[Scorer, Callable[[], nn.Module]] = {
        "biaffine": biaffine,
        "feedforward": feedforward,
        "biaffine+feedforward": lambda: SummedPairs(biaffine(), feedforward()),
        "distmult": lambda: DistMult(width, outputs, features=features),
        "cosine": lambda: Cosine(width, outputs, features=features),
        "distmult+cosine": lambda: DistMultCosine(
            width, outputs, features=features, size=settings.scorer_size, activation=settings.activation
        ),
    }
    return scorers[settings.scorer]()
