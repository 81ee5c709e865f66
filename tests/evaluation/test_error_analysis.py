from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conjoin.document import Document, Entity, Relation
from conjoin.errors import DataError
from conjoin.evaluation.error_analysis import KINDS, analyze_errors, document_errors
from conjoin.evaluation.metrics import document_counts
from conjoin.render.error_analysis import errors_to_html

WORDS = ["Maria", "Ortiz", "leads", "Halden", "Steel", "of", "Leeds", "near", "Oslo"]
MARIA, ORTIZ = Entity("Peop", 0, 2), Entity("Peop", 1, 2)
STEEL, LEEDS, OSLO = Entity("Org", 3, 5), Entity("Loc", 6, 7), Entity("Loc", 8, 9)
WORK = Relation("Work_For", MARIA, STEEL)


def document(entities: list[Entity], relations: list[Relation]) -> Document:
    return Document.from_words(WORDS, entities, relations, id="d1")


GOLD = document([MARIA, STEEL, LEEDS], [WORK, Relation("Located_In", STEEL, LEEDS)])
LOCATED = Relation("Located_In", STEEL, LEEDS)


def kinds(predicted: Document, gold: Document = GOLD, symmetric: frozenset[str] = frozenset()) -> list[str]:
    return [error.kind for error in document_errors(gold, predicted, symmetric=symmetric)]


@pytest.mark.parametrize(("entities", "relations", "expected"), [
    ([MARIA, STEEL, LEEDS], [WORK, LOCATED], []),
    ([MARIA, Entity("Loc", 3, 5), LEEDS], [], ["entity-type", "relation-missed-entity", "relation-missed-entity"]),
    ([ORTIZ, STEEL, LEEDS], [Relation("Work_For", ORTIZ, STEEL), LOCATED], ["entity-boundary", "relation-entity"]),
    ([Entity("Org", 1, 2), STEEL, LEEDS], [LOCATED], ["entity-both", "relation-missed-entity"]),
    ([MARIA, STEEL], [WORK], ["entity-missed", "relation-missed-entity"]),
    ([MARIA, STEEL, LEEDS, OSLO], [WORK, LOCATED], ["entity-spurious"]),
    ([MARIA, STEEL, LEEDS, OSLO], [WORK, LOCATED, Relation("Located_In", STEEL, OSLO)],
     ["entity-spurious", "relation-spurious-entity"]),
    ([MARIA, STEEL, LEEDS], [WORK, Relation("OrgBased_In", STEEL, LEEDS)], ["relation-type"]),
    ([MARIA, STEEL, LEEDS], [WORK, Relation("Located_In", LEEDS, STEEL)], ["relation-direction"]),
    ([MARIA, STEEL, LEEDS], [WORK], ["relation-missed"]),
    ([MARIA, STEEL, LEEDS], [WORK, LOCATED, Relation("Live_In", MARIA, LEEDS)], ["relation-spurious"]),
])
def test_kinds(entities: list[Entity], relations: list[Relation], expected: list[str]) -> None:
    assert kinds(document(entities, relations)) == expected


def test_every_kind_is_met_above_and_explained() -> None:
    marks = test_kinds.pytestmark[0].args[1]  # type: ignore[attr-defined]
    assert {kind for _, _, expected in marks for kind in expected} == set(KINDS)


def test_an_annotated_entity_has_one_partner_the_closest() -> None:
    pieces = [Entity("Peop", 0, 1), Entity("Peop", 1, 2)]
    assert kinds(document([*pieces, STEEL, LEEDS], [LOCATED])) == [
        "entity-boundary", "entity-spurious", "relation-missed-entity"
    ]
    nested = document([Entity("Org", 3, 4), STEEL], [])
    assert kinds(document([STEEL], []), gold=nested) == ["entity-missed"]


def test_symmetric_relations_have_no_direction() -> None:
    turned = document([MARIA, STEEL, LEEDS], [WORK, Relation("Located_In", LEEDS, STEEL)])
    assert kinds(turned, symmetric=frozenset({"Located_In"})) == []
    moved = document([ORTIZ, STEEL, LEEDS], [Relation("Work_For", STEEL, ORTIZ), LOCATED])
    assert kinds(moved, symmetric=frozenset({"Work_For"})) == ["entity-boundary", "relation-entity"]


def test_other_words_are_refused() -> None:
    with pytest.raises(DataError, match=r"document 'd1': gold and predicted have other words"):
        document_errors(GOLD, Document.from_words(["other"]))


ENTITIES = st.builds(lambda type, start, size: Entity(type, start, min(9, start + size)), st.sampled_from(["A", "B"]),
                     st.integers(0, 8), st.integers(1, 3))


@st.composite
def documents(draw: st.DrawFn) -> Document:
    entities = draw(st.lists(ENTITIES, max_size=5))
    pairs = st.tuples(st.sampled_from(["R", "S"]), st.sampled_from(entities or [OSLO]), st.sampled_from(entities or [OSLO]))
    relations = [Relation(*parts) for parts in draw(st.lists(pairs, max_size=4))] if entities else []
    return document(entities, relations)


@given(documents(), documents())
def test_errors_account_for_everything_that_is_not_correct(gold: Document, predicted: Document) -> None:
    errors = document_errors(gold, predicted)
    counts = document_counts([gold], [predicted])
    for task, part in (("entities", "entity-"), ("relations", "relation-")):
        own = [error for error in errors if error.kind.startswith(part)]
        annotated, proposed, correct = counts[task][0]
        assert sum(error.gold is not None for error in own) == annotated - correct
        assert sum(error.predicted is not None for error in own) == proposed - correct
    kinds = analyze_errors([gold], [predicted]).counts()
    assert Counter(error.kind for error in errors) == Counter({kind: count for kind, count in kinds.items() if count})


def test_the_page_shows_each_error_once_and_can_hide_its_kind() -> None:
    predicted = document([ORTIZ, STEEL, LEEDS], [Relation("Work_For", ORTIZ, STEEL), LOCATED])
    right = document([OSLO], [])
    page = errors_to_html(analyze_errors([GOLD, right], [predicted, right]), title="<dev>")
    assert "2 errors in 1 of 2 documents" in page
    assert page.count('<section class="cj-errors') == 1
    assert 'class="cj-errors cj-has-entity-boundary cj-has-relation-entity"' in page
    assert "annotated Peop ‘Maria Ortiz’; predicted Peop ‘Ortiz’" in page
    assert "&lt;dev&gt;" in page
    for kind in KINDS:
        assert page.count(f'id="cj-show-{kind}" checked') == 1
        assert f".cj-page:has(#cj-show-{kind}:checked) .cj-has-{kind}" in page
        assert f".cj-page:has(#cj-show-{kind}:checked) .cj-is-{kind}" in page
