"""Texts annotated in characters: sentences joined and cut, words cut, gaps, and that nothing is lost on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conjoin.document import Document, Token
from conjoin.errors import DataError
from conjoin.readers.problems import Place, Problems
from conjoin.readers.standoff import Standoff

TEXT = "Ada left. Bea stayed. Cid slept. Dan ran. Eve won."
NAMES = ("Ada", "Bea", "Cid", "Dan", "Eve")
OPTIONS = {"sentences": "split", "crossing": "join", "overlap": "keep"}


def standoff(
    text: str, mentions: Sequence[str] = (), links: Sequence[tuple[str, str]] = (), *, lenient: bool = False,
    tokens: Sequence[Token] | None = None,
) -> Standoff:
    """A text with an entity for each string, called by it, and a relation for each pair; line 7 of the file `a`."""
    found = Standoff(text, Place(Path("a"), Problems(lenient=lenient), 7), id="d", tokens=tokens)
    for mention in mentions:
        start = text.index(mention)
        found.entity(mention, "X", start, start + len(mention), line=7)
    for head, tail in links:
        found.relation("R", head, tail, line=7)
    return found


def texts(documents: Sequence[Document]) -> list[str]:
    return [document.text for document in documents]


def triples(documents: Sequence[Document]) -> list[tuple[str, str]]:
    return [(relation.head.text, relation.tail.text) for document in documents for relation in document.relations]


def kinds(found: Standoff) -> dict[str, int]:
    return dict(Counter(problem.kind for problem in found.place.problems.entries))


def losses(found: Standoff) -> list[str]:
    return [problem.kind for problem in found.place.problems.entries if problem.loss]


def at_every_blank(text: str) -> list[Token]:
    words, position = [], 0
    for word in text.split(" "):
        words.append(Token(word, position, position + len(word)))
        position += len(word) + 1
    return words


def test_a_document_for_each_sentence() -> None:
    found = standoff(TEXT, ["Ada", "Eve"])
    documents = list(found.documents(OPTIONS))
    assert texts(documents) == ["Ada left.", "Bea stayed.", "Cid slept.", "Dan ran.", "Eve won."]
    assert [document.id for document in documents] == ["d#1", "d#2", "d#3", "d#4", "d#5"]
    assert [[entity.text for entity in document.entities] for document in documents] == [["Ada"], [], [], [], ["Eve"]]
    assert found.place.problems.entries == []


def test_an_entity_joins_the_sentences_it_reaches_into() -> None:
    found = standoff(TEXT, ["left. Bea"])
    documents = list(found.documents(OPTIONS | {"crossing": "drop"}))
    assert texts(documents)[:2] == ["Ada left. Bea stayed.", "Cid slept."]
    assert documents[0].words == ["Ada", "left", ".", "Bea", "stayed", "."]
    assert [document.id for document in documents] == ["d#1", "d#2", "d#3", "d#4"]
    assert documents[0].entities[0].text == "left. Bea"
    assert (kinds(found), losses(found)) == ({"sentences-joined": 1}, [])
    assert found.place.problems.entries[0].line == 7


def test_a_relation_joins_its_sentences_and_all_between() -> None:
    found = standoff(TEXT, NAMES, [("Dan", "Bea")])
    documents = list(found.documents(OPTIONS))
    assert texts(documents) == ["Ada left.", "Bea stayed. Cid slept. Dan ran.", "Eve won."]
    assert triples(documents) == [("Dan", "Bea")]
    assert (kinds(found), losses(found)) == ({"sentences-joined": 1}, [])


@pytest.mark.parametrize(("links", "joined"), [
    ([("Ada", "Bea"), ("Bea", "Cid")], ["AdaBeaCid", "Dan", "Eve"]),
    ([("Bea", "Cid"), ("Ada", "Bea")], ["AdaBeaCid", "Dan", "Eve"]),
    ([("Dan", "Eve"), ("Ada", "Bea"), ("Bea", "Dan")], ["AdaBeaCidDanEve"]),
    ([("Cid", "Dan"), ("Ada", "Cid")], ["AdaBeaCidDan", "Eve"]),  # the join of 3 and 4 reaches beyond 1 to 3
    ([("Bea", "Cid"), ("Dan", "Eve"), ("Cid", "Dan")], ["Ada", "BeaCidDanEve"]),
    ([("Ada", "Cid"), ("Bea", "Ada")], ["AdaBeaCid", "Dan", "Eve"]),
])
def test_chains_of_joins(links: list[tuple[str, str]], joined: list[str]) -> None:
    found = standoff(TEXT, NAMES, links)
    documents = list(found.documents(OPTIONS))
    assert ["".join(entity.text for entity in document.entities) for document in documents] == joined
    assert Counter(triples(documents)) == Counter(links)
    assert losses(found) == []


def test_crossing_drop_leaves_out_what_crosses() -> None:
    # the entity joins the first two sentences, so the relation between them does not cross
    found = standoff(TEXT, ["Ada", "left. Bea", "Cid", "slept"], [("Ada", "left. Bea"), ("Ada", "Cid"), ("Cid", "slept")])
    documents = list(found.documents(OPTIONS | {"crossing": "drop"}))
    assert triples(documents) == [("Ada", "left. Bea"), ("Cid", "slept")]
    assert (kinds(found), losses(found)) == ({"sentences-joined": 1, "relation-across-sentences": 1},
                                             ["relation-across-sentences"])
    assert "crossing=join" in found.place.problems.entries[-1].message


def test_two_entities_with_one_id() -> None:
    with pytest.raises(DataError, match="a:7: two entities are called 'Ada'"):
        standoff("Ada, Ada, Bea", ["Ada", "Ada"])
    found = standoff("Ada, Ada, Bea", ["Ada", "Bea"], [("Ada", "Bea")], lenient=True)
    found.entity("Ada", "X", 5, 8, line=8)
    (document,) = found.documents(OPTIONS)
    assert [entity.start for entity in document.entities] == [0, 4, 2]
    assert [relation.head.start for relation in document.relations] == [0]
    assert (kinds(found), losses(found)) == ({"duplicate-id": 1}, [])


def test_an_entity_with_gaps_goes_with_its_relations() -> None:
    found = standoff("Ada and Bea Quill left Onno.", ["Onno", "Bea"])
    found.discontinuous("q", "X", [(12, 17), (0, 3)], "drop", line=3)
    found.relation("R", "q", "Onno", line=4)
    found.relation("R", "Bea", "Onno", line=5)
    (document,) = found.documents(OPTIONS)
    assert [entity.text for entity in document.entities] == ["Onno", "Bea"]
    assert triples([document]) == [("Bea", "Onno")]
    assert [(problem.kind, problem.line, problem.loss) for problem in found.place.problems.entries] == [
        ("discontinuous-entity", 3, True), ("discontinuous-entity", 4, True)]
    assert "'Ada … Quill'" in found.place.problems.entries[0].message


def test_an_entity_with_gaps_may_be_covered() -> None:
    found = standoff("Ada and Bea Quill left Onno.", ["Onno"], [("q", "Onno")])
    found.discontinuous("q", "X", [(12, 17), (0, 3)], "cover", line=3)
    (document,) = found.documents(OPTIONS)
    assert triples([document]) == [("Ada and Bea Quill", "Onno")]
    assert (kinds(found), losses(found)) == ({"discontinuous-entity": 1}, [])


@pytest.mark.parametrize("how", ["drop", "cover"])
@pytest.mark.parametrize("part", [(2, 99), (5, 5), (6, 3), (-2, 1)])
def test_a_part_beyond_the_text(part: tuple[int, int], how: str) -> None:
    with pytest.raises(DataError, match=f"characters {part[0]} to {part[1]} .end exclusive., the text has 8"):
        standoff("Ada left").discontinuous("q", "X", [(0, 1), part], how)
    found = standoff("Ada left", lenient=True)
    found.discontinuous("q", "X", [(0, 1), part], how)
    assert next(found.documents(OPTIONS)).entities == ()
    assert losses(found) == ["span-out-of-range"]


def test_a_word_is_cut_where_an_entity_ends() -> None:
    found = standoff("Ada-led tarnworks", ["Ada", "tarn"])
    (document,) = found.documents(OPTIONS)
    assert document.words == ["Ada", "-", "led", "tarn", "works"]
    assert [entity.text for entity in document.entities] == ["Ada", "tarn"]
    assert (kinds(found), losses(found)) == ({"inside-word": 1}, [])


@pytest.mark.parametrize("options", [{"sentences": "whole"}, {}])
def test_given_words(options: dict[str, str]) -> None:
    text = "Ada left Mr. Bea. Cid tarnworks"
    with pytest.raises(DataError, match="X 'tarn' starts or ends inside the word 'tarnworks'; correct it"):
        list(standoff(text, ["tarn"], tokens=at_every_blank(text)).documents(OPTIONS | options))
    found = standoff(text, ["Mr.", "tarn"], tokens=at_every_blank(text), lenient=True)
    documents = list(found.documents(OPTIONS | options))
    words = [word for document in documents for word in document.words]
    assert words == ["Ada", "left", "Mr.", "Bea.", "Cid", "tarn", "works"]
    assert [entity.text for document in documents for entity in document.entities] == ["Mr.", "tarn"]
    assert len(documents) == (1 if options else 2)
    assert (kinds(found), losses(found)) == ({"inside-word": 1}, [])


def test_a_given_word_joins_the_sentences_it_reaches_into() -> None:
    tokens = [Token("Ada", 0, 3), Token("left. Bea", 4, 13), Token("stayed.", 14, 21), Token("Cid", 22, 25)]
    documents = list(standoff(TEXT, ["Cid"], tokens=tokens).documents(OPTIONS))
    assert [document.words for document in documents[:2]] == [["Ada", "left. Bea", "stayed."], ["Cid"]]


def test_an_entity_that_no_given_words_cover() -> None:
    found = standoff("Ada left", ["left"], [("left", "Ada")], tokens=[Token("Ada", 0, 3)], lenient=True)
    found.entity("Ada", "X", 0, 3)
    (document,) = found.documents(OPTIONS)
    assert [entity.text for entity in document.entities] == ["Ada"]
    assert losses(found) == ["span-without-words", "unknown-id"]


@pytest.mark.parametrize("text", ["", " \n\t\ufeff "])
def test_a_text_without_words(text: str) -> None:
    found = standoff(text)
    assert list(found.documents(OPTIONS)) == []
    assert [(problem.kind, problem.line) for problem in found.place.problems.entries] == [("empty-sentence", 7)]
    found = standoff(text)
    (document,) = found.documents(OPTIONS | {"sentences": "whole"})
    assert (document.text, document.tokens, document.id) == (text, (), "d")
    assert kinds(found) == {"empty-sentence": 1}


def test_the_whole_text_as_one_document() -> None:
    found = standoff(TEXT, NAMES, [("Ada", "Eve")])
    (document,) = found.documents(OPTIONS | {"sentences": "whole", "crossing": "drop"})
    assert (document.id, document.text) == ("d", TEXT)
    assert triples([document]) == [("Ada", "Eve")]
    assert found.place.problems.entries == []


def test_overlap_rules_work_in_each_sentence() -> None:
    for options in ({}, {"sentences": "whole"}):
        found = standoff(TEXT, ["Ada left", "left", "Eve"])
        documents = list(found.documents(OPTIONS | {"overlap": "keep-longer", **options}))
        assert [entity.text for document in documents for entity in document.entities] == ["Ada left", "Eve"]
        assert losses(found) == ["removed-entity"]


def test_what_an_entity_says_is_checked() -> None:
    found = standoff("Ada left", lenient=True)
    found.entity("a", "X", 0, 4, copy="Eda ")
    found.entity("b", "X", 3, 4)
    found.entity("c", "X", 5, 9)
    found.relation("R", "a", "b")
    (document,) = found.documents(OPTIONS)
    assert [entity.text for entity in document.entities] == ["Ada"]
    assert kinds(found) == {"text-disagrees": 1, "white-space-edge": 1, "span-without-words": 1, "span-out-of-range": 1,
                            "unknown-id": 1}
    assert losses(found) == ["span-without-words", "span-out-of-range", "unknown-id"]


PIECES = st.sampled_from(["Ada", "left", "U.S.", "Dr.", "11", "x-y", "東京", ".", "!", "?", ",", "(", '"', " ", " ", " ",
                          "\n", "\n\n"])


@st.composite
def annotated(draw: st.DrawFn) -> tuple[str, list[tuple[int, int]], list[tuple[int, int]]]:
    """A text, spans of characters that hold something, and pairs of different spans by number."""
    text = "".join(draw(st.lists(PIECES, min_size=1, max_size=40)))
    place = st.integers(0, len(text))
    pairs = draw(st.lists(st.tuples(place, place), max_size=6))
    spans = [(min(pair), max(pair)) for pair in pairs if text[min(pair) : max(pair)].strip()]
    numbers = st.integers(0, max(0, len(spans) - 1))
    links = [(head, tail) for head, tail in draw(st.lists(st.tuples(numbers, numbers), max_size=6)) if head != tail]
    return text, spans, links


@settings(deadline=None)
@given(annotated(), st.sampled_from(["split", "whole"]))
def test_joining_loses_no_relation_and_no_character(
    value: tuple[str, list[tuple[int, int]], list[tuple[int, int]]], sentences: str
) -> None:
    text, spans, links = value
    found = standoff(text, lenient=True)  # spans may have white space at their edges, which is a repair
    for number, (start, end) in enumerate(spans):
        found.entity(number, f"X{number}", start, end)
    for number, (head, tail) in enumerate(links):
        found.relation(f"R{number}", head, tail)
    documents = list(found.documents(OPTIONS | {"sentences": sentences}))
    assert losses(found) == []
    assert {entity.type: entity.text for document in documents for entity in document.entities} == {
        f"X{number}": text[start:end].strip() for number, (start, end) in enumerate(spans)}
    assert {relation.type: (relation.head.type, relation.tail.type) for document in documents
            for relation in document.relations} == {f"R{number}": (f"X{head}", f"X{tail}")
                                                    for number, (head, tail) in enumerate(links)}
    assert "".join("".join(texts(documents)).split()) == "".join(text.split())


def test_a_message_is_one_line() -> None:
    found = standoff("Ada\nleft. Bea\r\nstayed.", ["left. Bea\r\nstayed"], lenient=True)
    found.entity("b", "Y", 0, 4, copy="Eda")
    list(found.documents(OPTIONS))
    messages = [problem.message for problem in found.place.problems.entries]
    assert len(messages) == 3
    assert not any(set(message) & {"\n", "\r"} for message in messages)
    assert "'left. Bea stayed' " in messages[-1]
