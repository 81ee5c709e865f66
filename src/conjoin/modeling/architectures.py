"""The table of architectures. `config.json` of a model names one of them; `joint` is the default."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from conjoin.config.settings import Config
from conjoin.decoding.decoder import data_warnings, fit_documents
from conjoin.document import Document
from conjoin.errors import ModelError, unknown_name
from conjoin.schema import Schema

if TYPE_CHECKING:
    from conjoin.config.options import Precision
    from conjoin.modeling.backend import TorchBackEnd
    from conjoin.modeling.embedders.feature_cache import FeatureCache
    from conjoin.modeling.joint import JointModel

DEFAULT = "joint"


@dataclass(frozen=True, slots=True)
class Architecture:
    """A kind of model. Only calls of its functions import torch.

    Attributes:
        settings: Type of its settings.
        fit: The documents that its models can be trained on. Annotations that they cannot hold raise `DataError`, or are
            left out if the flag (lenient) is set.
        warnings: Sentences about annotations of training documents that its models lose.
        build: Builds a new model from settings, schema, training documents and an optional cache of vectors.
        load: Builds the model of a saved folder, without its weights; the flag says whether it may be trained or exported.
        backend: Wraps a model for annotation in a precision.
    """

    settings: type[Config]
    fit: Callable[[Sequence[Document], bool], tuple[Document, ...]]
    warnings: Callable[[Sequence[Document], Config], Iterator[str]]
    build: Callable[[Config, Schema, Sequence[Document], FeatureCache | None], JointModel]
    load: Callable[[Config, Schema, Path, bool], JointModel]
    backend: Callable[[JointModel, Precision], TorchBackEnd]


def _build_joint(
    config: Config, schema: Schema, documents: Sequence[Document], cache: FeatureCache | None
) -> JointModel:
    from conjoin.modeling.build import build_model

    return build_model(config, schema, documents=documents, cache=cache)


def _load_joint(config: Config, schema: Schema, folder: Path, training: bool) -> JointModel:
    from conjoin.modeling.build import build_model

    return build_model(config, schema, folder=folder, training=training)


def _joint_backend(model: JointModel, precision: Precision) -> TorchBackEnd:
    from conjoin.modeling.backend import TorchBackEnd

    return TorchBackEnd(model, precision=precision)


ARCHITECTURES: dict[str, Architecture] = {
    "joint": Architecture(Config, fit_documents, data_warnings, _build_joint, _load_joint, _joint_backend),
}


def find_architecture(name: str) -> Architecture:
    """The architecture with a name. Raises `ModelError` if there is none."""
    if name not in ARCHITECTURES:
        raise ModelError(f"config.json: {unknown_name('architecture', name, ARCHITECTURES)}, or install the version of "
                         "conjoin that wrote it")
    return ARCHITECTURES[name]
