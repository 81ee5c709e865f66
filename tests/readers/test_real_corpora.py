"""The published corpora, counted; skipped where $CONJOIN_DATA (a folder with conll04/ and ade/) is not set."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from conjoin.document import Corpus, Document
from conjoin.errors import DataError
from conjoin.readers import FORMATS, Problems, load, read_corpus, read_documents, write_documents
from conjoin.schema import Schema

DATA = Path(os.environ.get("CONJOIN_DATA", "/nowhere"))
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="CONJOIN_DATA names no folder")

CONLL04 = DATA / "conll04"
ADE = DATA / "ade"
EXTRAS = {"docbin": "spacy", "huggingface": "datasets"}


def entities(documents: tuple[Document, ...]) -> Counter[str]:
    return Counter(entity.type for document in documents for entity in document.entities)


def relations(documents: tuple[Document, ...]) -> Counter[str]:
    return Counter(relation.type for document in documents for relation in document.relations)


def words(documents: tuple[Document, ...]) -> int:
    return sum(len(document.tokens) for document in documents)


def kinds(corpus: Corpus) -> Counter[str]:
    return Counter(problem.kind for problem in corpus.problems)


def repaired(problems: Problems) -> Counter[str]:
    return Counter(problem.kind for problem in problems.entries if problem.repair)


def test_bekoulis() -> None:
    corpus = read_corpus(CONLL04 / "bekou")
    assert [len(split) for split in corpus.splits.values()] == [910, 243, 288]
    assert [words(split) for split in corpus.splits.values()] == [26804, 6975, 8408]
    assert [entities(split) for split in corpus.splits.values()] == [
        {"Loc": 1204, "Peop": 1145, "Org": 596, "Other": 448},
        {"Loc": 337, "Peop": 225, "Org": 190, "Other": 125},
        {"Loc": 427, "Peop": 321, "Org": 198, "Other": 133},
    ]
    assert [relations(split) for split in corpus.splits.values()] == [
        {"Live_In": 342, "OrgBased_In": 241, "Located_In": 245, "Work_For": 242, "Kill": 203},
        {"Live_In": 79, "OrgBased_In": 106, "Located_In": 67, "Work_For": 83, "Kill": 18},
        {"Live_In": 100, "OrgBased_In": 105, "Located_In": 94, "Work_For": 76, "Kill": 47},
    ]
    assert kinds(corpus) == {"opening-i-tag": 2}
    assert Schema.from_documents(corpus).signatures == {
        "Live_In": {("Peop", "Loc")}, "OrgBased_In": {("Org", "Loc")}, "Located_In": {("Loc", "Loc")},
        "Work_For": {("Peop", "Org")}, "Kill": {("Peop", "Peop")},
    }
    assert max(len(document.tokens) for document in corpus) == 119  # 118 in the forms that fuse the final full stop
    assert max(len(document.entities) for document in corpus) == 24
    assert all(document.relations for document in corpus)


def test_spert_conll04() -> None:
    corpus = read_corpus(CONLL04 / "spert_json")
    assert corpus.problems == ()
    assert [len(split) for split in corpus.splits.values()] == [922, 231, 288]
    assert max(len(document.tokens) for document in corpus) == 118
    assert [entities(split).total() for split in corpus.splits.values()] == [3377, 893, 1079]
    assert [relations(split).total() for split in corpus.splits.values()] == [1283, 343, 422]


@pytest.mark.long
def test_tfmtrnn() -> None:
    corpus = read_corpus(CONLL04 / "tf_mtrnn", options={"relation-free": "yes"})
    assert corpus.problems == ()
    assert {split: len(documents) for split, documents in corpus.splits.items()} == {
        "train": 1153, "test": 288, "extra": 4075}
    assert entities(corpus.documents) == {"Loc": 4765, "Org": 2499, "Peop": 3918, "Other": 2995}
    assert entities(corpus.train + corpus.test) == {"Loc": 1968, "Peop": 1691, "Org": 984, "Other": 706}
    assert relations(corpus.documents) == {"Live_In": 521, "OrgBased_In": 452, "Located_In": 406, "Work_For": 401,
                                           "Kill": 268}
    assert relations(corpus.splits["extra"]) == {}
    plain = read_corpus(CONLL04 / "tf_mtrnn")
    assert list(plain.splits) == ["train", "test"]
    assert kinds(plain) == {"not-in-lists": 1}
    assert len(read_corpus(CONLL04 / "tf_mtrnn" / "corp.tsv")) == 5516


def test_the_three_forms_agree() -> None:
    forms = [read_corpus(CONLL04 / name) for name in ("bekou", "spert_json", "tf_mtrnn")]
    assert len({frozenset(document.id for document in form.test) for form in forms}) == 1
    assert len({frozenset(document.id for document in form.train + form.dev) for form in forms}) == 1
    by_id = [{document.id: Counter((r.type, r.head.type, r.tail.type) for r in document.relations) for document in form}
             for form in forms]
    assert by_id[0] == by_id[1] == by_id[2]


def test_giorgi() -> None:
    path = ADE / "joint-ner-and-re.train.tsv"
    with pytest.raises(DataError, match=r"train\.tsv:3288: E-AE may not follow B-DRUG in BIOES; correct it"):
        read_corpus(path)
    problems = Problems(lenient=True)
    documents = load(path, problems).documents
    assert (len(documents), words(documents)) == (4215, 91043)
    # their B-/S- count is 5,669 effects; the 5 whose first word was overwritten by a drug are opened anew
    assert entities(documents) == {"DRUG": 4979, "AE": 5669 + 5}
    assert relations(documents) == {"ADE": 6682 - 4}
    assert repaired(problems) == {"illegal-tag": 5, "duplicate-relation": 4}
    assert problems.counts()["signature"] == 2
    illegal = [problem.line or 0 for problem in problems.entries if problem.kind == "illegal-tag"]
    lines = path.read_text().split("\n")
    assert [lines[line - 1].split("\t")[0] for line in illegal] == ["124", "246", "3031", "3218", "4074"]


def test_ade_spert() -> None:
    corpus = read_corpus(ADE / "spert_json" / "ade_full.json")
    assert (len(corpus), words(corpus.documents)) == (4272, 90714)
    assert entities(corpus.documents) == {"Adverse-Effect": 5776, "Drug": 5063}
    assert relations(corpus.documents) == {"Adverse-Effect": 6821}
    assert kinds(corpus) == {"overlapping-entity": 120}
    folds = [read_documents(ADE / "spert_json" / f"ade_split_{fold}_test.json")[0] for fold in range(10)]
    assert [len(fold) for fold in folds] == [427] * 9 + [429]
    assert {document.id for fold in folds for document in fold} == {document.id for document in corpus}


@pytest.mark.parametrize("path", ["DRUG-AE.rel", "spert_json/ade_full.json"])
def test_keeping_the_longer_removes_exactly_what_the_paper_says(path: str) -> None:
    corpus = read_corpus(ADE / path, options={"overlap": "keep-longer"})
    assert len(corpus) == 4272
    assert entities(corpus.documents) == {"Adverse-Effect": 5776, "Drug": 4943}
    assert relations(corpus.documents) == {"Adverse-Effect": 6627}
    assert kinds(corpus) == {"overlapping-entity": 120, "removed-entity": 120, "removed-relation": 194,
                             "no-relation-left": 83}
    assert sum(problem.loss for problem in corpus.problems) == 120 + 194


def test_ade_original() -> None:
    corpus = read_corpus(ADE / "DRUG-AE.rel")
    assert len({document.text for document in corpus}) == 4271
    assert entities(corpus.documents) == {"Adverse-Effect": 5776, "Drug": 5063}
    assert relations(corpus.documents) == {"Adverse-Effect": 6821}
    assert set(kinds(corpus)) <= {"overlapping-entity", "word-cut"}
    assert kinds(corpus)["overlapping-entity"] == 120
    between = read_corpus(ADE / "DRUG-AE.rel", options={"overlap": "drop-relations"})
    assert relations(between.documents) == {"Adverse-Effect": 6821 - 120}


def test_ade_original_and_spert_say_the_same() -> None:
    """Sentence by sentence: the same entities and relations, white space aside."""
    def essence(document: Document) -> tuple[frozenset[tuple[str, str]], Counter[tuple[str, str]]]:
        without_spaces = {entity: "".join(entity.text.split()) for entity in document.entities}
        return (frozenset((entity.type, text) for entity, text in without_spaces.items()),
                Counter((without_spaces[relation.head], without_spaces[relation.tail]) for relation in document.relations))

    original, spert = read_corpus(ADE / "DRUG-AE.rel"), read_corpus(ADE / "spert_json" / "ade_full.json")
    differing = [ours.id for ours, theirs in zip(original, spert, strict=True) if essence(ours) != essence(theirs)]
    assert differing == []


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name, format in FORMATS.items() if format.write])
def test_round_trip_of_all_of_ade(name: str, tmp_path: Path) -> None:
    if name in EXTRAS:
        pytest.importorskip(EXTRAS[name])
    documents = read_corpus(ADE / "DRUG-AE.rel", options={"overlap": "keep-longer"}).documents
    path = tmp_path / "ade"
    write_documents(documents, path, name)
    options = {"sentences": "whole"} if "sentences" in FORMATS[name].options else {}
    read, _ = read_documents(path, name, options=options)
    for ours, theirs in zip(documents, read, strict=True):  # columns know no order of entities
        if name in ("doccano", "labelstudio"):  # and characters no words
            assert ours.text == theirs.text
            assert {(e.type, e.char_start, e.char_end) for e in ours.entities} == {
                (e.type, e.char_start, e.char_end) for e in theirs.entities}
            assert len(ours.relations) == len(theirs.relations)
        else:
            assert ours.words == theirs.words
            assert set(ours.entities) == set(theirs.entities)
            assert set(ours.relations) == set(theirs.relations)
    if name == "jsonl":
        assert read == documents


@pytest.mark.parametrize("folder", ["ace2004", "ace2005"])
def test_brat_as_another_program_writes_it(folder: str) -> None:
    (path,) = (DATA / "format_samples" / folder).glob("*.ann")
    with pytest.raises(DataError, match=r"says 'Quill & Sons', the text has 'Quill &amp; Sons' at its offsets"):
        read_corpus(path)
    corpus = read_corpus(path, lenient=True)
    assert corpus.format == "brat"
    assert sum(entities(corpus.documents).values()) == 10
    assert sum(relations(corpus.documents).values()) == 5
    assert kinds(corpus)["text-disagrees"] == 1
