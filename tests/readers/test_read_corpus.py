"""Splits, detection, encodings, options and whole-or-nothing writing."""

from __future__ import annotations

import itertools
import json
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest
from typer.testing import CliRunner

from conjoin.cli import app
from conjoin.corpora.sample import sample_corpus
from conjoin.document import Corpus, Document, Entity, Relation
from conjoin.errors import DataError, MissingExtraError, SettingError
from conjoin.readers import (
    FORMATS,
    Problems,
    detect,
    load,
    read_corpus,
    read_documents,
    stream_documents,
    to_datasets,
    write_corpus,
    write_documents,
)

DATA = Path(__file__).parents[1] / "data"
SAMPLES = {"bekoulis": "train.txt", "tfmtrnn": "corp.tsv", "giorgi": "sample.tsv", "spert": "sample_train.json",
           "ade": "DRUG-AE.rel", "jsonl": "sample.jsonl", "ace": "MARROW19990412.0830.0012.sgm", "i2b2": "record-1.con",
           "brat": "harbour.ann", "dygie": "sample.json", "crossre": "sample-train.json", "pubtator": "sample.txt",
           "doccano": "sample.jsonl", "prodigy": "sample.jsonl", "labelstudio": "sample.json",
           "docbin": "sample.spacy", "huggingface": "sample.parquet"}
BINARY = {"docbin", "huggingface"}


def a_document(id: str = "1") -> Document:
    ada, onno = Entity("Peop", 0, 1), Entity("Loc", 2, 3)
    return Document.from_words(["Ada", "left", "Onno"], [ada, onno], [Relation("Live_In", ada, onno)], id=id)


@pytest.mark.parametrize("name", FORMATS)
def test_detects_every_format_from_content(name: str, tmp_path: Path) -> None:
    assert detect(DATA / name / SAMPLES[name]) == name
    shutil.copy(DATA / name / SAMPLES[name], tmp_path / "anything.dat")
    assert detect(tmp_path / "anything.dat") == name


@pytest.mark.parametrize(("text", "name"), [
    ('{"text": "a", "labels": [], "entities": []}', "jsonl"),
    ('{"text": "says \\"start_offset\\": 3 and \\"token_start\\": 4", "entities": []}', "jsonl"),
    ('{"text": "a", "tokens": [[0, 1]], "meta": {}}', "jsonl"),
    ('{"id": 4, "text": "a", "entities": [{"id": 1, "label": "X", "start_offset": 0, "end_offset": 1}]}', "doccano"),
    ('{"text": "a", "label": []}', "doccano"), ('{"text": "a", "labels": [[0, 1, "X"]]}', "doccano"),
    ('{"text": "a", "_input_hash": 7, "tokens": [], "label": []}', "prodigy"),
    ('[{"tokens": ["a"], "data": 3, "entities": []}]', "spert"),
    ('[{"id": 3, "data": {"tokens": "a b", "text": "a"}}]', "labelstudio"),
    ('[{"id": 3, "annotations": [{"result": []}], "data": {"tokens": "a"}}]', "labelstudio"),
    ('[{"text": "a", "id": 1, "ner": [{"start": 0, "end": 1, "labels": ["X"]}], "annotator": 5, "annotation_id": 2}]',
     "labelstudio"),
    ('[{"text": "a", "id": 1, "annotator": 5, "annotation_id": 2}]', "labelstudio"),
])
def test_detects_what_is_alike(text: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_text(text)
    assert detect(tmp_path / "a") == name


@pytest.mark.parametrize(("name", "module", "extra"), [
    ("docbin", "spacy.tokens", "spacy"), ("huggingface", "datasets", "datasets")])
def test_a_missing_extra_is_one_sentence(
    name: str, module: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    path = DATA / name / SAMPLES[name]
    assert detect(path) == name
    with pytest.raises(MissingExtraError, match=rf"pip install 'conjoin\[{extra}\]'"):
        read_corpus(path)
    with pytest.raises(MissingExtraError, match=rf"conjoin\[{extra}\]"):
        write_documents([a_document()], tmp_path / "a", name)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_datasets_is_known_without_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    (tmp_path / "dataset_dict.json").write_text("{}")
    assert detect(tmp_path) == "huggingface"
    for act in (lambda: read_corpus(tmp_path), lambda: to_datasets(Corpus({}))):
        with pytest.raises(MissingExtraError, match=r"conjoin\[datasets\]"):
            act()


def test_detects_folders(tmp_path: Path) -> None:
    assert detect(DATA / "tfmtrnn") == "tfmtrnn"
    write_documents([a_document()], tmp_path / "train.jsonl", "jsonl")
    (tmp_path / "README.txt").write_text("about")
    assert detect(tmp_path) == "jsonl"
    write_documents([a_document()], tmp_path / "dev.txt", "bekoulis")
    with pytest.raises(DataError, match=r"several formats \(bekoulis: dev.txt, jsonl: train.jsonl\)"):
        detect(tmp_path)
    assert list(read_corpus(tmp_path, "jsonl").splits) == ["train"]


def test_unknown_format_names_the_known_ones(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Just some prose.\n")
    (tmp_path / "b.txt").write_text(" \n")
    with pytest.raises(DataError, match=", ".join(FORMATS)):
        detect(tmp_path / "a.txt")
    with pytest.raises(DataError, match="no file in the folder"):
        detect(tmp_path)
    with pytest.raises(DataError, match="empty"):
        detect(tmp_path / "b.txt")
    with pytest.raises(DataError, match="no such file"):
        read_corpus(tmp_path / "c.txt")
    with pytest.raises(SettingError, match="did you mean 'spert'"):
        read_corpus(tmp_path / "a.txt", "sprt")


@pytest.mark.parametrize(("name", "split"), [
    ("train.jsonl", "train"), ("conll04_train.jsonl", "train"), ("ade.valid.jsonl", "dev"), ("x-dev.jsonl", "dev"),
    ("validation.jsonl", "dev"), ("fold_0_test.jsonl", "test"), ("contest.jsonl", "all"), ("trainer.jsonl", "all"),
])
def test_the_file_name_says_the_split(name: str, split: str, tmp_path: Path) -> None:
    write_documents([a_document()], tmp_path / name, "jsonl")
    assert list(read_corpus(tmp_path / name).splits) == [split]


def test_folder_splits(tmp_path: Path) -> None:
    for name in ("news_test", "news_valid", "news_train"):
        write_documents([a_document(name)], tmp_path / f"{name}.jsonl", "jsonl")
    corpus = read_corpus(tmp_path)
    assert list(corpus.splits) == ["train", "dev", "test"]
    assert corpus.dev[0].id == "news_valid"
    write_documents([a_document()], tmp_path / "more.jsonl", "jsonl")
    corpus = read_corpus(tmp_path)
    assert [(problem.kind, problem.loss) for problem in corpus.problems] == [("file-not-read", True)]
    write_documents([a_document()], tmp_path / "old_train.jsonl", "jsonl")
    with pytest.raises(DataError, match=r"news_train\.jsonl and old_train\.jsonl both say train"):
        read_corpus(tmp_path)


def test_folder_without_split_names_is_one_split(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_documents([a_document(name)], tmp_path / f"{name}.jsonl", "jsonl")
    assert [document.id for document in read_corpus(tmp_path).splits["all"]] == ["a", "b"]


@pytest.mark.parametrize("format", [None, "jsonl"])
def test_a_file_of_a_folder_that_is_not_recognised_is_named(format: str | None, tmp_path: Path) -> None:
    write_documents([a_document()], tmp_path / "a.jsonl", "jsonl")
    (tmp_path / "b.jsonl").write_bytes((a_document("b").to_json_line() + "\n").encode("utf-16"))
    (tmp_path / "c.jsonl").write_text('"text": "first", broken\n' + a_document("c").to_json_line() + "\n")
    (tmp_path / "notes.md").write_text("of no format")
    corpus = read_corpus(tmp_path, format)
    assert [document.id for document in corpus] == ["1"]
    assert [(Path(problem.path).name, problem.kind, problem.loss) for problem in corpus.problems] == [
        ("b.jsonl", "file-not-read", True), ("c.jsonl", "file-not-read", True)]
    assert corpus.problems[0].message == "its content does not look like jsonl; the file is left out"


def test_options_are_checked() -> None:
    path = DATA / "ade" / "DRUG-AE.rel"
    with pytest.raises(SettingError, match=r"unknown option of format ade 'overlaps' \(did you mean 'overlap'"):
        read_corpus(path, options={"overlaps": "keep"})
    with pytest.raises(SettingError, match="did you mean 'keep-longer'"):
        read_corpus(path, options={"overlap": "keep-longest"})


@pytest.mark.parametrize("name", sorted(SAMPLES.keys() - BINARY))
def test_encoding_accidents_change_nothing(name: str, tmp_path: Path) -> None:
    source = DATA / name / SAMPLES[name]
    raw = source.read_bytes().rstrip(b"\n").replace(b"\n", b"\r\n")
    for partner in source.parent.glob(f"{source.stem}.*"):
        shutil.copy(partner, tmp_path)
    target = tmp_path / source.name
    target.write_bytes(b"\xef\xbb\xbf" + raw)
    problems = Problems()
    assert load(target, problems).splits == load(source, Problems()).splits
    if name not in ("spert", "ace", "labelstudio"):  # JSON has no lines, SGML no last one
        assert {"byte-order-mark", "crlf", "no-final-newline"} <= set(problems.counts())


def test_bytes_that_are_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes('{"id": "1", "text": "Zürich schläft"}\n'.encode("latin-1"))
    with pytest.raises(DataError, match=r"a\.jsonl:1: byte 0xfc at position 22 is not UTF-8"):
        read_corpus(path)
    corpus = read_corpus(path, lenient=True)
    assert corpus.documents[0].text == "Zürich schläft"
    path.write_bytes('{"id": "1", "text": "Zürich"}\n'.encode("utf-16"))
    with pytest.raises(DataError, match="UTF-16"):
        read_corpus(path, "jsonl", lenient=True)


def test_reading_a_hundred_thousand_lines_streams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = a_document().to_json_line() + "\n"
    path = tmp_path / "big.jsonl"
    path.write_text(line * 100_000)
    opened: list[BinaryIO] = []

    def opening(path: Path) -> BinaryIO:
        opened.append(path.open("rb"))
        return opened[-1]

    monkeypatch.setattr("conjoin.readers.lines._open", opening)
    stream = stream_documents(path, Problems(), "jsonl")
    assert opened == []
    few = list(itertools.islice(stream, 3))
    assert [document.id for document in few] == ["1", "1", "1"]
    (file,) = opened
    assert file.tell() == 3 * len(line)  # three lines were read, and no more
    file.close()


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    def failing() -> Iterator[Document]:
        yield a_document()
        raise RuntimeError("power cut")

    path = tmp_path / "a.jsonl"
    path.write_text("before")
    with pytest.raises(RuntimeError, match="power cut"):
        write_documents(failing(), path, "jsonl")
    assert path.read_text() == "before"
    assert [file.name for file in tmp_path.iterdir()] == ["a.jsonl"]


def test_a_folder_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    nested = Document.from_words(["a", "b"], [Entity("X", 0, 2), Entity("X", 0, 1)])
    corpus = Corpus({"train": (a_document(),), "dev": (nested,)})
    with pytest.raises(DataError, match="lenient=True, which keeps the longer"):
        write_corpus(corpus, tmp_path, "bekoulis")
    assert list(tmp_path.iterdir()) == []
    problems = write_corpus(corpus, tmp_path, "bekoulis", lenient=True)
    assert Counter(problem.kind for problem in problems) == {"overlapping-entity": 1}
    assert read_corpus(tmp_path).train == (a_document(),)


def test_writing_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        write_documents([a_document()], tmp_path / "file" / "a.jsonl", "jsonl")
    with pytest.raises(DataError, match="half of a UTF-16 pair"):
        write_documents([Document.from_words(["\ud800"])], tmp_path / "a.jsonl", "jsonl")
    with pytest.raises(SettingError, match="read only"):
        write_documents([a_document()], tmp_path / "a.rel", "ade")
    with pytest.raises(SettingError, match="did you mean 'jsonl'"):
        write_documents([a_document()], tmp_path / "a.rel", "json")


def test_what_columns_cannot_hold(tmp_path: Path) -> None:
    entity, odd = Entity("X", 0, 1, score=0.5), Entity("", 1, 2)
    document = Document.from_words(["a\tb", "c", "d"], [entity, odd, Entity("X", 2, 3)],
                                   [Relation("N", entity, Entity("X", 2, 3))], id="1\n2")
    tight = Document("ab", tuple(Document.from_words(["ab"]).tokens))
    empty = Document("", ())
    problems = write_documents([document, tight, empty], tmp_path / "a.txt", "bekoulis", lenient=True)
    assert Counter(problem.kind for problem in problems) == {"score": 1, "type-name": 1, "white-space": 2,
                                                             "empty-sentence": 1}
    (first, second), _ = read_documents(tmp_path / "a.txt")
    assert first == Document.from_words(["a b", "c", "d"], [entity, Entity("X", 2, 3)], id="1 2")
    assert second == tight


def test_spacing_is_noted(tmp_path: Path) -> None:
    document = read_documents(DATA / "jsonl" / "sample.jsonl")[0][0]
    for name in ("bekoulis", "spert"):
        problems = write_documents([document], tmp_path / "a", name)
        assert [(problem.kind, problem.loss) for problem in problems] == [("spacing", False), ("score", False)]


def test_writing_no_documents(tmp_path: Path) -> None:
    for name in ("jsonl", "bekoulis", "spert"):
        write_documents([], tmp_path / "a", name)
        assert read_documents(tmp_path / "a", name) == ((), ())


# --- the built-in corpus -----------------------------------------------------------------------------------------


def test_the_sample_corpus_is_read_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_corpus("sample") == sample_corpus()
    assert load(Path("sample"), Problems()).splits.keys() == {"train", "dev", "test"}
    write_documents([a_document()], tmp_path / "sample", "jsonl")  # a file of that name goes first
    assert list(read_corpus("sample")) == [a_document()]


def test_data_sample_works_for_a_verb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["check", "sample", "--json"])
    assert json.loads(result.stdout)["splits"]["train"]["documents"] == len(sample_corpus().train)


# --- several formats side by side --------------------------------------------------------------------------------


def test_claimed_folders_of_several_formats_are_told_apart(tmp_path: Path) -> None:
    for name, inside in (("ace", "ace2004"), ("i2b2", "i2b2_2010")):
        shutil.copytree(DATA / name, tmp_path / inside)
    with pytest.raises(DataError, match=r"formats \(ace: ace2004/MARROW.*, i2b2: i2b2_2010/record-1.con\)"):
        read_corpus(tmp_path)
    problems = Problems(lenient=True)
    load(tmp_path, problems, "ace")
    found = [problem for problem in problems.entries if problem.kind == "file-not-read"]
    assert [(Path(problem.path).name, problem.loss) for problem in found] == [("i2b2_2010", True)]


def test_two_forms_of_a_corpus_are_not_both_read(tmp_path: Path) -> None:
    for split in ("train", "dev"):
        shutil.copytree(DATA / "brat", tmp_path / split)
        write_documents([a_document()], tmp_path / f"{split}.jsonl", "jsonl")
    with pytest.raises(DataError, match=r"several formats \(brat: .*, jsonl: "):
        detect(tmp_path)
    for format, left_out in (("brat", ["dev.jsonl", "train.jsonl"]), ("jsonl", ["dev", "train"])):
        problems = Problems()
        assert load(tmp_path, problems, format).splits.keys() == {"train", "dev"}
        found = [problem for problem in problems.entries if problem.kind == "file-not-read"]
        assert sorted(Path(problem.path).name for problem in found) == left_out


def test_a_folder_in_a_folder_of_files_is_noted(tmp_path: Path) -> None:
    write_documents([a_document()], tmp_path / "train.jsonl", "jsonl")
    (tmp_path / "old").mkdir()
    write_documents([a_document()], tmp_path / "old" / "train.txt", "bekoulis")
    (found,) = read_corpus(tmp_path).problems
    assert (found.kind, found.loss) == ("file-not-read", True)
    assert "the folder holds bekoulis" in found.message


def test_a_text_with_annotations_beside_it_is_brat(tmp_path: Path) -> None:
    assert detect(DATA / "brat" / "harbour.txt") == "brat"
    assert read_corpus(DATA / "brat" / "harbour.txt").documents == read_corpus(DATA / "brat" / "harbour.ann").documents
    shutil.copy(DATA / "brat" / "harbour.txt", tmp_path)
    with pytest.raises(DataError, match="not recognised"):
        detect(tmp_path / "harbour.txt")
