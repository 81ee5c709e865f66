"""Tags to entities: against all tag sequences, by hand, and against the tag strings of `conjoin.tagging`."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conjoin import tagging
from conjoin.decoding.spans import Floats, Numbers
from conjoin.decoding.tags import IGNORED, TagDecoder, TagScores, Transitions, forward_backward, viterbi
from conjoin.document import Entity
from conjoin.errors import DataError
from conjoin.tagging import Scheme

TYPES = ("Loc", "Peop")
SCHEMES = st.sampled_from(["bio", "bioes"])
Case = tuple[Floats, Numbers, Transitions]


def score_of(path: tuple[int, ...], emissions: Floats, transitions: Transitions) -> float:
    total = transitions.starts[path[0]] + transitions.ends[path[-1]]
    total += sum(emissions[word, tag] for word, tag in enumerate(path))
    return float(total + sum(transitions.steps[a, b] for a, b in pairwise(path)))


def paths_of(case: Case, row: int) -> dict[tuple[int, ...], float]:
    """The score of every path of a row."""
    emissions, lengths, transitions = case
    paths = product(range(len(transitions.starts)), repeat=int(lengths[row]))
    return {path: score_of(path, emissions[row], transitions) for path in paths}


def log_total(paths: dict[tuple[int, ...], float]) -> float:
    return float(np.logaddexp.reduce(list(paths.values())))


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Random scores with unequal lengths and some forbidden steps; staying at tag 0 is always allowed."""
    tags = draw(st.integers(1, 3))
    lengths = draw(st.lists(st.integers(1, 5), min_size=1, max_size=3))
    generator = np.random.default_rng(draw(st.integers(0, 10_000)))

    def some(*shape: int, forbid: bool = False) -> Floats:
        values = generator.normal(size=shape)
        if forbid:
            closed = generator.random(shape) < 0.4
            closed[(0,) * len(shape)] = False
            values[closed] = -np.inf
        return values  # type: ignore[return-value]

    words = max(lengths) + draw(st.integers(0, 1))
    transitions = Transitions(some(tags, forbid=True), some(tags, tags, forbid=True), some(tags, forbid=True))
    return some(len(lengths), words, tags), np.array(lengths), transitions


@given(cases())
@settings(max_examples=60, deadline=None)
def test_viterbi_is_the_best_of_all_paths(case: Case) -> None:
    emissions, lengths, _ = case
    tags = viterbi(*case)
    assert tags.shape == emissions.shape[:2]
    for row, length in enumerate(lengths.tolist()):
        paths = paths_of(case, row)
        assert tuple(tags[row, :length].tolist()) == max(paths, key=lambda path: paths[path])
        assert not tags[row, length:].any()


def test_a_forbidden_step_is_never_taken_for_any_gain() -> None:
    emissions = np.array([[[0.0, 1.0], [0.0, 1e6]]])
    free = np.zeros(2)
    transitions = Transitions(free, np.array([[0.0, 0.0], [0.0, -np.inf]]), free)
    assert viterbi(emissions, np.array([2]), transitions).tolist() == [[0, 1]]


@given(cases())
@settings(max_examples=40, deadline=None)
def test_partition_and_marginals_are_those_of_all_paths(case: Case) -> None:
    emissions, lengths, _ = case
    forwards, backwards, partition = forward_backward(*case)
    for row, length in enumerate(lengths.tolist()):
        paths = paths_of(case, row)
        total = log_total(paths)
        assert partition[row] == pytest.approx(total, abs=1e-5)
        for word, tag in product(range(length), range(emissions.shape[2])):
            inside = sum(math.exp(value - total) for path, value in paths.items() if path[word] == tag)
            marginal = math.exp(forwards[row, word, tag] + backwards[row, word, tag] - partition[row])
            assert marginal == pytest.approx(inside, abs=1e-5)


# --- entities of tags --------------------------------------------------------------------------------------------


def certain(tags: Numbers, count: int) -> Floats:
    """Emissions that leave no doubt about the tags [batch, word]."""
    return 20 * (tags[..., None] == np.arange(count)).astype(np.float32)


def crf(decoder: TagDecoder, seed: int) -> Transitions:
    """Random weights of all legal steps."""
    generator = np.random.default_rng(seed)
    rules = decoder.constraints
    return Transitions(*(  # type: ignore[misc]
        np.where(np.isfinite(costs), generator.normal(size=costs.shape), costs).astype(np.float32)
        for costs in (rules.starts, rules.steps, rules.ends)
    ))


def number(decoder: TagDecoder, tag: str) -> int:
    return decoder.tags.index(tag)


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


@given(entity_rows(), SCHEMES, st.booleans())
@settings(deadline=None)
def test_decode_undoes_encode(case: tuple[list[list[Entity]], list[int]], scheme: Scheme, legal: bool) -> None:
    rows, lengths = case
    decoder = TagDecoder(TYPES, scheme, legal=legal)
    tags = decoder.encode(rows, lengths)
    assert tags.shape == (len(rows), max(lengths))
    assert (tags == IGNORED).sum(1).tolist() == [max(lengths) - length for length in lengths]
    spans = decoder.decode(TagScores(certain(tags, len(decoder.tags)), np.array(lengths)))
    entities = spans.entities(TYPES)
    assert entities == rows
    assert all(entity.score is not None and entity.score > 0.99 for row in entities for entity in row)


@given(entity_rows(), SCHEMES)
@settings(deadline=None)
def test_encode_gives_the_tags_of_the_strings(case: tuple[list[list[Entity]], list[int]], scheme: Scheme) -> None:
    rows, lengths = case
    decoder = TagDecoder(TYPES, scheme)
    for row, length, tags in zip(rows, lengths, decoder.encode(rows, lengths), strict=True):
        assert [decoder.tags[tag] for tag in tags[:length]] == tagging.encode(row, length, scheme)


@st.composite
def any_tags(draw: st.DrawFn) -> tuple[TagDecoder, Numbers, list[int]]:
    """Tags in any order, legal or not, of types one of which ends another; rows of several lengths, 0 among them."""
    decoder = TagDecoder(("Drug", "Non-Drug"), draw(SCHEMES), legal=False)
    lengths = draw(st.lists(st.integers(0, 9), min_size=1, max_size=4))
    tag = st.integers(0, len(decoder.tags) - 1)
    rows = [draw(st.lists(tag, min_size=max(lengths), max_size=max(lengths))) for _ in lengths]
    return decoder, np.array(rows, dtype=np.int64).reshape(len(lengths), max(lengths)), lengths


@given(any_tags())
@settings(max_examples=200, deadline=None)
def test_any_tags_are_the_entities_of_their_strings(case: tuple[TagDecoder, Numbers, list[int]]) -> None:
    decoder, tags, lengths = case
    spans = decoder.decode(TagScores(certain(tags, len(decoder.tags)), np.array(lengths)))
    strings = [[decoder.tags[tag] for tag in row[:length]] for row, length in zip(tags, lengths, strict=True)]
    assert spans.entities(decoder.types) == [tagging.decode(row) for row in strings]


def test_encode_refuses_overlapping_entities() -> None:
    with pytest.raises(DataError, match="overlaps another"):
        TagDecoder(TYPES, "bioes").encode([[], [Entity("Loc", 0, 2), Entity("Peop", 1, 3)]], [1, 3])


@given(st.integers(0, 100_000), st.lists(st.integers(1, 7), min_size=1, max_size=3), SCHEMES)
@settings(deadline=None)
def test_legal_decoding_never_yields_an_illegal_string(seed: int, lengths: list[int], scheme: Scheme) -> None:
    decoder = TagDecoder(TYPES, scheme)
    shape = len(lengths), max(lengths), len(decoder.tags)
    emissions = (5 * np.random.default_rng(seed).normal(size=shape)).astype(np.float32)
    rows = decoder.decode(TagScores(emissions, np.array(lengths))).entities(TYPES)
    # The best legal string again, by the tags of the entities: legal strings and entity lists are one to one, so the
    # scores of the entities must be those of exactly these tags.
    weights = np.exp(emissions)
    probabilities = weights / weights.sum(2, keepdims=True)
    for row, (entities, length) in enumerate(zip(rows, lengths, strict=True)):
        tags = tagging.encode(entities, length, scheme)
        edges = [None, *tags, None]
        assert all(tagging.may_follow(before, after, scheme) for before, after in pairwise(edges))
        for entity in entities:
            words = range(entity.start, entity.end)
            expected = math.prod(float(probabilities[row, word, number(decoder, tags[word])]) for word in words)
            assert entity.score == pytest.approx(expected, rel=1e-4, abs=1e-9)
            assert 0 <= expected <= 1


@given(st.integers(0, 100_000), st.lists(st.integers(1, 4), min_size=1, max_size=3), SCHEMES)
@settings(max_examples=30, deadline=None)
def test_the_best_tags_are_the_best_of_all_legal_sequences(seed: int, lengths: list[int], scheme: Scheme) -> None:
    """Most rows are decided by the best tags of each word alone; the others must come out the same as these."""
    decoder = TagDecoder(("Loc",), scheme)
    shape = len(lengths), max(lengths), len(decoder.tags)
    emissions = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    tags = decoder.best(TagScores(emissions, np.array(lengths)))
    for row, length in enumerate(lengths):
        paths = paths_of((emissions, np.array(lengths), decoder.constraints), row)
        assert tuple(tags[row, :length].tolist()) == max(paths, key=lambda path: paths[path])
        assert not tags[row, length:].any()


def test_the_legal_steps_are_those_of_the_scheme() -> None:
    """The string that one gets by following the transitions is never illegal, whatever the emissions."""
    decoder = TagDecoder(TYPES, "bioes")
    rules = decoder.constraints
    for before, row in zip(decoder.tags, rules.steps.tolist(), strict=True):
        for after, cost in zip(decoder.tags, row, strict=True):
            assert (cost == 0) == tagging.may_follow(before, after, "bioes")
    assert [cost == 0 for cost in rules.starts] == [tagging.may_follow(None, tag, "bioes") for tag in decoder.tags]
    assert [cost == 0 for cost in rules.ends] == [tagging.may_follow(tag, None, "bioes") for tag in decoder.tags]
    # "E-Loc" can open nothing: the best string puts the second-best tag of its word, O, in its place.
    emissions = np.zeros((1, 1, len(decoder.tags)), dtype=np.float32)
    emissions[0, 0, number(decoder, "E-Loc")] = 5.0
    emissions[0, 0, 0] = 4.0
    scores = TagScores(emissions, np.array([1]))
    assert decoder.decode(scores).entities(TYPES) == [[]]
    assert TagDecoder(TYPES, "bioes", legal=False).decode(scores).entities(TYPES) == [[Entity("Loc", 0, 1)]]


@given(st.integers(0, 100_000), st.lists(st.integers(1, 7), min_size=1, max_size=3))
@settings(deadline=None)
def test_argmax_is_viterbi_with_free_transitions(seed: int, lengths: list[int]) -> None:
    decoder = TagDecoder(TYPES, "bioes", legal=False)
    count = len(decoder.tags)
    free = Transitions(np.zeros(count), np.zeros((count, count)), np.zeros(count))  # type: ignore[arg-type]
    emissions = np.random.default_rng(seed).normal(size=(len(lengths), max(lengths), count)).astype(np.float32)
    scores = TagScores(emissions, np.array(lengths))
    entities = decoder.decode(scores).entities(TYPES)
    twins = decoder.decode(replace(scores, transitions=free)).entities(TYPES)
    assert entities == twins
    assert [e.score for row in entities for e in row] == pytest.approx([e.score for row in twins for e in row], abs=1e-5)


def test_scores_are_probabilities_of_all_tags_of_an_entity() -> None:
    decoder = TagDecoder(TYPES, "bio", legal=False)  # O, B-Loc, I-Loc, B-Peop, I-Peop
    # Word 0: B-Loc with odds 3 : 1 : 1 : 1 : 1, so 3/7; word 1: I-Loc with odds 6 to four times 1, so 6/10.
    emissions = np.zeros((1, 2, 5), dtype=np.float32)
    emissions[0, 0, 1], emissions[0, 1, 2] = math.log(3), math.log(6)
    scores = TagScores(emissions, np.array([2]))
    [[entity]] = decoder.decode(scores).entities(TYPES)
    assert entity == Entity("Loc", 0, 2)
    assert entity.score == pytest.approx(3 / 7 * 6 / 10)
    assert decoder.uncertainty(scores) == pytest.approx([4 / 7 + 4 / 10])


@given(st.integers(0, 1000), st.lists(st.integers(1, 5), min_size=1, max_size=3), SCHEMES)
@settings(max_examples=40, deadline=None)
def test_scores_under_a_crf_are_those_of_all_paths_through_an_entity(
    seed: int, lengths: list[int], scheme: Scheme
) -> None:
    decoder = TagDecoder(("Loc",), scheme)
    transitions = crf(decoder, seed)
    shape = len(lengths), max(lengths), len(decoder.tags)
    emissions = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    scores = TagScores(emissions, np.array(lengths), transitions)
    best, doubts = decoder.best(scores), decoder.uncertainty(scores)
    for row, entities in enumerate(decoder.decode(scores).entities(decoder.types)):
        paths = paths_of((emissions, scores.lengths, transitions), row)
        total = log_total(paths)
        path = tuple(best[row, : lengths[row]].tolist())

        def share(start: int, end: int, paths=paths, total=total, path=path) -> float:  # type: ignore[no-untyped-def]
            return sum(math.exp(value - total) for other, value in paths.items() if other[start:end] == path[start:end])

        assert path == max(paths, key=lambda path: paths[path])
        assert entities == tagging.decode([decoder.tags[tag] for tag in path])
        for entity in entities:
            assert entity.score == pytest.approx(share(entity.start, entity.end), abs=1e-5)
        expected = sum(1 - share(word, word + 1) for word in range(lengths[row]))
        assert doubts[row] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("output", ["softmax", "crf"])
def test_padding_and_neighbours_change_nothing_even_when_huge(output: str) -> None:
    decoder = TagDecoder(TYPES, "bioes")
    transitions = crf(decoder, 0) if output == "crf" else None
    own = (3 * np.random.default_rng(1).normal(size=(1, 6, len(decoder.tags)))).astype(np.float32)
    alone = TagScores(own, np.array([6]), transitions)
    emissions = np.full((3, 60, len(decoder.tags)), 500, dtype=np.float32)
    emissions[1, :6] = own[0]
    batch = TagScores(emissions, np.array([60, 6, 0]), transitions)
    (entities,), inside = decoder.decode(alone).entities(TYPES), decoder.decode(batch).entities(TYPES)[1]
    assert entities and inside == entities
    assert [e.score for e in inside] == pytest.approx([e.score for e in entities], rel=1e-5)
    assert decoder.uncertainty(batch)[1:] == pytest.approx([decoder.uncertainty(alone)[0], 0], rel=1e-5)


def test_rows_without_words() -> None:
    decoder = TagDecoder(TYPES, "bioes")
    assert decoder.encode([[], []], [0, 0]).shape == (2, 0)
    assert decoder.encode([], []).shape == (0, 0)
    nothing = TagScores(np.zeros((2, 0, len(decoder.tags)), dtype=np.float32), np.array([0, 0]))
    assert decoder.decode(nothing).entities(TYPES) == [[], []]
    assert decoder.uncertainty(nothing).tolist() == [0, 0]
    emissions = np.zeros((2, 1, len(decoder.tags)), dtype=np.float32)
    emissions[:, :, number(decoder, "S-Loc")] = 9.0
    for transitions in (None, decoder.constraints):
        scores = TagScores(emissions, np.array([0, 1]), transitions)
        assert decoder.decode(scores).entities(TYPES) == [[], [Entity("Loc", 0, 1)]]
        assert decoder.uncertainty(scores)[0] == 0


def test_no_types() -> None:
    decoder = TagDecoder((), "bioes")
    scores = TagScores(np.ones((1, 3, 1), dtype=np.float32), np.array([2]))
    assert decoder.decode(scores).entities(()) == [[]]
    assert decoder.encode([[]], [2]).tolist() == [[0, 0]]


@pytest.mark.parametrize(
    ("scheme", "expected"),
    [
        # bio: O, B-Loc, I-Loc, B-Peop, I-Peop: the last word of an entity on one word is B, on several I.
        ("bio", [[1, 2], [3, 4]]),
        # bioes: O, B-Loc, I-Loc, E-Loc, S-Loc, B-Peop, I-Peop, E-Peop, S-Peop: S and E.
        ("bioes", [[4, 3], [8, 7]]),
    ],
)
def test_the_tags_of_last_words(scheme: Scheme, expected: list[list[int]]) -> None:
    assert TagDecoder(TYPES, scheme).last_tags().tolist() == expected


def test_a_type_whose_name_ends_another_is_another() -> None:
    decoder = TagDecoder(("Drug", "Non-Drug"), "bio")
    tags = [number(decoder, tag) for tag in ("B-Drug", "I-Non-Drug", "O")]
    assert decoder.tag_types[tags].tolist() == [0, 1, -1]
