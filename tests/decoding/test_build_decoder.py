"""Decoders of settings: labels of entities, rows of the label embedding, rules."""

from __future__ import annotations

import pytest

from conjoin.config.presets import load_config
from conjoin.decoding.decoder import Decoder, build_decoder, label_count
from conjoin.document import Entity
from conjoin.schema import Schema

SCHEMA = Schema(("Loc", "Peop"), ("Live_In",), signatures={"Live_In": frozenset({("Peop", "Loc")})})
ROWS = [[Entity("Loc", 0, 1)], [Entity("Peop", 0, 3)]]


def built(*overrides: str, schema: Schema = SCHEMA) -> tuple[Decoder, int]:
    config = load_config("conjoin-base", overrides)
    decoder = build_decoder(config, schema)
    return decoder, label_count(config.relations, decoder.entities)


@pytest.mark.parametrize(
    ("labels", "scheme", "expected", "count"),
    [
        # bio: O, B-Loc, I-Loc, B-Peop, I-Peop: the last word of "Loc" on one word is B-Loc, of "Peop" on three I-Peop.
        ("tag", "bio", [1, 4], 5),
        # bioes: O, B-Loc, I-Loc, E-Loc, S-Loc, B-Peop, I-Peop, E-Peop, S-Peop: S-Loc and E-Peop.
        ("tag", "bioes", [4, 7], 9),
        ("type", "bio", [0, 1], 2),
        ("type", "bioes", [0, 1], 2),
        ("none", "bio", None, 0),
    ],
)
def test_labels_are_tags_of_last_words_or_types(
    labels: str, scheme: str, expected: list[int] | None, count: int
) -> None:
    decoder, rows = built(f"relations.label_embedding={labels}", f"entities.scheme={scheme}")
    assert decoder.relations is not None
    spans, _ = decoder.relations.candidates(ROWS)
    assert (None if spans.labels is None else spans.labels.tolist()) == expected
    assert rows == count


def test_settings_become_rules() -> None:
    decoder, _ = built("relations.decision=sigmoid", "relations.threshold=0.7", "entities.scheme=bio",
                       "entities.decoding=argmax", "relations.constrain=false")
    assert (decoder.entities.scheme, decoder.entities.legal) == ("bio", False)
    assert decoder.relations is not None and decoder.relations.allowed.all()
    assert (decoder.relations.decision, decoder.relations.min_score) == ("sigmoid", 0.7)
    constrained, _ = built("entities.decoding=legal", "relations.constrain=true")
    assert constrained.entities.legal and constrained.relations is not None
    assert constrained.relations.allowed[..., 0].tolist() == [[False, False], [True, False]]  # Peop → Loc alone


def test_without_relation_types_there_is_no_relation_decoder() -> None:
    assert built(schema=Schema(("Loc",)))[0].relations is None
