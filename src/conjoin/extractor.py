"""The front door: load a trained model, extract from raw text, annotate documents, evaluate, save."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_model, save_file
from torch import Tensor

from conjoin.batching import annotate_all
from conjoin.card import model_card
from conjoin.config import build_model, parse_config
from conjoin.document import Document, Relation
from conjoin.errors import ConjoinError, ModelError, SettingError
from conjoin.files import whole_folder
from conjoin.metrics import Report, score
from conjoin.model import JointModel
from conjoin.schema import Schema
from conjoin.settings import Config
from conjoin.text import Unit, merge, split
from conjoin.version import __version__

LOGGER = logging.getLogger("conjoin")
FORMAT_VERSION = 1
MODEL_FILES = ("config.json", "schema.json")  # a folder that holds both is a model
LABELS_KEY = "conjoin.labels"  # in the header of the weights: a digest of the types that their rows stand for
# How much text is read before a result must be given: little at first, for those who wait for it, then five times as
# much each time, for full batches; the most bounds memory on endless input.
FIRST_LOOK_AHEAD_CHARACTERS = 2_000
LOOK_AHEAD_CHARACTERS = 50_000
BATCH_PIECES = 2048
# What settings, schema, transformers and tokenizers raise over files that are missing, or JSON but not what they should be.
BROKEN = (ConjoinError, AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Least scores of what is returned; an entity that falls takes its relations along."""

    entities: float = 0.0
    relations: float = 0.0

    def __post_init__(self) -> None:
        for name, least in (("entities", self.entities), ("relations", self.relations)):
            if not 0 <= least <= 1:
                raise SettingError(f"the threshold of {name} is {least}; give a number from 0 to 1, as scores are")

    def apply(self, document: Document) -> Document:
        """The document without what scores too low. What has no score stays."""
        if self.entities <= 0 and self.relations <= 0:
            return document
        entities = [entity for entity in document.entities if _reaches(entity.score, self.entities)]
        kept = set(entities)

        def stays(relation: Relation) -> bool:
            return relation.head in kept and relation.tail in kept and _reaches(relation.score, self.relations)

        return document.annotated(entities, filter(stays, document.relations))


def _reaches(score: float | None, least: float) -> bool:
    return score is None or score >= least


class Extractor:
    """A trained model with its settings.

    `extractor("text")` gives one `Document` with entities, relations and character offsets; `extractor.pipe(texts)`
    streams; `extractor.annotate(documents)` keeps given words.
    """

    def __init__(
        self,
        model: JointModel,
        config: Config,
        *,
        metrics: Mapping[str, Any] | None = None,
        thresholds: Thresholds | None = None,
    ) -> None:
        self.model = model.eval()
        self.config = config
        self.metrics = dict(metrics or {})
        self.thresholds = thresholds or Thresholds()

    @property
    def schema(self) -> Schema:
        return self.model.schema

    def __call__(self, text: str, *, id: str = "") -> Document:
        """Entities and relations of a raw text, sentence by sentence."""
        return next(self.pipe_named([(id, text)]))

    def pipe(self, texts: Iterable[str]) -> Iterator[Document]:
        """Extract from a stream of raw texts; results come in order, memory does not grow with the stream.

        A text is cut into sentences, which are read on their own. Where the stream fails, the results of what came before
        are given first. Raises `TypeError` for one text on its own, and for what is no text.
        """
        if isinstance(texts, str):
            raise TypeError("pipe takes several texts; call extractor(text) for one, or pipe([text])")
        return self.pipe_named(("", text) for text in texts)

    def pipe_named(self, texts: Iterable[tuple[str, str]]) -> Iterator[Document]:
        """As `pipe`, over pairs of id and text; the ids are those of the results."""
        waiting: list[tuple[str, str, list[Unit]]] = []
        size, look_ahead = 0, FIRST_LOOK_AHEAD_CHARACTERS
        failure: Exception | None = None
        source = enumerate(texts, start=1)
        while True:
            try:
                number, (name, text) = next(source)
                waiting.append((name, text, self._units(number, name, text)))
            except StopIteration:
                break
            except Exception as error:  # noqa: BLE001 - raised again, after the results of what came before
                failure = error
                break
            size += len(text) + 1  # an endless stream of empty lines fills up too
            if size >= look_ahead:
                yield from self._extract(waiting)
                waiting, size, look_ahead = [], 0, min(5 * look_ahead, LOOK_AHEAD_CHARACTERS)
        yield from self._extract(waiting)
        if failure is not None:
            raise failure

    def _units(self, number: int, name: str, text: str) -> list[Unit]:
        if not isinstance(text, str):
            raise TypeError(f"text {number} is {repr(text)[:40]}, where a string is expected; leave it out, or give ''")
        hyphens = self.config.text.hyphens
        return split(text, id=name, hyphens="cut" if hyphens == "learn" else hyphens)

    def _extract(self, waiting: Sequence[tuple[str, str, list[Unit]]]) -> Iterator[Document]:
        annotated = iter(self.annotate([unit.document for _, _, units in waiting for unit in units]))
        for name, text, units in waiting:
            yield merge(text, units, [next(annotated) for _ in units], id=name)

    def annotate(self, documents: Sequence[Document], *, gold_entities: bool = False) -> list[Document]:
        """The documents, on their own words, with predicted annotations; with `gold_entities` only relations are.

        Raises `DataError` for gold entities of types that the model does not know.
        """
        if gold_entities:
            self.schema.check(document.annotated(document.entities, ()) for document in documents)
        annotated = annotate_all(self.model, documents, gold_entities=gold_entities, batch_pieces=BATCH_PIECES)
        return [self.thresholds.apply(document) for document in annotated]

    def evaluate(
        self, documents: Sequence[Document], *, gold_entities: bool = False, raw_text: bool = False
    ) -> Report:
        """Scores on annotated documents, under every match.

        With `raw_text` the model sees the bare text alone and finds sentences and words itself; spans are then compared
        by characters. With `gold_entities` it is given the entities. Raises `DataError` for types it does not know.
        """
        self.schema.check(documents)
        if raw_text:
            predicted = list(self.pipe(document.text for document in documents))
        else:
            predicted = self.annotate(documents, gold_entities=gold_entities)
        return score(documents, predicted, symmetric=self.schema.symmetric, characters=raw_text)

    def save(self, path: str | Path) -> None:
        """Write the model folder, whole or not at all: settings, schema, weights, tokenizer, metrics, card.

        An earlier model goes. Raises `ModelError` when `path` is a file or a folder of something else.
        """
        with whole_folder(Path(path), replaces=MODEL_FILES) as folder:
            values = {"format": FORMAT_VERSION, "conjoin": __version__, "config": self.config.model_dump(mode="json")}
            _write_json(folder / "config.json", values)
            _write_json(folder / "schema.json", self.schema.to_json())
            _write_json(folder / "metrics.json", self.metrics)
            self.model.embedder.save(folder)
            weights = folder / "weights.safetensors"
            save_file(_weights(self.model), weights, metadata={LABELS_KEY: _labels_digest(self.schema)})
            weights.chmod((folder / "config.json").stat().st_mode)  # safetensors gives it to the owner alone
            parameters = sum(value.numel() for value in self.model.parameters())
            card = model_card(self.config.model_dump(mode="json"), self.schema, self.metrics, parameters)
            (folder / "README.md").write_text(card, encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path, *, device: str | None = None, thresholds: Thresholds | None = None) -> Extractor:
        """Load a model folder or a training run. No code of the folder is run. Raises `ModelError` when it is broken."""
        folder = model_folder(Path(path))
        values = _read_json(folder / "config.json")
        if values.get("format") != FORMAT_VERSION:
            raise ModelError(f"{folder / 'config.json'}: model format {values.get('format')!r}, this version of conjoin "
                             f"reads {FORMAT_VERSION}; train again, or install the version that wrote it")
        labels = _read_json(folder / "schema.json")
        try:
            config = parse_config(values.get("config", {}), str(folder / "config.json"))
            schema = Schema.from_json(labels)
            _check_encoder(config, folder)
            model = build_model(config, schema, folder=folder)
        except BROKEN as error:
            wrong = _first_line(error).partition(";")[0]
            raise ModelError(f"{folder}: broken model folder ({wrong}); copy it again or train anew") from error
        _load_weights(model, folder / "weights.safetensors")
        chosen = device or ("cuda" if torch.cuda.is_available() else "cpu")
        return cls(model.to(chosen), config, metrics=_read_metrics(folder / "metrics.json"), thresholds=thresholds)


def model_folder(path: Path) -> Path:
    """The model folder that `path` is, or that the training run `path` holds."""
    for folder in (path / "model", path):
        if all((folder / name).is_file() for name in MODEL_FILES):
            return folder
    if not path.exists():
        raise ModelError(f"{path}: no such folder; give a model folder or a run of conjoin train")
    raise ModelError(f"{path}: not a conjoin model (no config.json and schema.json); give the folder that conjoin train "
                     "wrote, and see that its training has finished")


def _check_encoder(config: Config, folder: Path) -> None:
    """What a saved encoder lacks must not be looked for on a model hub, under a name like its folder's."""
    for name in ("config.json", "tokenizer.json") if config.encoder.name is not None else ():
        _read_json(folder / "encoder" / name)


def _load_weights(model: JointModel, path: Path) -> None:
    """Fill the model. Weights of other types, in whatever number, are refused; those without a digest are believed."""
    try:
        load_model(model, str(path), strict=True)
        with safe_open(str(path), framework="pt") as file:
            digest = (file.metadata() or {}).get(LABELS_KEY)
        if digest not in (None, _labels_digest(model.schema)):
            raise RuntimeError("schema.json has other types than the weights were trained for")
    except (OSError, SafetensorError, RuntimeError) as error:
        raise ModelError(f"{path}: weights missing, truncated or of another model ({_first_line(error)}); copy the "
                         "folder again or train anew") from error


def _weights(model: JointModel) -> dict[str, Tensor]:
    """Copies of all weights, on the CPU, those under several names once: on a GPU the weights of a recurrent layer are
    views of one block, which cannot be written."""
    named = {id(value): (name, value) for name, value in model.state_dict(keep_vars=True).items()}
    return {name: value.detach().to("cpu", copy=True).contiguous() for name, value in named.values()}


def _labels_digest(schema: Schema) -> str:
    """A digest of the types in their order. Symmetric types and argument types may be edited in a saved model."""
    labels = json.dumps([schema.entity_types, schema.relation_types])
    return hashlib.sha256(labels.encode()).hexdigest()[:16]


def _first_line(error: Exception) -> str:
    """The first line of a message that says something: torch begins its own with a heading."""
    lines = [line.strip().rstrip(".") for line in str(error).splitlines() if line.strip()]
    said = [line for line in lines if not line.endswith(":")]
    return (said or lines or [type(error).__name__])[0]


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _read_metrics(path: Path) -> dict[str, Any]:
    """The scores of a saved model; a model without them works as well."""
    if not path.exists():
        return {}
    try:
        return _read_json(path)
    except ModelError as error:
        LOGGER.warning("%s; the scores of this model are not known, the rest of it is read", str(error).partition(";")[0])
        return {}


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: missing or not JSON ({error}); copy the model folder again or train anew") from error
    if not isinstance(value, dict):
        raise ModelError(f"{path}: a JSON object is expected; copy the model folder again or train anew")
    return value
