"""Uncertainty of documents does not depend on the padding of their batch."""

from __future__ import annotations

import numpy as np

from conjoin.decoding.tags import TagDecoder, TagScores, Transitions


def test_a_short_row_beside_a_very_long_one() -> None:
    decoder = TagDecoder(["Loc"], "bioes")
    tags = len(decoder.tags)
    emissions = np.random.default_rng(0).normal(scale=30, size=(2, 400, tags)).astype(np.float32)
    rules = decoder.constraints
    transitions = Transitions(rules.starts + 40, rules.steps + 40, rules.ends + 40)
    both = decoder.uncertainty(TagScores(emissions, np.array([2, 400]), transitions))
    alone = decoder.uncertainty(TagScores(emissions[:1, :2], np.array([2]), transitions))
    assert np.isfinite(both).all()
    np.testing.assert_allclose(both[:1], alone, atol=1e-5)
