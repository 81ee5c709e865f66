"""`conjoin train`, `evaluate`, `presets` and `demo`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from conjoin.__main__ import main as command_line
from conjoin.cli.corpus import FormatOptions, TrainingData
from conjoin.cli.options import SettingOptions
from conjoin.config.presets import load_config, preset_names
from conjoin.document import Corpus, Document, Entity, Relation
from conjoin.extractor import Extractor
from conjoin.readers import write_documents
from conjoin.training import Started
from conjoin.training.progress import TrainingProgress

FIGURES = {"precision", "recall", "f1", "support"}


def metrics(run: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((run / "model" / "metrics.json").read_text())
    return value


# --- train -------------------------------------------------------------------------------------------------------


def test_train_on_a_folder(
    conjoin: Any, corpus_folder: Path, settings: list[str], tmp_path: Path
) -> None:
    result = conjoin("train", "conjoin-base", "--data", corpus_folder, "--output", tmp_path / "run", "--seed", 7, *settings)
    assert result.code == 0
    assert result.out.startswith("\nscores on test\nentities ")
    assert "reading: train 3, dev 3, test 3" in result.err
    lines = result.err.splitlines()
    assert sum(line.startswith("epoch ") for line in lines) == 2
    assert all("dev F1 entities" in line for line in lines if line.startswith("epoch "))  # not folded
    assert "\x1b" not in result.err  # no bar where no terminal is
    assert lines[-1] == f"saved {tmp_path / 'run' / 'model'}"
    extractor = Extractor.load(tmp_path / "run")
    assert (extractor.config.training.seed, extractor.config.training.epochs) == (7, 2)
    assert set(metrics(tmp_path / "run")["data"]) == {"train", "dev", "test"}
    again = conjoin("train", "conjoin-base", "--data", corpus_folder, "--output", tmp_path / "run", *settings)
    assert "holds a finished model; give another --output (output=), or replace it" in again.err.splitlines()[-1]
    assert again.code == 1
    over = conjoin("train", "conjoin-base", "--data", corpus_folder, "--output", tmp_path / "run", "--overwrite", *settings)
    assert over.code == 0
    assert Extractor.load(tmp_path / "run").config.training.seed == 0


def test_train_on_files_with_a_settings_file_and_an_encoder(
    conjoin: Any, corpus_folder: Path, settings: list[str], encoder: str, tmp_path: Path
) -> None:
    odd = tmp_path / "it's \"mine\""
    odd.symlink_to(encoder)
    mine = tmp_path / "mine.toml"
    mine.write_text(conjoin("presets", "giorgi2019-conll04").out)
    given = [option for option in settings if not option.startswith("encoder.name")][1:]  # its --set too
    result = conjoin("train", mine, "--train", corpus_folder / "train.jsonl", "--test", corpus_folder / "dev.jsonl",
                     "--encoder", odd, "-o", tmp_path / "run", *given)
    assert result.code == 0, result.err
    assert "reading: train 3, test 3" in result.err
    config = Extractor.load(tmp_path / "run").config
    assert (config.encoder.name, config.relations.pooling) == (str(odd), "last")
    assert config.paper is not None


def test_retrain_on_dev_and_relation_free_sentences(
    conjoin: Any, corpus_folder: Path, settings: list[str], tmp_path: Path
) -> None:
    free = [Document.from_words(["Oslo", str(number)], [Entity("Loc", 0, 1)]) for number in range(9)]
    bare = Document.from_words(["no", "entity"])
    head, tail = Entity("Peop", 0, 1), Entity("Loc", 1, 2)
    related = Document.from_words(["Lee", "Texas"], [head, tail], [Relation("Live_In", head, tail)])
    write_documents([*free, bare, related], tmp_path / "free.jsonl", "jsonl")
    common = ["train", "conjoin-base", "--data", corpus_folder, "--retrain-on-dev", "--relation-free",
              tmp_path / "free.jsonl", *settings]
    result = conjoin(*common, "--max-relation-free", 4, "--output", tmp_path / "four")
    assert "again, on train and dev together" in result.err
    assert metrics(tmp_path / "four")["data"]["train"]["documents"] == 7
    assert metrics(tmp_path / "four")["training"]["documents"] == 10
    assert conjoin(*common, "--output", tmp_path / "all").code == 0
    assert metrics(tmp_path / "all")["data"]["train"]["documents"] == 12


def test_what_is_not_trained_on_is_said(
    conjoin: Any, documents: list[Document], settings: list[str], tmp_path: Path
) -> None:
    (kill,) = documents[1].relations
    twice = documents[1].annotated(documents[1].entities, [kill, Relation("Knows", kill.head, kill.tail)])
    write_documents([documents[0], twice], tmp_path / "train.jsonl", "jsonl")
    write_documents(documents, tmp_path / "extra.jsonl", "jsonl")
    result = conjoin("train", "conjoin-base", "--data", tmp_path, "--output", tmp_path / "run", *settings)
    lines = result.err.splitlines()
    reading, warning = [line for line in lines if "extra" in line]
    assert reading == "reading: train 2, extra 3"
    assert "'extra' (3 documents)" in warning and "--relation-free" in warning
    assert sum("1 pairs of entities have relations of several types" in line for line in lines) == 1
    assert set(metrics(tmp_path / "run")["data"]) == {"train"}


def test_sentences_of_another_split_join_where_they_hold_no_relation(
    conjoin: Any, documents: list[Document], settings: list[str], tmp_path: Path
) -> None:
    write_documents(documents, tmp_path / "train.jsonl", "jsonl")
    free = Document.from_words(["Dallas", "slept"], [Entity("Loc", 0, 1)])
    write_documents([free], tmp_path / "extra.jsonl", "jsonl")
    result = conjoin("train", "conjoin-base", "--data", tmp_path, "--output", tmp_path / "run", "--relation-free",
                     tmp_path / "extra.jsonl", *settings)
    assert result.code == 0
    assert metrics(tmp_path / "run")["training"]["documents"] == 4


def test_other_verbs_say_what_they_do_not_look_at(
    documents: list[Document], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for split in ("train", "extra", "dev"):
        write_documents(documents, tmp_path / f"{split}.jsonl", "jsonl")
    corpus = TrainingData(data=tmp_path, files=FormatOptions()).read_splits()
    assert list(corpus.splits) == ["train", "dev"]
    assert capsys.readouterr().err == "splits other than train, dev and test are not used: 'extra' (3 documents)\n"


@pytest.mark.parametrize("name", ["--train", "--dev", "--test"])
def test_a_split_is_a_file(name: str, conjoin: Any, corpus_folder: Path, tmp_path: Path) -> None:
    result = conjoin("train", "conjoin-base", "--data", corpus_folder, name, corpus_folder, "--output", tmp_path / "run")
    assert result.sentence == f"{corpus_folder}: is a folder, and {name} takes one file; give a folder with --data"


@pytest.mark.parametrize("encoder", ["plain", "zoë", "🦜 x", 'it\'s "mine"', "back\\slash\\n", "[a]", "5", "tab\there"])
def test_an_encoder_is_named_as_written(encoder: str) -> None:
    assert load_config("conjoin-base", SettingOptions(encoder=encoder).overrides()).encoder.name == encoder


def test_format_and_options_and_lenient(
    conjoin: Any, documents: list[Document], settings: list[str], tmp_path: Path
) -> None:
    long, short = Entity("Org", 1, 4), Entity("Loc", 3, 4)
    nested = Document.from_words(["the", "Steel", "of", "Leeds", "joined"], [long, short], id="n")
    write_documents([*documents, nested], tmp_path / "train.jsonl", "jsonl")
    common = ["train", "conjoin-base", "--data", tmp_path, "--output", tmp_path / "run", "--format", "jsonl", *settings]
    refused = conjoin(*common)
    assert refused.code == 1
    assert "document 'n': the entities Org 'Steel of Leeds' and Loc 'Leeds' overlap" in refused.err
    assert not (tmp_path / "run").exists()
    assert conjoin(*common, "--option", "overlap=keep-longer").code == 0
    assert metrics(tmp_path / "run")["data"]["train"]["entities"] == 9
    assert conjoin(*common, "--overwrite", "--lenient").code == 0


@pytest.mark.parametrize(("preset", "more", "told"), [
    ("conjoin-bose", [], "unknown preset 'conjoin-bose' (did you mean 'conjoin-base'?)"),
    ("none.toml", [], "none.toml: no such settings file"),
    ("conjoin-base", ["--set", "training.epoks=3"], "unknown setting 'training.epoks' (did you mean 'training.epochs'?)"),
    ("conjoin-base", ["--set", "trainng.epochs=3"], "unknown setting 'trainng.epochs' (did you mean 'training.epochs'?); "
     "'conjoin presets conjoin-base' lists them"),
    ("conjoin-base", ["--set", "epoch=3"], "unknown setting 'epoch' (did you mean 'training.epochs'?); 'conjoin presets"),
    ("conjoin-base", ["--set", "encoder.epochs=3"], "'encoder.epochs' (did you mean 'training.epochs'?)"),
    ("conjoin-base", ["--set", "training.epochs"], "override 'training.epochs' has no key=value form"),
    ("conjoin-base", ["--set", "training.epochs=0"], "setting training.epochs = 0: input should be greater than"),
    ("conjoin-base", ["--set", "training.epochs.more=0"], "training.epochs"),
    ("conjoin-base", ["--set", "relations.scorer=biafine"], "setting relations.scorer = 'biafine'"),
    ("conjoin-base", ["--encoder", "/no/such/folder"], "cannot load the encoder '/no/such/folder'"),
    ("conjoin-base", ["--format", "jsonI"], "unknown format 'jsonI' (did you mean 'jsonl'?)"),
    ("conjoin-base", ["--option", "overlap"], "option 'overlap' has no '='"),
    ("conjoin-base", ["--option", "overlap=kep"], "unknown value of option overlap 'kep'"),
    ("conjoin-base", ["--relation-free", "none.jsonl"], "none.jsonl: no such file or folder"),
    ("conjoin-base", ["--dev", "none.jsonl"], "none.jsonl: no such file or folder"),
])
def test_what_train_refuses(
    preset: str, more: list[str], told: str, conjoin: Any, corpus_folder: Path, tmp_path: Path
) -> None:
    result = conjoin("train", preset, "--data", corpus_folder, "--output", tmp_path / "run", *more)
    assert result.code == 1
    assert told in result.err.splitlines()[-1]
    assert len([line for line in result.err.splitlines() if not line.startswith("reading:")]) == 1
    assert not (tmp_path / "run" / "model").exists()


def test_data_that_cannot_be_trained_on(conjoin: Any, corpus_folder: Path, tmp_path: Path) -> None:
    train = ("train", "conjoin-base", "--output", tmp_path / "run")
    assert conjoin(*train).code == 2
    assert conjoin("train", "conjoin-base", "--data", corpus_folder).code == 2  # no --output
    assert "nowhere: no such file or folder" in conjoin(*train, "--data", tmp_path / "nowhere").sentence
    (tmp_path / "train.jsonl").write_text('{"id": "a", "text": "Lee"}\n{"id": "b", "text": \n')
    assert "train.jsonl:2: malformed JSON" in conjoin(*train, "--data", tmp_path).sentence
    (tmp_path / "train.jsonl").write_text("what is this\n")
    assert "train.jsonl:1: malformed JSON" in conjoin(*train, "--data", tmp_path).sentence
    (tmp_path / "train.json").write_text("[]")
    result = conjoin(*train, "--train", tmp_path / "train.json")
    assert "holds no documents" in result.err.splitlines()[-1]
    (tmp_path / "train.json").unlink()
    (tmp_path / "train.jsonl").write_bytes(b'{"id": "a", "text": "caf\xe9"}\n')
    assert "train.jsonl:1: byte 0xe9" in conjoin(*train, "--data", tmp_path).sentence
    assert "no train split among dev" in conjoin(*train, "--data", corpus_folder / "dev.jsonl").sentence
    (tmp_path / "file").write_text("")
    result = conjoin("train", "conjoin-base", "--data", corpus_folder, "--output", tmp_path / "file")
    assert "file: is a file, where a folder is needed" in result.err.splitlines()[-1]
    assert result.code == 1


@pytest.mark.processes
def test_control_c_ends_quietly_and_the_same_command_goes_on(
    corpus_folder: Path, settings: list[str], tmp_path: Path
) -> None:
    command = [Path(sys.executable).with_name("conjoin"), "train", "conjoin-base", "--data", corpus_folder,
               "--output", tmp_path / "run", *settings, "--set", "training.epochs=3000"]
    with (tmp_path / "out").open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
    checkpoints = tmp_path / "run" / "checkpoints"
    while process.poll() is None and not list(checkpoints.glob("step-*")):
        time.sleep(0.1)
    for _ in range(6):  # Python drops an interrupt that falls into a destructor; a person would press again
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=20)
            break
    assert process.returncode == 130
    assert "conjoin:" not in (tmp_path / "out").read_text()
    assert "the same command, without --overwrite, goes on from the last checkpoint" in (tmp_path / "out").read_text()
    assert not (tmp_path / "run" / "model").exists()
    assert list(checkpoints.glob("step-*"))


INTERRUPTED_IMPORT = """
import sys
class Interrupted:
    def find_spec(self, name, path=None, target=None):
        if name == NAME:
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupted())
sys.argv = ["conjoin", "train", "conjoin-base", "--data", DATA, "--output", "nowhere-run"]
from conjoin.__main__ import main
main()
"""


@pytest.mark.processes
@pytest.mark.parametrize("name", ["typer", "torch"])
def test_control_c_among_the_imports_makes_no_traceback(name: str, corpus_folder: Path, tmp_path: Path) -> None:
    code = INTERRUPTED_IMPORT.replace("NAME", repr(name)).replace("DATA", repr(str(corpus_folder)))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stderr.splitlines()[-1:]) == (130, ["stopped"])
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("given", "count"), [({}, "1000"), ({"GOMP_SPINCOUNT": "7"}, "7"),
                                              ({"OMP_WAIT_POLICY": "active"}, None)])
def test_threads_that_wait_sleep_soon_unless_told_otherwise(
    given: dict[str, str], count: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, "")  # so that it is put back
        monkeypatch.delenv(name)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["conjoin", "--version"])
    with pytest.raises(SystemExit):
        command_line()
    assert os.environ.get("GOMP_SPINCOUNT") == count


INTERRUPTING = """
import atexit, os, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
def interrupt(*_, **__):
    os.kill(os.getpid(), signal.SIGINT)
    return 1
WHEN
from conjoin.__main__ import main
main()
"""


@pytest.mark.processes
@pytest.mark.parametrize(("when", "code", "said"), [
    ("import conjoin.experiments.train as single; single.set_seed = interrupt", 130,
     "stopped before the first checkpoint; the same command begins anew"),
    ("atexit.register(interrupt)", -signal.SIGINT, "saved "),  # 130 in a shell
])
def test_control_c_before_the_first_checkpoint_and_while_python_shuts_down(
    when: str, code: int, said: str, corpus_folder: Path, settings: list[str], tmp_path: Path
) -> None:
    command = ["train", "conjoin-base", "--data", corpus_folder, "--output", tmp_path / "run", *settings]
    done = subprocess.run([sys.executable, "-c", INTERRUPTING.replace("WHEN", when), *map(str, command)],
                          capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith(said)
    assert done.returncode == code
    assert (tmp_path / "run").exists() == (code != 130)


def test_one_epoch_is_not_several(capsys: pytest.CaptureFixture[str]) -> None:
    for epochs in (1, 2):
        TrainingProgress().listen(Started(steps=1, epochs=epochs, parameters=5, trainable=5, resumed=0))
    said = capsys.readouterr().err.splitlines()
    assert [line.split(", ")[1] for line in said if "parameters" in line] == ["1 epoch", "2 epochs"]


def test_no_progress_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    with TrainingProgress(shown=False) as progress:
        progress.listen(Started(steps=1, epochs=1, parameters=5, trainable=5, resumed=0))
    assert capsys.readouterr() == ("", "")


def test_a_run_that_goes_on_says_where(capsys: pytest.CaptureFixture[str]) -> None:
    TrainingProgress().listen(Started(steps=9, epochs=3, parameters=5, trainable=5, resumed=4, epoch=2, select="last"))
    assert "3 epochs, the last epoch counts, going on after step 4, in epoch 2\n" in capsys.readouterr().err


@pytest.mark.parametrize(("select", "said"), [("best", "the best on dev"), ("last", "the last")])
def test_which_epoch_counts_is_said(
    select: str, said: str, conjoin: Any, corpus_folder: Path, settings: list[str], tmp_path: Path
) -> None:
    result = conjoin("train", "conjoin-base", "--data", corpus_folder, "--output", tmp_path / "run", *settings, "--set",
                     f"training.select={select}")
    lines = result.err.splitlines()
    assert sum("(best so far)" in line for line in lines) == (2 if select == "best" else 0), lines
    assert sum("the last epoch counts" in line for line in lines) == (select == "last")
    assert any(line.startswith("kept epoch 2 of 2, " + said) for line in lines)
    assert f"- epoch: 2 ({said})" in (tmp_path / "run/model/README.md").read_text().splitlines()


def test_word_vectors_are_counted_and_found_again_from_elsewhere(
    conjoin: Any, corpus_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "v.txt").write_text("oslo 1 2\nleeds 0 1\nunseen 1 1\n")
    recurrent = ("encoder.name=none", "encoder.casing=false", "encoder.masking=0", "words.vectors=v.txt", "stack.shared=1",
                 "stack.size=4", "training.epochs=1")
    monkeypatch.chdir(tmp_path)
    result = conjoin("train", "conjoin-base", "--data", corpus_folder, "--output", tmp_path / "run",
                     *(part for value in recurrent for part in ("--set", value)))
    assert "vectors for 2 of 21 words of the training data (10 %)" in result.err.splitlines()
    assert "has a vector for only 2 of the 21 words of the training data" in result.err
    card = (tmp_path / "run/model/README.md").read_text()
    assert "- vectors for 2 of 21 words of the training data (10 %)\n" in card
    assert "word vectors of v.txt (frozen)" in card
    monkeypatch.chdir("/")
    assert conjoin("extract", tmp_path / "run", "--text", "unseen").err == ""


# --- evaluate ----------------------------------------------------------------------------------------------------


def test_the_json_has_exactly_the_documented_keys(conjoin: Any, trained_run: Path, corpus_folder: Path) -> None:
    result = conjoin("evaluate", trained_run, "--data", corpus_folder, "--json")
    assert (result.code, result.err) == (0, "")
    report = json.loads(result.out)
    assert set(report) == {"split", "mode", "entities", "relations"}
    assert (report["split"], report["mode"]) == ("test", "gold words")
    for task, types in (("entities", {"Loc", "Org", "Peop"}), ("relations", {"Kill", "OrgBased_In", "Work_For"})):
        assert set(report[task]) == {"strict", "boundaries", "relaxed", "last-word"}
        for scores in report[task].values():
            assert set(scores) == {"micro", "macro", "per_type"}
            assert set(scores["per_type"]) == types
            for figures in (scores["micro"], scores["macro"], *scores["per_type"].values()):
                assert set(figures) == FIGURES
    assert report["entities"]["strict"]["micro"] == {"precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 8}
    assert report["relations"]["strict"]["per_type"]["Kill"]["support"] == 1


def test_the_table_is_in_per_cent(conjoin: Any, trained_run: Path, corpus_folder: Path) -> None:
    result = conjoin("evaluate", trained_run, "--data", corpus_folder)
    assert result.out.startswith("3 documents, predicted entities\n")
    rows = [line.split() for line in result.out.splitlines()]
    assert ["strict", "micro", "100.00", "100.00", "100.00", "8", "8", "8"] in rows
    assert ["strict", "Kill", "100.00", "100.00", "100.00", "1", "1", "1"] in rows


def test_gold_entities_raw_text_and_splits(conjoin: Any, trained_run: Path, tmp_path: Path) -> None:
    odd = Document.from_words(["was", "of", "a"], [Entity("Peop", 0, 1)])
    plain = Document.from_words(["Lee", "Oswald", "shot", "Kennedy", "in", "Dallas."], [Entity("Peop", 0, 2)])
    for split, held in (("test", [odd]), ("dev", [odd, plain])):
        write_documents(held, tmp_path / f"{split}.jsonl", "jsonl")

    def recall(*more: str) -> tuple[float, int]:
        micro = json.loads(conjoin("evaluate", trained_run, "--data", tmp_path, "--json", *more).out)["entities"]["strict"]
        return micro["micro"]["recall"], micro["micro"]["support"]

    assert recall() == (0.0, 1)
    assert recall("--gold-entities") == (1.0, 1)
    assert recall("--split", "dev", "--raw-text") == (0.5, 2)  # the full stop is a word of its own then
    assert conjoin("evaluate", trained_run, "--data", tmp_path, "--raw-text").out.startswith("1 documents, raw text")
    modes = {mode: json.loads(conjoin("evaluate", trained_run, "--data", tmp_path / "dev.jsonl", "--json", mode).out)
             for mode in ("--gold-entities", "--raw-text")}
    assert [(value["split"], value["mode"]) for value in modes.values()] == [
        ("dev", "gold entities"), ("dev", "raw text")]
    table = conjoin("evaluate", trained_run, "--data", tmp_path, "--gold-entities").out
    assert table.startswith("1 documents, with gold entities\nrelations")
    assert "Peop" not in table
    assert conjoin("evaluate", trained_run, "--data", tmp_path, "--raw-text", "--gold-entities").code == 2
    assert "no train split among dev, test" in conjoin(
        "evaluate", trained_run, "--data", tmp_path, "--split", "train").sentence
    (tmp_path / "mine.jsonl").write_text((tmp_path / "dev.jsonl").read_text())
    assert conjoin("evaluate", trained_run, "--data", tmp_path / "mine.jsonl").out.startswith("2 documents")


def test_evaluate_says_what_it_repaired(conjoin: Any, trained_run: Path, corpus_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text((corpus_folder / "test.jsonl").read_text() + "{\n")
    assert ":4: malformed JSON" in conjoin("evaluate", trained_run, "--data", path).sentence
    repaired = conjoin("evaluate", trained_run, "--data", path, "--lenient", "--json")
    assert (repaired.code, json.loads(repaired.out)["entities"]["strict"]["micro"]["support"]) == (0, 8)
    assert "1 repair or note on the data; conjoin check lists it" in repaired.err


def test_what_evaluate_refuses(conjoin: Any, trained_run: Path, corpus_folder: Path, tmp_path: Path) -> None:
    assert "no such file or folder" in conjoin("evaluate", trained_run, "--data", tmp_path / "no").sentence
    assert "not a conjoin model" in conjoin("evaluate", corpus_folder, "--data", corpus_folder).sentence
    write_documents([Document.from_words(["Mars"], [Entity("Planet", 0, 1)], id="d")], tmp_path / "a.jsonl", "jsonl")
    assert ("document 'd': entity type 'Planet' is not one of the model's: Loc, Org, Peop; train a model on data with "
            "that type, or correct the data") in conjoin("evaluate", trained_run, "--data", tmp_path / "a.jsonl").sentence
    write_documents([Document.from_words(["Mars"], id="d")], tmp_path / "b.jsonl", "jsonl")
    assert "b.jsonl: no document of the all split holds an entity to score against" in conjoin(
        "evaluate", trained_run, "--data", tmp_path / "b.jsonl").sentence
    (tmp_path / "dev.json").write_text("[]")
    assert "dev.json: holds no documents" in conjoin(
        "evaluate", trained_run, "--data", tmp_path / "dev.json").sentence
    assert conjoin("evaluate", trained_run).code == 2


# --- calibrate ---------------------------------------------------------------------------------------------------


def test_calibrate_changes_scores_of_every_command_and_the_card(
    conjoin: Any, trained_run: Path, corpus_folder: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained_run, run)

    def extracted(folder: Path) -> list[dict[str, Any]]:
        text = "Lee Oswald shot Kennedy in Dallas ."
        value = json.loads(conjoin("extract", folder, "--text", text, "--format", "jsonl").out)
        entities: list[dict[str, Any]] = value["entities"]
        return entities

    said = conjoin("calibrate", run, "--data", corpus_folder)
    assert said.code == 0, said.err
    assert [line.partition(":")[0] for line in said.out.splitlines()] == ["entities", "relations"]
    assert "calibration.json, the card and its picture" in said.err
    told = metrics(run)["calibration"]
    assert set(told) == {"entities", "relations"}
    card = (run / "model/README.md").read_text()
    assert "## Calibration" in card and "](reliability.svg)" in card
    ElementTree.parse(run / "model/reliability.svg")
    before = extracted(trained_run)
    assert [entity["type"] for entity in extracted(run)] == [entity["type"] for entity in before]

    path = run / "model/calibration.json"
    value = json.loads(path.read_text())
    value["temperatures"] = {"entities": 4.0, "relations": 1.0}
    value["thresholds"] = {"entities": {"Loc": 1.0}, "relations": {}}
    path.write_text(json.dumps(value))
    assert {entity["type"] for entity in before} == {"Loc", "Peop"}
    assert {entity["type"] for entity in extracted(run)} == {"Peop"}
    assert max(entity["score"] for entity in extracted(run)) < max(entity["score"] for entity in before)
    again = json.loads(conjoin("calibrate", run, "--data", corpus_folder, "--json").out)
    assert again["report"] == told, "it starts from the model's own scores"

    path.write_text("{}")
    assert "is no calibration" in conjoin("extract", run, "--text", "x").sentence


# --- presets -----------------------------------------------------------------------------------------------------


def test_presets_are_listed_in_full(conjoin: Any) -> None:
    lines = conjoin("presets").out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == preset_names()
    assert any("giorgi2019-i2b2" in line and line.endswith("Giorgi et al. 2019, Table 1") for line in lines)


@pytest.mark.parametrize("name", preset_names())
def test_a_printed_preset_is_read_back(name: str, conjoin: Any, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(conjoin("presets", name).out)
    assert load_config(tmp_path / "mine.toml") == load_config(name)


def test_an_unknown_preset(conjoin: Any) -> None:
    assert "did you mean 'giorgi2019-ade'?" in conjoin("presets", "giorgi2019-aed").sentence


# --- check, convert, demo and the whole --------------------------------------------------------------------------


def test_check_and_convert(conjoin: Any, corpus_folder: Path, tmp_path: Path) -> None:
    assert "no problems" in conjoin("check", corpus_folder).out
    assert conjoin("convert", corpus_folder, tmp_path / "spert", "--to", "spert").code == 0
    assert sorted(path.name for path in (tmp_path / "spert").iterdir()) == ["dev.json", "test.json", "train.json"]
    assert json.loads(conjoin("check", tmp_path / "spert", "--json").out)["splits"]["test"]["relations"]["Kill"] == 1
    (tmp_path / "bad.jsonl").write_text('{"id": "a", "text": "Lee", "entities": [{"type": "Peop"}]}\n')
    assert conjoin("check", tmp_path / "bad.jsonl").code == 1
    assert "bad.jsonl:1: " in conjoin("check", tmp_path / "bad.jsonl").out
    assert conjoin("check", tmp_path / "bad.jsonl", "--lenient").code == 0
    assert "bad.jsonl:1: " in conjoin("convert", tmp_path / "bad.jsonl", tmp_path / "x", "--to", "spert").sentence
    assert not (tmp_path / "x").exists()
    assert "unknown format 'sprt'" in conjoin("convert", corpus_folder, tmp_path / "y", "--to", "sprt").sentence
    assert conjoin("check").code == 2


def test_demo(
    conjoin: Any, settings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One epoch, which is enough for the tiny encoder when all it reads is much like one sentence of the demo."""
    head, tail = Entity("Peop", 0, 2), Entity("Org", 6, 8)
    sentence = "Ines Karlsen , who has led Nordlys Energi in Bergen since 2011 , met the governor of Alaska ."
    text = Document.from_words(sentence.split(), [head, tail], [Relation("Work_For", head, tail)])
    corpus = Corpus({"train": (text,) * 300, "dev": (text,), "test": (text,)})
    monkeypatch.setattr("conjoin.corpora.sample.sample_corpus", lambda: corpus)
    page, run = tmp_path / "demo.html", tmp_path / "run"
    result = conjoin("demo", "--output", run, "--html", page, *settings, "--set", "training.epochs=1")
    assert result.code == 0, result.err
    assert "scores on test" in result.out
    assert "Ines Karlsen, who has led" in result.out
    assert "│ Ines Karlsen" in result.out
    assert page.read_text(encoding="utf-8").count("<mark") >= 2
    assert Extractor.load(run).config.training.epochs == 1
    assert "--html" in conjoin("demo", "--help").out


def test_the_demo_removes_nothing_that_it_did_not_write(
    conjoin: Any, settings: list[str], documents: list[Document], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    monkeypatch.setattr("conjoin.corpora.sample.sample_corpus", lambda: Corpus({"train": tuple(documents)}))
    command = ["demo", "--output", tmp_path, "--html", tmp_path / "x.html", *settings]
    assert conjoin(*command).code == 0
    model = (tmp_path / "model/weights.safetensors").read_bytes()
    again = conjoin(*command, "--set", "training.seed=1")
    assert "holds a finished model; give another --output (output=), or replace it with --overwrite" in again.sentence
    assert (tmp_path / "model/weights.safetensors").read_bytes() == model
    assert conjoin(*command, "--set", "training.seed=1", "--overwrite").code == 0
    assert (tmp_path / "model/weights.safetensors").read_bytes() != model
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("verb", ["train", "demo"])
def test_a_refused_run_leaves_no_folder(verb: str, conjoin: Any, corpus_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "v.txt").write_text("oslo 1 2\nleeds 1\n")
    recurrent = ["encoder.name=none", "words.casing=true", f"words.vectors={tmp_path / 'v.txt'}"]
    own = ["conjoin-mix", "--data", corpus_folder] if verb == "train" else ["--preset", "conjoin-mix"]
    settings = [part for value in (*recurrent, "encoder.casing=false", "characters.size=0") for part in ("--set", value)]
    command = [verb, *own, "--output", tmp_path / "deep/run", *settings]
    assert "v.txt:2: a word and 2 numbers are expected" in conjoin(*command).err
    assert not (tmp_path / "deep").exists()
    (tmp_path / "deep").mkdir()
    assert conjoin(*command).code == 1
    assert list((tmp_path / "deep").iterdir()) == []


def test_without_a_verb_and_with_a_wrong_one(conjoin: Any) -> None:
    assert conjoin().code == 2
    wrong = conjoin("tarin")
    assert (wrong.code, "did you mean 'train'?" in wrong.err) == (2, True)
    option = conjoin("train", "conjoin-base", "--outptu", "run")
    assert (option.code, "--output" in option.err) == (2, True)
    assert conjoin("--version").out.count(".") == 2


def test_a_full_disk_is_one_sentence(conjoin: Any, trained_run: Path) -> None:
    if not os.path.exists("/dev/full"):  # noqa: PTH110
        pytest.skip("no /dev/full here")
    assert "No space left" in conjoin("extract", trained_run, "--text", "a", "--output", "/dev/full").sentence
