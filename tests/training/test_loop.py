from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from conjoin.config.settings import Config, TrainingSettings
from conjoin.document import Document, Entity
from conjoin.errors import DataError, SettingError
from conjoin.extractor import Extractor
from conjoin.modeling.build import build_model
from conjoin.modeling.nn.term import Term
from conjoin.schema import Schema
from conjoin.training import DevSet, EpochDone, Finished, Started, StepDone, training_events

DOCUMENTS = [Document.from_words(["w"] * 3, [Entity("Loc", 0, 1)], id=str(number)) for number in range(6)]
DEV = [Document.from_words(["Oslo", "and", "Rome"], [Entity("Loc", 0, 1), Entity("Loc", 2, 3)], id="dev")]


class Model(nn.Module):
    """The methods of a `Trainable` and nothing else: its loss pulls one weight to the number of each document. On dev it
    finds `entities[n]` of the two entities in evaluation n."""

    def __init__(self, entities: Sequence[int] = ()) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([10.0]))
        self.entities = list(entities)
        self.batches: list[list[str]] = []
        self.at_evaluation: list[tuple[float, bool]] = []

    def sizes(self, documents: Sequence[Document]) -> list[int]:
        return [len(document.tokens) for document in documents]

    def collate(self, documents: Sequence[Document]) -> list[Document]:
        return list(documents)

    def forward(self, batch: Sequence[Document]) -> dict[str, Term]:
        assert self.training
        self.batches.append([document.id for document in batch])
        numbers = torch.tensor([float(document.id) for document in batch])
        means = {"entities": ((self.weight - numbers) ** 2).mean(), "relations": (3 * self.weight).sum()}
        return {name: Term(mean, torch.tensor(len(batch))) for name, mean in means.items()}

    def annotate(self, documents: Sequence[Document]) -> list[Document]:
        number = self.entities[len(self.at_evaluation)]
        self.at_evaluation.append((self.weight.item(), self.training))
        return [document.annotated(document.entities[:number], ()) for document in documents]


def plan(**changes: Any) -> TrainingSettings:
    values: dict[str, Any] = {"epochs": 2, "batch_size": 1, "learning_rate": 0.1, "schedule": "constant", "warmup": 0.0,
                              "relation_ramp": 0.0, "weight_decay": 0.0}
    return TrainingSettings.model_validate(values | changes)


def run(model: Model, dev: Sequence[Document] = (), **changes: Any) -> list[Any]:
    folder, stop = changes.pop("folder", None), changes.pop("stop_epoch", None)
    held_out = DevSet(dev, model.annotate) if dev else None
    return list(training_events(model, DOCUMENTS, settings=plan(**changes), dev=held_out, folder=folder, stop_epoch=stop))


def of(events: Sequence[Any], kind: type) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def test_events_tell_the_whole_story() -> None:
    model = Model()
    events = run(model, epochs=2, batch_size=4)
    kinds = [type(event) for event in events]
    assert kinds == [Started, StepDone, StepDone, EpochDone, StepDone, StepDone, EpochDone, Finished]
    assert events[0] == Started(steps=4, epochs=2, trainable=1, parameters=1, resumed=0, select="last")
    assert [event.step for event in of(events, StepDone)] == [1, 2, 3, 4]
    assert [event.epoch for event in of(events, StepDone)] == [1, 1, 2, 2]
    assert (events[-1].epoch, events[-1].epochs, events[-1].score) == (2, 2, None)
    assert not model.training
    first, second, done = events[1], events[2], events[3]
    for name in ("entities", "relations"):
        assert done.terms[name] == pytest.approx((first.terms[name] + second.terms[name]) / 2)
    for epoch in (model.batches[:2], model.batches[2:]):
        assert sorted(name for batch in epoch for name in batch) == list("012345")
    assert model.batches[:2] != model.batches[2:]


@pytest.mark.parametrize(("accumulation", "groups"), [(1, [1] * 6), (4, [4, 2]), (6, [6]), (9, [6])])
def test_accumulation_counts_steps(accumulation: int, groups: list[int]) -> None:
    model = Model()
    events = run(model, epochs=1, accumulation=accumulation)
    assert events[0].steps == len(groups) == len(of(events, StepDone))
    # Each batch is read once more before, to know how many pairs a step has.
    assert len(model.batches) == (6 if accumulation == 1 else 12)
    assert sorted({name for batch in model.batches for name in batch}) == list("012345")


def gradients_at_steps(model: Model, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> list[float]:
    """The gradient that each optimizer step sees (AdamW's first steps look the same whatever its size)."""
    gradients: list[float] = []
    original = torch.optim.AdamW.step

    def step(self: torch.optim.AdamW, *arguments: Any, **named: Any) -> Any:
        gradients.append(float(model.weight.grad))  # type: ignore[arg-type]
        return original(self, *arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", step)
        run(model, **changes)
    return gradients


def test_accumulated_batches_are_one_large_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gradient is that of the mean over all documents, so two batches of three are one of six."""
    small, large = Model(), Model()
    small_gradients = gradients_at_steps(small, monkeypatch, epochs=3, batch_size=3, accumulation=2, max_gradient_norm=1e6)
    expected = gradients_at_steps(large, monkeypatch, epochs=3, batch_size=6, max_gradient_norm=1e6)
    assert small_gradients == pytest.approx(expected)
    assert small.weight.item() == pytest.approx(large.weight.item())


def test_the_relation_loss_is_weighed_and_ramped() -> None:
    """λ over 6 steps an epoch and a ramp of half an epoch: 0, 1/3, 2/3, then 1; times the weight 5."""
    events = of(run(Model(), epochs=1, relation_ramp=0.5, relation_weight=5.0), StepDone)
    factors = [(event.loss - event.terms["entities"]) / event.terms["relations"] for event in events]
    assert factors == pytest.approx([0, 5 / 3, 10 / 3, 5, 5, 5], abs=1e-4)


def test_no_ramp_weighs_from_the_first_step() -> None:
    first = of(run(Model(), epochs=1), StepDone)[0]
    assert first.loss == pytest.approx(first.terms["entities"] + first.terms["relations"])


def test_a_term_without_a_weight_of_its_own_weighs_one() -> None:
    """So that another architecture may have other terms."""
    class Other(Model):
        def forward(self, batch: Sequence[Document]) -> dict[str, Term]:
            terms = super().forward(batch)
            return {"entities": terms["entities"], "clusters": terms["relations"]}

    first = of(run(Other(), epochs=1, entity_weight=2.0, relation_weight=5.0), StepDone)[0]
    assert first.loss == pytest.approx(2 * first.terms["entities"] + first.terms["clusters"])


def test_rates_follow_the_schedule_and_stop_epoch_does_not_change_it() -> None:
    whole = of(run(Model(), epochs=2, schedule="linear", warmup=0.25), StepDone)
    rates = [event.learning_rate for event in whole]
    assert rates == pytest.approx([0.1 * factor for factor in [0.25, 0.5, 0.75, *(share / 9 for share in range(9, 0, -1))]])
    events = run(Model(), epochs=2, schedule="linear", warmup=0.25, stop_epoch=1)
    assert [event.learning_rate for event in of(events, StepDone)] == rates[:6]
    assert (events[0].steps, events[0].epochs, events[-1].epochs) == (6, 1, 1)


def test_gradients_are_clipped(monkeypatch: pytest.MonkeyPatch) -> None:
    free = gradients_at_steps(Model(), monkeypatch, epochs=1, max_gradient_norm=1e6)
    assert min(free) > 10
    assert gradients_at_steps(Model(), monkeypatch, epochs=1, max_gradient_norm=None) == free
    clipped = gradients_at_steps(Model(), monkeypatch, epochs=1, max_gradient_norm=0.5)
    assert clipped == pytest.approx([0.5] * 6, rel=1e-4)


def test_best_epoch_is_kept(tmp_path: Path) -> None:
    for folder in (None, tmp_path):
        model = Model([1, 2, 0, 2])
        events = run(model, DEV, epochs=4, select="best", folder=folder)
        done = of(events, EpochDone)
        assert [event.best for event in done] == [True, True, False, True]  # of equals the later
        assert [event.score for event in done] == pytest.approx([2 / 3, 1, 0, 1])
        assert (events[-1].epoch, events[-1].epochs, events[-1].score) == (4, 4, 1.0)
        assert model.weight.item() == model.at_evaluation[3][0] != model.at_evaluation[1][0]
        assert not any(training for _, training in model.at_evaluation)


def test_last_epoch_is_kept() -> None:
    model = Model([1, 2, 0])
    events = run(model, DEV, epochs=3, select="last")
    assert (events[-1].epoch, events[-1].score) == (3, None)
    assert model.weight.item() == model.at_evaluation[2][0]


def test_patience_counts_epochs_without_a_better_score() -> None:
    model = Model([1, 2, 2, 1, 2, 2, 2])
    events = run(model, DEV, epochs=7, patience=2)
    assert len(of(events, EpochDone)) == 4  # the best is the 2nd; the 3rd and the 4th are no better
    assert (events[-1].epoch, events[-1].epochs) == (3, 4)  # of equals the later
    assert len(of(run(Model([0, 1, 2]), DEV, epochs=3, patience=1), EpochDone)) == 3


def test_averaged_weights_are_evaluated_and_kept() -> None:
    plain, averaged = Model([1, 1]), Model([1, 1])
    run(plain, DEV, epochs=2, select="last")
    events = run(averaged, DEV, epochs=2, select="last", averaging=0.9)
    assert averaged.at_evaluation[0][0] != plain.at_evaluation[0][0]
    assert averaged.weight.item() == averaged.at_evaluation[1][0] != plain.weight.item()
    # The steps themselves are taken on the weights, not on their average.
    assert of(events, StepDone)[-1].loss == of(run(Model([1, 1]), DEV, epochs=2, select="last"), StepDone)[-1].loss
    best = Model([2, 1])
    run(best, DEV, epochs=2, select="best", averaging=0.9)
    assert best.weight.item() == best.at_evaluation[0][0]


def test_selection_score_by_hand(documents: list[Document]) -> None:
    """Entities 2/3 (one of two, nothing wrong), relations 0: 1/3; without gold relations the entities alone: 2/3."""
    from conjoin.evaluation.metrics import score

    document = documents[1]  # three entities, one relation
    predicted = document.annotated(document.entities[:2], ())
    report = score([document], [predicted])
    assert DevSet([document], list).selection_score(report) == pytest.approx((0.8 + 0) / 2)
    bare = document.annotated(document.entities, ())
    assert DevSet([bare], list).selection_score(score([bare], [predicted])) == pytest.approx(0.8)


def test_nothing_to_train_on() -> None:
    with pytest.raises(DataError, match="no documents"):
        next(training_events(Model(), [], settings=plan()))


@pytest.mark.skipif(torch.cuda.is_available(), reason="fp16 works on a GPU")
def test_fp16_needs_a_gpu() -> None:
    with pytest.raises(SettingError, match="needs a GPU"):
        run(Model(), precision="fp16")


def trained(config: Config, documents: list[Document]) -> dict[str, Tensor]:
    torch.manual_seed(7)
    model = build_model(config, Schema.from_documents(documents))
    dev = DevSet(documents, Extractor.from_model(model, config).annotate)
    list(training_events(model, documents, settings=config.training, dev=dev))
    return model.state_dict()


def test_the_same_seed_gives_the_same_weights_bit_by_bit(
    shrunk: Callable[..., Config], documents: list[Document]
) -> None:
    settings = ["training.epochs=2", "training.batch_size=1", "encoder.masking=0.1", "relations.size=16"]
    first, second = (trained(shrunk("conjoin-base", *settings), documents) for _ in range(2))
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    other = trained(shrunk("conjoin-base", *settings, "training.seed=1"), documents)
    assert not all(torch.equal(value, other[name]) for name, value in first.items())


def test_precision_may_differ_between_runs_of_one_process(
    shrunk: Callable[..., Config], documents: list[Document]
) -> None:
    for precision in ("no", "bf16", "no"):
        config = shrunk("conjoin-base", "training.epochs=1", "relations.size=16", f"training.precision={precision}")
        state = trained(config, documents)
        assert all(value.dtype == torch.float32 and torch.isfinite(value).all() for value in state.values())
