from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conjoin.document import Corpus, Document, Entity
from conjoin.errors import DataError, SettingError
from conjoin.experiments.folds import Folding, fold_places, parts, split_off


def documents(count: int, types: Sequence[str] = ("Loc",)) -> list[Document]:
    return [
        Document.from_words(["Leeds", str(number)], [Entity(types[number % len(types)], 0, 1)], id=f"d{number}")
        for number in range(count)
    ]


def ids(texts: Sequence[Document]) -> list[str]:
    return [document.id for document in texts]


@given(st.integers(2, 60), st.integers(2, 10), st.booleans(), st.integers(0, 5))
def test_every_document_is_tested_on_once_and_never_trained_on_there(
    count: int, folds: int, stratified: bool, seed: int
) -> None:
    corpus = Corpus({"all": tuple(documents(max(count, folds), ["A", "B", "C"]))})
    made = parts(corpus, Folding(folds=folds, stratified=stratified, seed=seed))
    assert sorted(id for part in made.values() for id in ids(part.test)) == sorted(ids(corpus.documents))
    sizes = [len(part.test) for part in made.values()]
    assert max(sizes) - min(sizes) <= 1
    for part in made.values():
        assert sorted(ids(part.documents)) == sorted(ids(corpus.documents))
        assert not set(ids(part.train)) & set(ids(part.test))
        assert not part.dev


def test_cuts_follow_the_seed_and_keep_the_order() -> None:
    corpus = Corpus({"all": tuple(documents(40))})
    first, same, other = (parts(corpus, Folding(folds=4, seed=seed)) for seed in (0, 0, 1))
    assert first == same
    assert first != other
    numbers = [int(id[1:]) for id in ids(first["fold1"].train)]
    assert numbers == sorted(numbers)


def test_a_tenth_for_test_and_a_tenth_for_dev() -> None:
    made = parts(Corpus({"all": tuple(documents(100))}), Folding(folds=10, dev_share=0.1))
    assert {(len(part.train), len(part.dev), len(part.test)) for part in made.values()} == {(80, 10, 10)}
    assert len({tuple(ids(part.dev)) for part in made.values()}) == 10


def test_what_is_held_out_is_the_dev_part_of_every_fold() -> None:
    made = parts(Corpus({"all": tuple(documents(100))}), Folding(folds=10, hold_out=0.1))
    assert {(len(part.train), len(part.dev), len(part.test)) for part in made.values()} == {(81, 10, 9)}
    (held_out,) = {tuple(ids(part.dev)) for part in made.values()}
    assert not {id for part in made.values() for id in ids(part.test)} & set(held_out)


def test_rare_types_are_spread_evenly() -> None:
    rare = [Document.from_words(["Oslo", str(n)], [Entity("Rare", 0, 1)], id=f"r{n}") for n in range(5)]
    corpus = Corpus({"all": (*rare, *documents(95))})
    made = parts(corpus, Folding(folds=5, stratified=True))
    assert [Counter(e.type for d in part.test for e in d.entities)["Rare"] for part in made.values()] == [1] * 5
    assert {len(part.test) for part in made.values()} == {20}
    plain = parts(corpus, Folding(folds=5))
    assert [Counter(e.type for d in part.test for e in d.entities)["Rare"] for part in plain.values()] != [1] * 5


def test_sentences_of_one_text_stay_together() -> None:
    texts = [
        Document.from_words(["Leeds", str(sentence)], id=f"text{text}#{sentence}")
        for text in range(12) for sentence in range(1, 4)
    ]
    for stratified in (False, True):
        made = parts(Corpus({"all": tuple(texts)}), Folding(folds=4, dev_share=0.25, stratified=stratified))
        for part in made.values():
            homes = {split: {id.partition("#")[0] for id in ids(part.splits[split])} for split in ("train", "dev", "test")}
            assert sum(map(len, homes.values())) == 12
            assert len(part.test) == 9


def test_annotations_of_one_text_stay_together() -> None:
    texts = [Document.from_words(["Leeds", str(text)], id=f"{text}#{sentence}@{who}")
             for text in range(8) for sentence in (1, 2) for who in ("alice", "bob#3")]
    for part in parts(Corpus({"all": tuple(texts)}), Folding(folds=4)).values():
        assert not {document.text for document in part.train} & {document.text for document in part.test}


@pytest.mark.parametrize("id", ["C#", "C#.2", "#1", "#1@bob", "a#x@1"])
def test_another_hash_in_an_id_groups_nothing(id: str) -> None:
    folds = fold_places([Document.from_words(["a"], id=id)] * 4, 2, stratified=False, seed=0)
    assert [len(fold) for fold in folds] == [2, 2]


def test_some_splits_are_folded() -> None:
    corpus = Corpus({"train": tuple(documents(8)), "dev": tuple(documents(4)), "test": tuple(documents(5))})
    made = parts(corpus, Folding(folds=3, splits=("train", "dev")))
    assert sum(len(part.test) for part in made.values()) == 12
    with pytest.raises(DataError, match=r"no split 'valid' to fold; it has train, dev, test"):
        parts(corpus, Folding(folds=3, splits=("valid",)))


def test_own_splits_and_a_dev_part_where_there_is_none() -> None:
    train, test = tuple(documents(20)), tuple(documents(5))
    assert parts(Corpus({"train": train, "test": test, "extra": test}), Folding()) == {
        "test": Corpus({"train": train, "test": test})
    }
    made = parts(Corpus({"train": train, "test": test}), Folding(dev_share=0.2))["test"]
    assert (len(made.train), len(made.dev)) == (16, 4)
    with pytest.raises(DataError, match=r"no test split"):
        parts(Corpus({"train": train}), Folding())
    with pytest.raises(DataError, match=r"1 % of 20 documents is none; give a larger share"):
        parts(Corpus({"train": train, "test": test}), Folding(dev_share=0.01))
    with pytest.raises(SettingError, match=r"the data has a dev split, beside which dev_share has no use"):
        parts(Corpus({"train": train, "dev": test, "test": test}), Folding(dev_share=0.2))


@pytest.mark.parametrize(("folding", "wrong"), [
    ({"folds": 1}, r"folds = 1: give 2 or more, or 0"),
    ({"folds": -2}, r"folds = -2"),
    ({"folds": 3, "dev_share": 1.5}, r"dev_share = 1.5: a share lies between 0 and 1"),
    ({"folds": 3, "dev_share": 0.1, "hold_out": 0.1}, r"both make a dev part"),
    ({"hold_out": 0.1}, r"give folds too"),
    ({"folds": 2, "dev_share": 0.5}, r"leave nothing to train on"),
])
def test_foldings_that_cannot_be(folding: dict[str, float], wrong: str) -> None:
    with pytest.raises(SettingError, match=wrong):
        Folding(**folding)  # type: ignore[arg-type]


def test_too_few_documents() -> None:
    with pytest.raises(DataError, match=r"3 documents .* give fewer folds"):
        fold_places(documents(3), 5, stratified=False, seed=0)
    one_text = [Document.from_words(["a"], id=f"text#{n}") for n in range(6)]
    with pytest.raises(DataError, match=r"1 texts, .* give fewer folds"):
        split_off(one_text, 0.5, stratified=False, seed=0)
