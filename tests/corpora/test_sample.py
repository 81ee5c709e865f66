"""The sample corpus: large enough, honest splits, nothing copied; the probe beside it."""

from __future__ import annotations

import os
import re
from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest

from conjoin.corpora.probe import cooccurrence_probe
from conjoin.corpora.sample import sample_corpus
from conjoin.document import SPLITS, Document
from conjoin.readers import read_corpus

CORPUS = sample_corpus()
PAIRS = list(combinations(SPLITS, 2))
CONLL04 = {"Kill", "Live_In", "Located_In", "OrgBased_In", "Work_For"}
PUBLIC = ["conll04/tf_mtrnn", "conll04/spert_json", "ade/joint-ner-and-re.train.tsv", "ade/DRUG-AE.rel"]
DATA = Path(os.environ.get("CONJOIN_DATA", "nowhere"))


def letters(document: Document) -> str:
    return re.sub(r"\W", "", document.text).casefold()


def masked(document: Document) -> str:
    """The sentence with its entities as types and its numbers as 0: what a template would leave behind."""
    parts, position = [], 0
    for entity in sorted(document.entities, key=lambda entity: entity.start):
        if entity.char_start >= position:
            parts += [document.text[position : entity.char_start], f"<{entity.type}>"]
            position = entity.char_end
    parts.append(document.text[position:])
    return " ".join(re.sub(r"\d+", "0", "".join(parts)).casefold().split())


def trigrams(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+|<\w+>", text)
    return set(zip(words, words[1:], words[2:], strict=False))


def test_it_is_read_without_a_problem_and_large_enough() -> None:
    assert not CORPUS.problems
    assert list(CORPUS.splits) == list(SPLITS)
    assert len(CORPUS) >= 400
    assert min(len(documents) for documents in CORPUS.splits.values()) >= 50


def test_no_sentence_and_no_id_occurs_twice() -> None:
    assert max(Counter(map(letters, CORPUS)).values()) == 1
    assert max(Counter(document.id for document in CORPUS).values()) == 1


@pytest.mark.parametrize("split", SPLITS)
def test_every_split_has_everything(split: str) -> None:
    documents = CORPUS.splits[split]
    counts = Counter(relation.type for document in documents for relation in document.relations)
    assert set(counts) == {*CONLL04, "Causes"}
    assert min(counts.values()) >= 5
    assert {entity.type for document in documents for entity in document.entities} == {
        "Drug", "Effect", "Loc", "Org", "Other", "Peop"
    }
    assert sum(bool(d.entities) and not d.relations for d in documents) >= len(documents) // 20
    assert sum(len(d.relations) > 1 for d in documents) >= len(documents) // 20
    assert any(entity.end - entity.start >= 5 for d in documents for entity in d.entities)
    orders = {relation.head.start < relation.tail.start for d in documents for relation in d.relations}
    assert orders == {True, False}


@pytest.mark.parametrize(("left", "right"), PAIRS)
def test_no_template_is_shared_between_splits(left: str, right: str) -> None:
    ours, theirs = ({masked(d): d.id for d in CORPUS.splits[split]} for split in (left, right))
    assert {(ours[text], theirs[text]) for text in set(ours) & set(theirs)} == set()


@pytest.mark.parametrize(("left", "right"), PAIRS)
def test_no_sentence_is_nearly_one_of_another_split(left: str, right: str) -> None:
    """Masked sentences share at most four tenths of their trigrams of words."""
    ours, theirs = ([(d.id, trigrams(masked(d))) for d in CORPUS.splits[split]] for split in (left, right))
    near = [
        (one, other)
        for one, first in ours
        for other, second in theirs
        if len(first & second) > 0.4 * len(first | second)
    ]
    assert near == []


def test_the_probe_is_sixty_and_sixty_and_not_in_the_corpus() -> None:
    cooccurring, related = cooccurrence_probe()
    assert (len(cooccurring), len(related)) == (60, 60)
    assert all(len(document.entities) >= 2 and not document.relations for document in cooccurring)
    assert all(document.relations for document in related)
    assert {relation.type for document in related for relation in document.relations} == CONLL04
    texts = [letters(document) for document in (*cooccurring, *related)]
    assert len(set(texts)) == 120
    assert not set(texts) & set(map(letters, CORPUS))
    templates = {masked(document) for document in CORPUS}
    assert [d.id for d in (*cooccurring, *related) if masked(d) in templates] == []


@pytest.mark.parametrize("path", PUBLIC)
def test_nothing_is_copied_from_the_public_corpora(path: str) -> None:
    if not (DATA / path).exists():
        pytest.skip("CONJOIN_DATA has no such corpus")
    public = {letters(document) for document in read_corpus(DATA / path, lenient=True)}
    assert len(public) > 500
    ours = [*CORPUS, *(document for part in cooccurrence_probe() for document in part)]
    assert [document.id for document in ours if letters(document) in public] == []
