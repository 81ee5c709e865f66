"""The folder of a saved model: what it is to hold, its settings, types and scores. Its weights are read elsewhere."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conjoin.artifacts.model_card import model_card
from conjoin.config.presets import parse_config
from conjoin.config.settings import Config
from conjoin.errors import ConjoinError, ModelError
from conjoin.evaluation.calibration import Calibration
from conjoin.modeling.architectures import DEFAULT, find_architecture
from conjoin.render.calibration_plot import reliability_svg
from conjoin.schema import Schema
from conjoin.storage.atomic import write_text
from conjoin.version import __version__

LOGGER = logging.getLogger("conjoin")
FORMAT_VERSION = 1
MODEL_FILES = ("config.json", "schema.json")  # a folder that holds both is a model
CALIBRATION = "calibration.json"
RELIABILITY = "reliability.svg"
TOLD = ("README.md", "metrics.json", RELIABILITY)  # files that change no result
EXPORTED = "exported.json"  # and one that holds this too is an export
# What settings, schema, transformers and tokenizers raise over files that are missing, or JSON but not what they should be.
BROKEN = (ConjoinError, AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class Contents:
    """What a model folder says of its model."""

    folder: Path
    config: Config
    schema: Schema
    metrics: dict[str, Any]
    calibration: Calibration | None = None
    architecture: str = DEFAULT

    @property
    def exported(self) -> bool:
        """Whether it holds graphs in place of weights."""
        return (self.folder / EXPORTED).is_file()


def model_folder(path: Path) -> Path:
    """The model folder that `path` is, or that the training run `path` holds."""
    for folder in (path / "model", path):
        if all((folder / name).is_file() for name in MODEL_FILES):
            return folder
    if not path.exists():
        raise ModelError(f"{path}: no such folder; give a model folder or a run of conjoin train")
    raise ModelError(f"{path}: not a conjoin model (no config.json and schema.json); give the folder that conjoin train "
                     "wrote, and see that its training has finished")


def read_contents(path: Path) -> Contents:
    """Settings, types and scores of a model folder or a training run. Raises `ModelError` when it is broken."""
    folder = model_folder(path)
    values = read_json(folder / "config.json")
    if values.get("format") != FORMAT_VERSION:
        raise ModelError(f"{folder / 'config.json'}: model format {values.get('format')!r}, this version of conjoin "
                         f"reads {FORMAT_VERSION}; train again, or install the version that wrote it")
    labels = read_json(folder / "schema.json")
    name = values.get("architecture", DEFAULT)
    find_architecture(name)
    try:
        config = parse_config(values.get("config", {}), str(folder / "config.json"))
        schema = Schema.from_json(labels)
    except BROKEN as error:
        raise broken(folder, error) from error
    return Contents(folder, config, schema, _read_metrics(folder / "metrics.json"), _read_calibration(folder), name)


def write_contents(contents: Contents) -> None:
    """Write settings, types, scores, calibration and the card into the folder."""
    config = contents.config.model_dump(mode="json")
    values = {"format": FORMAT_VERSION, "conjoin": __version__, "architecture": contents.architecture, "config": config}
    write_json(contents.folder / "config.json", values)
    write_json(contents.folder / "schema.json", contents.schema.to_json())
    write_json(contents.folder / "metrics.json", contents.metrics)
    if contents.calibration is not None:
        write_json(contents.folder / CALIBRATION, contents.calibration.to_json())
    pictured = contents.calibration is not None and "calibration" in contents.metrics
    if pictured:
        write_text(contents.folder / RELIABILITY, reliability_svg(contents.metrics["calibration"]))
    card = model_card(config, contents.schema, contents.metrics, calibration=contents.calibration,
                      picture=RELIABILITY if pictured else None)
    write_text(contents.folder / "README.md", card)


def broken(folder: Path, error: Exception) -> ModelError:
    """What is said of a folder that some file of is not what it should be."""
    wrong = first_line(error).partition(";")[0]
    return ModelError(f"{folder}: broken model folder ({wrong}); copy it again or train anew")


def labels_digest(schema: Schema) -> str:
    """A digest of the types in their order. Symmetric types and argument types may be edited in a saved model."""
    labels = json.dumps([schema.entity_types, schema.relation_types])
    return hashlib.sha256(labels.encode()).hexdigest()[:16]


def first_line(error: Exception) -> str:
    """The first line of a message that says something: torch begins its own with a heading."""
    lines = [line.strip().rstrip(".") for line in str(error).splitlines() if line.strip()]
    said = [line for line in lines if not line.endswith(":")]
    return (said or lines or [type(error).__name__])[0]


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file for people to read."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file of a model. Raises `ModelError`."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: missing or not JSON ({error}); copy the model folder again or train anew") from error
    if not isinstance(value, dict):
        raise ModelError(f"{path}: a JSON object is expected; copy the model folder again or train anew")
    return value


def _read_metrics(path: Path) -> dict[str, Any]:
    """The scores of a saved model; a model without them works as well."""
    if not path.exists():
        return {}
    try:
        return read_json(path)
    except ModelError as error:
        LOGGER.warning("%s; the scores of this model are not known, the rest of it is read", str(error).partition(";")[0])
        return {}


def _read_calibration(folder: Path) -> Calibration | None:
    """What `conjoin calibrate` wrote, if it did. Raises `ModelError` when that is broken."""
    path = folder / CALIBRATION
    if not path.exists():
        return None
    try:
        return Calibration.from_json(read_json(path))
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise ModelError(f"{path}: is no calibration ({first_line(error)}); run conjoin calibrate again, or remove the "
                         "file") from error
