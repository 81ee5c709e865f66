"""The front door: save and load, raw text in, documents in, evaluation; and what a broken model folder says."""

from __future__ import annotations

import json
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count, islice, pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from conjoin.annotator import Thresholds
from conjoin.artifacts.run_record import RunRecord
from conjoin.config.settings import Config
from conjoin.document import Document, Entity, Relation, Token
from conjoin.errors import DataError, MissingExtraError, ModelError, SettingError
from conjoin.evaluation.calibration import Calibration
from conjoin.extractor import CANDIDATES, Extractor
from conjoin.modeling.backend import TorchBackEnd
from conjoin.modeling.build import build_model
from conjoin.parallel.batching import FIRST_CHUNK_CHARACTERS
from conjoin.parallel.threads import Compute
from conjoin.pipeline import AHEAD_CHARACTERS
from conjoin.schema import Schema
from conjoin.text.words import words

TEXT = "Maria Ortiz leads the Halden Steel of Leeds. Lee Oswald shot Kennedy in Dallas. The mayor joined Acme Corp."


@pytest.fixture(scope="module")
def extractor(trained_run: Path) -> Extractor:
    return Extractor.load(trained_run)


def found(document: Document) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """Everything but the last digits of the scores."""
    return (
        [(e.type, e.char_start, e.char_end, e.text, pytest.approx(e.score, abs=1e-4)) for e in document.entities],
        [(r.type, r.head, r.tail, pytest.approx(r.score, abs=1e-4)) for r in document.relations],
    )


# --- save and load -----------------------------------------------------------------------------------------------


def test_a_saved_model_predicts_the_same_with_the_same_weights(
    extractor: Extractor, documents: list[Document], tmp_path: Path
) -> None:
    extractor.save(tmp_path / "copy")
    copy = Extractor.load(tmp_path / "copy")
    ours, theirs = extractor.model.state_dict(), copy.model.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
    assert [found(d) for d in copy.annotate(documents)] == [found(d) for d in extractor.annotate(documents)]
    assert found(copy(TEXT)) == found(extractor(TEXT))
    assert len(copy(TEXT).entities) > 3
    assert (copy.schema, copy.config, copy.record) == (extractor.schema, extractor.config, extractor.record)


def test_the_folder_holds_json_safetensors_and_text_and_nothing_else(trained_run: Path) -> None:
    files = sorted(path.relative_to(trained_run) for path in trained_run.rglob("*") if path.is_file())
    assert {path.parts[0] for path in files} == {"model", "curves.png", "history.jsonl"}  # checkpoints are gone
    files = [path for path in files if path.parts[0] == "model"]
    assert {path.suffix for path in files} <= {".json", ".safetensors", ".md", ".txt"}
    for path in files:
        raw = (trained_run / path).read_bytes()
        if path.suffix == ".json":
            json.loads(raw)
        elif path.suffix == ".safetensors":
            json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
        else:
            raw.decode("utf-8")
    modes = {path.stat().st_mode for path in (trained_run / "model").iterdir() if path.is_file()}
    assert len(modes) == 1  # who may read the settings may read the weights


def test_loading_needs_no_network(trained_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert Extractor.load(trained_run)("Lee Oswald shot Kennedy in Dallas .").relations


def test_saving_replaces_a_model_and_nothing_else(extractor: Extractor, tmp_path: Path) -> None:
    extractor.save(tmp_path / "copy")
    extractor.save(tmp_path / "copy")
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ModelError, match=r"is a folder without config\.json and schema\.json, which is not replaced"):
        extractor.save(tmp_path)
    with pytest.raises(ModelError, match="is a file"):
        extractor.save(tmp_path / "thesis.txt")
    with pytest.raises(ModelError, match="is the working folder"):
        extractor.save(".")
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "thesis.txt"]


def test_the_settings_name_the_architecture(extractor: Extractor, trained_run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(trained_run / "model", folder)
    assert json.loads((folder / "config.json").read_text())["architecture"] == "joint"
    change("config.json", lambda value: value.pop("architecture"))(folder)
    old = Extractor.load(folder)
    assert old.architecture == "joint" and found(old(TEXT)) == found(extractor(TEXT))
    old.save(folder)
    assert json.loads((folder / "config.json").read_text())["architecture"] == "joint"
    change("config.json", lambda value: value.update(architecture="jiont"))(folder)
    with pytest.raises(ModelError, match=r"config\.json: .*'jiont'.*'joint'") as caught:
        Extractor.load(folder)
    assert "\n" not in str(caught.value)


def test_a_run_and_its_model_are_both_loaded(trained_run: Path) -> None:
    assert Extractor.load(trained_run).config == Extractor.load(str(trained_run / "model")).config


# --- broken folders ----------------------------------------------------------------------------------------------


def change(name: str, how: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        value = json.loads((folder / name).read_text())
        how(value)
        (folder / name).write_text(json.dumps(value))

    return apply


def cut(name: str, size: int) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:size]) and None


def write(name: str, content: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_text(content) and None


BROKEN: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no settings": (lambda folder: (folder / "config.json").unlink(), "not a conjoin model"),
    "no schema": (lambda folder: (folder / "schema.json").unlink(), "not a conjoin model"),
    "no weights": (lambda folder: (folder / "weights.safetensors").unlink(), "weights missing, truncated"),
    "no tokenizer": (lambda folder: (folder / "encoder/tokenizer.json").unlink(), "tokenizer.json: missing"),
    "no encoder": (lambda folder: shutil.rmtree(folder / "encoder"), "encoder/config.json: missing"),
    "other version": (change("config.json", lambda value: value.update(format=99)), "model format 99"),
    "unknown setting": (
        change("config.json", lambda value: value["config"]["training"].update(epoks=3)), "unknown setting"),
    "settings of another shape": (change("config.json", lambda value: value.update(config=[1])), "config.json"),
    "another size": (
        change("config.json", lambda value: value["config"]["relations"].update(size=16)), "size mismatch for relations"),
    "more types": (
        change("schema.json", lambda value: value["entity_types"].append("Time")), "size mismatch for entities"),
    "fewer relations": (change("schema.json", lambda value: value["relation_types"].pop()), "size mismatch for relations"),
    "as many other types": (
        change("schema.json", lambda value: value["entity_types"].reverse()), "schema.json has other types than"),
    "as many other relations": (
        change("schema.json", lambda value: value["relation_types"].reverse()), "other types than the weights"),
    "schema without types": (change("schema.json", lambda value: value.pop("entity_types")), "entity_types"),
    "schema of another shape": (change("schema.json", lambda value: value.update(entity_types=[[1]])), "broken model"),
    "empty weights": (cut("weights.safetensors", 0), "weights missing, truncated"),
    "beheaded weights": (cut("weights.safetensors", 100), "weights missing, truncated"),
    "half the weights": (cut("weights.safetensors", 50_000), "weights missing, truncated"),
    "weights but for a byte": (cut("weights.safetensors", -1), "weights missing, truncated"),
    "half the settings": (cut("config.json", 100), "config.json: missing or not JSON"),
    "half the tokenizer": (cut("encoder/tokenizer.json", 1000), "tokenizer.json: missing or not JSON"),
    "list for settings": (write("config.json", "[]"), "a JSON object is expected"),
    "empty tokenizer": (write("encoder/tokenizer.json", "{}"), "broken model folder"),
    "strange tokenizer settings": (write("encoder/tokenizer_config.json", "[]"), "broken model folder"),
    "unknown encoder": (write("encoder/config.json", "{}"), "broken model folder"),
    "not UTF-8": (lambda folder: (folder / "schema.json").write_bytes(b'{"\xff": 1}'), "schema.json: missing or not JSON"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_folder_is_one_sentence(case: str, trained_run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(trained_run / "model", folder)
    damage, told = BROKEN[case]
    damage(folder)
    with pytest.raises(ModelError, match=told) as caught:
        Extractor.load(folder)
    message = str(caught.value)
    assert message.startswith(str(folder))
    assert "\n" not in message
    assert ";" in message  # a remedy


def test_a_model_without_its_scores_is_loaded(
    extractor: Extractor, trained_run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(trained_run / "model", folder)
    (folder / "metrics.json").unlink()
    bare = Extractor.load(folder)
    assert bare.record == RunRecord() and caplog.messages == []
    for damaged in ('{"test": ', '{"test": {"entities": 3}}'):
        (folder / "metrics.json").write_text(damaged)
        assert Extractor.load(folder).record == RunRecord()
        assert caplog.messages.pop().startswith(f"{folder}/metrics.json: ")
    assert found(bare(TEXT)) == found(extractor(TEXT))
    bare.save(tmp_path / "again")


def test_argument_types_may_be_edited_and_weights_without_a_digest_are_believed(trained_run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(trained_run / "model", folder)
    change("schema.json", lambda value: value["signatures"].update(Kill=[["Loc", "Loc"]]))(folder)
    assert Extractor.load(folder)(TEXT).relations
    assert "Kill" not in {relation.type for relation in Extractor.load(folder)(TEXT).relations}
    change("schema.json", lambda value: value["entity_types"].reverse())(folder)
    save_file(load_file(folder / "weights.safetensors"), folder / "weights.safetensors")
    assert Extractor.load(folder).schema.entity_types == ("Peop", "Org", "Loc")


def test_no_folder_and_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such folder"):
        Extractor.load(tmp_path / "nowhere")
    with pytest.raises(ModelError, match="not a conjoin model"):
        Extractor.load(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="not a conjoin model"):
        Extractor.load(tmp_path / "file")


def test_a_missing_encoder_is_not_looked_for_on_the_hub(
    trained_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`m/encoder` would be a name on the hub."""
    shutil.copytree(trained_run / "model", tmp_path / "m")
    shutil.rmtree(tmp_path / "m" / "encoder")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=r"encoder/config\.json: missing"):
        Extractor.load("m")


# --- raw text ----------------------------------------------------------------------------------------------------


def check(document: Document, text: str) -> None:
    """What holds for every result, whatever the text."""
    assert document.text == text
    for entity in document.entities:
        assert text[entity.char_start : entity.char_end] == entity.text != ""
        assert entity.score is not None and 0 <= entity.score <= 1
    spans = sorted((entity.char_start, entity.char_end) for entity in document.entities)
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))
    held = set(document.entities)
    for relation in document.relations:
        assert relation.head in held
        assert relation.tail in held
        assert relation.score is not None and 0 <= relation.score <= 1
    value = json.loads(document.to_json_line(tokens=False))
    ids = {entity["id"] for entity in value["entities"]}
    assert len(ids) == len(document.entities)
    assert all({relation["head"], relation["tail"]} <= ids for relation in value["relations"])


STRANGE = ["👩‍🔬", "\r\n", "\x00", "\u202eמרים\u202c", "e\u0301", "\ufeff", "\u2028", "ﷺ", "🇳🇴", "Lee", " ", "\t", "\u00a0"]


@given(st.lists(st.one_of(st.text(max_size=20), st.sampled_from([*STRANGE, *TEXT.split()])), max_size=25).map(" ".join)
       | st.text(max_size=200))
@example("")
@example("Lee Oswald \ud83d shot \ud83d\ude00 Kennedy .")
@example(" \r\n\t ")
@example("\x00")
@example("Lee\x00Oswald shot Kennedy\r\n\r\nin Dallas .\r\n")
@example("\ufeffLee Oswald shot Kennedy in Dallas .")
@example("Lee Oswald 👩‍🔬 shot Kennedy\u202e in \u202cDallas e\u0301 .")
@settings(max_examples=60, deadline=None)
def test_offsets_hold_over_any_text(extractor: Extractor, text: str) -> None:
    check(extractor(text), text)


def test_what_was_learnt_is_found_in_raw_text(extractor: Extractor) -> None:
    document = extractor("  Maria Ortiz leads the Halden Steel of Leeds.\r\n\r\nLee Oswald shot Kennedy in Dallas.", id="a")
    check(document, document.text)
    assert document.id == "a"
    assert [(e.type, e.text) for e in document.entities] == [
        ("Peop", "Maria Ortiz"), ("Org", "Halden Steel"), ("Loc", "Leeds"),
        ("Peop", "Lee Oswald"), ("Peop", "Kennedy"), ("Loc", "Dallas"),
    ]
    assert {(r.type, r.head.text, r.tail.text) for r in document.relations} == {
        ("Work_For", "Maria Ortiz", "Halden Steel"), ("OrgBased_In", "Halden Steel", "Leeds"),
        ("Kill", "Lee Oswald", "Kennedy"),
    }


def test_empty_text(extractor: Extractor) -> None:
    assert (extractor("").entities, extractor("").relations, extractor(" \n").entities) == ((), (), ())
    assert list(extractor.pipe([])) == []
    assert extractor.annotate([]) == []


def peak_of(call: Callable[[], Document]) -> tuple[Document, float, float]:
    """The result, the seconds and by how many megabytes the process grew."""
    process = psutil.Process()
    before, started = process.memory_info().rss, time.perf_counter()
    document = call()
    return document, time.perf_counter() - started, (process.memory_info().rss - before) / 2**20


def test_a_megabyte_in_one_word(extractor: Extractor) -> None:
    text = "a" * 1_000_000
    document, seconds, grown = peak_of(lambda: extractor(text))
    check(document, text)
    assert (seconds < 30, grown < 300) == (True, True)


@pytest.mark.long
def test_a_megabyte_of_words(extractor: Extractor) -> None:
    line = "the clerk at the town hall had put the letters of the winter in a box by the door and gone home on foot .\r\n"
    text = line * (1_000_000 // len(line))
    document, seconds, grown = peak_of(lambda: extractor(text))
    check(document, text)
    assert len(document.tokens) > 200_000
    assert (seconds < 60, grown < 500) == (True, True)


@pytest.mark.long
def test_a_megabyte_of_names(extractor: Extractor) -> None:
    text = (TEXT + "\r\n") * (1_000_000 // len(TEXT))
    document, seconds, grown = peak_of(lambda: extractor(text))
    check(document, text)
    assert len(document.relations) > 10_000
    assert (seconds < 120, grown < 600) == (True, True)


def test_a_long_sentence_is_read_to_its_end(extractor: Extractor) -> None:
    """Far longer than the encoder's 128 positions and than a window of words."""
    text = "the mayor joined " * 300 + "Lee Oswald shot Kennedy in Dallas ."
    document = extractor(text)
    check(document, text)
    assert len(document.tokens) == len(words(text))
    assert any(entity.char_start >= 5100 for entity in document.entities)


# --- streams -----------------------------------------------------------------------------------------------------


def test_pipe_keeps_the_order_and_equals_calls_one_by_one(extractor: Extractor) -> None:
    sentences = [*TEXT.split(". "), "", TEXT, "Dallas", TEXT * 40, "\r\n", "Kennedy shot Maria Ortiz."]
    piped = list(extractor.pipe(sentences))
    assert [document.text for document in piped] == sentences
    assert [found(document) for document in piped] == [found(extractor(text)) for text in sentences]


def test_pipe_refuses_one_text_in_place_of_several(extractor: Extractor) -> None:
    with pytest.raises(TypeError, match=r"call extractor\(text\) for one"):
        extractor.pipe("Lee")


def test_pipe_is_lazy(extractor: Extractor) -> None:
    read = 0

    def endless() -> Iterator[str]:
        nonlocal read
        for number in count():
            read += 1
            yield f"Lee Oswald shot Kennedy {number} times in Dallas ."

    documents = list(islice(extractor.pipe(endless()), 3))
    assert [document.text.split()[4] for document in documents] == ["0", "1", "2"]
    assert read <= FIRST_CHUNK_CHARACTERS / 40
    assert next(extractor.pipe("" for _ in count())).text == ""


def test_the_first_result_comes_soon_and_looking_ahead_grows(extractor: Extractor) -> None:
    read = 0

    def texts() -> Iterator[str]:
        nonlocal read
        for _ in range(400):
            read += 1
            yield f"Lee Oswald shot Kennedy in Dallas .{' ' * 64}"

    held, documents = [], extractor.pipe(texts())
    for _ in documents:
        held.append(read)
    assert sorted(set(held)) == [20, 120, 400]
    assert len(held) == 400


def test_a_stream_that_fails_gives_what_came_before_first(extractor: Extractor) -> None:
    def texts() -> Iterator[str]:
        yield "Lee Oswald shot Kennedy in Dallas ."
        yield ""
        raise OSError("the disk is gone")

    documents = extractor.pipe(texts())
    assert [len(next(documents).entities), next(documents).text] == [3, ""]
    with pytest.raises(OSError, match="the disk is gone"):
        next(documents)


def test_large_groups_are_read_one_ahead_and_lost_by_no_error(
    extractor: Extractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With several batches side by side; small groups are answered at once, for their sender may wait."""
    monkeypatch.setattr(TorchBackEnd, "compute", Compute(1024, 3, torch.set_num_threads))
    text = f"Lee Oswald shot Kennedy in Dallas .{' ' * 64}"
    small, large = [("", text)] * 3, [("", text)] * (1 + AHEAD_CHARACTERS // len(text))
    read: list[int] = []

    def groups() -> Iterator[list[tuple[str, str]]]:
        for number, group in enumerate([small, small, large, large, small], start=1):
            read.append(number)
            yield group
        raise OSError("the disk is gone")

    found = extractor.pipeline.extract_each(groups())
    held = []
    for size in (len(small), len(small), len(large), len(large), len(small)):
        documents = next(found)
        held.append(read[-1])
        assert len(documents) == size
        assert {len(document.entities) for document in documents} == {3}
    assert held == [1, 2, 4, 5, 5]
    with pytest.raises(OSError, match="the disk is gone"):
        next(found)


def test_the_result_before_an_error_is_given_even_when_it_waited(
    extractor: Extractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TorchBackEnd, "compute", Compute(1024, 2, torch.set_num_threads))

    def texts() -> Iterator[str]:
        yield "Dallas " * (1 + AHEAD_CHARACTERS // 7)
        raise OSError("the disk is gone")

    documents = extractor.pipe(texts())
    assert next(documents).text.startswith("Dallas")
    with pytest.raises(OSError, match="the disk is gone"):
        next(documents)


def test_what_is_no_text_is_named(extractor: Extractor) -> None:
    documents = extractor.pipe(["Dallas", None, "Oslo"])  # type: ignore[list-item]
    assert next(documents).text == "Dallas"
    with pytest.raises(TypeError, match="text 2 is None, where a string is expected; leave it out, or give ''"):
        next(documents)


def test_the_pipeline_names_its_results(extractor: Extractor) -> None:
    texts = [("x", "Dallas"), ("y", "")]
    assert [d.id for d in extractor.pipeline.stream(texts)] == ["x", "y"]
    assert [d.id for d in extractor.pipeline.extract(texts)] == ["x", "y"]


def test_pipe_hands_back_whatever_came_with_a_text(extractor: Extractor) -> None:
    pairs = [(TEXT, {"row": 1}), ("", None), ("Lee Oswald shot Kennedy .", 3)]
    results = list(extractor.pipe(iter(pairs), as_tuples=True))
    assert [context for _, context in results] == [{"row": 1}, None, 3]
    assert [found(document) for document, _ in results] == [found(extractor(text)) for text, _ in pairs]


def test_pipe_as_tuples_is_lazy_and_gives_what_came_before_an_error_first(extractor: Extractor) -> None:
    def pairs() -> Iterator[tuple[str, int]]:
        yield "Dallas", 1
        yield "Oslo", 2
        raise OSError("the disk is gone")

    results = extractor.pipe(pairs(), as_tuples=True)
    assert [(document.text, context) for document, context in islice(results, 2)] == [("Dallas", 1), ("Oslo", 2)]
    with pytest.raises(OSError, match="the disk is gone"):
        next(results)
    endless = extractor.pipe((("Lee Oswald shot Kennedy .", number) for number in count()), as_tuples=True)
    assert [context for _, context in islice(endless, 3)] == [0, 1, 2]


def test_pipe_in_several_processes(extractor: Extractor, trained_run: Path) -> None:
    texts = [TEXT, "", *(f"Lee Oswald shot Kennedy {number} times in Dallas ." for number in range(80))]
    strict = Extractor.load(trained_run, thresholds=Thresholds(relations=1.0))
    for one in (extractor, strict):  # each process loads the same thresholds
        results = list(one.pipe(((text, number) for number, text in enumerate(texts)), as_tuples=True, workers=2))
        assert [number for _, number in results] == list(range(len(texts)))
        assert [found(document) for document, _ in results] == [found(document) for document in one.pipe(texts)]


def test_workers_need_a_model_in_a_folder(extractor: Extractor, trained_run: Path, documents: list[Document]) -> None:
    own = Extractor.from_model(extractor.model, extractor.config)
    with pytest.raises(SettingError, match=r"save it, then call Extractor\.load"):
        list(own.pipe([TEXT], workers=2))
    changed = Extractor.load(trained_run)
    changed.calibrate(documents)
    with pytest.raises(SettingError, match=r"save it"):
        list(changed.pipe([TEXT], workers=2))


@pytest.mark.parametrize(
    ("call", "remedy"),
    [
        (lambda extractor: extractor([TEXT]), r"extractor\.pipe\(texts\)"),
        (lambda extractor: extractor(Document.from_words(["Oslo"])), r"extractor\.annotate\(documents\)"),
        (lambda extractor: extractor.pipe(TEXT), r"extractor\(text\)"),
        (lambda extractor: extractor.pipe(TEXT, as_tuples=True), r"extractor\(text\)"),
        (lambda extractor: next(extractor.pipe([TEXT], as_tuples=True)), "pairs"),
        (lambda extractor: extractor.annotate(TEXT), r"extractor\(text\)"),
        (lambda extractor: extractor.annotate([TEXT]), r"extractor\.pipe\(texts\)"),
        (lambda extractor: extractor.annotate(Document.from_words(["Oslo"])), "list of documents"),
    ],
)
def test_a_wrong_kind_of_input_is_told_the_right_call(
    call: Callable[[Extractor], object], remedy: str, extractor: Extractor
) -> None:
    with pytest.raises(TypeError, match=remedy):
        call(extractor)


def test_annotate_takes_a_generator(extractor: Extractor, documents: list[Document]) -> None:
    for gold_entities in (False, True):
        expected = extractor.annotate(documents, gold_entities=gold_entities)
        given_one_by_one = extractor.annotate((d for d in documents), gold_entities=gold_entities)  # type: ignore[arg-type]
        assert given_one_by_one == expected != []


def test_repr_is_one_line(extractor: Extractor) -> None:
    assert repr(extractor) == "Extractor(TorchBackEnd, 3 entity types, 3 relation types)"


# --- thresholds --------------------------------------------------------------------------------------------------


def test_thresholds_drop_what_scores_too_low_and_what_hangs_on_it() -> None:
    first, second, third = Entity("A", 0, 1, 0.9), Entity("A", 1, 2, 0.5), Entity("A", 2, 3)
    relations = [Relation("r", first, second, 0.9), Relation("r", first, third, 0.4), Relation("r", third, first)]
    document = Document.from_words(["x", "y", "z"], [first, second, third], relations)

    def kept(**least: float) -> tuple[list[str], list[tuple[str, str]]]:
        result = Thresholds(**least).apply(document)
        return [e.text for e in result.entities], [(r.head.text, r.tail.text) for r in result.relations]

    assert kept() == (["x", "y", "z"], [("x", "y"), ("x", "z"), ("z", "x")])
    assert kept(entities=0.5) == kept()  # as much as the threshold is enough
    assert kept(entities=0.6) == (["x", "z"], [("x", "z"), ("z", "x")])
    assert kept(relations=0.6) == (["x", "y", "z"], [("x", "y"), ("z", "x")])
    assert kept(entities=1.0, relations=1.0) == (["z"], [])


@pytest.mark.parametrize("least", [1.5, -0.1, float("nan")])
def test_thresholds_lie_between_0_and_1(least: float) -> None:
    with pytest.raises(SettingError, match=r"the threshold of entities is .*; give a number from 0 to 1"):
        Thresholds(entities=least)
    with pytest.raises(SettingError, match="the threshold of relations is "):
        Thresholds(relations=least)


def test_thresholds_reach_every_verb(trained_run: Path, documents: list[Document]) -> None:
    beyond_every_score = Thresholds()
    object.__setattr__(beyond_every_score, "relations", 1.1)  # a trained model may be sure of all: 1.0 would not do
    strict = Extractor.load(trained_run, thresholds=beyond_every_score)
    assert strict(TEXT).entities
    assert strict(TEXT).relations == ()
    assert not any(document.relations for document in strict.annotate(documents))
    report = strict.evaluate(documents)
    assert (report.entities["strict"].micro.f1, report.relations["strict"].micro.f1) == (1.0, 0.0)


# --- evaluation --------------------------------------------------------------------------------------------------


def test_evaluate_scores_what_was_learnt(extractor: Extractor, documents: list[Document]) -> None:
    report = extractor.evaluate(documents)
    assert (report.entities["strict"].micro.f1, report.entities["strict"].micro.support) == (1.0, 8)
    assert (report.relations["strict"].micro.f1, report.relations["strict"].micro.support) == (1.0, 3)


def test_symmetric_types_are_scored_both_ways(trained_run: Path, documents: list[Document]) -> None:
    extractor = Extractor.load(trained_run)
    (kill,) = documents[1].relations
    back = documents[1].annotated(documents[1].entities, [Relation(kill.type, kill.tail, kill.head)])
    assert extractor.evaluate([back]).relations["strict"].micro.f1 == 0.0
    extractor.schema = replace(extractor.schema, symmetric=frozenset({"Kill"}))
    for raw_text in (False, True):
        assert extractor.evaluate([back], raw_text=raw_text).relations["strict"].micro.f1 == 1.0


def test_gold_entities_are_kept_and_only_relations_are_scored(extractor: Extractor) -> None:
    head, tail = Entity("Peop", 0, 1), Entity("Loc", 3, 5)  # nothing the tagger would find
    document = Document.from_words(["mayor", "was", "in", "the", "of"], [head, tail])
    assert extractor.annotate([document])[0].entities != document.entities
    assert extractor.annotate([document], gold_entities=True)[0].entities == document.entities
    assert extractor.evaluate([document], gold_entities=True).entities["strict"].micro.f1 == 1.0
    assert extractor.evaluate([document]).entities["strict"].micro.recall == 0.0


def test_raw_text_is_scored_by_characters(extractor: Extractor) -> None:
    """Two sentences in one document, and gold words (`Hal den`, `Da llas`) that no splitter would make."""
    text = "Maria Ortiz leads the Halden Steel of Leeds. Lee Oswald shot Kennedy in Dallas."
    odd = "Maria Ortiz leads the Hal den Steel of Leeds . Lee Oswald shot Kennedy in Da llas ."
    tokens, position = [], 0
    for word in odd.split():
        position = text.index(word, position)
        tokens.append((word, position, position + len(word)))
        position += len(word)
    ortiz, halden, leeds = Entity("Peop", 0, 2), Entity("Org", 4, 7), Entity("Loc", 8, 9)
    oswald, kennedy, dallas = Entity("Peop", 10, 12), Entity("Peop", 13, 14), Entity("Loc", 15, 17)
    gold = Document(
        text, tuple(Token(*token) for token in tokens), (ortiz, halden, leeds, oswald, kennedy, dallas),
        (Relation("Work_For", ortiz, halden), Relation("OrgBased_In", halden, leeds), Relation("Kill", oswald, kennedy)),
    )
    raw = extractor.evaluate([gold], raw_text=True)
    assert (raw.entities["strict"].micro.f1, raw.relations["strict"].micro.f1) == (1.0, 1.0)
    assert raw.entities["strict"].micro.support == 6
    on_words = extractor.evaluate([gold])
    assert on_words.entities["strict"].micro.f1 < 1.0  # the odd words are seen then


def test_evaluate_refuses_types_it_does_not_know(extractor: Extractor) -> None:
    one, two = Entity("Peop", 0, 1), Entity("Peop", 1, 2)
    with pytest.raises(DataError, match="document 'd': entity type 'Planet' is not one of the model's: Loc, Org, Peop"):
        extractor.evaluate([Document.from_words(["Mars"], [Entity("Planet", 0, 1)], id="d")])
    with pytest.raises(DataError, match="relation type 'Orbits' is not one of the model's"):
        extractor.evaluate([Document.from_words(["a", "b"], [one, two], [Relation("Orbits", one, two)])])
    with pytest.raises(DataError, match="entity type 'Planet' is not one of the model's"):
        extractor.annotate([Document.from_words(["Mars"], [Entity("Planet", 0, 1)])], gold_entities=True)


def test_half_precision_finds_the_same(trained_run: Path, documents: list[Document]) -> None:
    half = Extractor.load(trained_run, device="cpu", precision="bf16")
    full = Extractor.load(trained_run, device="cpu")
    for one, other in zip(half.annotate(documents), full.annotate(documents), strict=True):
        assert set(one.relations) == set(other.relations)
        assert [e.score for e in one.entities] == pytest.approx([e.score for e in other.entities], abs=0.02)
        assert [e.score for e in one.entities] != [e.score for e in other.entities]
    with pytest.raises(SettingError, match="choose no, bf16 or auto"):
        Extractor.load(trained_run, precision="fp16")


# --- calibration -------------------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize("decision", ["softmax", "sigmoid"])
def test_calibration_goes_with_the_model(
    decision: str, shrunk: Callable[..., Config], schema: Schema, documents: list[Document], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Too few documents to fit on change nothing; what is fitted holds after saving, loading and exporting."""
    monkeypatch.setattr("conjoin.evaluation.calibration.MIN_PREDICTIONS", 10**6)
    monkeypatch.setattr("conjoin.evaluation.calibration.MIN_GOLD", 10**6)
    torch.manual_seed(0)
    config = shrunk("conjoin-base", f"relations.decision={decision}", "entities.outside_prior=0")
    extractor = Extractor.from_model(build_model(config, schema, documents=documents), config)
    before = [found(document) for document in extractor.annotate(documents)]
    extractor.calibrate(documents)
    assert [found(document) for document in extractor.annotate(documents)] == before
    candidates = CANDIDATES if decision == "sigmoid" else None
    assert extractor.calibration is not None and extractor.calibration.candidates == candidates

    least = dict.fromkeys(schema.relation_types, CANDIDATES if decision == "sigmoid" else 0.6)
    calibration = Calibration({"entities": 2.0, "relations": 1.0}, {"entities": {}, "relations": least}, candidates)
    extractor = Extractor.from_model(extractor.model, config, calibration=calibration)
    after = [found(document) for document in extractor.annotate(documents)]
    counts = [sum(len(relations) for _, relations in told) for told in (before, after)]
    assert counts[1] > counts[0] if decision == "sigmoid" else counts[1] < counts[0]
    extractor.save(tmp_path / "model")
    assert [found(document) for document in Extractor.load(tmp_path / "model").annotate(documents)] == after
    onnx = pytest.importorskip("conjoin.extras.onnx", exc_type=MissingExtraError)
    onnx.export(tmp_path / "model", tmp_path / "export")
    exported = Extractor.load(tmp_path / "export")
    assert [found(document) for document in exported.annotate(documents)] == after
    for one in (extractor, exported):
        one.forget_calibration()
        assert one.calibration is None
        assert [found(document) for document in one.annotate(documents)] == before
