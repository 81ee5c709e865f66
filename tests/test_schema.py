"""Schema: learnt from documents, questions it answers, JSON round trip."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conjoin.document import Document, Entity, Relation
from conjoin.errors import DataError, SettingError
from conjoin.schema import Schema, canonical

RUBY, DALLAS = Entity("Peop", 0, 1), Entity("Loc", 2, 3)
DOCUMENT = Document.from_words(["Ruby", "in", "Dallas"], [RUBY, DALLAS], [Relation("Live_In", RUBY, DALLAS)], id="d1")

names = st.text(min_size=1, max_size=4)
relation_types = st.lists(names, unique=True, max_size=4)


@st.composite
def schemas(draw: st.DrawFn) -> Schema:
    entity_types = draw(st.lists(names, unique=True, max_size=4))
    types = draw(relation_types)
    pairs = st.frozensets(st.tuples(names, names), max_size=3)
    signatures = draw(st.dictionaries(st.sampled_from(types), pairs)) if types else {}
    symmetric = draw(st.frozensets(st.sampled_from(types))) if types else frozenset[str]()
    return Schema(tuple(entity_types), tuple(types), symmetric, signatures)


def test_from_documents() -> None:
    schema = Schema.from_documents([DOCUMENT], symmetric=["Live_In"])
    assert schema.entity_types == ("Loc", "Peop")
    assert schema.relation_types == ("Live_In",)
    assert schema.signatures == {"Live_In": frozenset({("Peop", "Loc")})}
    assert schema.symmetric == frozenset({"Live_In"})
    with pytest.raises(SettingError, match=r"unknown symmetric relation type 'Live_Inn' \(did you mean 'Live_In'\?\)"):
        Schema.from_documents([DOCUMENT], symmetric=["Live_In", "Live_Inn"])


def test_allows() -> None:
    schema = Schema(("A", "B"), ("r", "s", "t"), frozenset("s"), {type: frozenset({("A", "B")}) for type in "rs"})
    assert schema.allows("r", "A", "B")
    assert not schema.allows("r", "B", "A")
    assert schema.allows("s", "B", "A")  # symmetric
    assert not schema.allows("s", "A", "A")
    assert schema.allows("t", "B", "B")  # no signature, no limit


def test_canonical() -> None:
    relation = Relation("s", DALLAS, RUBY, 0.5)
    assert canonical(relation, frozenset()) is relation
    turned = Schema(("Peop", "Loc"), ("s",), frozenset("s")).canonical(relation)
    assert (turned.head, turned.tail, turned.score) == (RUBY, DALLAS, 0.5)
    assert canonical(turned, frozenset("s")) == turned


def test_check_names_document_and_type() -> None:
    Schema.from_documents([DOCUMENT]).check([DOCUMENT])
    with pytest.raises(DataError, match="'d1': entity type 'Loc' is not one of the model's: Peop"):
        Schema(("Peop",)).check([DOCUMENT])
    with pytest.raises(DataError, match="'d1': relation type 'Live_In'"):
        Schema(("Peop", "Loc"), ("Kill",)).check([DOCUMENT])
    nameless = Document.from_words(["Mars"], [Entity("Planet", 0, 1)])
    with pytest.raises(DataError, match=r"^document 2: .*; train a model on data with that type"):
        Schema(("Peop", "Loc"), ("Live_In",)).check([DOCUMENT, nameless])


@given(schemas())
def test_json_round_trip(schema: Schema) -> None:
    assert Schema.from_json(json.loads(json.dumps(schema.to_json()))) == schema


@pytest.mark.parametrize("value", [{}, {"entity_types": 3, "relation_types": [], "symmetric": [], "signatures": {}}])
def test_broken_json(value: dict[str, object]) -> None:
    with pytest.raises(DataError, match="it needs entity_types"):
        Schema.from_json(value)
