"""conjoin: joint named-entity recognition and relation extraction."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from conjoin.document import Document
from conjoin.errors import needs_train_extra
from conjoin.version import __version__

_HOMES = {
    "Config": "conjoin.config.settings",
    "ConjoinError": "conjoin.errors",
    "Corpus": "conjoin.document",
    "Entity": "conjoin.document",
    "Extractor": "conjoin.extractor",
    "Relation": "conjoin.document",
    "Report": "conjoin.evaluation.metrics",
    "Schema": "conjoin.schema",
    "Thresholds": "conjoin.annotator",
    "Token": "conjoin.document",
    "load_config": "conjoin.config.presets",
    "read_corpus": "conjoin.readers.corpus",
    "score": "conjoin.evaluation.metrics",
    "train": "conjoin.experiments.train",
}
__all__ = ["Config", "ConjoinError", "Corpus", "Document", "Entity", "Extractor", "Relation", "Report", "Schema",
           "Thresholds", "Token", "__version__", "load_config", "read_corpus", "score", "train"]

if TYPE_CHECKING:
    from conjoin.annotator import Thresholds
    from conjoin.config.presets import load_config
    from conjoin.config.settings import Config
    from conjoin.document import Corpus, Entity, Relation, Token
    from conjoin.errors import ConjoinError
    from conjoin.evaluation.metrics import Report, score
    from conjoin.experiments.train import train
    from conjoin.extractor import Extractor
    from conjoin.readers import read_corpus
    from conjoin.schema import Schema


def _notebook_view(document: Document) -> str:
    """The document in the look of the HTML page."""
    from conjoin.render.html import notebook_html

    return notebook_html(document)


Document._repr_html_ = _notebook_view


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that reading data and `--help` never load torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'conjoin' has no attribute '{name}'")
    with needs_train_extra():
        return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return list(__all__)
