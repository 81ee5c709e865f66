"""Losses of the tagger, and what its scores hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from conjoin.config.options import Output, Reduction
from conjoin.config.settings import EntitySettings
from conjoin.decoding.tags import IGNORED, TagDecoder
from conjoin.document import Entity
from conjoin.modeling.heads.tagger import TaggerHead
from conjoin.tagging import Scheme

TYPES = ("Loc", "Peop")


def head(scheme: Scheme = "bioes", **changes: Any) -> TaggerHead:
    settings: dict[str, Any] = {"layers": 1, "size": 6, "activation": "gelu", "dropout": 0.0, "output": "softmax",
                                "reduction": "words", "outside_prior": 3.0}
    return TaggerHead(4, TagDecoder(TYPES, scheme), **(settings | changes))


def targets(rows: list[list[Entity]], lengths: list[int], scheme: Scheme = "bio") -> torch.Tensor:
    return torch.from_numpy(TagDecoder(TYPES, scheme).encode(rows, lengths))


def test_loss_is_the_mean_over_words_and_ignores_padding() -> None:
    emissions = torch.randn(2, 2, 5)
    logs = emissions.log_softmax(-1)
    expected = -(logs[0, 0, 1] + logs[0, 1, 0] + logs[1, 0, 0]) / 3
    loss = head("bio").loss(emissions, targets([[Entity("Loc", 0, 1)], []], [2, 1]))
    torch.testing.assert_close(loss.mean, expected)
    assert loss.size.item() == 3


@pytest.mark.parametrize("output", ["softmax", "crf"])
def test_a_mean_over_sentences_counts_those_with_words(output: Output) -> None:
    of_words, of_sentences = head("bio", output=output), head("bio", output=output, reduction="sentences")
    gold, emissions = targets([[Entity("Loc", 0, 1)], [], []], [3, 1, 0]), torch.randn(3, 3, 5)
    total = 4 * of_words.loss(emissions, gold).mean
    torch.testing.assert_close(of_sentences.loss(emissions, gold).mean, total / 2)


@pytest.mark.parametrize("words", [0, 2])
@pytest.mark.parametrize("output", ["softmax", "crf"])
@pytest.mark.parametrize("reduction", ["words", "sentences"])
def test_loss_of_no_words_is_zero_with_a_gradient(words: int, output: Output, reduction: Reduction) -> None:
    """Not the 0/0 of a mean over nothing, which would turn all weights into NaN."""
    tagger = head(output=output, reduction=reduction)
    loss = tagger.loss(tagger(torch.randn(2, words, 4)), torch.full((2, words), IGNORED)).mean
    loss.backward()
    assert loss.item() == 0
    assert tagger.output.weight.grad is not None
    assert torch.isfinite(tagger.output.weight.grad).all()


@pytest.mark.parametrize("scheme", ["bio", "bioes"])
def test_scores_are_arrays_with_the_legal_steps_of_a_crf(scheme: Scheme) -> None:
    tagger, decoder = head(scheme, output="crf"), TagDecoder(TYPES, scheme)
    assert tagger.crf is not None
    for value in tagger.crf.parameters():
        torch.nn.init.normal_(value)
    emissions, lengths = tagger(torch.randn(2, 3, 4)), torch.tensor([3, 1])
    scores = tagger.scores(emissions, lengths)
    assert np.array_equal(scores.emissions, emissions.detach().numpy()) and scores.lengths.tolist() == [3, 1]
    assert scores.transitions is not None
    rules = decoder.constraints
    for weights, costs, parameter in (
        (scores.transitions.starts, rules.starts, tagger.crf.starts),
        (scores.transitions.steps, rules.steps, tagger.crf.transitions),
        (scores.transitions.ends, rules.ends, tagger.crf.ends),
    ):
        assert np.array_equal(weights, np.where(np.isfinite(costs), parameter.detach().numpy(), -np.inf))
    assert head(scheme).scores(emissions, lengths).transitions is None


@pytest.mark.parametrize("output", ["softmax", "crf"])
def test_legal_steps_are_held_once(output: Output) -> None:
    """By the CRF, which trains on them; the decoder of a softmax has its own."""
    assert len(list(head(output=output).buffers())) == (3 if output == "crf" else 0)


def test_layers_count_linear_layers_and_the_first_bias_favours_outside() -> None:
    assert sum(isinstance(module, torch.nn.Linear) for module in head(layers=1).modules()) == 1
    assert sum(isinstance(module, torch.nn.Linear) for module in head(layers=3).modules()) == 3
    prior = EntitySettings().outside_prior
    assert prior > 0 and head(outside_prior=prior).output.bias[0].item() == prior
    torch.manual_seed(0)
    plain = head("bio", outside_prior=0.0)
    torch.manual_seed(0)
    assert plain.output.bias[0] == torch.nn.Linear(4, 5).bias[0], "left to chance"
