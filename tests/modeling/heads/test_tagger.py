from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from conjoin.modeling.heads.spans import Spans
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from conjoin import tagging
from conjoin.document import Entity
from conjoin.errors import DataError
from conjoin.modeling.heads.tagger import IGNORED, OUTSIDE_PRIOR, Decoding, Output, Reduction, TaggerHead
from conjoin.tagging import Scheme

TYPES = ("Loc", "Peop")


def head(
    scheme: Scheme = "bioes", decoding: Decoding = "legal", layers: int = 1, output: Output = "softmax",
    reduction: Reduction = "words",
) -> TaggerHead:
    return TaggerHead(4, TYPES, scheme=scheme, layers=layers, size=6, activation="gelu", dropout=0.0, decoding=decoding,
                      output=output, reduction=reduction)


def certain(targets: torch.Tensor, tags: int) -> torch.Tensor:
    """Emissions that leave no doubt about the tags."""
    return 20.0 * functional.one_hot(targets.clamp(min=0), tags).float()


@st.composite
def entity_rows(draw: st.DrawFn) -> tuple[list[list[Entity]], list[int]]:
    """Rows of entities that do not overlap, with the words of each row; rows without words among them."""
    rows, lengths = [], []
    for _ in range(draw(st.integers(1, 3))):
        length = draw(st.integers(0, 8))
        cuts = sorted(draw(st.sets(st.integers(0, length), max_size=6)))
        spans = [span for span in pairwise(cuts) if draw(st.booleans())]
        rows.append([Entity(draw(st.sampled_from(TYPES)), start, end) for start, end in spans])
        lengths.append(length)
    return rows, lengths


@given(entity_rows(), st.sampled_from(["bio", "bioes"]), st.sampled_from(["argmax", "legal"]))
@settings(deadline=None)
def test_decode_undoes_targets(case: tuple[list[list[Entity]], list[int]], scheme: Scheme, decoding: Decoding) -> None:
    rows, lengths = case
    tagger = head(scheme, decoding)
    targets = tagger.targets(rows, lengths)
    assert targets.shape == (len(rows), max(lengths))
    assert (targets == IGNORED).sum(1).tolist() == [max(lengths) - length for length in lengths]
    found = tagger.decode(certain(targets, len(tagger.tags)), torch.tensor(lengths))
    assert found == rows
    assert all(entity.score is not None and entity.score > 0.99 for row in found for entity in row)


def test_targets_refuse_overlapping_entities() -> None:
    with pytest.raises(DataError, match="overlaps another"):
        head().targets([[Entity("Loc", 0, 2), Entity("Peop", 1, 3)]], [3])


@given(st.integers(0, 100_000), st.lists(st.integers(1, 7), min_size=1, max_size=3), st.sampled_from(["bio", "bioes"]))
@settings(deadline=None)
def test_legal_decoding_never_yields_an_illegal_string(seed: int, lengths: list[int], scheme: Scheme) -> None:
    tagger = head(scheme)
    generator = torch.Generator().manual_seed(seed)
    emissions = 5 * torch.randn(len(lengths), max(lengths), len(tagger.tags), generator=generator)
    found = tagger.decode(emissions, torch.tensor(lengths))
    # The best legal string again, by the tags of what was found: legal strings and entity lists are one to one, so the
    # scores of the found entities must be those of exactly these tags.
    probabilities = emissions.softmax(-1)
    for row, (entities, length) in enumerate(zip(found, lengths, strict=True)):
        tags = tagging.encode(entities, length, scheme)
        edges = [None, *tags, None]
        assert all(tagging.may_follow(before, after, scheme) for before, after in pairwise(edges))
        for entity in entities:
            words = range(entity.start, entity.end)
            expected = math.prod(float(probabilities[row, word, tagger.tag_index[tags[word]]]) for word in words)
            assert entity.score == pytest.approx(expected, rel=1e-4, abs=1e-9)
            assert 0 <= expected <= 1


def test_the_legal_steps_are_those_of_the_scheme() -> None:
    """The string that one gets by following the transitions is never illegal, whatever the emissions."""
    tagger = head("bioes")
    for before, row in zip(tagger.tags, tagger.legal.tolist(), strict=True):
        for after, cost in zip(tagger.tags, row, strict=True):
            assert (cost == 0) == tagging.may_follow(before, after, "bioes")
    # "E-Loc" can open nothing: the best string puts the second-best tag of its word, O, in its place.
    emissions = torch.zeros(1, 1, len(tagger.tags))
    emissions[0, 0, tagger.tag_index["E-Loc"]] = 5.0
    emissions[0, 0, 0] = 4.0
    assert tagger.decode(emissions, torch.tensor([1])) == [[]]
    tagger.decoding = "argmax"
    assert tagger.decode(emissions, torch.tensor([1])) == [[Entity("Loc", 0, 1)]]


@given(st.integers(0, 100_000), st.lists(st.integers(1, 7), min_size=1, max_size=3))
@settings(deadline=None)
def test_argmax_is_viterbi_with_free_transitions(seed: int, lengths: list[int]) -> None:
    plain, free = head(decoding="argmax"), head(decoding="legal")
    for name in ("legal_starts", "legal", "legal_ends"):
        getattr(free, name).zero_()
    generator = torch.Generator().manual_seed(seed)
    emissions = torch.randn(len(lengths), max(lengths), len(plain.tags), generator=generator)
    sizes = torch.tensor(lengths)
    found, twin = plain.decode(emissions, sizes), free.decode(emissions, sizes)
    assert found == twin
    assert [[e.score for e in row] for row in found] == [[e.score for e in row] for row in twin]


def test_scores_are_probabilities_of_all_tags_of_an_entity() -> None:
    tagger = head("bio", "argmax")  # O, B-Loc, I-Loc, B-Peop, I-Peop
    # Word 0: B-Loc with odds 3 : 1 : 1 : 1 : 1, so 3/7; word 1: I-Loc with odds 6 to four times 1, so 6/10.
    emissions = torch.zeros(1, 2, 5)
    emissions[0, 0, 1], emissions[0, 1, 2] = math.log(3), math.log(6)
    [[entity]] = tagger.decode(emissions, torch.tensor([2]))
    assert entity == Entity("Loc", 0, 2)
    assert entity.score == pytest.approx(3 / 7 * 6 / 10)


def test_loss_is_the_mean_over_words_and_ignores_padding() -> None:
    tagger = head("bio")
    targets = tagger.targets([[Entity("Loc", 0, 1)], []], [2, 1])
    emissions = torch.randn(2, 2, 5)
    logs = emissions.log_softmax(-1)
    expected = -(logs[0, 0, 1] + logs[0, 1, 0] + logs[1, 0, 0]) / 3
    torch.testing.assert_close(tagger.loss(emissions, targets).mean, expected)


@pytest.mark.parametrize("output", ["softmax", "crf"])
def test_a_mean_over_sentences_counts_those_with_words(output: Output) -> None:
    rows, lengths = [[Entity("Loc", 0, 1)], [], []], [3, 1, 0]
    of_words, of_sentences = head("bio", output=output), head("bio", output=output, reduction="sentences")
    targets, emissions = of_words.targets(rows, lengths), torch.randn(3, 3, 5)
    total = 4 * of_words.loss(emissions, targets).mean
    torch.testing.assert_close(of_sentences.loss(emissions, targets).mean, total / 2)


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


def test_rows_without_words() -> None:
    tagger = head()
    assert tagger.targets([[], []], [0, 0]).shape == (2, 0)
    assert tagger.targets([], []).shape == (0, 0)
    assert tagger.decode(torch.zeros(2, 0, len(tagger.tags)), torch.tensor([0, 0])) == [[], []]
    emissions = torch.zeros(2, 1, len(tagger.tags))
    emissions[:, :, tagger.tag_index["S-Loc"]] = 9.0
    assert tagger.decode(emissions, torch.tensor([0, 1])) == [[], [Entity("Loc", 0, 1)]]


def test_legal_steps_are_held_once() -> None:
    assert [len(list(head(output=output).buffers())) for output in ("softmax", "crf")] == [3, 3]


def test_layers_count_linear_layers_and_the_first_bias_favours_outside() -> None:
    assert sum(isinstance(module, torch.nn.Linear) for module in head(layers=1).modules()) == 1
    assert sum(isinstance(module, torch.nn.Linear) for module in head(layers=3).modules()) == 3
    assert head().output.bias[0].item() == OUTSIDE_PRIOR
    torch.manual_seed(0)
    plain = TaggerHead(4, TYPES, scheme="bio", layers=1, size=6, activation="gelu", dropout=0.0, decoding="legal",
                       outside_prior=0.0)
    torch.manual_seed(0)
    assert plain.output.bias[0] == torch.nn.Linear(4, 5).bias[0], "left to chance"


@pytest.mark.parametrize(
    ("scheme", "expected"),
    [
        # bio: O, B-Loc, I-Loc, B-Peop, I-Peop: the last word of "Loc" on one word is B-Loc, of "Peop" on three I-Peop.
        ("bio", [[0, 1, 0, 0, 0], [0, 0, 0, 0, 1]]),
        # bioes: O, B-Loc, I-Loc, E-Loc, S-Loc, B-Peop, I-Peop, E-Peop, S-Peop: S-Loc and E-Peop.
        ("bioes", [[0, 0, 0, 0, 1, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 1, 0]]),
    ],
)
def test_tag_marks_show_the_tag_of_the_last_word(scheme: Scheme, expected: list[list[int]]) -> None:
    tagger = head(scheme)
    spans = Spans.of([[Entity("Loc", 0, 1)], [Entity("Peop", 0, 3)]], TYPES, torch.device("cpu"))
    assert tagger.marks(tagger.last_tags(spans), "tag").tolist() == expected
    assert tagger.marks_width("tag") == len(expected[0])


def test_type_marks_show_the_entity_type() -> None:
    tagger = head()
    spans = Spans.of([[Entity("Peop", 0, 3), Entity("Loc", 3, 4)]], TYPES, torch.device("cpu"))
    assert tagger.marks(tagger.last_tags(spans), "type").tolist() == [[0, 1], [1, 0]]
    assert (tagger.marks_width("type"), tagger.marks_width("none")) == (2, 0)


def test_a_type_whose_name_ends_another_has_marks_of_its_own() -> None:
    types = ("Drug", "Non-Drug")
    tagger = TaggerHead(4, types, scheme="bio", layers=1, size=6, activation="gelu", dropout=0.0, decoding="legal")
    tags = torch.tensor([tagger.tag_index["B-Drug"], tagger.tag_index["I-Non-Drug"], tagger.tag_index["O"]])
    assert tagger.marks(tags, "type").tolist() == [[1, 0], [0, 1], [0, 0]]


def test_marks_times_a_linear_layer_are_the_label_embedding() -> None:
    """Giorgi et al. 2019, eq. 3: what the RE module joins to a word is a row of an embedding table."""
    tagger = head()
    spans = Spans.of([[Entity("Peop", 0, 3), Entity("Loc", 3, 4)]], TYPES, torch.device("cpu"))
    labels = torch.nn.Linear(len(tagger.tags), 7, bias=False)
    table = torch.nn.Embedding.from_pretrained(labels.weight.T)
    chosen = torch.tensor([tagger.tag_index["E-Peop"], tagger.tag_index["S-Loc"]])
    torch.testing.assert_close(labels(tagger.marks(tagger.last_tags(spans), "tag")), table(chosen))
