"""brat standoff: pairs of files, folders of them, and what is written into them."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conjoin.document import Corpus, Document, Entity, Problem, Relation, Token, entity_between
from conjoin.errors import DataError
from conjoin.readers import Problems, detect, load, read_corpus, read_documents, write_corpus, write_documents
from conjoin.readers.characters import cut_words
from conjoin.readers.formats import brat
from conjoin.text.words import words

SAMPLE = Path(__file__).parents[1] / "data" / "brat"
WHOLE = {"sentences": "whole"}


def pair(folder: Path, text: str | bytes, annotations: str | bytes, name: str = "a") -> Path:
    """Write a text and its annotations; returns the `.ann` file."""
    folder.mkdir(parents=True, exist_ok=True)
    for ending, content in ((".txt", text), (".ann", annotations)):
        (folder / (name + ending)).write_bytes(content.encode() if isinstance(content, str) else content)
    return folder / f"{name}.ann"


def spans(documents: Corpus | tuple[Document, ...]) -> list[tuple[str, str]]:
    return [(entity.type, entity.text) for document in documents for entity in document.entities]


def triples(documents: Corpus | tuple[Document, ...]) -> list[tuple[str, str, str]]:
    return [(relation.type, relation.head.text, relation.tail.text) for document in documents
            for relation in document.relations]


def kinds(found: tuple[Problem, ...] | list[Problem]) -> dict[str, int]:
    return dict(Counter(problem.kind for problem in found))


def test_sample() -> None:
    corpus = read_corpus(SAMPLE)
    assert corpus.format == "brat"
    assert [document.id for document in corpus] == ["harbour#1", "harbour#2", "mill#1", "mill#2", "quiet#1"]
    assert spans(corpus) == [("Peop", "Ada Quill"), ("Loc", "Port Onno"), ("Org", "Tarn Mills"), ("Loc", "Vell"),
                             ("Org", "big\nmill"), ("Loc", "south gates"), ("Org", "Tarn Mills"), ("Burn", "burned"),
                             ("Peop", "Bea"), ("Burn", "fire")]
    # R2 of harbour has Arg2 before Arg1, R3 other roles; Saw points at an event and goes to its trigger
    assert triples(corpus) == [("Live_In", "Ada Quill", "Port Onno"), ("OrgBased_In", "Tarn Mills", "Vell"),
                               ("Work_For", "Ada Quill", "Tarn Mills"), ("Part_Of", "south gates", "Tarn Mills"),
                               ("Saw", "Bea", "fire")]
    assert kinds(corpus.problems) == {
        "sentences-joined": 1, "discontinuous-entity": 2, "event-argument": 1, "no-annotations": 1, "unread-events": 1,
        "unread-equivalences": 1, "unread-normalisations": 1, "unread-attributes": 1, "unread-notes": 1}
    assert {problem.kind for problem in corpus.problems if problem.loss} == {
        "discontinuous-entity", "unread-events", "unread-equivalences"}
    assert not any(problem.repair for problem in corpus.problems)
    assert any(problem.message.startswith("2 attributes (A, M lines) are not read") for problem in corpus.problems)


def test_options() -> None:
    corpus = read_corpus(SAMPLE, options={**WHOLE, "discontinuous": "cover"})
    assert [document.id for document in corpus] == ["harbour", "mill", "quiet"]
    assert corpus.documents[0].text == (SAMPLE / "harbour.txt").read_text()
    assert ("Part_Of", "north and south gates", "Tarn Mills") in triples(corpus)
    corpus = read_corpus(SAMPLE, options={"crossing": "drop"})
    assert [document.id for document in corpus][:3] == ["harbour#1", "harbour#2", "harbour#3"]
    assert kinds(corpus.problems)["relation-across-sentences"] == 1


@pytest.mark.parametrize("name", ["harbour.ann", "harbour.txt"])
def test_one_file_of_the_pair_will_do(name: str) -> None:
    documents, _ = read_documents(SAMPLE / name, "brat", options=WHOLE)
    assert documents == read_corpus(SAMPLE, options=WHOLE).documents[:1]


def test_broken(tmp_path: Path) -> None:
    rows = ["T1\tPeop 0 3\tAda", "T2\tLoc 9 13\tVell", "T3\tLoc 9 99\tOnno", "T4\tLoc 5 5\t", "T5 Peop 0 3\tAda",
            "T6\tPeop x y\tAda", "T7\tPeop 0 3;90 95\tAda Quill", f"T8\tPeop 0 {'9' * 5000}\tAda", "T1\tVerb 4 8\tleft",
            "R1\tLive_In Arg1:T1 Arg2:T2", "R2\tLive_In Arg1:T1 Arg2:T9", "R3\tLive_In Arg1:T1",
            "R4\tMeet Arg1:T1 Arg2:T2 Arg3:T2", "R5\tSelf Arg1:T1 Arg2:T1", "R6\tLive_In Arg1:T1 Arg2:T2", "Q1\twhat", "",
            "T9", "R7\tNear Arg1:T2 Arg2:T3"]
    path = pair(tmp_path, "Ada left Onno.", "\n".join(rows) + "\n")
    with pytest.raises(DataError, match=r"a\.ann:5: 'T5 Peop 0 3\tAda' is neither an entity \(T1, tab, .*; correct it, or"):
        read_corpus(path)
    problems = Problems(lenient=True)
    corpus = load(path, problems)
    assert spans(corpus) == [("Peop", "Ada"), ("Loc", "Onno"), ("Verb", "left")]
    assert triples(corpus) == [("Live_In", "Ada", "Onno")]
    assert Counter(problem.kind for problem in problems.entries if problem.repair) == {
        "text-disagrees": 1, "span-out-of-range": 3, "malformed-row": 7, "duplicate-id": 1, "unknown-id": 2,
        "self-relation": 1, "duplicate-relation": 1}
    (disagrees,) = (problem for problem in problems.entries if problem.kind == "text-disagrees")
    assert disagrees.line == 2
    assert disagrees.message == ("T2, Loc, says 'Vell', the text has 'Onno' at its offsets (count characters, not bytes); "
                                 "lenient reading trusts the offsets")


def test_text_without_annotations_and_annotations_without_text(tmp_path: Path) -> None:
    pair(tmp_path, "Ada left.", "T1\tPeop 0 3\tAda\n")
    (tmp_path / "b.txt").write_text("Bea stayed.")
    (tmp_path / "c.txt").write_text("Cid ran.")
    (tmp_path / "c.ann").write_text("")
    (tmp_path / "README.txt").write_text("About these texts.")
    (tmp_path / "annotation.conf").write_text("[entities]\nPeop\n")
    corpus = read_corpus(tmp_path)
    assert [document.id for document in corpus] == ["a#1", "b#1", "c#1"]
    assert kinds(corpus.problems) == {"no-annotations": 1}
    (tmp_path / "d.ann").write_text("T1\tPeop 0 3\tDan\n")
    with pytest.raises(DataError, match=r"d\.ann: there is no d\.txt beside it, the text that it annotates; correct"):
        read_corpus(tmp_path)
    corpus = read_corpus(tmp_path, lenient=True)
    assert len(corpus) == 3
    assert [(problem.kind, problem.loss) for problem in corpus.problems if problem.repair] == [("missing-text", True)]
    with pytest.raises(DataError, match=r"there is no d\.txt"):
        read_corpus(tmp_path / "d.ann")
    assert len(read_corpus(tmp_path / "d.ann", lenient=True)) == 0
    with pytest.raises(DataError, match=r"c\.ann: the file is empty"):
        detect(tmp_path / "c.ann")


LINES = "Ada left.\r\nBea met Cid.\r\n"


@pytest.mark.parametrize(("start", "told"), [(19, "count as two characters"), (18, "count as one character")])
def test_crlf_is_counted_as_most_mentions_count_it(start: int, told: str, tmp_path: Path) -> None:
    # nlplab/brat issue 853 counts one character, issue 1169 two; the text of the mention says which
    path = pair(tmp_path, LINES, f"T1\tPeop 0 3\tAda\r\nT2\tPeop {start} {start + 3}\tCid\r\nR1\tR Arg1:T1 Arg2:T2\r\n")
    corpus = read_corpus(path, options=WHOLE)
    assert triples(corpus) == [("R", "Ada", "Cid")]
    assert corpus.documents[0].text == (LINES if start == 19 else LINES.replace("\r\n", "\n"))
    assert kinds(corpus.problems) == {"crlf": 2}
    assert any(told in problem.message for problem in corpus.problems)


@pytest.mark.parametrize("start", [0, 1])
def test_the_byte_order_mark_is_counted_as_most_mentions_count_it(start: int, tmp_path: Path) -> None:
    path = pair(tmp_path, "\ufeffAda left.", f"\ufeffT1\tPeop {start} {start + 3}\tAda\n")
    corpus = read_corpus(path)
    assert spans(corpus) == [("Peop", "Ada")]
    assert corpus.documents[0].words == ["Ada", "left", "."]
    assert kinds(corpus.problems) == {"byte-order-mark": 2}
    assert ("do not count" in corpus.problems[1].message) == (start == 0)


@pytest.mark.parametrize(("start", "text"), [
    (20, "\ufeff" + LINES), (19, "\ufeff" + LINES.replace("\r\n", "\n")), (18, LINES.replace("\r\n", "\n")),
])
def test_byte_order_mark_and_crlf_are_weighed_together(start: int, text: str, tmp_path: Path) -> None:
    mark = int(start > 18)
    rows = f"T1\tPeop {mark} {mark + 3}\tAda\nT2\tPeop {start} {start + 3}\tCid\n"
    corpus = read_corpus(pair(tmp_path, "\ufeff" + LINES, rows), options=WHOLE)
    assert (corpus.documents[0].text, spans(corpus)) == (text, [("Peop", "Ada"), ("Peop", "Cid")])


def test_without_evidence_the_text_is_as_stored(tmp_path: Path) -> None:
    path = pair(tmp_path, "\ufeff" + LINES, "T1\tPeop 12 15\n")
    corpus = read_corpus(path, options=WHOLE)
    assert (corpus.documents[0].text, spans(corpus)) == ("\ufeff" + LINES, [("Peop", "Bea")])


def test_parts_that_only_white_space_parts_are_one_entity(tmp_path: Path) -> None:
    # brat breaks a span at the end of a line; old versions wrote no blank between the parts
    for parts, said in (("4 9;10 14", "grand mill"), ("10 14;4 9", "mill grand"), ("10 14;4 9", "grandmill"),
                        ("4 14", "grand mill"), ("4 9;9 14", "grand mill")):
        rows = f"T1\tOrg {parts}\t{said}\nT2\tLoc 18 22\tVell\nR1\tIn Arg1:T1 Arg2:T2\n"
        path = pair(tmp_path, "the grand\nmill of Vell", rows)
        corpus = read_corpus(path)
        assert triples(corpus) == [("In", "grand\nmill", "Vell")]
        assert corpus.problems == ()


def test_a_gap_says_where_its_text_disagrees(tmp_path: Path) -> None:
    path = pair(tmp_path, "north and south gates", "T1\tLoc 0 5;16 21\tnorth gate\n")
    with pytest.raises(DataError, match=r"a\.ann:1: T1, Loc, says 'north gate', the text has 'north … gates' at its"):
        read_corpus(path)


def test_a_relation_to_an_event_whose_trigger_is_no_entity(tmp_path: Path) -> None:
    rows = "T1\tPeop 0 3\tAda\nE1\tLeave:T7 Who:T1\nR1\tR Arg1:T1 Arg2:E1\nR2\tR Arg1:T1 Arg2:E5\n"
    path = pair(tmp_path, "Ada left.", rows)
    corpus = read_corpus(path, lenient=True)
    assert kinds(corpus.problems) == {"event-argument": 1, "unknown-id": 2, "unread-events": 1}


def test_bytes_that_are_not_utf8(tmp_path: Path) -> None:
    path = pair(tmp_path, "Zürich".encode("latin-1"), "T1\tLoc 0 6\tZürich\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"a\.ann:1: byte 0xfc"):
        read_corpus(path)
    corpus = read_corpus(path, lenient=True)
    assert (spans(corpus), kinds(corpus.problems)) == ([("Loc", "Zürich")], {"not-utf-8": 2})
    with pytest.raises(DataError, match=r"a\.txt:1: the file is UTF-16"):
        read_corpus(pair(tmp_path, "Ada".encode("utf-16"), "T1\tLoc 0 3\tAda\n"), lenient=True)


def test_folders_of_splits(tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    pair(folder / "train" / "first", "Ada left.", "T1\tPeop 0 3\tAda\n", "x")
    pair(folder / "train" / "second", "Bea left.", "", "x")
    pair(folder / "Test-set", "Cid left.", "T1\tPeop 0 3\tCid\n", "y")
    assert detect(folder) == "brat"
    corpus = read_corpus(folder)
    assert {split: [document.id for document in documents] for split, documents in corpus.splits.items()} == {
        "train": ["first/x#1", "second/x#1"], "test": ["y#1"]}
    pair(folder / "old", "Dan left.", "")
    assert kinds(read_corpus(folder).problems) == {"file-not-read": 1}


def test_a_folder_of_another_format_stays_what_it_is(tmp_path: Path) -> None:
    write_documents([Document.from_words(["Ada"])], tmp_path / "train.jsonl", "jsonl")
    pair(tmp_path / "source", "Ada left.", "T1\tPeop 0 3\tAda\n")
    assert detect(tmp_path) == "jsonl"
    assert detect(tmp_path / "source") == "brat"
    (tmp_path / "train.jsonl").unlink()
    with pytest.raises(DataError, match=f"name one of the folders in it: {tmp_path}/source"):
        detect(tmp_path)


def test_written_names_are_safe_and_differ(tmp_path: Path) -> None:
    ids = ["a/b", "a b", "A_b", "..", "", "con", "README", "x" * 300, "Größe#1", "a_b-2", "x" * 300]
    problems = write_documents([Document.from_words([str(number)], id=id) for number, id in enumerate(ids)],
                               tmp_path / "out", "brat")
    names = sorted(file.name for file in (tmp_path / "out").iterdir())
    assert names == sorted(name + ending for ending in (".txt", ".ann") for name in (
        "a_b", "a_b-2", "A_b-3", "_..", "document-5", "_con", "_README", "x" * 60, "Größe#1", "a_b-2-2", "x" * 60 + "-2"))
    assert kinds(list(problems)) == {"file-name": 10}
    assert sorted(document.text for document in read_corpus(tmp_path / "out")) == sorted(map(str, range(len(ids))))


def test_what_brat_cannot_hold(tmp_path: Path) -> None:
    text = "Ada left  Onno"
    ada, onno = Entity("a man", 0, 1, score=0.5), Entity("", 2, 3)
    document = Document(text, tuple(words(text)), (ada, onno), (Relation("lived in", ada, onno),), "d")
    with pytest.raises(DataError, match="type 'a man' is empty or has white space in it; correct it, or use lenient=True"):
        write_documents([document], tmp_path / "out", "brat")
    assert not (tmp_path / "out").exists()
    problems = write_documents([document, document], tmp_path / "out", "brat", lenient=True)
    assert kinds(list(problems)) == {"type-name": 3, "score": 2, "file-name": 1}
    assert not any(problem.loss for problem in problems)
    assert (tmp_path / "out" / "d.ann").read_text() == ("T1\ta_man 0 3\tAda\nT2\t_ 10 14\tOnno\n"
                                                        "R1\tlived_in Arg1:T1 Arg2:T2\n")


def test_words_are_not_held(tmp_path: Path) -> None:
    joined = Document.from_words(["Ada-left", "now"], [Entity("X", 0, 1)], id="d")
    problems = write_documents([joined], tmp_path / "out", "brat")
    assert kinds(list(problems)) == {"words": 1}
    (document,) = read_corpus(tmp_path / "out", options=WHOLE)
    assert document.words == ["Ada", "-", "left", "now"]
    assert spans((document,)) == [("X", "Ada-left")]


def test_a_span_over_a_line_end_is_written_in_parts(tmp_path: Path) -> None:
    text = "the grand\r\nmill, A\tB"
    document = Document(text, tuple(words(text)), (Entity("Org", 0, 3), Entity("Y", 4, 6)), (), "d")
    write_documents([document], tmp_path / "out", "brat")
    assert (tmp_path / "out" / "d.ann").read_bytes() == b"T1\tOrg 0 9;11 15\tthe grand mill\nT2\tY 17 20\tA\tB\n"
    assert read_corpus(tmp_path / "out", options=WHOLE).documents == (document,)


def test_an_entity_of_white_space_is_left_out(tmp_path: Path) -> None:
    text = "a \t b"
    blank, full = Entity("X", 1, 2), Entity("X", 0, 1)
    tokens = (Token("a", 0, 1), Token("\t", 2, 3), Token("b", 4, 5))
    document = Document(text, tokens, (blank, full), (Relation("R", blank, full),), "d")
    problems = write_documents([document], tmp_path / "out", "brat", lenient=True)
    assert [(problem.kind, problem.loss) for problem in problems] == [("words", False), ("span-without-words", True)]
    assert (tmp_path / "out" / "d.ann").read_text() == "T1\tX 0 1\ta\n"


def test_the_split_all_is_read_back(tmp_path: Path) -> None:
    write_corpus(Corpus({"all": (Document.from_words(["Ada"], id="a"),)}), tmp_path / "out", "brat")
    assert detect(tmp_path / "out") == "brat"
    assert [document.id for document in read_corpus(tmp_path / "out").splits["all"]] == ["a#1"]


LETTERS = st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from("ab .\r\n\t\ufeff"))


@st.composite
def texts(draw: Any) -> Document:
    """A document with any text and the words that conjoin makes of it, cut where entities begin and end."""
    text = draw(st.text(LETTERS, max_size=30))
    found = words(text)
    chosen = draw(st.lists(st.tuples(st.sampled_from(found), st.sampled_from(found)), max_size=4)) if found else []
    spans = [(min(a.char_start, b.char_start), max(a.char_end, b.char_end)) for a, b in chosen]
    bare = Document(text, tuple(cut_words(text, found, [edge for span in spans for edge in span])))
    entities = [entity_between(bare, f"X:{number % 2};", *span) for number, span in enumerate(spans)]
    kept = [entity for entity in dict.fromkeys(entities) if entity]
    pairs = [(head, tail) for head in kept for tail in kept if head != tail]
    named = st.tuples(st.sampled_from(["R", "it's", "größer"]), st.sampled_from(pairs or [None]))
    relations = [Relation(type, *pair) for type, pair in draw(st.lists(named, max_size=4, unique=True)) if pair]
    return Document(text, bare.tokens, tuple(kept), tuple(relations), "d")


@settings(deadline=None)
@given(texts())
def test_what_is_written_is_read(document: Document) -> None:
    problems = Problems(activity="writing")
    with tempfile.TemporaryDirectory() as folder:
        brat.write_folder([document], Path(folder), Path(folder), problems)
        (read,) = read_corpus(folder, "brat", options=WHOLE)
    assert (read, problems.entries) == (document, [])
