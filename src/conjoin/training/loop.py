"""The training loop."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate.accelerator import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils.random import set_seed
from safetensors.torch import load_file, save_file
from torch import Tensor

from conjoin.batching import annotate_all, shuffled_batches
from conjoin.choices import Optimizer, Precision, Schedule
from conjoin.document import Document
from conjoin.errors import DataError
from conjoin.files import whole_file
from conjoin.metrics import Report, score
from conjoin.training.checkpoint import Position, load_checkpoint, load_trainable, save_checkpoint, trainable_state
from conjoin.training.events import EpochDone, Event, Finished, Started, StepDone
from conjoin.training.optimizer import AveragedWeights, build_optimizer, ramp, rate_factor
from conjoin.training.precision import usable_precision


class TrainingPlan(Protocol):
    """The settings training reads; see `settings.TrainingSettings` for what each means."""

    epochs: int
    batch_size: int
    batch_pieces: int
    bucket_batches: int
    optimizer: Optimizer
    accumulation: int
    learning_rate: float
    head_learning_rate: float | None
    layer_decay: float
    weight_decay: float
    schedule: Schedule
    warmup: float
    max_gradient_norm: float | None
    precision: Precision
    entity_weight: float
    relation_weight: float
    relation_ramp: float
    averaging: float
    select: str
    patience: int | None
    checkpoint_steps: int | None
    seed: int


def train(
    model: Any,
    documents: Sequence[Document],
    *,
    dev: Sequence[Document] = (),
    settings: Any,
    folder: Path | None = None,
    stop_epoch: int | None = None,
    symmetric: frozenset[str] = frozenset(),
    fingerprint: str = "",
) -> Iterator[Event]:
    """Train a model by its verbs `collate`, `loss`, `annotate`; yield events; leave it with the chosen weights.

    With `folder`, checkpoints are kept there and a run that was killed goes on from the newest, if settings, data, the
    model's parameters and `fingerprint` (whatever else must be the same, such as the model's settings) still agree.
    `stop_epoch` ends early without changing the schedules. Raises `DataError` without documents and `SettingError` for
    settings that this machine cannot run.
    """
    if not documents:
        raise DataError("there is nothing to train on: the train split holds no documents")
    yield from _Run(model, documents, dev, settings, folder, stop_epoch, symmetric, fingerprint).events()


class _Run:
    def __init__(
        self,
        model: Any,
        documents: Sequence[Document],
        dev: Sequence[Document],
        settings: TrainingPlan,
        folder: Path | None,
        stop_epoch: int | None,
        symmetric: frozenset[str],
        fingerprint: str,
    ) -> None:
        set_seed(settings.seed)
        self.settings = settings
        self.documents, self.dev, self.symmetric = documents, dev, symmetric
        self.folder = folder
        self.last_epoch = min(stop_epoch or settings.epochs, settings.epochs)
        self.sizes = model.sizes(documents)
        self.steps_by_epoch = [len(self._groups(epoch)) for epoch in range(settings.epochs)]
        AcceleratorState._reset_state()  # else a process's first run fixes the precision of all later ones
        self.accelerator = Accelerator(mixed_precision=usable_precision(settings.precision))
        self.bare = model
        optimizer = build_optimizer(
            model,
            learning_rate=settings.learning_rate,
            head_learning_rate=settings.head_learning_rate,
            layer_decay=settings.layer_decay,
            weight_decay=settings.weight_decay,
            optimizer=settings.optimizer,
        )
        self.model, self.optimizer = self.accelerator.prepare(model, optimizer)
        self.rates = [group["lr"] for group in self.optimizer.param_groups]
        self.averaged = AveragedWeights(model.parameters(), settings.averaging) if settings.averaging else None
        self.position = Position(0, 0, 0, 0, 0, None, {}, self._plan(fingerprint))

    def _plan(self, fingerprint: str) -> str:
        """A digest of settings, model and data: only a run with the same one may go on from a checkpoint."""
        keys = TrainingPlan.__annotations__
        settings = {key: getattr(self.settings, key) for key in keys if key != "checkpoint_steps"}
        parameters = {name: [*value.shape, value.requires_grad] for name, value in self.bare.named_parameters()}
        digest = hashlib.sha256(json.dumps([settings, parameters, fingerprint], sort_keys=True).encode())
        for document in [*self.documents, *self.dev]:
            digest.update(document.to_json_line().encode("utf-8", "surrogatepass"))
        return digest.hexdigest()

    def _groups(self, epoch: int) -> list[list[list[int]]]:
        """The batches of an epoch, grouped by optimizer step."""
        settings = self.settings
        batches = shuffled_batches(
            self.sizes,
            documents=settings.batch_size,
            pieces=settings.batch_pieces,
            bucket_batches=settings.bucket_batches,
            seed=settings.seed,
            epoch=epoch,
        )
        starts = range(0, len(batches), settings.accumulation)
        return [batches[start : start + settings.accumulation] for start in starts]

    def events(self) -> Iterator[Event]:
        started = time.perf_counter()
        self._resume()
        yield Started(
            steps=sum(self.steps_by_epoch[: self.last_epoch]),
            epochs=self.last_epoch,
            trainable=sum(value.numel() for value in self.bare.parameters() if value.requires_grad),
            parameters=sum(value.numel() for value in self.bare.parameters()),
            resumed=self.position.step,
        )
        while self.position.epoch < self.last_epoch and not self._out_of_patience():
            yield from self._epoch()
        yield self._finish(time.perf_counter() - started)

    def _epoch(self) -> Iterator[Event]:
        started = time.perf_counter()
        self.model.train()
        epoch = self.position.epoch
        groups = self._groups(epoch)
        for number in range(self.position.batch, len(groups)):
            loss, terms = self._step(groups[number])
            sums = {name: self.position.sums.get(name, 0.0) + value for name, value in terms.items()}
            self.position = replace(self.position, step=self.position.step + 1, batch=number + 1, sums=sums)
            yield StepDone(self.position.step, epoch + 1, loss, terms, self.optimizer.param_groups[0]["lr"])
            every = self.settings.checkpoint_steps
            if every and self.position.step % every == 0 and number + 1 < len(groups):
                self._checkpoint()
        means = {name: value / len(groups) for name, value in self.position.sums.items()}
        report, value, best = self._evaluate(epoch + 1)
        self.position = replace(self.position, epoch=epoch + 1, batch=0, sums={})
        self._checkpoint()
        yield EpochDone(epoch + 1, means, time.perf_counter() - started, report, value, best)

    def _step(self, batches: Sequence[Sequence[int]]) -> tuple[float, dict[str, float]]:
        settings = self.settings
        factor = rate_factor(
            self.position.step, steps=sum(self.steps_by_epoch), warmup=settings.warmup, schedule=settings.schedule
        )
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor
        risen = ramp(self.position.step, steps=settings.relation_ramp * self.steps_by_epoch[0])
        weights = {"entities": settings.entity_weight, "relations": settings.relation_weight * risen}
        total = 0.0
        values: dict[str, float] = {}
        for number, members in enumerate(batches):
            batch = self.bare.collate([self.documents[index] for index in members])
            waiting = number + 1 < len(batches)
            with self.accelerator.no_sync(self.model) if waiting else nullcontext():
                terms: Mapping[str, Tensor] = self.model(batch)
                loss = torch.stack([weights[name] * term for name, term in terms.items()]).sum()
                self.accelerator.backward(loss / len(batches))
            values = {name: term.item() for name, term in terms.items()}
            total += loss.item() / len(batches)
        if settings.max_gradient_norm is not None:
            self.accelerator.clip_grad_norm_(self.bare.parameters(), settings.max_gradient_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.averaged:
            self.averaged.update()
        return total, values

    def _evaluate(self, epoch: int) -> tuple[Report | None, float | None, bool]:
        if not self.dev:
            return None, None, False
        with self._averaged_weights():
            self.bare.eval()
            report = score(self.dev, annotate_all(self.bare, self.dev), symmetric=self.symmetric)
            value = _selection_score(report, self.dev)
            # Of equals the later: on a small dev set scores tie at once, and the later weights are the surer ones.
            old = self.position.best_score
            best = old is None or value >= old
            if best:
                self._keep_best()
                improved = self.position.improved_epoch if value == old else epoch
                self.position = replace(self.position, best_epoch=epoch, improved_epoch=improved, best_score=value)
        return report, value, best

    @contextmanager
    def _averaged_weights(self) -> Iterator[None]:
        """Averaged weights, where they are kept, in place of the current ones for the length of a block."""
        if not self.averaged:
            yield
            return
        self.averaged.swap()
        try:
            yield
        finally:
            self.averaged.swap()

    def _keep_best(self) -> None:
        state = trainable_state(self.bare)
        if self.folder:
            with whole_file(self.folder / "best.safetensors") as temporary:
                save_file(state, temporary)
        elif self.settings.select == "best":
            self._best_state = state

    def _out_of_patience(self) -> bool:
        waited = self.position.epoch - self.position.improved_epoch
        patience = self.settings.patience
        return patience is not None and self.position.best_epoch > 0 and waited >= patience

    def _finish(self, seconds: float) -> Finished:
        best = self.settings.select == "best" and self.position.best_epoch > 0
        if best:
            state = load_file(self.folder / "best.safetensors") if self.folder else self._best_state
            load_trainable(self.bare, state)
        elif self.averaged:
            self.averaged.swap()
        self.bare.eval()
        epoch = self.position.best_epoch if best else self.position.epoch
        return Finished(epoch, self.position.epoch, self.position.best_score if best else None, seconds)

    def _checkpoint(self) -> None:
        if self.folder:
            save_checkpoint(
                self.folder,
                self.position,
                model=self.bare,
                optimizer=self.optimizer,
                averaged=self.averaged,
                scaler=self.accelerator.scaler,
            )

    def _resume(self) -> None:
        if self.folder:
            position = load_checkpoint(
                self.folder,
                model=self.bare,
                optimizer=self.optimizer,
                averaged=self.averaged,
                scaler=self.accelerator.scaler,
                plan=self.position.plan,
            )
            self.position = position or self.position


def _selection_score(report: Report, dev: Sequence[Document]) -> float:
    """What `best` means: the mean of strict micro F1 of entities and relations, or entities where gold has no relation."""
    entities = report.entities["strict"].micro.f1
    if not any(document.relations for document in dev):
        return entities
    return (entities + report.relations["strict"].micro.f1) / 2


