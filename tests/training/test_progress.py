"""Progress on standard error: on a terminal by default, elsewhere and on demand or never."""

from __future__ import annotations

import io
import sys

import pytest

from conjoin import Corpus, load_config, train
from conjoin.document import Document
from conjoin.features.vector_table import WordCoverage
from conjoin.training import EpochDone, Event, Finished, Started, StepDone
from conjoin.training.progress import TrainingProgress

EVENTS: list[Event] = [
    Started(steps=1, epochs=1, trainable=4, parameters=1234, resumed=0, word_vectors=WordCoverage(3, 4)),
    StepDone(1, 1, 0.5, {"entities": 0.25}, 0.1),
    EpochDone(1, {"entities": 0.25}, 2.0, None, None, best=True),
    Finished(1, 1, None, 2.0),
]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def lines(capsys: pytest.CaptureFixture[str], *events: Event, shown: bool = True) -> list[str]:
    with TrainingProgress(shown=shown) as progress:
        for event in events:
            progress.listen(event)
    return capsys.readouterr().err.splitlines()


def test_every_event_but_steps_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert lines(capsys, *EVENTS) == [
        "training 4 of 1,234 parameters, 1 epoch",
        "vectors for 3 of 4 words of the training data (75 %)",
        "epoch 1: entities loss 0.250, 2 s (best so far)",
        "kept epoch 1 of 1, the best on dev, 2 s",
    ]
    assert lines(capsys, *EVENTS, shown=False) == []


def test_the_second_training_is_announced(capsys: pytest.CaptureFixture[str]) -> None:
    assert "again, on train and dev together" in lines(capsys, *EVENTS, *EVENTS)


@pytest.mark.parametrize(("terminal", "progress", "shown"), [
    (True, None, True), (True, False, False), (False, None, False), (False, True, True),
])
def test_train_shows_progress_on_a_terminal_or_on_demand(
    terminal: bool, progress: bool | None, shown: bool, small: list[str], documents: list[Document],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = Terminal() if terminal else io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    corpus = Corpus({"train": tuple(documents)})
    train(load_config("conjoin-base", [*small, "training.epochs=1"]), corpus, progress=progress)
    assert ("epoch 1: " in stream.getvalue()) == shown
    assert bool(stream.getvalue()) == shown
