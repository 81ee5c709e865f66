"""The folder of a saved model: its settings, types, scores and card. `weights` and `exported` read the rest."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conjoin.artifacts.model_card import model_card
from conjoin.artifacts.run_record import RunRecord
from conjoin.config.presets import parse_config
from conjoin.config.settings import Config
from conjoin.errors import ConjoinError, DataError, ModelError
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
DESCRIPTIONS = ("README.md", "metrics.json", RELIABILITY)  # of the model; they change no prediction
EXPORTED = "exported.json"  # a model with this file is an export
# Settings, schema, transformers and tokenizers raise these over files that are missing or hold other JSON.
READ_ERRORS = (ConjoinError, AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class Contents:
    """Everything in a model folder but the weights or graphs."""

    folder: Path
    config: Config
    schema: Schema
    record: RunRecord
    calibration: Calibration | None = None
    architecture: str = DEFAULT

    @property
    def exported(self) -> bool:
        """True for an export, with graphs in place of weights."""
        return (self.folder / EXPORTED).is_file()


def model_folder(path: Path) -> Path:
    """The model folder at `path`, which is one itself or the folder of a training run. Raises `ModelError` without one."""
    for folder in (path / "model", path):
        if all((folder / name).is_file() for name in MODEL_FILES):
            return folder
    if not path.exists():
        raise ModelError(f"{path}: no such folder; give a model folder or a run of conjoin train")
    raise ModelError(f"{path}: not a conjoin model (no config.json and schema.json); give the folder that conjoin train "
                     "wrote, and see that its training has finished")


def read_contents(path: Path) -> Contents:
    """Read settings, types, scores and calibration of a model folder or a training run. Raises `ModelError` if a file is
    missing or broken, or of another version."""
    folder = model_folder(path)
    values = read_json(folder / "config.json")
    if values.get("format") != FORMAT_VERSION:
        raise ModelError(f"{folder / 'config.json'}: model format {values.get('format')!r}, this version of conjoin "
                         f"reads {FORMAT_VERSION}; train again, or install the version that wrote it")
    types = read_json(folder / "schema.json")
    name = values.get("architecture", DEFAULT)
    settings = find_architecture(name).settings
    try:
        config = parse_config(values.get("config", {}), str(folder / "config.json"), settings=settings)
        schema = Schema.from_json(types)
    except READ_ERRORS as error:
        raise broken_folder(folder, error) from error
    return Contents(folder, config, schema, _read_record(folder / "metrics.json"), _read_calibration(folder), name)


def write_contents(contents: Contents) -> None:
    """Write settings, types, scores, calibration and the card into the folder."""
    record, calibration = contents.record, contents.calibration
    report = record.calibration if calibration is not None else None
    card = model_card(contents.config, contents.schema, record, calibration=calibration,
                      picture=RELIABILITY if report is not None else None)
    files = {"README.md": card}
    if report is not None:
        files[RELIABILITY] = reliability_svg(report)
    settings = contents.config.model_dump(mode="json")
    values = {"config.json": {"format": FORMAT_VERSION, "conjoin": __version__, "architecture": contents.architecture,
                              "config": settings},
              "schema.json": contents.schema.to_json(), "metrics.json": record.to_json()}
    if calibration is not None:
        values[CALIBRATION] = calibration.to_json()
    for name, text in (files | {name: _json_text(value) for name, value in values.items()}).items():
        write_text(contents.folder / name, text)


def broken_folder(folder: Path, error: Exception) -> ModelError:
    """The error for a folder of which some file cannot be used."""
    reason = short_message(error).partition(";")[0]
    return ModelError(f"{folder}: broken model folder ({reason}); copy it again or train anew")


def types_digest(schema: Schema) -> str:
    """A digest of the types in their order. Symmetric types and argument types may be edited in a saved model."""
    types = json.dumps([schema.entity_types, schema.relation_types])
    return hashlib.sha256(types.encode()).hexdigest()[:16]


def short_message(error: Exception) -> str:
    """The first line of an error's message that is no heading, as torch begins its own with."""
    lines = [line.strip().rstrip(".") for line in str(error).splitlines() if line.strip()]
    statements = [line for line in lines if not line.endswith(":")]
    return (statements or lines or [type(error).__name__])[0]


def _json_text(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file of a model; raises `ModelError`."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: missing or not JSON ({error}); copy the model folder again or train anew") from error
    if not isinstance(value, dict):
        raise ModelError(f"{path}: a JSON object is expected; copy the model folder again or train anew")
    return value


def _read_record(path: Path) -> RunRecord:
    """The record of a saved model; a model without one works as well."""
    if not path.exists():
        return RunRecord()
    try:
        return RunRecord.from_json(read_json(path))
    except ModelError as error:
        problem = str(error)
    except DataError as error:
        problem = f"{path}: {error}"
    LOGGER.warning("%s; the scores of this model are not known, the rest of it is read", problem.partition(";")[0])
    return RunRecord()


def _read_calibration(folder: Path) -> Calibration | None:
    """The calibration that `conjoin calibrate` wrote, if it did; raises `ModelError` for a broken file."""
    path = folder / CALIBRATION
    if not path.exists():
        return None
    try:
        return Calibration.from_json(read_json(path))
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise ModelError(f"{path}: is no calibration ({short_message(error)}); run conjoin calibrate again, or remove the "
                         "file") from error
