"""The classes of casing."""

from __future__ import annotations

import pytest

from conjoin.features.casing import CASINGS, casing


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("1984", "numeric"), ("leeds", "lower"), ("u.s.", "lower"), ("USA", "upper"), ("U.S.", "upper"), ("A", "upper"),
        ("Leeds", "initial upper"), ("McDonald", "initial upper"), ("1990s", "mainly numeric"), ("11:30", "mainly numeric"),
        ("B2B", "contains digit"), ("3rd", "contains digit"), ("iPhone", "other"), (",", "other"), ("", "other"),
        ("東京", "other"),
    ],
)
def test_classes(word: str, expected: str) -> None:
    assert CASINGS[casing(word)] == expected
