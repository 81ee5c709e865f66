"""From settings and a corpus to a saved model: epochs, retraining, leakage, overlaps, what an output folder may hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from conjoin.artifacts.run_record import ProbeRecord
from conjoin.config.presets import load_config
from conjoin.config.settings import Config
from conjoin.corpora.probe import cooccurrence_probe
from conjoin.document import Corpus, Document, Entity, Relation
from conjoin.errors import DataError, ModelError, SettingError
from conjoin.evaluation.metrics import score
from conjoin.experiments import train as protocols
from conjoin.experiments.probe import probe_cooccurrence
from conjoin.experiments.train import train
from conjoin.experiments.training_data import draw_documents
from conjoin.extractor import Extractor
from conjoin.schema import Schema
from conjoin.training import DevSet, EpochDone, Event, Finished, Started, StepDone


class StopError(Exception):
    """In place of a kill."""


def small_config(small: list[str], *more: str) -> Config:
    return load_config("conjoin-base", [*small, *more])


def corpus_of(documents: list[Document], **splits: list[Document]) -> Corpus:
    return Corpus({"train": tuple(documents), **{name: tuple(members) for name, members in splits.items()}})


def same_weights(left: Extractor, right: Extractor) -> bool:
    ours, theirs = left.model.state_dict(), right.model.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(value, theirs[name]) for name, value in ours.items())


def recorded(extractor: Extractor) -> dict[str, Any]:
    return extractor.record.to_json()


def without_speed(metrics: dict[str, Any]) -> dict[str, Any]:
    return {**metrics, "model": {**metrics["model"], "sentences_per_second": 0}}


def stopping_at(stops: Callable[[Event, int], bool]) -> Callable[[Event], None]:
    """A listener that ends the run at the first event for which `stops(event, stage from 1)` holds."""
    stage = 0

    def listen(event: Event) -> None:
        nonlocal stage
        stage += isinstance(event, Started)
        if stops(event, stage):
            raise StopError

    return listen


# --- which epoch -------------------------------------------------------------------------------------------------


def test_the_best_epoch_on_dev_is_kept(small: list[str], documents: list[Document], tmp_path: Path) -> None:
    events: list[Event] = []
    corpus = corpus_of(documents, dev=documents, test=documents[:1])
    extractor = train(small_config(small), corpus, output=tmp_path, listen=events.append)
    scores = [event.score or 0.0 for event in events if isinstance(event, EpochDone)]
    epoch = recorded(extractor)["training"]["epoch"]
    assert epoch == max(number for number, value in enumerate(scores, start=1) if value == max(scores))
    assert scores.index(max(scores)) + 1 < len(scores) == 20
    best = next(event.report for event in events if isinstance(event, EpochDone) and event.epoch == epoch)
    assert best is not None
    assert recorded(extractor)["dev"] == best.to_json() == extractor.evaluate(documents).to_json()
    last = train(small_config(small, "training.select=last"), corpus)
    assert recorded(last)["training"]["epoch"] == 20
    assert same_weights(extractor, last) == (epoch == 20)
    assert same_weights(Extractor.load(tmp_path), extractor)


@pytest.mark.parametrize(("select", "epoch"), [("best", 1), ("last", 2)])
def test_the_recorded_dev_scores_are_those_of_the_kept_epoch(
    select: str, epoch: int, small: list[str], documents: list[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Giorgi's presets keep the last epoch: the card must not show the figures of a better one."""
    reports = [score(documents, documents), score(documents, [document.bare() for document in documents])]

    def events(model: Any, documents: Any, **_: Any) -> Iterator[Event]:
        yield EpochDone(1, {}, 0.0, reports[0], 1.0, True)
        yield EpochDone(2, {}, 0.0, reports[1], 0.0, False)
        yield Finished(epoch, 2, None, 0.0)

    monkeypatch.setattr(protocols, "training_events", events)
    extractor = train(small_config(small, f"training.select={select}"), corpus_of(documents, dev=documents))
    assert recorded(extractor)["dev"] == reports[epoch - 1].to_json()


def test_what_is_recorded(trained_run: Path, documents: list[Document]) -> None:
    metrics = recorded(Extractor.load(trained_run))
    assert set(metrics) == {"data", "dev", "model", "test", "training"}  # no probe: the types are not those of the probe
    assert metrics["data"] == {split: {"documents": 3, "entities": 8, "relations": 3} for split in ("train", "dev", "test")}
    assert {"seed", "epoch", "documents", "trainable"} <= set(metrics["training"])
    assert metrics["test"]["relations"]["strict"]["micro"]["f1"] == 1.0
    card = (trained_run / "model" / "README.md").read_text()
    assert "## Scores on test" in card
    assert "| train | 3 | 8 | 3 |" in card


def test_the_probe_is_recorded_when_the_types_are_known(small: list[str], documents: list[Document]) -> None:
    corpus = corpus_of([*cooccurrence_probe()[1][:60]])
    metrics = recorded(train(small_config(small, "training.epochs=1", "training.batch_size=20"), corpus))
    assert set(metrics["probe"]) == {"cooccurring", "related", "false_share", "found_share"}
    assert "dev" not in metrics


# --- train and dev -----------------------------------------------------------------------------------------------


@pytest.mark.long
def test_retraining_takes_train_and_dev_for_the_epochs_found(
    small: list[str], documents: list[Document], tmp_path: Path
) -> None:
    ann, paris = Entity("Peop", 0, 1), Entity("City", 3, 4)  # a type that only dev has
    words = ["Ann", "lives", "in", "Paris", "."]
    dev = [*documents, Document.from_words(words, [ann, paris], [Relation("Live_In", ann, paris)])]
    for seed in range(6):
        events: list[Event] = []
        extractor = train(small_config(small, f"training.seed={seed}"), corpus_of(documents, dev=dev, test=documents),
                          output=tmp_path, retrain_on_dev=True, overwrite=True, listen=events.append)
        first, second = [event for event in events if isinstance(event, Finished)]
        if first.epoch < 20:  # else the best epoch is the last, and proves nothing
            break
    assert first.epoch < 20
    starts = [event for event in events if isinstance(event, Started)]
    assert (second.epoch, starts[1].epochs) == (first.epoch, first.epoch)
    assert recorded(extractor)["training"]["documents"] == 7
    assert recorded(extractor)["training"]["epoch"] == first.epoch
    assert "City" in extractor.schema.entity_types
    assert "dev scores: of the model trained on train alone" in (tmp_path / "model" / "README.md").read_text()
    best = max(event.score or 0.0 for event in events if isinstance(event, EpochDone))
    dev_scores = recorded(extractor)["dev"]  # those of the first stage: the second has seen dev
    assert best == pytest.approx((dev_scores["entities"]["strict"]["micro"]["f1"]
                                  + dev_scores["relations"]["strict"]["micro"]["f1"]) / 2)
    assert Extractor.load(tmp_path).config.training.select == "best"  # the settings stay as they were
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curves.png", "history.jsonl", "model"]


def test_retraining_finds_the_epoch_where_a_preset_keeps_the_last(
    small: list[str], documents: list[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([0.1, 0.9, 0.5])
    monkeypatch.setattr(DevSet, "selection_score", lambda *_: next(scores))
    events: list[Event] = []
    extractor = train(small_config(small, "training.select=last", "training.epochs=3"), corpus_of(documents, dev=documents),
                      retrain_on_dev=True, listen=events.append)
    assert [event.epoch for event in events if isinstance(event, Finished)] == [2, 2]
    assert recorded(extractor)["training"]["epoch"] == 2
    assert extractor.config.training.select == "last"  # the settings stay as they were


def test_other_splits_are_mentioned(small: list[str], documents: list[Document], caplog: pytest.LogCaptureFixture) -> None:
    config = small_config(small, "training.epochs=1")
    train(config, corpus_of(documents, dev=documents))
    assert caplog.messages == []
    train(config, corpus_of(documents, all=documents, validation=documents[:1]))
    [message] = caplog.messages
    assert "'all' (3 documents), 'validation' (1 documents)" in message and "relation_free=" in message


def test_retraining_needs_dev(small: list[str], documents: list[Document], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="needs a dev split"):
        train(small_config(small), corpus_of(documents), output=tmp_path / "run", retrain_on_dev=True)
    assert not (tmp_path / "run").exists()


def test_relation_free_sentences_join_unless_a_split_holds_them(
    small: list[str], documents: list[Document]
) -> None:
    new = Document.from_words(["Dallas", "is", "in", "Texas", "."], [Entity("Loc", 0, 1), Entity("Loc", 3, 4)])
    respaced = documents[1].text.replace(" .", ".")
    dallas = Document.from_words(respaced.split(), [Entity("Loc", 5, 6)])
    offered = [new, documents[0], *(document.annotated(document.entities, ()) for document in documents), dallas]
    corpus = corpus_of(documents[:1], dev=documents[1:2], test=documents[2:])
    metrics = recorded(train(small_config(small, "training.epochs=1"), corpus, relation_free=offered))
    assert metrics["data"]["train"] == {"documents": 2, "entities": 5, "relations": 2}
    assert metrics["training"]["documents"] == 2


def test_documents_are_drawn_by_seed_in_their_order() -> None:
    many = [Document.from_words([str(number)]) for number in range(50)]
    drawn = draw_documents(many, 10, seed=1)
    assert drawn == draw_documents(many, 10, seed=1) != draw_documents(many, 10, seed=2)
    assert len(drawn) == 10
    assert sorted(drawn, key=lambda document: int(document.text)) == drawn
    assert all(draw_documents(many, count, seed=1) == many for count in (None, 50, 99))


# --- what is wrong with the data ---------------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["train", "dev"])
def test_overlapping_entities_are_an_error_or_the_longest_is_taken(
    split: str, small: list[str], documents: list[Document]
) -> None:
    long, short = Entity("Org", 1, 4), Entity("Loc", 3, 4)
    nested = Document.from_words(["the", "Steel", "of", "Leeds", "joined"], [long, short], id="n")
    corpus = corpus_of([*documents, nested]) if split == "train" else corpus_of(documents, dev=[nested])
    retrain = split == "dev"
    with pytest.raises(DataError, match=r"'n': the entities Org 'Steel of Leeds' and Loc 'Leeds' overlap.*--lenient"):
        train(small_config(small), corpus, retrain_on_dev=retrain)
    metrics = recorded(train(small_config(small, "training.epochs=1"), corpus, retrain_on_dev=retrain, lenient=True))
    assert metrics["training"]["documents"] == 4
    if split == "train":
        assert metrics["data"]["train"]["entities"] == 9  # of ten
    else:
        assert metrics["data"]["dev"]["entities"] == 2  # scores are over all of them


def test_types_that_only_dev_and_test_have_are_missed_and_cost_no_training(
    small: list[str], documents: list[Document]
) -> None:
    mars = Document.from_words(["Mars"], [Entity("Planet", 0, 1)])
    corpus = corpus_of(documents, dev=[*documents, mars], test=[mars])
    metrics = recorded(train(small_config(small, "training.epochs=1"), corpus))
    assert metrics["dev"]["entities"]["strict"]["micro"]["support"] == 9
    row = metrics["test"]["entities"]["strict"]["per_type"]["Planet"]
    assert (row["support"], row["recall"]) == (1, 0.0)


def twice_related(documents: list[Document], back: bool) -> Document:
    """The second document with a second relation of the pair that it relates, written the other way round with `back`."""
    (kill,) = documents[1].relations
    head, tail = (kill.tail, kill.head) if back else (kill.head, kill.tail)
    return documents[1].annotated(documents[1].entities, [kill, Relation("Knows", head, tail)])


@pytest.mark.parametrize(("decision", "symmetric", "back", "warns"), [
    ("softmax", (), False, True), ("softmax", (), True, False), ("softmax", ("Knows",), True, True),
    ("sigmoid", (), False, False),
])
def test_a_pair_of_several_types_is_mentioned_where_only_one_is_trained_on(
    decision: str, symmetric: tuple[str, ...], back: bool, warns: bool, small: list[str], documents: list[Document],
    caplog: pytest.LogCaptureFixture,
) -> None:
    config = small_config(small, "training.epochs=1", f"relations.decision={decision}", f"symmetric={list(symmetric)}")
    train(config, corpus_of([*documents, twice_related(documents, back)]))
    sentence = ("1 pairs of entities have relations of several types, of which relations.decision=softmax trains on one; "
                "to train on all of them set relations.decision=sigmoid")
    assert [record.getMessage() for record in caplog.records if record.name == "conjoin"] == [sentence] * warns


def test_symmetric_types_are_scored_both_ways(small: list[str], documents: list[Document]) -> None:
    (kill,) = documents[1].relations
    back = documents[1].annotated(documents[1].entities, [Relation(kill.type, kill.tail, kill.head)])
    turned = [documents[0], back, documents[2]]
    corpus = corpus_of(documents, dev=turned, test=turned)
    for symmetric, recall in (('["Kill"]', 1.0), ("[]", 0.0)):
        metrics = recorded(train(small_config(small, f"symmetric={symmetric}"), corpus))
        for split in ("dev", "test"):
            assert metrics[split]["relations"]["strict"]["per_type"]["Kill"]["recall"] == recall
            assert metrics[split]["relations"]["strict"]["per_type"]["Work_For"]["recall"] == 1.0


@pytest.mark.parametrize(("words", "learnt"), [(["Leeds-based"], "whole"), (["Leeds", "-", "based"], "cut")])
def test_compounds_of_raw_text_are_cut_as_in_the_training_data(
    words: list[str], learnt: str, small: list[str], documents: list[Document], tmp_path: Path
) -> None:
    compound = Document.from_words(["the", *words, "Acme"], [Entity("Org", 1 + len(words), 2 + len(words))])
    train(small_config(small, "training.epochs=1"), corpus_of([*documents, compound]), output=tmp_path)
    extractor = Extractor.load(tmp_path)
    assert extractor.config.text.hyphens == learnt
    (document,) = extractor.pipe(["the Leeds-based Acme"])
    assert document.words == ["the", *words, "Acme"]


def test_a_symmetric_type_that_the_data_lack_is_an_error(small: list[str], documents: list[Document]) -> None:
    with pytest.raises(SettingError, match="unknown symmetric relation type 'Kil' \\(did you mean 'Kill'"):
        train(small_config(small, 'symmetric=["Kil"]'), corpus_of(documents))


def test_half_a_surrogate_pair_can_be_trained_on(small: list[str]) -> None:
    document = Document.from_words(["Ann", "\ud83d"], [Entity("Peop", 0, 2)])
    assert recorded(train(small_config(small, "training.epochs=1"), corpus_of([document])))["training"]["documents"] == 1


def test_nothing_to_train_on(small: list[str], documents: list[Document]) -> None:
    with pytest.raises(DataError, match="no train split"):
        train(small_config(small), Corpus({"dev": tuple(documents)}))


# --- the output folder -------------------------------------------------------------------------------------------


def test_a_finished_run_is_refused_and_overwritten_on_demand(
    small: list[str], documents: list[Document], tmp_path: Path
) -> None:
    config, corpus = small_config(small, "training.epochs=1"), corpus_of(documents)
    (tmp_path / "notes.txt").write_text("mine")
    first = train(config, corpus, output=tmp_path)
    with pytest.raises(ModelError, match=r"holds a finished model; .* --overwrite \(overwrite=True\)"):
        train(config, corpus, output=tmp_path)
    with pytest.raises(DataError):
        train(config, Corpus({}), output=tmp_path, overwrite=True)
    assert same_weights(Extractor.load(tmp_path), first)  # data that cannot be trained on cost nothing
    second = train(small_config(small, "training.epochs=1", "training.seed=1"), corpus, output=tmp_path, overwrite=True)
    assert same_weights(Extractor.load(tmp_path), second)
    assert not same_weights(first, second)
    assert (tmp_path / "notes.txt").read_text() == "mine"  # what conjoin did not write stays


def test_a_finished_model_stays_until_the_new_one_is_saved(
    small: list[str], documents: list[Document], tmp_path: Path
) -> None:
    config, corpus = small_config(small, "training.epochs=2"), corpus_of(documents)
    first = train(config, corpus, output=tmp_path)
    with pytest.raises((ModelError, SettingError), match="cannot load the encoder"):
        train(small_config(small, "encoder.name=/no/such"), corpus, output=tmp_path, overwrite=True)
    assert same_weights(Extractor.load(tmp_path), first)
    other = small_config(small, "training.epochs=2", "training.seed=1")
    for stops in (EpochDone, Started):  # killed after an epoch, and with `overwrite` again not even there
        with pytest.raises(StopError):
            train(other, corpus, output=tmp_path, overwrite=True,
                  listen=stopping_at(lambda event, _, stops=stops: isinstance(event, stops)))  # type: ignore[misc]
        assert (tmp_path / "checkpoints" / "step-000000001").exists() == (stops is EpochDone)
        assert same_weights(Extractor.load(tmp_path), first)


def test_a_killed_run_that_overwrites_goes_on_without_overwrite(
    small: list[str], documents: list[Document], tmp_path: Path
) -> None:
    corpus, other = corpus_of(documents), small_config(small, "training.epochs=2", "training.seed=1")
    first = train(small_config(small, "training.epochs=1"), corpus, output=tmp_path)
    with pytest.raises(StopError):
        train(other, corpus, output=tmp_path, overwrite=True,
              listen=stopping_at(lambda event, _: isinstance(event, EpochDone)))
    events: list[Event] = []
    train(other, corpus, output=tmp_path, listen=events.append)
    assert [event.resumed for event in events if isinstance(event, Started)] == [1]
    assert not same_weights(Extractor.load(tmp_path), first)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curves.png", "history.jsonl", "model"]


def test_a_folder_called_model_that_is_none_is_refused_before_training(
    small: list[str], documents: list[Document], tmp_path: Path
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "thesis.txt").write_text("years of work")
    events: list[Event] = []
    with pytest.raises(ModelError, match="is not replaced; give a new name"):
        train(small_config(small), corpus_of(documents), output=tmp_path, overwrite=True, listen=events.append)
    assert events == []
    assert (tmp_path / "model" / "thesis.txt").read_text() == "years of work"


def test_an_output_that_cannot_be_is_refused_before_training(
    small: list[str], documents: list[Document], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    events: list[Event] = []
    for overwrite in (False, True):
        with pytest.raises(NotADirectoryError):
            train(small_config(small), corpus_of(documents), output=tmp_path / "file" / "run", overwrite=overwrite,
                  listen=events.append)
        with pytest.raises(NotADirectoryError):
            train(small_config(small), corpus_of(documents), output=tmp_path / "file", overwrite=overwrite)
    assert events == []
    assert (tmp_path / "file").is_file()


@pytest.mark.long
@pytest.mark.parametrize("stage", [1, 2])
def test_a_killed_run_goes_on_where_it_was(
    stage: int, small: list[str], documents: list[Document], tmp_path: Path
) -> None:
    config = small_config(small, "training.batch_size=1", "training.checkpoint_steps=2", "training.epochs=8",
                          "relations.dropout=0.2", "training.averaging=0.5")
    corpus = corpus_of(documents, dev=documents, test=documents)
    whole = train(config, corpus, output=tmp_path / "whole", retrain_on_dev=True)

    def within_epoch(event: Event, at: int) -> bool:
        return isinstance(event, StepDone) and at == stage and event.step == 3

    def after_epoch(event: Event, at: int) -> bool:
        return isinstance(event, EpochDone) and at == stage

    for stops in (within_epoch, after_epoch):
        with pytest.raises(StopError):
            train(config, corpus, output=tmp_path / "run", retrain_on_dev=True, listen=stopping_at(stops))
        assert not (tmp_path / "run" / "model").exists()
    events: list[Event] = []
    resumed = train(config, corpus, output=tmp_path / "run", retrain_on_dev=True, listen=events.append)
    starts = [event.resumed for event in events if isinstance(event, Started)]
    assert starts[stage - 1] >= 3
    assert stage == 1 or starts[0] == 24  # the first stage was done already
    assert same_weights(resumed, whole)
    assert without_speed(recorded(resumed)) == without_speed(recorded(whole))


def test_a_run_with_other_settings_does_not_go_on(small: list[str], documents: list[Document], tmp_path: Path) -> None:
    corpus = corpus_of(documents)
    with pytest.raises(StopError):
        train(small_config(small), corpus, output=tmp_path,
              listen=stopping_at(lambda event, _: isinstance(event, EpochDone)))
    with pytest.raises(ModelError, match="a run with other settings or data; give another --output or --overwrite"):
        train(small_config(small, "training.seed=5"), corpus, output=tmp_path)
    with pytest.raises(ModelError, match="a run with other settings or data"):  # of as many parameters, alike in shape
        train(small_config(small, "relations.dropout=0.3"), corpus, output=tmp_path)
    train(small_config(small, "training.seed=5", "training.epochs=1"), corpus, output=tmp_path, overwrite=True)


def test_an_unknown_encoder_is_one_sentence(small: list[str], documents: list[Document], tmp_path: Path) -> None:
    with pytest.raises((ModelError, SettingError), match="cannot load the encoder"):
        train(small_config(small, f"encoder.name='{tmp_path / 'none'}'"), corpus_of(documents))


# --- the probe ---------------------------------------------------------------------------------------------------


class Answers:
    """An extractor with fixed answers."""

    def __init__(self, answer: Callable[[Document], Document], types: tuple[str, ...]) -> None:
        self.answer = answer
        self.schema = Schema(("Peop",), types)

    def annotate(self, documents: Any) -> list[Document]:
        return [self.answer(document) for document in documents]


ALL = ("Kill", "Live_In", "Located_In", "OrgBased_In", "Work_For")


def invented(document: Document) -> Document:
    first, second, *_ = document.entities
    return document.annotated(document.entities, [Relation("Kill", first, second), Relation("Kill", second, first)])


@pytest.mark.parametrize(("answer", "false", "correct"), [
    (lambda document: document, 0.0, 1.0),
    (lambda document: document.bare(), 0.0, 0.0),
    (lambda document: document if document.relations else invented(document), 1.0, 1.0),
    (lambda document: document if document.relations or document.id > "cooccurring-15" else invented(document), 0.25, 1.0),
])
def test_the_probe_on_known_answers(answer: Callable[[Document], Document], false: float, correct: float) -> None:
    probe = probe_cooccurrence(Answers(answer, ALL))  # type: ignore[arg-type]
    assert probe == ProbeRecord(60, 60, false_share=false, found_share=correct)


def test_the_probe_wants_the_entities_right_too() -> None:
    def other_type(document: Document) -> Document:
        moved = {entity: Entity("Wrong", entity.start, entity.end) for entity in document.entities}
        relations = [Relation(r.type, moved[r.head], moved[r.tail]) for r in document.relations]
        return document.annotated(moved.values(), relations)

    probe = probe_cooccurrence(Answers(other_type, ALL))  # type: ignore[arg-type]
    assert probe is not None
    assert probe.found_share == 0.0


def test_no_probe_for_other_types() -> None:
    assert probe_cooccurrence(Answers(lambda document: document, ALL[:4])) is None  # type: ignore[arg-type]
