"""ACE 2004 and 2005: the invented documents of tests/data/ace, which hold each trap of the format, and broken ones."""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conjoin.document import Corpus, Document
from conjoin.errors import DataError
from conjoin.readers import Problems, detect, load, read_corpus

FOLDER = Path(__file__).parents[1] / "data" / "ace"
NEWS = "TARN_ENG_20990301.0007"  # as of 2005
MAYOR = "MARROW19990412.0830.0012"  # as of 2004
TALK = "TARN_CF_20990302.1900.00-2"


def spans(document: Document) -> list[tuple[str, str]]:
    return [(entity.type, entity.text) for entity in document.entities]


def triples(documents: Iterable[Document]) -> list[tuple[str, str, str]]:
    return [(relation.type, relation.head.text, relation.tail.text)
            for document in documents for relation in document.relations]


def kinds(corpus: Corpus) -> dict[str, int]:
    return dict(Counter(problem.kind for problem in corpus.problems))


def whole(name: str, **options: str) -> Document:
    (document,) = read_corpus(FOLDER / f"{name}.apf.xml", options={"sentences": "whole", **options}).documents
    return document


def sentence(start: str) -> Document:
    return next(document for document in read_corpus(FOLDER) if document.words[0] == start)


# --- the sample ------------------------------------------------------------------------------------------------------


def test_sample() -> None:
    corpus = read_corpus(FOLDER)
    assert corpus.format == "ace"
    assert list(corpus.splits) == ["all"]
    assert Counter(document.id.rpartition("#")[0] for document in corpus) == {NEWS: 5, MAYOR: 4, TALK: 6}
    assert Counter(entity.type for document in corpus for entity in document.entities) == {
        "PER": 13, "ORG": 5, "GPE": 4, "LOC": 1, "VEH": 1}
    assert Counter(relation[0] for relation in triples(corpus)) == {
        "ORG-AFF": 3, "PHYS": 2, "GEN-AFF": 1, "PART-WHOLE": 1, "PER-SOC": 1, "EMP-ORG": 1}
    assert kinds(corpus) == {"discourse": 1, "entity-without-mention": 1, "duplicate-entity": 1, "duplicate-relation": 1,
                             "relation-without-mention": 1, "sentences-joined": 1, "unread-annotation": 1}
    assert not any(problem.repair for problem in corpus.problems)
    assert {problem.kind for problem in corpus.problems if problem.loss} == {
        "discourse", "entity-without-mention", "relation-without-mention", "unread-annotation"}


@pytest.mark.parametrize("name", [NEWS, MAYOR, TALK])
@pytest.mark.parametrize("ending", [".sgm", ".apf.xml"])
def test_either_file_names_the_document(name: str, ending: str, tmp_path: Path) -> None:
    assert detect(FOLDER / f"{name}{ending}") == "ace"
    assert read_corpus(FOLDER / f"{name}{ending}").documents == read_corpus(FOLDER / f"{name}.sgm").documents
    shutil.copy(FOLDER / f"{name}{ending}", tmp_path / "anything.dat")
    assert detect(tmp_path / "anything.dat") == "ace"
    with pytest.raises(DataError, match=r"anything\.dat: ends neither in \.sgm nor in \.apf\.xml"):
        read_corpus(tmp_path / "anything.dat")


# --- the traps of the format, one by one -----------------------------------------------------------------------------


def test_a_tag_over_several_lines_is_not_counted() -> None:
    text = (FOLDER / f"{NEWS}.sgm").read_text()
    assert '<DOCTYPE SOURCE="newswire"\n         KIND="story">' in text
    assert "KIND" not in whole(NEWS).text
    assert ("PER", "Ada Quill") in spans(whole(NEWS))


def test_an_entity_reference_counts_as_it_is_written_and_is_read_as_its_character() -> None:
    document = whole(NEWS)
    assert "&amp;" not in document.text
    assert ("ORG", "Vell & Marrow") in spans(document)
    assert spans(document)[-1] == ("PER", "driver")  # what stands behind the reference is where it was


def test_a_line_end_in_a_head_becomes_a_blank() -> None:
    assert "Tarn Valley\n News" in (FOLDER / f"{NEWS}.sgm").read_text()
    assert ("ORG", "Tarn Valley  News") in spans(sentence("Ada"))


def test_relations_of_a_duplicate_mention_go_to_the_first() -> None:
    assert 'REFID="TARN_ENG_20990301.0007-E2-4"' in (FOLDER / f"{NEWS}.apf.xml").read_text()
    assert spans(sentence("Ada")).count(("ORG", "Vell & Marrow")) == 1
    assert ("PHYS", "Vell & Marrow", "Onno") in triples([sentence("Ada")])


def test_a_time_is_no_argument() -> None:
    assert ("ORG-AFF", "Bea", "mill") in triples([sentence("Ada")])
    (note,) = (problem for problem in read_corpus(FOLDER / f"{NEWS}.sgm").problems if problem.kind == "unread-annotation")
    assert note.message.endswith(": 1 argument Time-Within, 1 event, 1 timex2, 1 value")


def test_a_time_of_2004_is_counted_too(tmp_path: Path) -> None:
    path = write(tmp_path, "<DOC>Ada left Onno</DOC>", [("PER", "Ada"), ("GPE", "Onno")], [("PHYS", 0, 1)])
    path.write_text(path.read_text().replace("</relation_mention>", "<ldc_extent/><rel_mention_time/></relation_mention>"))
    corpus = read_corpus(path)
    assert triples(corpus) == [("PHYS", "Ada", "Onno")]
    assert [problem.message.rpartition(": ")[2] for problem in corpus.problems] == ["1 rel_mention_time"]


def test_discourse_relations_are_left_out_unless_asked_for() -> None:
    assert triples([whole(MAYOR)]) == [("EMP-ORG", "mayor", "Marrow"), ("PHYS", "towns", "Selm")]
    assert ("DISC", "one", "towns") in triples([whole(MAYOR, discourse="keep")])


def test_a_relation_stated_twice_is_one() -> None:
    assert triples([whole(NEWS)]).count(("ORG-AFF", "head", "mill")) == 1


def test_a_head_inside_a_hyphenated_word_has_a_word_of_its_own() -> None:
    assert "Onno-based" in whole(NEWS).text
    assert {"Onno", "-", "based"} <= set(whole(NEWS).words)


def test_a_head_before_punctuation_ends_there() -> None:
    assert ("PER", "Dov Tarn") in spans(whole(MAYOR))
    assert whole(MAYOR).words[-2:] == ["Tarn", "."]


def test_a_relation_across_sentences_joins_them_or_is_left_out() -> None:
    joined = sentence("Cid")
    assert joined.text == "Cid, a driver. He works for the mill."
    assert triples([joined]) == [("ORG-AFF", "Cid", "mill")]
    corpus = read_corpus(FOLDER / f"{NEWS}.sgm", options={"crossing": "drop"})
    assert [document.text for document in corpus][-2:] == ["Cid, a driver.", "He works for the mill."]
    assert (kinds(corpus)["relation-across-sentences"], "sentences-joined" in kinds(corpus)) == (1, False)


def test_a_document_without_relation() -> None:
    assert spans(whole(TALK)) == [("PER", "BEA MARROW"), ("PER", "CID"), ("PER", "We"), ("VEH", "boat")]
    assert not whole(TALK).relations


def test_two_relations_of_one_pair_both_stay() -> None:
    both = [relation[0] for relation in triples([whole(NEWS)]) if relation[1:] == ("Vell & Marrow", "Onno")]
    assert both == ["PHYS", "PART-WHOLE"]


def test_an_entity_without_mention_is_noted() -> None:
    assert "LOC" not in {type for type, _ in spans(whole(NEWS))}
    notes = [problem for problem in read_corpus(FOLDER).problems if problem.kind == "entity-without-mention"]
    assert [(note.line, note.loss) for note in notes] == [(137, True)]


def test_argument_2_may_be_written_first() -> None:
    text = (FOLDER / f"{MAYOR}.apf.xml").read_text()
    assert text.index('ARGNUM="2"') < text.index('ARGNUM="1"')
    assert ("EMP-ORG", "mayor", "Marrow") in triples([whole(MAYOR)])


def test_a_document_without_final_newline() -> None:
    assert (FOLDER / f"{TALK}.sgm").read_text().endswith("</DOC>")
    assert whole(TALK).text.endswith("We came by boat.")


# --- options and other conventions -----------------------------------------------------------------------------------


def test_extents_nest() -> None:
    document = whole(NEWS, span="extent")
    assert ("PER", "the head of the Onno-based mill Vell & Marrow") in spans(document)
    assert ("ORG-AFF", "the head of the Onno-based mill Vell & Marrow", "the Onno-based mill") in triples([document])
    flat = whole(NEWS, span="extent", overlap="keep-longer")
    assert ("ORG", "the Onno-based mill") not in spans(flat)


def test_wrapped_lines_are_joined_save_before_a_colon_in_second_place(tmp_path: Path) -> None:
    path = write(tmp_path, "<DOC>\none\ntwo\nQ: three\n\nfour\n five\n</DOC>\n")
    (document,) = read_corpus(path, options={"sentences": "whole"}).documents
    assert document.text == "\none two\nQ: three\n\nfour\n five\n\n"


def test_line_ends_of_windows_count_as_one(tmp_path: Path) -> None:
    for name in (NEWS, MAYOR, TALK):
        for ending in (".sgm", ".apf.xml"):
            raw = (FOLDER / f"{name}{ending}").read_bytes()
            (tmp_path / f"{name}{ending}").write_bytes(b"\xef\xbb\xbf" + raw.replace(b"\n", b"\r\n"))
    corpus = read_corpus(tmp_path)
    assert corpus.documents == read_corpus(FOLDER).documents
    assert (kinds(corpus)["crlf"], kinds(corpus)["byte-order-mark"]) == (3, 6)


def test_both_arguments_on_one_head(tmp_path: Path) -> None:
    mentions = [("PER", "Ada"), ("PER", "Ada")]
    corpus = read_corpus(write(tmp_path, "<DOC>Ada left.</DOC>", mentions, [("R", 0, 1)]))
    assert (triples(corpus), kinds(corpus)) == ([], {"duplicate-entity": 1, "self-relation": 1})
    corpus = read_corpus(write(tmp_path, "<DOC>Ada left.</DOC>", [("PER", "Ada"), ("ORG", "Ada")], [("R", 0, 1)]))
    assert (triples(corpus), kinds(corpus)) == ([("R", "Ada", "Ada")], {"overlapping-entity": 1})


def test_a_relation_with_a_value_is_noted(tmp_path: Path) -> None:
    path = write(tmp_path, "<DOC>Ada left.</DOC>", [("PER", "Ada")], [("R", 0, "V1-1")],
                 '<value ID="V1"><value_mention ID="V1-1"/></value>')
    corpus = read_corpus(path)
    assert kinds(corpus) == {"relation-argument": 1, "unread-annotation": 1}
    assert all(problem.loss for problem in corpus.problems)


def test_white_space_at_the_edge_of_a_head_is_noted(tmp_path: Path) -> None:
    corpus = read_corpus(write(tmp_path, "<DOC>\nAda Quill left.</DOC>", [("PER", "Ada "), ("PER", "Ada")]))
    assert [spans(document) for document in corpus] == [[("PER", "Ada")]]
    assert kinds(corpus) == {"white-space-edge": 1, "duplicate-entity": 1}


def test_other_references_and_their_case(tmp_path: Path) -> None:
    source = "<DOC>A&AMP;B &lt;c&gt; &quot;d&apos; &MD; &ampere; Ada</DOC>"
    (document,) = read_corpus(write(tmp_path, source, [("ORG", "A&AMP;B"), ("PER", "Ada")])).documents
    assert document.text == "A&B <c> \"d' &MD; &ampere; Ada"
    assert spans(document) == [("ORG", "A&B"), ("PER", "Ada")]


def test_a_head_that_ends_inside_a_reference(tmp_path: Path) -> None:
    write(tmp_path, "<DOC>A&amp;B left</DOC>")
    path = annotate(tmp_path, entity(0, "ORG", 0, 3, "A&"))
    with pytest.raises(DataError, match="entity ORG says 'A&', the text without tags has 'A&am' at characters 0 to 3"):
        read_corpus(path)
    assert spans(read_corpus(path, lenient=True).documents[0]) == [("ORG", "A&")]


# --- folders ---------------------------------------------------------------------------------------------------------


def copy(name: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for file in FOLDER.glob(f"{name}.*"):
        shutil.copy(file, folder)


def test_folders_name_the_splits(tmp_path: Path) -> None:
    for name, folder in ((NEWS, "train/nw"), (MAYOR, "dev"), (TALK, "test")):
        copy(name, tmp_path / folder)
    assert detect(tmp_path) == "ace"
    assert {split: len(documents) for split, documents in read_corpus(tmp_path).splits.items()} == {
        "train": 5, "dev": 4, "test": 6}


def test_of_several_passes_of_annotation_the_last_is_read(tmp_path: Path) -> None:
    for part in ("fp1", "fp2", "adj", "timex2norm"):
        copy(NEWS, tmp_path / "nw" / part)
    copy(TALK, tmp_path / "bc" / "fp1")
    corpus = read_corpus(tmp_path)
    assert {Path(problem.path).parent.name for problem in corpus.problems if problem.line} == {"timex2norm"}
    assert corpus.documents == read_corpus(FOLDER / f"{NEWS}.sgm").documents
    (note,) = (problem for problem in corpus.problems if problem.kind == "earlier-pass")
    assert note.message == ("4 files of earlier passes of annotation (adj, fp1, fp2) are not read; timex2norm is")
    assert not note.loss
    assert read_corpus(tmp_path / "nw" / "fp1").documents == corpus.documents


def test_a_document_twice_is_repaired(tmp_path: Path) -> None:
    copy(NEWS, tmp_path / "a")
    copy(NEWS, tmp_path / "b")
    with pytest.raises(DataError, match=rf"b/{NEWS}\.apf\.xml: the document is in .*/a already; correct it"):
        read_corpus(tmp_path)
    corpus = read_corpus(tmp_path, lenient=True)
    assert len(corpus) == 5
    assert kinds(corpus)["duplicate-document"] == 1


def test_partners_that_are_missing(tmp_path: Path) -> None:
    copy(NEWS, tmp_path)
    copy(MAYOR, tmp_path)
    (tmp_path / f"{NEWS}.sgm").unlink()
    (tmp_path / f"{MAYOR}.apf.xml").unlink()
    with pytest.raises(DataError, match=rf"{NEWS}\.apf\.xml: there is no {NEWS}\.sgm beside it; correct it"):
        read_corpus(tmp_path)
    corpus = read_corpus(tmp_path, lenient=True)
    assert (len(corpus), kinds(corpus)) == (0, {"missing-partner": 1, "file-not-read": 1})
    with pytest.raises(DataError, match=rf"{MAYOR}\.sgm: there is no {MAYOR}\.apf\.xml beside it"):
        read_corpus(tmp_path / f"{MAYOR}.sgm")


# --- published splits ------------------------------------------------------------------------------------------------

LISTS = Path(__file__).parents[2] / "src" / "conjoin" / "readers" / "formats" / "splits_ace"


def names(*parts: str) -> list[str]:
    return [name for part in parts for name in (LISTS / f"{part}.txt").read_text().split()]


def empty_documents(folder: Path, listed: Iterable[str]) -> None:
    for name in listed:
        write(folder, f"<DOC>{name}</DOC>", name=name)


def test_the_lists_are_the_published_ones() -> None:
    folds = [names(f"ace04-fold{fold}") for fold in range(5)]
    assert [len(fold) for fold in folds] == [69, 69, 69, 69, 72]
    assert len({name for fold in folds for name in fold}) == 348
    parts = [names(f"ace05-{split}") for split in ("train", "dev", "test")]
    assert [len(part) for part in parts] == [351, 80, 80]
    assert len({name for part in parts for name in part}) == 511


def test_splits_of_2005(tmp_path: Path) -> None:
    empty_documents(tmp_path, [*names("ace05-train", "ace05-dev", "ace05-test"), "un.listed", "CNN_CF_20030303"])
    corpus = read_corpus(tmp_path, options={"splits": "ace05", "sentences": "whole"})
    assert {split: [document.id for document in documents] for split, documents in corpus.splits.items()} == {
        split: names(f"ace05-{split}") for split in ("train", "dev", "test")}
    left = [problem for problem in corpus.problems if problem.kind == "not-in-lists"]
    assert [Path(problem.path).name for problem in left] == ["CNN_CF_20030303.apf.xml", "un.listed.apf.xml"]
    assert all(problem.loss for problem in left)


def test_folds_of_2004(tmp_path: Path) -> None:
    folds = [f"ace04-fold{fold}" for fold in range(5)]
    empty_documents(tmp_path, names(*folds))
    corpus = read_corpus(tmp_path, options={"splits": "cv2", "sentences": "whole"})
    assert [document.id for document in corpus.test] == names("ace04-fold2")
    assert [document.id for document in corpus.train] == names(*(fold for fold in folds if fold != "ace04-fold2"))
    assert (list(corpus.splits), kinds(corpus)) == (["train", "test"], {})


def test_documents_that_the_folder_lacks_are_named_and_counted(tmp_path: Path) -> None:
    empty_documents(tmp_path, names("ace05-train", "ace05-dev", "ace05-test")[2:])
    lacking = ", ".join(names("ace05-train")[:2])
    with pytest.raises(DataError, match=rf"2 of the 511 documents that splits=ace05 lists are not there: {lacking}; corr"):
        read_corpus(tmp_path, options={"splits": "ace05"})
    corpus = read_corpus(tmp_path, lenient=True, options={"splits": "ace05"})
    assert [len(split) for split in corpus.splits.values()] == [349, 80, 80]
    assert kinds(corpus) == {"missing-document": 1}
    with pytest.raises(DataError, match=r"has none of the 348 documents that splits=cv0 lists; name another folder"):
        read_corpus(tmp_path, lenient=True, options={"splits": "cv0"})


# --- what is wrong ---------------------------------------------------------------------------------------------------


def write(folder: Path, source: str, mentions: Iterable[tuple[str, str]] = (),
          relations: Iterable[tuple[str, int | str, int | str]] = (), more: str = "", name: str = "a") -> Path:
    """A document whose mentions are the first places of their texts; relations name them by number or id."""
    bare = re.sub(r"<[^>]+>", "", source)
    entities = "".join(entity(number, type, bare.index(said), bare.index(said) + len(said) - 1, said)
                       for number, (type, said) in enumerate(mentions))
    links = "".join(f'<relation ID="R" TYPE="{type}"><relation_mention ID="R-1">{argument(head, 1)}{argument(tail, 2)}'
                    "</relation_mention></relation>" for type, head, tail in relations)
    (folder / f"{name}.sgm").write_text(source, newline="")
    return annotate(folder, f"{entities}{links}{more}", name)


def annotate(folder: Path, annotation: str, name: str = "a") -> Path:
    path = folder / f"{name}.apf.xml"
    path.write_text(f'<?xml version="1.0"?>\n<source_file URI="{name}.sgm"><document DOCID="{name}">{annotation}'
                    "</document></source_file>\n")
    return path


def entity(number: int, type: str, start: object, end: object, said: str) -> str:
    charseq = f'<charseq START="{start}" END="{end}">{said.replace("&", "&amp;").replace("<", "&lt;")}</charseq>'
    return (f'<entity ID="E" TYPE={quoteattr(type)}><entity_mention ID="E-{number}"><extent>{charseq}</extent>'
            f"<head>{charseq}</head></entity_mention></entity>")


def argument(of: int | str, number: int) -> str:
    return f'<rel_mention_arg ENTITYMENTIONID="{f"E-{of}" if isinstance(of, int) else of}" ARGNUM="{number}"/>'


BROKEN = {
    "span-out-of-range": (entity(0, "PER", 3, 60, "Ada"), "entity PER has characters 3 to 60 .both inclusive., the text "
                          "without tags has 9"),
    "text-disagrees": (entity(0, "PER", 1, 3, "Ada"), "entity PER says 'Ada', the text without tags has 'da ' at"),
    "span-without-words": (entity(0, "PER", 3, 3, ""), "entity PER covers white space only"),
    "malformed-entity": (entity(0, "PER", "x", 3, "Ada"), "the mention of PER needs one <head> with one <charseq>"),
    "duplicate-id": (entity(0, "PER", 0, 2, "Ada") + entity(0, "PER", 4, 7, "left"), "two entities are called 'E-0'"),
    "unknown-id": (entity(0, "PER", 0, 2, "Ada") + '<relation TYPE="R"><relation_mention><rel_mention_arg ENTITYMENTIONID='
                   '"E-0" ARGNUM="1"/><rel_mention_arg ENTITYMENTIONID="E-7" ARGNUM="2"/></relation_mention></relation>',
                   "relation R points at 'E-7', which is no entity mention that could be read"),
    "self-relation": (entity(0, "PER", 0, 2, "Ada") + '<relation TYPE="R"><relation_mention><rel_mention_arg ARGNUM="1" '
                      'ENTITYMENTIONID="E-0"/><rel_mention_arg ENTITYMENTIONID="E-0" ARGNUM="2"/></relation_mention>'
                      "</relation>", "relation R connects 'Ada' with itself"),
    "malformed-relation": ('<relation TYPE="R"><relation_mention><rel_mention_arg ENTITYMENTIONID="E-0" ARGNUM="1"/>'
                           "</relation_mention></relation>", "the mention of R needs a first and a second argument"),
    "malformed-xml": ("<entity>", "malformed XML .mismatched tag."),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_is_wrong_is_repaired(kind: str, tmp_path: Path) -> None:
    annotation, told = BROKEN[kind]
    write(tmp_path, "<DOC>Ada left.</DOC>")
    path = annotate(tmp_path, annotation)
    with pytest.raises(DataError, match=rf"a\.apf\.xml:\d+: {told}.*; correct it, or use --lenient"):
        read_corpus(path)
    problems = Problems(lenient=True)
    load(path, problems)
    assert [problem.kind for problem in problems.entries if problem.repair] == [kind]


@pytest.mark.parametrize(("annotation", "told"), [
    ('<entity TYPE=""><entity_mention ID="x"/></entity>', "the entity has no TYPE"),
    ('<entity TYPE="PER"><entity_mention ID="x"/></entity>', "needs one <head>"),
    ('<entity TYPE="PER"><entity_mention ID="x"><head><charseq START="0"/></head></entity_mention></entity>', "needs one"),
    ('<relation><relation_mention/></relation>', "the relation has no TYPE"),
    (entity(0, "PER", 4, 2, "Ada"), "entity PER has characters 4 to 2 "),
    (entity(0, "PER", 0, 2, "Ada").replace("</head>", '<charseq START="4" END="7">left</charseq></head>'), "one <charseq>"),
    (entity(0, "PER", 0, "9" * 5000, "Ada"), "needs one <head>"),
    (entity(0, "PER", 0, 2, "Ada").replace('ID="E-0"', ""), "the mention of PER has no ID"),
    ('<relation TYPE="R"><relation_mention>' + '<rel_mention_arg ENTITYMENTIONID="E-0" ARGNUM="1"/>' * 2
     + "</relation_mention></relation>", "needs a first and a second argument"),
])
def test_what_is_lacking_is_said(annotation: str, told: str, tmp_path: Path) -> None:
    write(tmp_path, "<DOC>Ada left.</DOC>")
    path = annotate(tmp_path, annotation)
    with pytest.raises(DataError, match=rf"a\.apf\.xml:\d+: .*{told}"):
        read_corpus(path)
    assert len(read_corpus(path, lenient=True)) == 1


def test_other_xml(tmp_path: Path) -> None:
    write(tmp_path, "<DOC>Ada</DOC>")
    (tmp_path / "a.apf.xml").write_text("<source_file/>")
    with pytest.raises(DataError, match=r"a\.apf\.xml:1: <source_file> holds no <document>; APF has one in <source_file>"):
        read_corpus(tmp_path)
    (tmp_path / "a.apf.xml").write_text("")
    with pytest.raises(DataError, match=r"a\.apf\.xml:1: malformed XML \(no element found\)"):
        read_corpus(tmp_path)
    (tmp_path / "a.apf.xml").write_bytes(b"<source_file>\xff</source_file>")
    with pytest.raises(DataError, match=r"a\.apf\.xml: byte 0xff at position 13 is not UTF-8"):
        read_corpus(tmp_path)
    (tmp_path / "a.apf.xml").write_text('<!DOCTYPE a SYSTEM "x.dtd"><source_file>&none;<document/></source_file>')
    (tmp_path / "a.sgm").write_bytes("<DOC>Žofie Ölm</DOC>".encode("iso-8859-2"))
    with pytest.raises(DataError, match=r"a\.sgm: byte 0xae at position 5 is not UTF-8"):
        read_corpus(tmp_path)
    assert len(read_corpus(tmp_path, lenient=True)) == 1


@pytest.mark.parametrize("text", ["", "<DOC>\n</DOC>\n"])
def test_a_document_without_words(text: str, tmp_path: Path) -> None:
    corpus = read_corpus(write(tmp_path, text))
    assert (len(corpus), kinds(corpus)) == (0, {"empty-sentence": 1})


def test_open_tags_by_the_thousand_take_no_time(tmp_path: Path) -> None:
    (tmp_path / "a.sgm").write_text("<DOC>" + "<" * 100_000)
    before = time.process_time()
    corpus = read_corpus(annotate(tmp_path, ""), options={"sentences": "whole"})
    assert len(corpus.documents[0].text) == 100_000
    assert time.process_time() - before < 2  # to look for the end of each takes more than that


# --- whatever the text -----------------------------------------------------------------------------------------------

PIECES = st.lists(st.sampled_from(["<TURN>", '<P\nN="1">', "&amp;", "&lt;", "Ada", "Tarn", "Ölm", "x-y", ",", ".", " ",
                                   "\n", "\n\n", "U.S.", "Q:", "\u00a0"]), max_size=30)


@settings(deadline=None, max_examples=40)
@given(PIECES, st.data())
def test_every_head_is_found_again(pieces: list[str], data: Any) -> None:
    source = "".join(pieces)
    bare = re.sub(r"<[^>]+>", "", source)
    words = [match.span() for match in re.finditer(r"&[a-z]+;|[^\s&]", bare)]
    chosen = data.draw(st.lists(st.tuples(st.sampled_from(words), st.sampled_from(words)), max_size=5)) if words else []
    heads = dict.fromkeys((min(a, b)[0], max(a, b)[1]) for a, b in chosen)
    annotation = "".join(entity(number, f"T{number}", start, end - 1, bare[start:end].replace("&amp;", "&")
                                .replace("&lt;", "<")) for number, (start, end) in enumerate(heads))
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), source)
        corpus = read_corpus(annotate(Path(folder), annotation))
    found = {entity.type: "".join(entity.text.split()) for document in corpus for entity in document.entities}
    wanted = [re.sub(r"\s", "", bare[start:end]).replace("&amp;", "&").replace("&lt;", "<") for start, end in heads]
    assert found == {f"T{number}": said for number, said in enumerate(wanted)}


@settings(deadline=None, max_examples=40)
@given(st.sampled_from([".sgm", ".apf.xml"]), st.integers(0, 5000), st.binary(max_size=3), st.integers(0, 40))
def test_damage_is_never_more_than_an_error_in_the_data(ending: str, place: int, put: bytes, gone: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        copy(NEWS, Path(folder))
        path = Path(folder) / f"{NEWS}{ending}"
        raw = path.read_bytes()
        place %= len(raw)
        path.write_bytes(raw[:place] + put + raw[place + gone :])
        try:
            read_corpus(folder, "ace", lenient=True)
        except DataError as error:
            assert folder in str(error)


# --- the samples of the published converter --------------------------------------------------------------------------


@pytest.mark.parametrize("year", ["ace2004", "ace2005"])
def test_agrees_with_the_published_converter(year: str, data_folder: Path) -> None:
    folder = data_folder / "format_samples" / year
    if not folder.is_dir():
        pytest.skip("no format_samples")
    (expected,) = folder.glob("*.expected.ann")
    text = expected.with_suffix(".txt").read_text()
    entities: dict[str, tuple[str, int, str]] = {}
    relations = set()
    for line in expected.read_text().splitlines():
        id, fields, *said = line.split("\t")
        type, first, second = fields.split()
        if said:
            entities[id] = (type, len(squeezed(text[: int(first)])), squeezed(said[0]))
        else:
            relations.add((type, entities[first.removeprefix("Arg1:")], entities[second.removeprefix("Arg2:")]))
    corpus = read_corpus(folder, "ace")
    assert "".join(squeezed(document.text) for document in corpus) == squeezed(text)
    found = [placed(corpus, index) for index in range(len(corpus))]
    assert {entity for ours in found for entity in ours.values()} == set(entities.values())
    assert sum(map(len, found)) == len(entities)
    assert {(relation.type, ours[relation.head], ours[relation.tail]) for document, ours in
            zip(corpus, found, strict=True) for relation in document.relations} == relations


def squeezed(text: str) -> str:
    """Without white space and with references decoded, which the converter's text keeps and we do not."""
    return "".join(text.replace("&amp;", "&").split())


def placed(corpus: Corpus, index: int) -> dict[Any, tuple[str, int, str]]:
    """The entities of a document as type, the characters of the corpus before it, and text, all without white space."""
    before = "".join(squeezed(document.text) for document in corpus.documents[:index])
    document = corpus.documents[index]
    return {entity: (entity.type, len(before) + len(squeezed(document.text[: entity.char_start])), squeezed(entity.text))
            for entity in document.entities}
