"""Featurisers written as JSON and read back make the same arrays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from conjoin.features.arrays import Featuriser
from conjoin.features.casing import CasingFeaturiser
from conjoin.features.characters import CharacterFeaturiser
from conjoin.features.featurisers import FEATURISERS, JoinedFeaturiser, load_featuriser
from conjoin.features.pieces import PieceFeaturiser, Vocabulary
from conjoin.features.words import WordFeaturiser

WORDS = st.sampled_from(["Oslo", "oslo", "Ortiz", "leads", "x9", "1998", "\u200b", "Ωmega", ""]) | st.text(max_size=6)
TEXTS = st.lists(st.lists(WORDS, max_size=12), max_size=4)


@pytest.fixture(scope="module")
def featurisers(encoder: str) -> dict[str, Featuriser]:
    """One of each kind, pieces with and without inputs."""
    tokenizer = Tokenizer.from_file(str(Path(encoder) / "tokenizer.json"))
    vocabulary = Vocabulary((2,), (3,), 0, 1)

    def pieces(**options: Any) -> PieceFeaturiser:
        return PieceFeaturiser(tokenizer, vocabulary, window=20, overlap=4, **options)

    characters, casing = CharacterFeaturiser("Oslomaria\"\\\U0001f600"), CasingFeaturiser()
    words = WordFeaturiser(["oslo", "Ortiz", "\u2028"], width=3)
    first = pieces(first_only=True)
    return {
        "casing": casing, "characters": characters, "words": words, "pieces": first,
        "pieces, inputs": pieces(first_only=False, inputs={"casing": casing, "characters": characters}),
        "joined": JoinedFeaturiser({"words": words, "inner": JoinedFeaturiser({"pieces": first, "casing": casing})}),
    }


KINDS = ["casing", "characters", "words", "pieces", "pieces, inputs", "joined"]


def same(one: Featuriser, other: Featuriser, texts: list[list[str]]) -> None:
    ours, theirs = one.arrays(texts), other.arrays(texts)
    assert list(ours) == list(theirs)
    for name, value in ours.items():
        assert value.dtype == theirs[name].dtype and np.array_equal(value, theirs[name]), name
    assert one.sizes(texts) == other.sizes(texts)


@pytest.mark.parametrize("kind", KINDS)
def test_written_and_read_back_it_makes_the_same_arrays(kind: str, featurisers: dict[str, Featuriser]) -> None:
    featuriser = featurisers[kind]
    value = json.loads(json.dumps(featuriser.to_json(), ensure_ascii=False))
    again = load_featuriser(value)
    assert type(again) is type(featuriser)
    assert json.loads(json.dumps(again.to_json())) == value

    @given(TEXTS)
    @settings(max_examples=30, deadline=None)
    def compare(texts: list[list[str]]) -> None:
        same(featuriser, again, texts)

    compare()
    same(featuriser, again, [["leads", "Oslo"] * 40, [], ["a"]])


def test_every_kind_is_in_the_table(featurisers: dict[str, Featuriser]) -> None:
    assert {featuriser.to_json()["kind"] for featuriser in featurisers.values()} == set(FEATURISERS)


@pytest.mark.parametrize(
    "value",
    [{}, {"kind": "nothing"}, {"kind": "words"}, {"kind": "pieces", "tokenizer": 1}, {"kind": "joined", "parts": [1]}, [1],
     None],
)
def test_anything_else_is_refused(value: Any) -> None:
    with pytest.raises((LookupError, TypeError, ValueError)):
        load_featuriser(value)
