"""The verbs `check` and `convert`, called as the command line calls them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from conjoin.cli import app
from conjoin.document import Corpus, Document, Entity, Relation
from conjoin.errors import ConjoinError, DataError, SettingError
from conjoin.readers import read_corpus, read_documents, write_corpus, write_documents

DATA = Path(__file__).parents[1] / "data"


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "120"})
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_check_counts_and_is_content() -> None:
    code, output = run("check", DATA / "bekoulis" / "train.txt")
    assert code == 0
    assert "format: bekoulis" in output
    counted = {line.split()[0]: line.split()[1:] for line in output.splitlines() if line.strip()}
    assert counted["documents"] == ["3"]
    assert counted["entities"] == ["6"]
    assert counted["Peop"] == ["2"]
    assert counted["Work_For"] == ["1"]
    assert "train.txt:12: I-Loc continues no Loc" in output


def test_check_lists_every_repair_and_fails() -> None:
    code, output = run("check", DATA / "jsonl" / "broken.jsonl")
    assert code == 1
    assert "broken.jsonl:2: malformed JSON" in output
    assert "broken.jsonl:6: entity 1 needs" in output
    assert run("check", DATA / "jsonl" / "broken.jsonl", "--lenient")[0] == 0


def test_check_json() -> None:
    code, output = run("check", DATA / "giorgi" / "broken.tsv", "--json", "--option", "direction=effect-drug")
    value = json.loads(output)
    assert code == 1
    assert value["format"] == "giorgi"
    assert value["splits"]["all"]["documents"] == 2
    assert value["repaired"] == 7
    assert value["kinds"]["illegal-tag"] == 2
    first = value["problems"][0]
    assert set(first) == {"path", "line", "kind", "message", "loss", "repair"}
    assert (first["line"], first["repair"]) == (3, True)


def test_check_writes_a_page_and_says_what_a_preset_or_model_cannot_hold(tmp_path: Path) -> None:
    nested = tmp_path / "nested.jsonl"
    nested.write_text('{"text": "Halden Steel", "entities": [{"type": "Org", "char_start": 0, "char_end": 12}, '
                      '{"type": "Loc", "char_start": 0, "char_end": 6}]}\n')
    code, output = run("check", nested, "--html", tmp_path / "page.html", "--preset", "giorgi2019-conll04")
    assert code == 0
    assert "1 pairs of entities share words in 1 documents; a tagger predicts one entity a word" in output
    assert "a tagger predicts one entity a word" in (tmp_path / "page.html").read_text()
    model_of(tmp_path / "run/model", {"format": 1, "config": {"relations": {"decision": "sigmoid"}}})
    for folder in ("run", "run/model"):
        code, output = run("check", nested, "--model", tmp_path / folder, "--json")
        assert "1 annotations are of the entity type Loc, which the model does not know" in json.loads(output)["limits"]


def model_of(folder: Path, config: dict[str, Any]) -> None:
    """The files of a model that say what it knows: the type Org."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    schema = {"entity_types": ["Org"], "relation_types": [], "symmetric": [], "signatures": {}}
    (folder / "schema.json").write_text(json.dumps(schema))


def test_a_preset_or_model_that_is_none_is_said_before_the_corpus_is_read(tmp_path: Path) -> None:
    model_of(tmp_path / "other", {"model_type": "bert"})
    with pytest.raises(ConjoinError, match=r"config\.json: model format None, this version of conjoin reads 1"):
        run("check", tmp_path / "none.jsonl", "--model", tmp_path / "other")
    with pytest.raises(ConjoinError, match=r"not a conjoin model \(no config\.json and schema\.json\)"):
        run("check", tmp_path / "none.jsonl", "--model", DATA)
    with pytest.raises(ConjoinError, match=r"unknown preset 'conjoin-bose'"):
        run("check", tmp_path / "none.jsonl", "--preset", "conjoin-bose")


def test_check_caps_its_list(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "fine"}\n' + "oops\n" * 60)
    code, output = run("check", path)
    assert code == 1
    assert "and 10 more; --json lists all" in output
    assert len(json.loads(run("check", path, "--json")[1])["problems"]) == 60


@pytest.mark.parametrize(("name", "file", "needs"), [
    ("doccano", "sample.jsonl", None), ("labelstudio", "sample.json", None), ("prodigy", "sample.jsonl", None),
    ("docbin", "sample.spacy", "spacy"), ("huggingface", "sample.parquet", "datasets"),
])
def test_tools_and_libraries(name: str, file: str, needs: str | None, tmp_path: Path) -> None:
    if needs:
        pytest.importorskip(needs)
    code, output = run("check", DATA / name / file, "--json")
    assert (code, json.loads(output)["format"]) == (0, name)
    code, output = run("convert", DATA / name / file, tmp_path / "a.jsonl", "--to", "jsonl", "--json")
    there = json.loads(output)
    assert (code, there["read"], there["target_problems"]) == (0, there["written"], [])
    code, output = run("convert", tmp_path / "a.jsonl", tmp_path / "b", "--to", name, "--json")
    back = json.loads(output)
    assert (code, back["written"], back["read"]) == (0, there["written"], there["written"])


def test_check_refuses_bad_options() -> None:
    with pytest.raises(SettingError, match="key=value"):
        run("check", DATA / "ade" / "DRUG-AE.rel", "--option", "overlap")
    with pytest.raises(SettingError, match="unknown option"):
        run("check", DATA / "ade" / "DRUG-AE.rel", "--option", "x=y")


def test_convert_file(tmp_path: Path) -> None:
    target = tmp_path / "ade.txt"
    code, output = run("convert", DATA / "ade" / "DRUG-AE.rel", target, "--to", "bekoulis")
    assert code == 0
    counted = {line.split()[0]: line.split()[1:] for line in output.splitlines() if line.strip()}
    assert counted["documents"] == ["3", "3"]
    assert counted["entities"] == ["9", "8"]
    assert counted["relations"] == ["6", "4"]
    assert "what bekoulis does not hold" in output
    assert "Drug 'velorin' overlaps another entity" in output
    assert read_corpus(target).documents[2].words[0] == "Hiccups"
    value = json.loads(run("convert", DATA / "ade" / "DRUG-AE.rel", target, "--to", "bekoulis", "--json", "--overwrite")[1])
    assert value["written"]["entities"] == {"Adverse-Effect": 5, "Drug": 3}
    assert sum(problem["loss"] for problem in value["target_problems"]) == 3


def test_convert_folder(tmp_path: Path) -> None:
    code, output = run("convert", DATA / "tfmtrnn", tmp_path / "out", "--to", "jsonl", "--option", "relation-free=yes")
    assert code == 0
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["extra.jsonl", "test.jsonl", "train.jsonl"]
    assert "problem" not in output
    expected = read_corpus(DATA / "tfmtrnn", options={"relation-free": "yes"})
    assert read_corpus(tmp_path / "out").splits == expected.splits


def test_convert_is_strict_about_its_source(tmp_path: Path) -> None:
    source, target = DATA / "spert" / "broken.json", tmp_path / "a.jsonl"
    with pytest.raises(DataError, match="--lenient"):
        run("convert", source, target, "--to", "jsonl")
    assert not target.exists()
    code, output = run("convert", source, target, "--to", "jsonl", "--lenient")
    assert code == 0
    assert "in the source:" in output
    with pytest.raises(DataError, match="is a folder"):
        run("convert", source, tmp_path, "--to", "jsonl")
    with pytest.raises(DataError, match="is a file"):
        run("convert", DATA / "tfmtrnn", target, "--to", "jsonl")
    with pytest.raises(SettingError, match="read only"):
        run("convert", target, tmp_path / "b", "--to", "ade")


def test_convert_reads_back_and_so_needs_a_file(tmp_path: Path) -> None:
    source, pipe = DATA / "jsonl" / "sample.jsonl", tmp_path / "pipe"
    os.mkfifo(pipe)
    for target in (pipe, Path(os.devnull)):
        with pytest.raises(DataError, match=f"{target}: is neither a file nor a folder, .*; name a file$"):
            run("convert", source, target, "--to", "jsonl")


def test_types_stand_as_written(tmp_path: Path) -> None:
    head, tail = Entity("[/x]", 0, 1), Entity("[red]y", 1, 2)
    document = Document.from_words(["a", "b"], [head, tail], [Relation("[/bold]", head, tail)])
    source = tmp_path / "a.jsonl"
    write_documents([document], source, "jsonl")
    for arguments in (["check", source], ["convert", source, tmp_path / "b.jsonl", "--to", "jsonl"]):
        code, output = run(*arguments)
        assert code == 0
        assert all(f"  {type} " in output for type in ("[/x]", "[red]y", "[/bold]"))


def test_what_the_target_cannot_hold_is_a_repair(tmp_path: Path) -> None:
    arguments = ["convert", DATA / "ade" / "DRUG-AE.rel", tmp_path / "ade.txt", "--to", "bekoulis", "--overwrite"]
    problems = json.loads(run(*arguments, "--json")[1])["target_problems"]
    assert {problem["kind"] for problem in problems if problem["repair"]} == {"overlapping-entity", "lost-relation"}
    assert {problem["kind"] for problem in problems if not problem["repair"]} == {"spacing"}
    assert any(line.split()[0] == "overlapping-entity" and line.split()[-1] == "repaired"
               for line in run(*arguments)[1].splitlines() if line.strip())


def test_convert_to_brat_and_back(tmp_path: Path) -> None:
    source = DATA / "jsonl" / "sample.jsonl"
    code, output = run("convert", source, tmp_path / "brat", "--to", "brat")
    assert code == 0
    counted = {line.split()[0]: line.split()[1:] for line in output.splitlines() if line.strip()}
    assert (counted["documents"], counted["entities"], counted["relations"]) == (["3", "3"], ["5", "5"], ["2", "2"])
    assert run("check", tmp_path / "brat")[0] == 0
    code, _ = run("convert", tmp_path / "brat", tmp_path / "back", "--to", "jsonl", "--option", "sentences=whole")
    assert code == 0
    back = {document.text: document for document in read_corpus(tmp_path / "back" / "all.jsonl")}
    for document in read_documents(source)[0]:
        read = back[document.text]
        assert [(e.type, e.text) for e in read.entities] == [(e.type, e.text) for e in document.entities]
        assert [(r.type, r.head.text, r.tail.text) for r in read.relations] == [
            (r.type, r.head.text, r.tail.text) for r in document.relations]
    with pytest.raises(ConjoinError, match="the folder holds files"):
        run("convert", source, tmp_path / "brat", "--to", "brat")


def test_convert_splits_to_brat_and_back(tmp_path: Path) -> None:
    documents = [Document.from_words(["Ada", "left", "."], [Entity("Peop", 0, 1)], id=name) for name in ("a", "b")]
    corpus = Corpus({"train": tuple(documents), "dev": (), "test": tuple(documents[:1]), "extra": tuple(documents[1:])})
    write_corpus(corpus, tmp_path / "jsonl", "jsonl")
    code, output = run("convert", tmp_path / "jsonl", tmp_path / "brat", "--to", "brat", "--json")
    assert (code, json.loads(output)["written"]["documents"]) == (0, 4)
    assert sorted(file.name for file in (tmp_path / "brat").iterdir()) == ["dev", "extra", "test", "train"]
    back = read_corpus(tmp_path / "brat", options={"sentences": "whole"})
    assert back.splits == {split: documents for split, documents in corpus.splits.items() if documents}
    run("convert", tmp_path / "brat", tmp_path / "back", "--to", "jsonl")
    assert len(read_corpus(tmp_path / "back").train) == 2


@pytest.mark.parametrize("verb", ["check", "convert"])
def test_help(verb: str) -> None:
    code, output = run(verb, "--help")
    assert code == 0
    assert "Examples" in output


def test_notes_are_printed_once_per_kind(tmp_path: Path) -> None:
    source = tmp_path / "a.jsonl"
    source.write_text("".join(f'{{"id": "{number}", "text": "Lee left."}}\n' for number in range(60)))
    code, output = run("convert", source, tmp_path / "a.json", "--to", "spert")
    assert code == 0
    assert output.count("the format holds words only") == 1
    assert "document '0': the format holds words only" in output
    assert "(and 59 more spacing notes; --json lists all)" in output


@pytest.mark.parametrize(("name", "text"), [("a.json", "[]"), ("a.jsonl", "\n\n{}\n")])
def test_no_document_at_all_is_no_success(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    for arguments in (["check"], ["check", "--lenient"], ["check", "--json"]):
        with pytest.raises(DataError, match=rf"{name}: holds no documents; see"):
            run(*arguments, tmp_path / name)


def test_folders_in_the_folder_are_named(tmp_path: Path) -> None:
    for name in ("one", "two", "none"):
        (tmp_path / name).mkdir()
    for name in ("one", "two"):
        (tmp_path / name / "train.jsonl").write_text('{"text": "a"}\n')
    with pytest.raises(DataError, match=f"name one of the folders in it: {tmp_path}/one, {tmp_path}/two$"):
        run("check", tmp_path)


@pytest.mark.parametrize(("name", "text", "told"), [
    ("a.jsonl", "oops\n", r"a\.jsonl:1: malformed JSON"), ("a.jsonl", '{"txt": 1}\n', r"a\.jsonl:1: .* string 'text'"),
    ("a.ndjson", "[1]\n", r"a\.ndjson:1: "), ("a.json", "{}", r"a\.json: the file is no JSON list"),
    ("a.rel", "x|y\n", r"a\.rel:1: "),
])
def test_an_ending_that_tells_the_format_settles_it(name: str, text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=told):
        read_corpus(tmp_path / name)


@pytest.mark.parametrize(("name", "sums"), [("ace", ["15", "92", "24", "9"]), ("i2b2", ["9", "58", "13", "6"])])
def test_licensed_formats(name: str, sums: list[str], tmp_path: Path) -> None:
    code, output = run("check", DATA / name)
    assert code == 0
    assert f"format: {name}" in output
    code, output = run("convert", DATA / name, tmp_path / "out", "--to", "jsonl")
    assert code == 0
    counted = {line.split()[0]: line.split()[1:] for line in output.splitlines() if line.strip()}
    assert [counted[key] for key in ("documents", "words", "entities", "relations")] == [[each, each] for each in sums]
    assert read_corpus(tmp_path / "out").splits == read_corpus(DATA / name).splits
    with pytest.raises(SettingError, match="read only"):
        run("convert", DATA / name, tmp_path / "back", "--to", name)


# --- what is there already ---------------------------------------------------------------------------------------

ONE = '{"id": "a", "text": "Ada Quill left Port Onno.", "entities": [], "relations": []}\n'


def test_convert_never_writes_over_its_source(tmp_path: Path) -> None:
    source = tmp_path / "own.jsonl"
    source.write_text(ONE)
    (tmp_path / "link.jsonl").symlink_to(source)
    for target in (source, tmp_path / "link.jsonl"):
        with pytest.raises(DataError, match="is the source itself"):
            run("convert", source, target, "--to", "bekoulis", "--overwrite")
    folder = tmp_path / "corpus"
    folder.mkdir()
    (folder / "train.jsonl").write_text(ONE)
    with pytest.raises(DataError, match="is the source itself"):
        run("convert", folder, folder, "--to", "jsonl", "--overwrite")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "train.jsonl").symlink_to(folder / "train.jsonl")
    with pytest.raises(DataError, match="is a file of the source"):
        run("convert", folder, tmp_path / "other", "--to", "jsonl", "--overwrite")
    assert source.read_text() == (folder / "train.jsonl").read_text() == ONE


def test_convert_replaces_a_file_only_when_told_to(tmp_path: Path) -> None:
    source, target = tmp_path / "own.jsonl", tmp_path / "target.json"
    source.write_text(ONE)
    target.write_text("precious")
    with pytest.raises(DataError, match="is there already; give another name, or --overwrite"):
        run("convert", source, target, "--to", "spert")
    assert target.read_text() == "precious"
    assert run("convert", source, target, "--to", "spert", "--overwrite")[0] == 0
    assert len(read_corpus(target).documents) == 1


def test_convert_mixes_no_two_corpora_in_a_folder(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    for folder in (source, target):
        folder.mkdir()
        (folder / "train.jsonl").write_text(ONE)
    (target / "licence.md").write_text("free")
    with pytest.raises(DataError, match=r"holds files \(licence.md, train.jsonl\).*--overwrite"):
        run("convert", source, target, "--to", "jsonl")
    (target / "dev.jsonl").write_text(ONE)
    with pytest.raises(DataError, match=r"dev.jsonl would stay"):
        run("convert", source, target, "--to", "jsonl", "--overwrite")
    (target / "dev.jsonl").unlink()
    code, output = run("convert", source, target, "--to", "jsonl", "--overwrite")
    assert (code, (target / "licence.md").read_text()) == (0, "free")
    assert "licence.md stay as they are" in output


def test_convert_writes_brat_into_no_folder_with_files(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "brat"
    source.mkdir()
    target.mkdir()
    (source / "train.jsonl").write_text(ONE)
    (target / "d1.txt").write_text("Ada")
    for more in ((), ("--overwrite",)):
        with pytest.raises(DataError, match=r"holds files \(d1.txt\), with which those of brat would mix"):
            run("convert", source, target, "--to", "brat", *more)
        with pytest.raises(DataError, match="holds files"):
            run("convert", source / "train.jsonl", target, "--to", "brat", *more)
    assert [path.name for path in target.iterdir()] == ["d1.txt"]


# --- ids ---------------------------------------------------------------------------------------------------------


def test_check_notes_ids_that_several_documents_have(tmp_path: Path) -> None:
    rows = {"train": ["a", "a", "a", "", "", "doc1#1"], "dev": ["doc1#2", "b"], "test": ["b", "c"]}
    for split, ids in rows.items():
        lines = [json.dumps({"id": id, "text": f"Ada left {split}{number} ."}) for number, id in enumerate(ids)]
        (tmp_path / f"{split}.jsonl").write_text("".join(f"{line}\n" for line in lines))
    code, output = run("check", tmp_path)
    assert code == 0
    assert "3 documents of train have the id 'a'" in output
    assert "1 id or text of several sentences (doc1#1, doc1#2) occurs in train and dev: " in output
    assert "occurs in dev and test" in output
    value = json.loads(run("check", tmp_path, "--json")[1])
    assert value["kinds"]["repeated-id"] == 1
    assert value["statistics"]["ids_repeated_within_a_split"] == {"train": 1}
    torn = value["statistics"]["ids_in_several_splits"]
    assert [entry["splits"] for entry in torn] == [["dev", "test"], ["train", "dev"]]
