"""PubTator: articles, mentions, and relations between concepts that are given to mentions."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from conjoin.document import Problem
from conjoin.errors import DataError
from conjoin.readers import Problems, load, read_corpus

SAMPLE = Path(__file__).parents[1] / "data" / "pubtator" / "sample.txt"
TITLE, ABSTRACT = "Velorin and rash.", "One rash came. Later velorin was given, and keldane. Rash and cough went."


def kinds(found: tuple[Problem, ...] | list[Problem]) -> dict[str, int]:
    return dict(Counter(problem.kind for problem in found))


def triples(documents: Any) -> list[tuple[str, str, str, int]]:
    """Relations with the number of characters that their head stands at."""
    return [(relation.type, relation.head.text, relation.tail.text, relation.head.char_start) for document in documents
            for relation in document.relations]


CONCEPTS = ("D1", "D2", "D2", "D1", "D3", "D2|D4")


def article(folder: Path, relations: list[str], *, concepts: tuple[str, ...] = CONCEPTS) -> Path:
    """An article of six mentions: Velorin, rash, rash, velorin, keldane, 'Rash and cough'."""
    text, position, rows = f"{TITLE}\n{ABSTRACT}", 0, [f"7|t|{TITLE}", f"7|a|{ABSTRACT}"]
    for mention, concept in zip(("Velorin", "rash", "rash", "velorin", "keldane", "Rash and cough"), concepts, strict=True):
        position = text.index(mention, position)
        rows.append(f"7\t{position}\t{position + len(mention)}\t{mention}\tX\t{concept}")
        position += 1
    (folder / "a.txt").write_text("\n".join([*rows, *(f"7\t{relation}" for relation in relations)]) + "\n")
    return folder / "a.txt"


def test_sample() -> None:
    corpus = read_corpus(SAMPLE)
    assert corpus.format == "pubtator"
    assert [document.id for document in corpus] == ["700001#1", "700001#2", "700001#3", "700001#4", "700002#1", "700003#1"]
    assert [relation[:3] for relation in triples(corpus)] == [
        ("CID", "velorin", "rash and fever of the hand"), ("Association", "Keldane", "hiccups"),
        ("Cotreatment", "Keldane", "ossamine")]
    assert sum(len(document.entities) for document in corpus) == 10
    assert [(problem.kind, problem.line, problem.loss) for problem in corpus.problems] == [
        ("merged-relation", 9, True), ("sentences-joined", 19, False), ("unread-concepts", None, False),
        ("unread-column", None, False)]
    whole = read_corpus(SAMPLE, options={"sentences": "whole"})
    assert [document.id for document in whole] == ["700001", "700002", "700003"]
    assert whole.documents[2].text == "A letter.\n"


def test_the_closest_mentions_are_those_of_one_sentence(tmp_path: Path) -> None:
    # in the title both stand in one sentence; 'rash' and 'velorin' of the abstract are nearer but in two
    path = article(tmp_path, ["CID\tD1\tD2"])
    assert triples(read_corpus(path, options={"sentences": "whole"})) == [("CID", "Velorin", "rash", 0)]
    # keldane is in one sentence with velorin only; between rashes that are one sentence away the nearest counts
    path = article(tmp_path, ["A\tD3\tD1", "B\tD3\tD2"])
    assert [relation[:3] for relation in triples(read_corpus(path))] == [("A", "keldane", "velorin"),
                                                                         ("B", "keldane", "Rash and cough")]


def test_all_pairs(tmp_path: Path) -> None:
    path = article(tmp_path, ["CID\tD1\tD2"])
    corpus = read_corpus(path, options={"pairs": "all"})
    assert len(corpus) == 1
    assert Counter(relation[:3] for relation in triples(corpus)) == {
        ("CID", "Velorin", "rash"): 2, ("CID", "velorin", "rash"): 2, ("CID", "Velorin", "Rash and cough"): 1,
        ("CID", "velorin", "Rash and cough"): 1}
    corpus = read_corpus(path, options={"pairs": "all", "crossing": "drop"})
    assert triples(corpus) == [("CID", "Velorin", "rash", 0)]
    assert kinds(corpus.problems) == {"relation-across-sentences": 5, "unread-concepts": 1}


def test_relations_that_fall_together(tmp_path: Path) -> None:
    path = article(tmp_path, ["CID\tD3\tD2", "CID\tD3\tD4", "CID\tD2\tD4", "CID\tD4\tD4"])
    corpus = read_corpus(path)
    assert [relation[:3] for relation in triples(corpus)] == [("CID", "keldane", "Rash and cough"),
                                                              ("CID", "rash", "Rash and cough")]
    assert [(problem.kind, problem.line) for problem in corpus.problems if problem.loss] == [("merged-relation", 10),
                                                                                            ("one-mention", 12)]


def test_concepts_named_with_their_type(tmp_path: Path) -> None:
    for head, tail in (("Chemical|D1", "Disease|D2"), ("Chemical@D1", "Disease@D2")):
        assert len(triples(read_corpus(article(tmp_path, [f"CID\t{head}\t{tail}"])))) == 1
    variants = ("c|SUB|A|7|G", "D2", "D2", "D1,D9", "D3;D8", "D2|D4")
    path = article(tmp_path, ["A\tc|SUB|A|7|G\tD2", "B\tD9\tD8"], concepts=variants)
    assert [relation[:3] for relation in triples(read_corpus(path))] == [("A", "Velorin", "rash"),
                                                                         ("B", "velorin", "keldane")]


def test_broken(tmp_path: Path) -> None:
    path = article(tmp_path, ["CID\tD1\tD2", "CID\tD1\tD2", "CID\tD1\tD77", "0\t7\tVelorim\tX\tD1",
                              "0\t99999\tVelorin\tX\tD9", "CID\tD9\tD1", "0\t7\tVelorin", "CID\tD1", "x\ty",
                              f"0\t{'9' * 5000}\tV\tX\tD1"])
    with path.open("a") as file:
        file.write("8\t0\t7\tVelorin\tX\tD1\nprose\n\n9|t|Fine.\n8|a|Other.\n")
    with pytest.raises(DataError, match=r"a\.txt:15: the line is neither a mention .*; correct it, or use --lenient"):
        read_corpus(path)
    problems = Problems(lenient=True)
    corpus = load(path, problems, options={"sentences": "whole"})
    assert [document.text for document in corpus] == [f"{TITLE}\n{ABSTRACT}", "Fine.", "Other."]
    assert triples(corpus) == [("CID", "Velorin", "rash", 0)]
    assert Counter(problem.kind for problem in problems.entries if problem.repair) == {
        "malformed-row": 6, "duplicate-relation": 1, "unknown-id": 2, "text-disagrees": 1, "span-out-of-range": 1,
        "duplicate-entity": 1}


def test_mentions_without_identifiers(tmp_path: Path) -> None:
    (tmp_path / "a.pubtator").write_text("x_1|t|Bea ran.\nx_1\t0\t3\tBea\tPeop\nx_1\t4\t7\tran\tVerb\t-1\t\n")
    corpus = read_corpus(tmp_path / "a.pubtator")
    assert [(entity.type, entity.text) for entity in corpus.documents[0].entities] == [("Peop", "Bea"), ("Verb", "ran")]
    assert (corpus.documents[0].id, corpus.problems) == ("x_1#1", ())


@pytest.mark.parametrize("text", ["7|t|\n", "7|t|\n7|a|\n"])
def test_an_article_without_text(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(text)
    corpus = read_corpus(tmp_path / "a.txt")
    assert (len(corpus), kinds(corpus.problems)) == (0, {"empty-sentence": 1})
