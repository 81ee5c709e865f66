"""Writing and reading the weights of a saved model."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_model, save_file
from torch import Tensor

from conjoin.artifacts.model_folder import READ_ERRORS, Contents, broken_folder, read_json, short_message, types_digest
from conjoin.config.settings import Config
from conjoin.errors import ModelError
from conjoin.modeling.architectures import find_architecture
from conjoin.modeling.joint import JointModel

WEIGHTS = "weights.safetensors"
LABELS_KEY = "conjoin.labels"  # in the header of the weights: a digest of the types of their rows


def write_model(model: JointModel, folder: Path) -> None:
    """Write the weights and the files of the embedders."""
    model.embedder.save(folder)
    weights = folder / WEIGHTS
    weights.touch()
    mode = weights.stat().st_mode
    save_file(_copies(model), weights, metadata={LABELS_KEY: types_digest(model.schema)})
    weights.chmod(mode)  # safetensors makes it readable by the owner alone


def read_model(contents: Contents, *, device: str | None = None, training: bool = True) -> JointModel:
    """The model of a folder, on a GPU if there is one and no other device is named.

    Only with `training` it may be trained or exported. Raises `ModelError` for a broken folder.
    """
    try:
        _check_encoder(contents.config, contents.folder)
        load = find_architecture(contents.architecture).load
        model = load(contents.config, contents.schema, contents.folder, training)
    except READ_ERRORS as error:
        raise broken_folder(contents.folder, error) from error
    _fill(model, contents.folder / WEIGHTS)
    return model.to(device or ("cuda" if torch.cuda.is_available() else "cpu")).eval()


def _check_encoder(config: Config, folder: Path) -> None:
    """A file that is missing here must not be looked up on a model hub, under the name of the folder."""
    for name in ("config.json", "tokenizer.json") if config.encoder.name is not None else ():
        read_json(folder / "encoder" / name)


def _fill(model: JointModel, path: Path) -> None:
    """Refuse weights whose digest is of other types; older weights have none."""
    try:
        load_model(model, str(path), strict=True)
        with safe_open(str(path), framework="pt") as file:
            digest = (file.metadata() or {}).get(LABELS_KEY)
        if digest not in (None, types_digest(model.schema)):
            raise RuntimeError("schema.json has other types than the weights were trained for")
    except (OSError, SafetensorError, RuntimeError) as error:
        raise ModelError(f"{path}: weights missing, truncated or of another model ({short_message(error)}); copy the "
                         "folder again or train anew") from error


def _copies(model: JointModel) -> dict[str, Tensor]:
    """Copies of all weights on the CPU, shared ones once: on a GPU the weights of a recurrent layer are views of one
    block, which safetensors refuses."""
    named = {id(value): (name, value) for name, value in model.state_dict(keep_vars=True).items()}
    return {name: value.detach().to("cpu", copy=True).contiguous() for name, value in named.values()}
