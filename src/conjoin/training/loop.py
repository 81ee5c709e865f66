"""The training loop: epochs, dev scores, checkpoints, the epoch that is kept."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Generic

from accelerate.utils.random import set_seed
from safetensors.torch import load_file, save_file
from torch import Tensor

from conjoin.config.settings import TrainingSettings
from conjoin.document import Document
from conjoin.errors import DataError
from conjoin.evaluation.metrics import Report
from conjoin.parallel.batching import shuffled_batches
from conjoin.storage.atomic import atomic_file
from conjoin.training.checkpoint import Position, load_checkpoint, load_trainable, save_checkpoint, trainable_state
from conjoin.training.dev import DevSet
from conjoin.training.distributed import Processes, join_processes, one_for_all, random_state
from conjoin.training.events import EpochDone, Event, Finished, Started, StepDone
from conjoin.training.step import Stepper
from conjoin.training.trainable import Batch, Trainable

BEST = "best.safetensors"


def training_events(
    model: Trainable[Batch],
    documents: Sequence[Document],
    *,
    settings: TrainingSettings,
    dev: DevSet | None = None,
    folder: Path | None = None,
    stop_epoch: int | None = None,
    fingerprint: str = "",
) -> Iterator[Event]:
    """Train a model while the events are iterated over; at the end it holds the weights that count.

    In processes that were started together (torchrun, accelerate launch) each call trains on its share of every step's
    documents, and all yield the same events.

    Args:
        dev: Documents that are scored after each epoch, to find the best one.
        folder: Where checkpoints go. A run that was killed continues from the newest, if settings, data, the model's
            parameters and `fingerprint` agree.
        stop_epoch: End early, without changing the schedules.
        fingerprint: Anything else that must be the same to continue, such as the model's settings.

    Yields:
        `Started`, then `StepDone` for each step and `EpochDone` for each epoch, then `Finished`.

    Raises:
        DataError: There are no documents.
        SettingError: This machine cannot compute with these settings.
    """
    if not documents:
        raise DataError("there is nothing to train on: the train split holds no documents")
    processes = join_processes()
    with one_for_all(processes):
        yield from _Loop(model, documents, settings, dev, folder, stop_epoch, fingerprint, processes).events()


class _Loop(Generic[Batch]):
    def __init__(
        self, model: Trainable[Batch], documents: Sequence[Document], settings: TrainingSettings, dev: DevSet | None,
        folder: Path | None, stop_epoch: int | None, fingerprint: str, processes: Processes,
    ) -> None:
        set_seed(settings.seed + processes.rank)  # each process draws its own dropout
        self.model, self.documents, self.settings, self.dev = model, documents, settings, dev
        self.folder, self.processes = folder, processes
        self.last_epoch = min(stop_epoch or settings.epochs, settings.epochs)
        self.sizes = model.sizes(documents)
        self.steps_by_epoch = [len(self._step_documents(epoch)) for epoch in range(settings.epochs)]
        self.stepper = Stepper(
            model, settings, processes, steps=sum(self.steps_by_epoch), epoch_steps=self.steps_by_epoch[0]
        )
        self.position = Position(0, 0, 0, 0, 0, None, {}, self._plan(fingerprint))
        self.best_weights: dict[str, Tensor] = {}  # without a folder

    def _plan(self, fingerprint: str) -> str:
        """A digest of settings, model and data: only a run with the same one may continue from a checkpoint."""
        settings = self.settings.model_dump(exclude={"checkpoint_steps"})
        parameters = {name: [*value.shape, value.requires_grad] for name, value in self.model.named_parameters()}
        digest = hashlib.sha256(json.dumps([settings, parameters, fingerprint], sort_keys=True).encode())
        for document in [*self.documents, *(self.dev.documents if self.dev else ())]:
            digest.update(document.to_json_line().encode("utf-8", "surrogatepass"))
        return digest.hexdigest()

    def _step_documents(self, epoch: int) -> list[list[int]]:
        """The documents of each optimizer step of an epoch, of all processes and accumulated batches together."""
        settings = self.settings
        shares = self.processes.count * settings.accumulation
        return shuffled_batches(
            self.sizes, documents=settings.batch_size * shares, pieces=settings.batch_pieces * shares,
            bucket_batches=settings.bucket_batches, seed=settings.seed, epoch=epoch,
        )

    def events(self) -> Iterator[Event]:
        started = time.perf_counter()
        self._resume()
        parameters = list(self.model.parameters())
        yield Started(
            steps=sum(self.steps_by_epoch[: self.last_epoch]),
            epochs=self.last_epoch,
            trainable=sum(value.numel() for value in parameters if value.requires_grad),
            parameters=sum(value.numel() for value in parameters),
            resumed=self.position.step,
            epoch=self.position.epoch + 1,
            select="best" if self.dev and self.settings.select == "best" else "last",
        )
        while self.position.epoch < self.last_epoch and not self._out_of_patience():
            yield from self._epoch()
        yield self._finish(time.perf_counter() - started)

    def _epoch(self) -> Iterator[Event]:
        started = time.perf_counter()
        self.model.train()
        epoch = self.position.epoch
        batches = self._step_documents(epoch)
        for number in range(self.position.batch, len(batches)):
            loss, terms = self.stepper.take(self.position.step, [self.documents[index] for index in batches[number]])
            sums = {name: self.position.sums.get(name, 0.0) + value for name, value in terms.items()}
            self.position = replace(self.position, step=self.position.step + 1, batch=number + 1, sums=sums)
            yield StepDone(self.position.step, epoch + 1, loss, terms, self.stepper.learning_rate)
            every = self.settings.checkpoint_steps
            if every and self.position.step % every == 0 and number + 1 < len(batches):
                self._checkpoint()
        means = {name: value / len(batches) for name, value in self.position.sums.items()}
        report, value, best = self._evaluate(epoch + 1)
        self.position = replace(self.position, epoch=epoch + 1, batch=0, sums={})
        self._checkpoint()
        yield EpochDone(epoch + 1, means, time.perf_counter() - started, report, value, best)

    def _evaluate(self, epoch: int) -> tuple[Report | None, float | None, bool]:
        """Report and score on dev, and whether they are the best so far."""
        if not self.dev:
            return None, None, False
        with self.stepper.averaged_weights():
            self.model.eval()
            report = self.dev.report(self.processes)
            value = self.dev.selection_score(report)
            # Of equals the later: on a small dev set scores tie at once, and the later weights are the surer ones.
            old = self.position.best_score
            best = old is None or value >= old
            if best:
                self._keep_best()
                improved = self.position.improved_epoch if value == old else epoch
                self.position = replace(self.position, best_epoch=epoch, improved_epoch=improved, best_score=value)
        return report, value, best

    def _keep_best(self) -> None:
        if not self.folder:
            if self.settings.select == "best":
                self.best_weights = trainable_state(self.model)
        elif self.processes.main:
            with atomic_file(self.folder / BEST) as temporary:
                save_file(trainable_state(self.model), temporary)

    def _out_of_patience(self) -> bool:
        waited = self.position.epoch - self.position.improved_epoch
        patience = self.settings.patience
        return patience is not None and self.position.best_epoch > 0 and waited >= patience

    def _finish(self, seconds: float) -> Finished:
        best = self.settings.select == "best" and self.position.best_epoch > 0
        if best:
            self.processes.wait()  # until it is written
            load_trainable(self.model, load_file(self.folder / BEST) if self.folder else self.best_weights)
            self.processes.wait()  # until all have read it, before anyone may remove it
        elif self.stepper.averaged:
            self.stepper.averaged.swap()
        self.model.eval()
        epoch = self.position.best_epoch if best else self.position.epoch
        return Finished(epoch, self.position.epoch, self.position.best_score if best else None, seconds)

    def _checkpoint(self) -> None:
        if not self.folder:
            return
        random = self.processes.gathered(random_state())
        if self.processes.main:
            save_checkpoint(self.folder, self.position, self.stepper, random)

    def _resume(self) -> None:
        if not self.folder:
            return
        self.processes.wait()  # until the one that removes old checkpoints has done so
        position = load_checkpoint(self.folder, self.stepper, plan=self.position.plan)
        self.processes.wait()  # until all have read it
        self.position = position or self.position
