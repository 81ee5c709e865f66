"""The record of a run: JSON out and in, nothing that is not known."""

from __future__ import annotations

import json

import pytest

from conjoin.artifacts.run_record import AnnotationCounts, ModelRecord, ProbeRecord, RunRecord, TrainingRecord
from conjoin.document import Document
from conjoin.errors import DataError
from conjoin.evaluation.metrics import score
from conjoin.features.vector_table import WordCoverage


def test_json_and_back(documents: list[Document]) -> None:
    report = score(documents, [documents[0], *(document.bare() for document in documents[1:])])
    record = RunRecord(
        training=TrainingRecord(seed=1, word_vectors=WordCoverage(3, 4), trainable=5, epoch=6, documents=7),
        dev=report,
        data={"train": AnnotationCounts.of(documents)},
        test=report,
        model=ModelRecord(sentences_per_second=8, device="a GPU", parameters=9, megabytes=1.5, export="8 bits"),
        probe=ProbeRecord(2, 3, false_share=0.5, found_share=1 / 3),
        calibration={"entities": {"found": 9, "bins": {"before": [[1, 0.5, 1.0]]}}},
    )
    value = record.to_json()
    assert list(value) == ["training", "dev", "data", "test", "model", "probe", "calibration"]
    assert value["training"] == {
        "seed": 1, "word_vectors": {"found": 3, "words": 4}, "trainable": 5, "epoch": 6, "documents": 7
    }
    assert value["data"] == {"train": {"documents": 3, "entities": 8, "relations": 3}}
    assert value["test"] == report.to_json()
    assert RunRecord.from_json(json.loads(json.dumps(value))) == record


def test_an_empty_record_is_an_empty_object() -> None:
    assert RunRecord().to_json() == {}
    assert RunRecord.from_json({}) == RunRecord()


def test_other_json_names_its_place() -> None:
    with pytest.raises(DataError, match=r"data\.train\.documents: .*train again"):
        RunRecord.from_json({"data": {"train": {"documents": "many", "entities": 1, "relations": 2}}})
