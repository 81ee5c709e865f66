"""Hugging Face data sets: objects, folders and Parquet."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from conjoin.document import Corpus, Document, Entity, Relation
from conjoin.errors import DataError, SettingError
from conjoin.readers import detect, from_datasets, read_corpus, read_documents, to_datasets, write_corpus, write_documents

SAMPLE = Path(__file__).parents[1] / "data" / "huggingface" / "sample.parquet"

datasets = pytest.importorskip("datasets")


def triples(document: Document) -> list[tuple[str, str, str]]:
    return [(relation.type, relation.head.text, relation.tail.text) for relation in document.relations]


def spans(document: Document) -> list[tuple[str, str]]:
    return [(entity.type, entity.text) for entity in document.entities]


def kinds(corpus: Corpus) -> dict[str, int]:
    return dict(Counter(problem.kind for problem in corpus.problems))


def a_document(id: str = "1") -> Document:
    ada, onno = Entity("Peop", 0, 1, score=0.5), Entity("Loc", 2, 3)
    return Document.from_words(["Ada", "left", "Onno"], [ada, onno], [Relation("Live_In", ada, onno)], id=id)


SPERT_ROW = {"tokens": ["Ada", "left", "Onno"], "orig_id": 5,
             "entities": [{"type": "Peop", "start": 0, "end": 1}, {"type": "Loc", "start": 2, "end": 3}],
             "relations": [{"type": "Live_In", "head": 0, "tail": 1}]}
NAMES = ["O", "B-Peop", "I-Peop", "B-Loc"]


def tagged(tags: list[list[int]], names: list[str] = NAMES) -> Any:
    features = datasets.Features({"id": datasets.Value("string"), "tokens": [datasets.Value("string")],
                                  "ner_tags": [datasets.ClassLabel(names=names)]})
    rows = [{"id": str(n), "tokens": [f"w{n}" for n in range(len(row))], "ner_tags": row} for n, row in enumerate(tags)]
    return datasets.Dataset.from_list(rows, features=features)


def test_sample() -> None:
    corpus = read_corpus(SAMPLE)
    first, second, third = corpus.documents
    assert triples(first) == [("Live_In", "Ada Quill", "Port Onno"), ("Work_For", "Ada Quill", "Tarn")]
    assert (first.relations[0].score, first.relations[1].score) == (None, 0.75)
    assert len(second.entities) == 3
    assert (third.text, third.words) == ("Nothing  happened.", ["Nothing", "happened", "."])
    assert kinds(corpus) == {"overlapping-entity": 1}
    longer = read_corpus(SAMPLE, options={"overlap": "keep-longer"})
    assert len(longer.documents[1].entities) == 2


def test_splits_there_and_back(tmp_path: Path) -> None:
    corpus = Corpus({"train": (a_document(), a_document("2")), "dev": (a_document("3"),), "test": ()})
    data = to_datasets(corpus)
    assert list(data) == ["train", "validation", "test"]
    assert from_datasets(data).splits == corpus.splits
    del data["test"]  # which datasets saves but cannot load, as it has no rows
    data.save_to_disk(tmp_path / "saved")
    read = read_corpus(tmp_path / "saved")
    assert read.splits == {split: corpus.splits[split] for split in ("train", "dev")}
    assert (read.format, read.problems) == ("huggingface", ())
    assert read.train[0].entities[0].score == 0.5
    write_corpus(corpus, tmp_path / "parquet", "huggingface")
    assert {file.name for file in (tmp_path / "parquet").iterdir()} == {"dev.parquet", "test.parquet", "train.parquet"}
    assert read_corpus(tmp_path / "parquet").splits == corpus.splits


def test_one_data_set(tmp_path: Path) -> None:
    data = datasets.Dataset.from_list([SPERT_ROW])
    corpus = from_datasets(data)
    (document,) = corpus.splits["all"]
    assert (document.id, triples(document), corpus.problems) == ("5", [("Live_In", "Ada", "Onno")], ())
    data.save_to_disk(tmp_path / "train")
    assert read_corpus(tmp_path / "train").train == (document,)
    assert from_datasets({"fold 1": data, "valid": data}).splits == {"fold 1": (document,), "dev": (document,)}
    assert from_datasets([SPERT_ROW]).documents == from_datasets(data.to_iterable_dataset()).documents == (document,)
    assert from_datasets(data.with_format("numpy")).documents == (document,)
    with pytest.raises(DataError, match=r"two splits are called dev \(dev, validation\)"):
        from_datasets({"dev": data, "validation": data})
    with pytest.raises(SettingError, match="did you mean 'overlap'"):
        from_datasets(data, options={"overlaps": "keep"})


def test_sequences_of_dictionaries_and_class_labels(tmp_path: Path) -> None:
    """Before its version 4, datasets gave a sequence of dictionaries as a dictionary of lists."""
    entity = {"type": datasets.ClassLabel(names=["Peop", "Loc"]), "start": datasets.Value("int32"),
              "end": datasets.Value("int32")}
    features = datasets.Features({"tokens": datasets.Sequence(datasets.Value("string")), "entities": [entity]})
    data = datasets.Dataset.from_list([{"tokens": ["Ada", "left"], "entities": [{"type": 1, "start": 0, "end": 1}]}],
                                      features=features)
    data.to_parquet(str(tmp_path / "a.parquet"))
    for corpus in (from_datasets(data), read_corpus(tmp_path / "a.parquet")):
        assert spans(corpus.documents[0]) == [("Loc", "Ada")]
    columns = {"tokens": ["Ada", "left"], "entities": {"type": ["Peop"], "start": [0], "end": [1]}, "relations": None}
    assert spans(from_datasets([columns]).documents[0]) == [("Peop", "Ada")]


def test_tags(tmp_path: Path) -> None:
    data = tagged([[1, 2, 0, 3], [2, 0], []])
    data.to_parquet(str(tmp_path / "a.parquet"))
    for corpus in (from_datasets(data, lenient=True), read_corpus(tmp_path / "a.parquet", lenient=True)):
        assert [spans(document) for document in corpus] == [[("Peop", "w0 w1"), ("Loc", "w3")], [("Peop", "w0")]]
        assert [document.id for document in corpus] == ["0", "1"]
        assert kinds(corpus) == {"opening-i-tag": 1, "empty-sentence": 1}
    bioes = ["O", "B-X", "I-X", "E-X", "S-X"]
    corpus = from_datasets(tagged([[1, 3, 4], [1, 4, 1]], bioes), lenient=True)
    assert [[text for _, text in spans(document)] for document in corpus] == [["w0 w1", "w2"], ["w0", "w1", "w2"]]
    assert kinds(corpus) == {"illegal-tag": 2}


@pytest.mark.parametrize(("row", "kind"), [
    ({"tokens": ["a"], "ner_tags": [1]}, "malformed-row"), ({"tokens": ["a"], "ner_tags": ["O", "O"]}, "malformed-row"),
    ({"tokens": ["a"], "ner_tags": ["PER"]}, "unknown-tag"), ({"tokens": ["a"], "ner_tags": ["E-X"]}, "illegal-tag"),
    ({"tokens": ["a", "b"], "ner_tags": ["S-X", "B-X"]}, "illegal-tag"),
    ({"tokens": 3}, "malformed-row"), ({"words": ["a"], "entities": []}, "malformed-row"),
    ({"tokens": [], "entities": []}, "empty-sentence"), ({"tokens": ["a"], "entities": [3]}, "malformed-sentence"),
    ({"tokens": ["a"], "entities": [{"type": "X"}]}, "malformed-entity"),
    (SPERT_ROW | {"relations": [{"type": "R", "head": 0, "tail": 7}]}, "relation-out-of-range"),
    ({"text": "Ada", "entities": [{"type": "X", "char_start": 0, "char_end": 9}]}, "span-out-of-range"),
    ({"text": "Ada", "tokens": ["Ada"], "entities": [{"type": "X", "char_start": 0, "char_end": 3}]}, "malformed-tokens"),
    ({"text": "Ada", "entities": [], "relation": []}, "misspelt-field"),
])
def test_what_is_wrong(row: dict[str, Any], kind: str) -> None:
    with pytest.raises(DataError, match=r"dataset(:1)?: .*--lenient"):
        from_datasets([row])
    corpus = from_datasets([row], lenient=True)
    assert [problem.kind for problem in corpus.problems if problem.repair] == [kind]


def test_columns_that_are_not_read() -> None:
    corpus = from_datasets([{"text": "Ada left.", "pos_tags": ["N"]}] * 2)
    assert (len(corpus), kinds(corpus)) == (2, {"unread-field": 1, "no-entities": 1})


def test_parts_of_a_split(tmp_path: Path) -> None:
    for split in ("train", "validation"):
        for part in range(2):
            path = tmp_path / f"{split}-0000{part}-of-00002.parquet"
            write_documents([a_document(f"{split}{part}")], path, "huggingface")
    assert detect(tmp_path) == "huggingface"
    corpus = read_corpus(tmp_path)
    assert [document.id for document in corpus] == ["train0", "train1", "validation0", "validation1"]
    assert list(corpus.splits) == ["train", "dev"]


def test_a_whole_file_beside_parts(tmp_path: Path) -> None:
    for name in ("train-00000-of-00001", "test", "._test"):
        write_documents([a_document(name)], tmp_path / f"{name}.parquet", "huggingface")
    corpus = read_corpus(tmp_path)
    assert {split: [document.id for document in documents] for split, documents in corpus.splits.items()} == {
        "train": ["train-00000-of-00001"], "test": ["test"]}


@pytest.mark.parametrize("raw", [b"PAR1", b"PAR1" + b"x" * 99 + b"PAR1", SAMPLE.read_bytes()[:-9],
                                 SAMPLE.read_bytes().replace(b"Ada", b"\xff\xff\xff")])
def test_files_that_are_no_parquet(raw: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(raw)
    with pytest.raises(DataError, match=r"a\.parquet: cannot be read"):
        read_corpus(tmp_path / "a.parquet", lenient=True)


def test_folders_that_cannot_be_loaded(tmp_path: Path) -> None:
    (tmp_path / "dataset_dict.json").write_text("{")
    with pytest.raises(DataError, match="cannot be read"):
        read_corpus(tmp_path)
    to_datasets(Corpus({"train": (a_document(),)})).save_to_disk(tmp_path / "saved")
    shutil.rmtree(tmp_path / "saved" / "train")
    with pytest.raises(DataError, match="cannot be read"):
        read_corpus(tmp_path / "saved")


def test_many_rows_are_written_in_batches(tmp_path: Path) -> None:
    documents = tuple(a_document(str(number)) for number in range(1201))
    write_documents(documents, tmp_path / "a.parquet", "huggingface")
    assert read_documents(tmp_path / "a.parquet")[0] == documents
    read = datasets.Dataset.from_parquet(str(tmp_path / "a.parquet"), cache_dir=str(tmp_path), keep_in_memory=True)
    assert len(read) == 1201
