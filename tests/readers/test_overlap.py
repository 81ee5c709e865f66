"""Entities that share words: pairs of them, found in one sweep."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conjoin.document import Document, Entity
from conjoin.readers.overlap import overlapping_pairs

WORDS = ["w"] * 12


@st.composite
def entities(draw: st.DrawFn) -> list[Entity]:
    spans = draw(st.lists(st.tuples(st.integers(0, 11), st.integers(1, 5), st.sampled_from("ab")), max_size=9))
    return [Entity(type, start, min(12, start + length)) for start, length, type in spans]


@given(entities())
def test_the_sweep_finds_what_comparing_all_finds(found: list[Entity]) -> None:
    document = Document.from_words(WORDS, list(dict.fromkeys(found)))
    expected = [pair for pair in combinations(document.entities, 2) if pair[0].overlaps(pair[1])]
    assert overlapping_pairs(document) == expected


def test_many_entities_are_not_compared_all_with_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def compared(*_: Entity) -> bool:
        raise AssertionError("two entities were compared")

    count = 20_000
    document = Document.from_words(["w"] * (count + 1), [Entity("a", n, n + 2) for n in range(count - 1)])
    monkeypatch.setattr(Entity, "overlaps", compared)
    assert len(overlapping_pairs(document)) == count - 2
