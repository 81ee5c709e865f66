"""Tag schemes: by hand, round trips, and legality of whatever decode returns."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conjoin.document import Entity
from conjoin.errors import DataError
from conjoin.tagging import Scheme, decode, encode, may_follow, tag_set

SCHEMES: tuple[Scheme, ...] = ("bio", "bioes")
TYPES = ("Loc", "First-Name")  # a hyphen in a type must survive


@st.composite
def flat_entities(draw: st.DrawFn) -> tuple[list[Entity], int]:
    """Entities side by side or with gaps, never overlapping, and the length of their sentence."""
    entities = []
    position = 0
    for gap, size, type in draw(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4), st.sampled_from(TYPES)))):
        entities.append(Entity(type, position + gap, position + gap + size))
        position += gap + size
    return entities, position + draw(st.integers(0, 2))


def is_legal(tags: list[str], scheme: Scheme) -> bool:
    edges = [None, *tags, None]
    return all(may_follow(before, after, scheme) for before, after in pairwise(edges))


def test_by_hand() -> None:
    entities = [Entity("Loc", 0, 1), Entity("Loc", 1, 3), Entity("Org", 4, 7)]
    assert encode(entities, 8, "bio") == ["B-Loc", "B-Loc", "I-Loc", "O", "B-Org", "I-Org", "I-Org", "O"]
    assert encode(entities, 8, "bioes") == ["S-Loc", "B-Loc", "E-Loc", "O", "B-Org", "I-Org", "E-Org", "O"]


def test_tag_sets() -> None:
    assert tag_set(["Loc", "Org"], "bio") == ("O", "B-Loc", "I-Loc", "B-Org", "I-Org")
    assert len(tag_set(["Loc", "Org"], "bioes")) == 4 * 2 + 1
    assert tag_set([], "bioes") == ("O",)


def test_overlap_is_an_error() -> None:
    with pytest.raises(DataError, match="overlaps another"):
        encode([Entity("Loc", 0, 2), Entity("Org", 1, 3)], 3, "bio")


@pytest.mark.parametrize(
    ("tags", "entities"),
    [
        ("I-Loc I-Loc", [("Loc", 0, 2)]),  # a continuation of nothing opens an entity
        ("B-Loc I-Org", [("Loc", 0, 1), ("Org", 1, 2)]),  # another type opens one too
        ("E-Loc E-Loc", [("Loc", 0, 1), ("Loc", 1, 2)]),
        ("S-Loc I-Loc", [("Loc", 0, 1), ("Loc", 1, 2)]),
        ("B-Loc S-Loc B-Loc", [("Loc", 0, 1), ("Loc", 1, 2), ("Loc", 2, 3)]),
        ("B-Loc I-Loc", [("Loc", 0, 2)]),  # open at the last word
        ("O O", []),
        ("", []),
    ],
)
def test_decoding_illegal_strings(tags: str, entities: list[tuple[str, int, int]]) -> None:
    assert decode(tags.split()) == [Entity(*entity) for entity in entities]


@pytest.mark.parametrize("scheme", SCHEMES)
@given(flat=flat_entities())
def test_round_trip(scheme: Scheme, flat: tuple[list[Entity], int]) -> None:
    entities, length = flat
    tags = encode(entities, length, scheme)
    assert len(tags) == length
    assert set(tags) <= set(tag_set(TYPES, scheme))
    assert is_legal(tags, scheme)
    assert decode(tags) == entities


@pytest.mark.parametrize("scheme", SCHEMES)
@given(tags=st.lists(st.sampled_from(tag_set(TYPES, "bioes"))))
def test_any_tag_string_decodes_to_a_legal_one(scheme: Scheme, tags: list[str]) -> None:
    entities = decode(tags)
    words = [word for entity in entities for word in range(entity.start, entity.end)]
    assert words == [index for index, tag in enumerate(tags) if tag != "O"]  # in order, disjoint, nothing lost
    again = encode(entities, len(tags), scheme)
    assert is_legal(again, scheme)
    assert decode(again) == entities


@given(tags=st.lists(st.sampled_from(tag_set(TYPES, "bioes")), max_size=6))
def test_legal_means_that_encoding_gives_the_string_back(tags: list[str]) -> None:
    assert is_legal(tags, "bioes") == (encode(decode(tags), len(tags), "bioes") == tags)


def test_edges_of_the_sentence() -> None:
    assert not may_follow(None, "I-Loc", "bio")
    assert not may_follow("B-Loc", None, "bioes")
    assert may_follow("B-Loc", None, "bio")
    assert may_follow(None, None, "bioes")
