"""The record of a training run: data, scores, size and speed. A saved model keeps it in metrics.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from conjoin.document import Document
from conjoin.errors import DataError
from conjoin.evaluation.metrics import Report
from conjoin.features.vector_table import WordCoverage


@dataclass(frozen=True, slots=True)
class AnnotationCounts:
    """Numbers of documents, entities and relations."""

    documents: int
    entities: int
    relations: int

    @classmethod
    def of(cls, documents: Sequence[Document]) -> AnnotationCounts:
        return cls(len(documents), sum(len(document.entities) for document in documents),
                   sum(len(document.relations) for document in documents))


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRecord:
    """How the weights were trained.

    `epoch` is the one whose weights the model holds, `trainable` the number of trained parameters, `documents` the number
    of training documents. `dev_scores` is a remark on the dev scores of the record, where one is needed.
    """

    seed: int | None = None
    word_vectors: WordCoverage | None = None
    trainable: int | None = None
    epoch: int | None = None
    documents: int | None = None
    dev_scores: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRecord:
    """Size and speed of the model. `export` names the arithmetic of an export and is None for a model in torch."""

    sentences_per_second: int | None = None
    device: str | None = None
    parameters: int | None = None
    megabytes: float | None = None
    export: str | None = None


@dataclass(frozen=True, slots=True)
class ProbeRecord:
    """Results of the co-occurrence probe.

    `false_share` of `cooccurring` sentences without a relation got one; `found_share` of the relations in `related`
    sentences, which are similar and state them, were found.
    """

    cooccurring: int
    related: int
    false_share: float
    found_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """Everything that is known about a model from its training; None stands for what is not known.

    `data` has the counts of each split, `calibration` the report of `evaluation.calibration.fit` as JSON.
    """

    training: TrainingRecord = TrainingRecord()
    dev: Report | None = None
    data: Mapping[str, AnnotationCounts] = field(default_factory=dict)
    test: Report | None = None
    model: ModelRecord = ModelRecord()
    probe: ProbeRecord | None = None
    calibration: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values; what is not known is left out."""
        value: dict[str, Any] = _adapter().dump_python(self, mode="json", exclude_none=True)
        return {name: part for name, part in value.items() if part}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> RunRecord:
        """The inverse of `to_json`. Raises `DataError` if a key is missing or has a value of another type."""
        try:
            return _adapter().validate_python(value)
        except ValidationError as error:
            first = error.errors()[0]
            raise DataError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}; train again") from error


@cache
def _adapter() -> TypeAdapter[RunRecord]:
    return TypeAdapter(RunRecord)
