"""Metrics against numbers worked out by hand, SpERT's definitions, and identities that hold for any documents."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conjoin.document import Document, Entity, Relation, Token
from conjoin.errors import DataError
from conjoin.evaluation.metrics import MATCHES, Report, Score, mean_and_deviation, score

WORDS = ["Lee", "Harvey", "Oswald", "shot", "John", "Kennedy", "in", "Dallas", "Texas"]
OSWALD = Entity("Peop", 0, 3)
KENNEDY = Entity("Peop", 4, 6)
DALLAS = Entity("Loc", 7, 8)
TEXAS = Entity("Loc", 8, 9)


def document(entities: Iterable[Entity] = (), relations: Iterable[Relation] = (), *, length: int = 0) -> Document:
    return Document.from_words([f"w{n}" for n in range(length)] if length else WORDS, entities, relations)


def figures(score: Score) -> tuple[float, float, float]:
    return pytest.approx((score.precision, score.recall, score.f1))  # type: ignore[return-value]


def counts(score: Score) -> tuple[int, int, int]:
    return score.support, score.predicted, score.correct


GOLD = document(
    [OSWALD, KENNEDY, DALLAS, TEXAS],
    [Relation("Kill", OSWALD, KENNEDY), Relation("Located_In", DALLAS, TEXAS)],
)


class TestEntitiesByHand:
    # gold:      Peop 0-3, Peop 4-6, Loc 7-8, Loc 8-9
    # predicted: Peop 1-3 (short by a word), Peop 4-6 (right), Org 7-8 (wrong type); nothing for Texas
    report = score([GOLD], [document([Entity("Peop", 1, 3), KENNEDY, Entity("Org", 7, 8)])])

    def test_strict(self) -> None:
        strict = self.report.entities["strict"]
        # 1 of 3 predicted is right, 1 of 4 gold found; F1 = 2 * 1/3 * 1/4 / (7/12) = (1/6) / (7/12) = 2/7
        assert figures(strict.micro) == (1 / 3, 1 / 4, 2 / 7)
        assert counts(strict.micro) == (4, 3, 1)
        assert figures(strict.per_type["Peop"]) == (1 / 2, 1 / 2, 1 / 2)
        assert figures(strict.per_type["Loc"]) == (0, 0, 0)  # nothing predicted: 0/0 is 0
        assert figures(strict.per_type["Org"]) == (0, 0, 0)  # no gold: seen in the prediction only
        # three types are seen: (1/2 + 0 + 0) / 3
        assert figures(strict.macro) == (1 / 6, 1 / 6, 1 / 6)
        assert list(strict.per_type) == ["Loc", "Org", "Peop"]

    def test_boundaries(self) -> None:
        boundaries = self.report.entities["boundaries"]
        # spans: predicted 1-3, 4-6, 7-8; gold 0-3, 4-6, 7-8, 8-9; two are equal
        assert figures(boundaries.micro) == (2 / 3, 1 / 2, 4 / 7)
        # Loc: nothing predicted as Loc; of the gold Locs the span 7-8 was found, 8-9 was not
        assert figures(boundaries.per_type["Loc"]) == (0, 1 / 2, 0)
        # Org: the one predicted Org has a gold span; there is no gold Org
        assert figures(boundaries.per_type["Org"]) == (1, 0, 0)
        assert counts(boundaries.per_type["Org"]) == (0, 1, 1)
        assert figures(boundaries.per_type["Peop"]) == (1 / 2, 1 / 2, 1 / 2)

    def test_relaxed(self) -> None:
        # Peop 1-3 shares words with Peop 0-3, Peop 4-6 is equal, Org 7-8 has no Org to match
        assert figures(self.report.entities["relaxed"].micro) == (2 / 3, 2 / 4, 4 / 7)
        assert figures(self.report.entities["relaxed"].per_type["Peop"]) == (1, 1, 1)

    def test_last_word(self) -> None:
        # Peop 1-3 ends with Oswald as Peop 0-3 does
        assert figures(self.report.entities["last-word"].micro) == (2 / 3, 2 / 4, 4 / 7)


def test_relaxed_counts_both_sides() -> None:
    # one long prediction covers two gold entities: 1 of 1 predicted has a match, 2 of 3 gold ones have
    gold = document([Entity("Loc", 0, 1), Entity("Loc", 1, 2), Entity("Loc", 5, 6)])
    predicted = document([Entity("Loc", 0, 3)])
    relaxed = score([gold], [predicted]).entities["relaxed"].micro
    assert (relaxed.precision, relaxed.recall) == pytest.approx((1, 2 / 3))
    assert counts(relaxed) == (3, 1, 1)


def test_relaxed_finds_a_long_early_span_behind_a_short_one() -> None:
    gold = document([Entity("Loc", 0, 9), Entity("Loc", 1, 2)])
    assert score([gold], [document([Entity("Loc", 6, 7)])]).entities["relaxed"].micro.correct == 1


def test_two_types_on_one_span_count_once_by_boundaries() -> None:
    gold = document([Entity("Loc", 0, 1), Entity("Org", 0, 1)])
    boundaries = score([gold], [document([Entity("Org", 0, 1)])]).entities["boundaries"]
    assert counts(boundaries.micro) == (1, 1, 1)
    assert boundaries.per_type["Loc"].recall == 1.0


class TestRelationsByHand:
    # gold: Kill(Peop 0-3, Peop 4-6), Located_In(Loc 7-8, Loc 8-9)
    short = Entity("Peop", 2, 3)  # only "Oswald"
    country = Entity("Org", 8, 9)  # Texas with a wrong type
    report = score(
        [GOLD],
        [
            document(
                [short, KENNEDY, DALLAS, country],
                [
                    Relation("Kill", short, KENNEDY),  # head too short: relaxed and last word only
                    Relation("Kill", KENNEDY, short),  # wrong direction: never
                    Relation("Located_In", DALLAS, country),  # type of the tail wrong: boundaries only
                ],
            )
        ],
    )

    @pytest.mark.parametrize(
        ("match", "correct", "right_type"),
        [("strict", 0, None), ("boundaries", 1, "Located_In"), ("relaxed", 1, "Kill"), ("last-word", 1, "Kill")],
    )
    def test_matches(self, match: str, correct: int, right_type: str | None) -> None:
        scores = self.report.relations[match]
        assert counts(scores.micro) == (2, 3, correct)
        # P = correct/3, R = correct/2; for one correct F1 = 2 * 1/6 / (5/6) = 2/5
        assert figures(scores.micro) == (correct / 3, correct / 2, 0.4 * correct)
        for type, row in scores.per_type.items():
            assert row.correct == (1 if type == right_type else 0)

    def test_macro(self) -> None:
        # boundaries: Located_In P = R = F1 = 1, Kill 0 of 2 predicted and 0 of 1 gold; the mean is 1/2
        assert figures(self.report.relations["boundaries"].macro) == (1 / 2, 1 / 2, 1 / 2)
        # last-word: Kill P = 1/2, R = 1, F1 = 2/3; Located_In 0; the mean of F1 is 1/3, not the F1 of the means
        assert figures(self.report.relations["last-word"].macro) == (1 / 4, 1 / 2, 1 / 3)


def test_a_relation_whose_entities_were_never_proposed_is_a_miss() -> None:
    report = score([GOLD], [document()])
    for match in MATCHES:
        assert counts(report.relations[match].micro) == (2, 0, 0)
        assert report.relations[match].micro.recall == 0.0


def test_symmetric_relations_hold_both_ways_and_count_once() -> None:
    gold = document([OSWALD, KENNEDY], [Relation("Knows", OSWALD, KENNEDY)])
    predicted = document(
        [OSWALD, KENNEDY], [Relation("Knows", KENNEDY, OSWALD), Relation("Knows", OSWALD, KENNEDY)]
    )
    directed = score([gold], [predicted])
    both_ways = score([gold], [predicted], symmetric=frozenset({"Knows"}))
    for match in MATCHES:
        assert counts(directed.relations[match].micro) == (1, 2, 1)
        assert counts(both_ways.relations[match].micro) == (1, 1, 1)


def test_symmetric_last_word_of_nested_entities() -> None:
    # by position 0-3 stands before 1-2 and 1-2 before 2-3, but the last words are the same pair: 2 and 1
    outer, inner, tail = Entity("Peop", 0, 3), Entity("Peop", 1, 2), Entity("Peop", 2, 3)
    gold = document([outer, inner], [Relation("Knows", outer, inner)])
    predicted = document([tail, inner], [Relation("Knows", inner, tail)])
    report = score([gold], [predicted], symmetric=frozenset({"Knows"}))
    assert report.relations["last-word"].micro.f1 == 1.0
    assert report.relations["strict"].micro.f1 == 0.0


def test_items_equal_under_a_match_count_once() -> None:
    gold = document([Entity("Peop", 0, 3), Entity("Peop", 1, 3)])
    assert counts(score([gold], [gold]).entities["strict"].micro) == (2, 2, 2)
    assert counts(score([gold], [gold]).entities["last-word"].micro) == (1, 1, 1)


class TestAgainstSpert:
    """SpERT's evaluation (Eberts and Ulges 2020): entities by span and type; relations "without NE" by type and both
    spans, "with NE" by both entity types too; micro and macro over the labels seen in gold or prediction, as
    scikit-learn's `precision_recall_fscore_support` gives them, with 0 for 0/0.
    """

    gold = (
        document(
            [Entity("A", 0, 1), Entity("B", 2, 4), Entity("C", 5, 6)],
            [Relation("r", Entity("A", 0, 1), Entity("B", 2, 4)), Relation("s", Entity("A", 0, 1), Entity("C", 5, 6))],
            length=8,
        ),
        document(
            [Entity("A", 1, 2), Entity("A", 3, 4)],
            [Relation("r", Entity("A", 1, 2), Entity("A", 3, 4))],
            length=5,
        ),
    )
    predicted = (
        document(
            [Entity("A", 0, 1), Entity("C", 2, 4), Entity("C", 5, 7)],
            [Relation("r", Entity("A", 0, 1), Entity("C", 2, 4)), Relation("s", Entity("A", 0, 1), Entity("C", 5, 7))],
            length=8,
        ),
        document(
            [Entity("A", 1, 2), Entity("A", 3, 4), Entity("D", 4, 5)],
            [Relation("r", Entity("A", 1, 2), Entity("A", 3, 4)), Relation("t", Entity("A", 1, 2), Entity("D", 4, 5))],
            length=5,
        ),
    )
    report = score(gold, predicted)

    def test_entities(self) -> None:
        # gold A 3, B 1, C 1; predicted A 3, C 2, D 1; correct A 3
        # micro P 3/6, R 3/5, F1 6/11; macro over A (1,1,1), B 0, C 0, D 0: 1/4 each
        strict = self.report.entities["strict"]
        assert figures(strict.micro) == (3 / 6, 3 / 5, 6 / 11)
        assert figures(strict.macro) == (1 / 4, 1 / 4, 1 / 4)

    def test_relations_without_entity_types(self) -> None:
        # r: gold 2, predicted 2, correct 2 (0-1 to 2-4, 1-2 to 3-4); s: gold 1, predicted 1, correct 0; t: predicted 1
        # micro P 2/4, R 2/3, F1 4/7; macro (1 + 0 + 0) / 3
        boundaries = self.report.relations["boundaries"]
        assert figures(boundaries.micro) == (2 / 4, 2 / 3, 4 / 7)
        assert figures(boundaries.macro) == (1 / 3, 1 / 3, 1 / 3)

    def test_relations_with_entity_types(self) -> None:
        # r: correct 1, as the tail 2-4 is a B and not a C; s and t as before
        # micro P 1/4, R 1/3, F1 2/7; macro r (1/2, 1/2, 1/2), s 0, t 0: 1/6 each
        strict = self.report.relations["strict"]
        assert figures(strict.micro) == (1 / 4, 1 / 3, 2 / 7)
        assert figures(strict.macro) == (1 / 6, 1 / 6, 1 / 6)


class TestCharacters:
    text = "Leeds-based firm"
    whole = Document(text, (Token("Leeds-based", 0, 11), Token("firm", 12, 16)))
    split = Document(text, (Token("Leeds", 0, 5), Token("-", 5, 6), Token("based", 6, 11), Token("firm", 12, 16)))

    def test_words_may_differ(self) -> None:
        gold = self.split.annotated([Entity("Loc", 0, 1), Entity("Org", 0, 3)], [])
        predicted = self.whole.annotated([Entity("Loc", 0, 1), Entity("Org", 0, 1)], [])
        report = score([gold], [predicted], characters=True)
        # Loc 0-5 against 0-11: neither equal nor ending alike, but sharing characters; Org 0-11 is equal
        assert counts(report.entities["strict"].micro) == (2, 2, 1)
        assert counts(report.entities["last-word"].micro) == (2, 2, 1)
        assert counts(report.entities["relaxed"].micro) == (2, 2, 2)

    def test_by_words_it_is_an_error(self) -> None:
        with pytest.raises(DataError, match=r"pair 0 .*split into words differently.*characters=True"):
            score([self.split], [self.whole])


def test_pairs_must_fit() -> None:
    with pytest.raises(DataError, match="1 gold documents but 2 predicted"):
        score([GOLD], [GOLD, GOLD])
    other = Document.from_words(["other"], id="d7")
    with pytest.raises(DataError, match=r"pair 1 \(gold '', predicted 'd7'\): the texts differ"):
        score([GOLD, GOLD], [GOLD, other])


def test_json_and_table() -> None:
    report = score([GOLD], [document([OSWALD, KENNEDY], [Relation("Kill", OSWALD, KENNEDY)])])
    value = json.loads(json.dumps(report.to_json()))
    assert Report.from_json(value) == report
    assert set(value) == {"entities", "relations"}
    assert set(value["relations"]) == set(MATCHES)
    assert set(value["relations"]["strict"]) == {"micro", "macro", "per_type"}
    assert value["relations"]["strict"]["per_type"]["Kill"]["support"] == 1
    lines = str(report).splitlines()
    assert len({len(line) for line in lines if line.startswith(("strict", "relaxed"))}) == 1
    # entities: 2 of 2 predicted, 2 of 4 gold: F1 = 2/3
    assert lines[1].split() == ["strict", "micro", "100.00", "50.00", "66.67", "4", "2", "2"]
    assert "types seen in gold or prediction" in str(report)


@pytest.mark.parametrize("value", [{}, {"entities": {}, "relations": {}}, {"entities": [], "relations": []}])
def test_broken_json(value: dict[str, object]) -> None:
    with pytest.raises(DataError, match="it needs entities and relations"):
        Report.from_json(value)


def test_no_documents() -> None:
    report = score([], [])
    assert counts(report.entities["strict"].micro) == (0, 0, 0)
    assert report.relations["strict"].macro.f1 == 0.0


def test_mean_and_deviation() -> None:
    # mean 3, squared distances 4 + 0 + 4 = 8, divided by n - 1 = 2 gives 4, the root is 2
    assert mean_and_deviation([1, 3, 5]) == (3.0, 2.0)
    assert mean_and_deviation([0.25]) == (0.25, 0.0)
    with pytest.raises(DataError, match="no values"):
        mean_and_deviation([])


@st.composite
def annotated(draw: st.DrawFn, length: int = 6) -> Document:
    spans = st.tuples(st.sampled_from("AB"), st.integers(0, length - 1), st.integers(1, 3))
    drawn = draw(st.lists(spans, max_size=6))
    entities = [Entity(type, start, min(start + size, length)) for type, start, size in drawn]
    if not entities:
        return document(length=length)
    arguments = st.sampled_from(entities)
    relations = draw(st.lists(st.builds(Relation, st.sampled_from("rs"), arguments, arguments), max_size=6))
    return document(entities, relations, length=length)


documents = st.lists(annotated(), max_size=3)
pairs = st.lists(st.tuples(annotated(), annotated()), max_size=3)
symmetries = st.sampled_from([frozenset[str](), frozenset("r"), frozenset("rs")])


@given(documents, symmetries, st.booleans())
def test_a_document_against_itself_is_perfect(
    gold: list[Document], symmetric: frozenset[str], characters: bool
) -> None:
    report = score(gold, gold, symmetric=symmetric, characters=characters)
    for scores in (*report.entities.values(), *report.relations.values()):
        for row in (scores.micro, scores.macro, *scores.per_type.values()):
            assert row.support == row.predicted == row.correct
            assert figures(row) == ((1.0, 1.0, 1.0) if row.support else (0.0, 0.0, 0.0))


@given(pairs, symmetries, st.booleans())
def test_swapping_sides_swaps_precision_and_recall(
    both: list[tuple[Document, Document]], symmetric: frozenset[str], characters: bool
) -> None:
    left, right = [pair[0] for pair in both], [pair[1] for pair in both]
    forward = score(left, right, symmetric=symmetric, characters=characters)
    backward = score(right, left, symmetric=symmetric, characters=characters)
    for part in ("entities", "relations"):
        for match in MATCHES:
            one, two = getattr(forward, part)[match], getattr(backward, part)[match]
            assert one.per_type.keys() == two.per_type.keys()
            rows = [(one.micro, two.micro), (one.macro, two.macro)]
            rows += [(one.per_type[type], two.per_type[type]) for type in one.per_type]
            for row, swapped in rows:
                assert figures(row) == (swapped.recall, swapped.precision, swapped.f1)
                assert (row.support, row.predicted) == (swapped.predicted, swapped.support)


@given(pairs, symmetries)
def test_looser_matches_find_no_less(both: list[tuple[Document, Document]], symmetric: frozenset[str]) -> None:
    report = score([pair[0] for pair in both], [pair[1] for pair in both], symmetric=symmetric)
    for scores in (report.entities, report.relations):
        assert scores["strict"].micro.correct <= scores["relaxed"].micro.correct
        assert (scores["last-word"].micro.correct > 0) <= (scores["relaxed"].micro.correct > 0)
        assert (scores["strict"].micro.correct > 0) <= (scores["boundaries"].micro.correct > 0)


@given(pairs, symmetries)
def test_words_and_characters_agree_on_the_same_words(
    both: list[tuple[Document, Document]], symmetric: frozenset[str]
) -> None:
    left, right = [pair[0] for pair in both], [pair[1] for pair in both]
    assert score(left, right, symmetric=symmetric) == score(left, right, symmetric=symmetric, characters=True)


@given(pairs, symmetries)
def test_relaxed_equals_trying_every_pair(both: list[tuple[Document, Document]], symmetric: frozenset[str]) -> None:
    """The brute-force twin: an item has a match when any item of the other side matches it."""

    def near(left: Entity, right: Entity) -> bool:
        return left.type == right.type and bool(set(range(left.start, left.end)) & set(range(right.start, right.end)))

    def match(left: Relation, right: Relation) -> bool:
        if left.type != right.type:
            return False
        straight = near(left.head, right.head) and near(left.tail, right.tail)
        crossed = near(left.head, right.tail) and near(left.tail, right.head)
        return straight or (left.type in symmetric and crossed)

    def once(relations: Iterable[Relation]) -> list[Relation]:
        chosen: list[Relation] = []
        for relation in relations:
            mirror = Relation(relation.type, relation.tail, relation.head)
            if relation not in chosen and not (relation.type in symmetric and mirror in chosen):
                chosen.append(relation)
        return chosen

    report = score([pair[0] for pair in both], [pair[1] for pair in both], symmetric=symmetric)
    entities = sum(
        any(near(one, two) for two in gold.entities) for gold, predicted in both for one in predicted.entities
    )
    relations = sum(
        any(match(one, two) for two in gold.relations) for gold, predicted in both for one in once(predicted.relations)
    )
    assert report.entities["relaxed"].micro.correct == entities
    assert report.relations["relaxed"].micro.correct == relations


def test_by_characters_a_final_full_stop_is_not_compared() -> None:
    gold = Document.from_words(["in", "Amherst", ",", "Mass."], [Entity("Loc", 1, 4)])
    apart = Document(gold.text, (*gold.tokens[:3], Token("Mass", 13, 17), Token(".", 17, 18)), (Entity("Loc", 1, 4),))
    assert score([gold], [apart], characters=True).entities["strict"].micro.f1 == 1
    shorter = apart.annotated([Entity("Loc", 1, 2)], ())
    assert score([gold], [shorter], characters=True).entities["strict"].micro.f1 == 0


def test_a_report_shows_itself_on_one_line_and_prints_as_a_table() -> None:
    report = score([Document.from_words(["a"], [Entity("X", 0, 1)])], [Document.from_words(["a"])])
    assert repr(report) == "Report(strict micro F1: entities 0.00 %, relations 0.00 %)"
    assert str(report) == report.table("entities", "relations")
