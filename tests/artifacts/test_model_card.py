"""The model card says what the model is, and every figure it shows is the recorded one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from conjoin.artifacts.model_card import model_card
from conjoin.artifacts.run_record import AnnotationCounts, ModelRecord, ProbeRecord, RunRecord, TrainingRecord
from conjoin.config.presets import load_config
from conjoin.document import Document, Entity, Relation
from conjoin.evaluation.calibration import Calibration
from conjoin.evaluation.metrics import score
from conjoin.features.vector_table import WordCoverage
from conjoin.schema import Schema

SCHEMA = Schema(("Loc", "Peop"), ("Kill", "Meets"), frozenset({"Meets"}), {"Kill": frozenset({("Peop", "Peop")})})
CONFIG = load_config("conjoin-base", ["encoder.name=some/encoder"])
LAST = load_config("conjoin-base", ["encoder.name=some/encoder", "training.select=last"])


def record(**training: Any) -> RunRecord:
    first, second = Entity("Peop", 0, 1), Entity("Peop", 2, 3)
    gold = Document.from_words(["Ann", "met", "Bob"], [first, second], [Relation("Meets", first, second)])
    return RunRecord(
        data={"train": AnnotationCounts(7, 8, 9)},
        test=score([gold], [gold.annotated([first], [])]),
        probe=ProbeRecord(60, 50, false_share=0.25, found_share=0.5),
        training=TrainingRecord(seed=3, trainable=1234, epoch=5, documents=7, **training),
        model=ModelRecord(parameters=5678, megabytes=43.3, sentences_per_second=120, device="cpu"),
    )


def test_the_card_shows_what_was_recorded() -> None:
    card = model_card(CONFIG, SCHEMA, record())
    for line in (
        "Entity types: Loc, Peop.",
        "| Kill | Peop → Peop |",
        "| Meets | any → any |",
        "| train | 7 | 8 | 9 |",
        "| entities | strict | micro | 100.0 | 50.0 | 66.7 |",
        "| relations | strict | macro | 0.0 | 0.0 | 0.0 |",
        "- embeddings: some/encoder (fine-tuned)",
        "- recurrent layers: none",
        "- parameters: 5,678, of which trained: 1,234",
        "- seed: 3",
        "- size: 43.3 MB",
        "- speed: 120 sentences a second on cpu, measured after training",
        "- epoch: 5 (the last)",
        "- Relations without direction: Meets.",
    ):
        assert line in card.splitlines()
    assert "in 25 % of them" in card
    assert "found 50 % of those" in card
    assert "Scores on dev" not in card


def test_the_card_says_which_epoch_was_kept_and_how_many_words_have_a_vector() -> None:
    on_dev = replace(record(word_vectors=WordCoverage(1500, 2000)), dev=record().test)
    lines = model_card(CONFIG, SCHEMA, on_dev).splitlines()
    assert "- epoch: 5 (the best on dev)" in lines
    assert "- vectors for 1,500 of 2,000 words of the training data (75 %)" in lines
    assert "- epoch: 5 (the last)" in model_card(LAST, SCHEMA, on_dev).splitlines()
    lines = model_card(LAST, SCHEMA, record(dev_scores="of another model")).splitlines()
    assert {"- epoch: 5 (the best on dev)", "- dev scores: of another model"} <= set(lines)


def test_a_card_without_records_is_still_a_card() -> None:
    card = model_card(CONFIG, Schema(("Loc",)), RunRecord())
    assert "## Limits" in card
    assert "Scores on" not in card


def test_the_card_of_a_recurrent_model_names_what_it_sees_and_its_layers() -> None:
    config = load_config("crone2020-conll04", ["encoder.name=x", "encoder.frozen=true"])
    card = model_card(config, SCHEMA, RunRecord())
    assert "- embeddings: x (frozen), ELMo (frozen), word vectors of glove.6B.300d.txt (frozen), characters" in card
    assert "- recurrent layers: 1 shared, 1 of entities alone, 2 of relations alone (GRU, 256 each way)" in card


def test_the_card_shows_calibration() -> None:
    fitted = Calibration({"entities": 1.5, "relations": 1.0}, {"entities": {"Loc": 0.25}, "relations": {"Kill": 0.5}})
    row = {"found": 90, "temperature": 1.5, "ece": {"before": 0.123, "after": 0.04}, "bins": {}}
    report = {"entities": row, "relations": row}
    card = model_card(CONFIG, SCHEMA, replace(record(), calibration=report), calibration=fitted, picture="reliability.svg")
    for line in ("| entities | 1.50 | 12.3 % | 4.0 % | 90 |", "| Loc | 0.25 |", "| Kill | 0.50 |",
                 "![Share of correct against mean score](reliability.svg)"):
        assert line in card.splitlines()
    assert "## Calibration" not in model_card(CONFIG, SCHEMA, record())
