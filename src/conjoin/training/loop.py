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
from accelerate.utils.random import set_seed
from safetensors.torch import load_file, save_file
from torch import Tensor

from conjoin.annotator import Annotator
from conjoin.config.options import Optimizer, Precision, Schedule
from conjoin.document import Document
from conjoin.errors import DataError
from conjoin.evaluation.metrics import Report, score
from conjoin.modeling.backend import TorchBackEnd
from conjoin.modeling.nn.term import Term
from conjoin.parallel.batching import shuffled_batches
from conjoin.storage.atomic import atomic_file
from conjoin.training.checkpoint import Position, load_checkpoint, load_trainable, save_checkpoint, trainable_state
from conjoin.training.distributed import (
    Processes,
    build_accelerator,
    join_processes,
    one_for_all,
    random_state,
    set_random_state,
)
from conjoin.training.events import EpochDone, Event, Finished, Started, StepDone
from conjoin.training.optimizer import AveragedWeights, build_optimizer, ramp, rate_factor


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
    """Train a model by its verbs `collate`, `terms` (its `forward`), `annotate`; yield events; leave it with the chosen
    weights.

    With `folder`, checkpoints are kept there and a run that was killed goes on from the newest, if settings, data, the
    model's parameters and `fingerprint` (whatever else must be the same, such as the model's settings) still agree.
    `stop_epoch` ends early without changing the schedules. In processes that were started together (torchrun, accelerate
    launch) each call trains on its share of every step's documents, and all yield the same events. Raises `DataError`
    without documents and `SettingError` for settings that this machine cannot run.
    """
    if not documents:
        raise DataError("there is nothing to train on: the train split holds no documents")
    processes = join_processes()
    with one_for_all(processes):
        yield from _Run(model, documents, dev, settings, folder, stop_epoch, symmetric, fingerprint, processes).events()


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
        processes: Processes,
    ) -> None:
        self.processes = processes
        set_seed(settings.seed + self.processes.rank)  # each process draws its own dropout
        self.settings = settings
        self.documents, self.dev, self.symmetric = documents, dev, symmetric
        self.folder = folder
        self.last_epoch = min(stop_epoch or settings.epochs, settings.epochs)
        self.sizes = model.sizes(documents)
        self.steps_by_epoch = [len(self._batches(epoch)) for epoch in range(settings.epochs)]
        self.accelerator = build_accelerator(self.processes, settings.precision)
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

    def _batches(self, epoch: int) -> list[list[int]]:
        """The documents of each optimizer step of an epoch, of all processes and accumulated batches together."""
        settings = self.settings
        shares = self.processes.count * settings.accumulation
        return shuffled_batches(
            self.sizes,
            documents=settings.batch_size * shares,
            pieces=settings.batch_pieces * shares,
            bucket_batches=settings.bucket_batches,
            seed=settings.seed,
            epoch=epoch,
        )

    def events(self) -> Iterator[Event]:
        started = time.perf_counter()
        self._resume()
        yield Started(
            steps=sum(self.steps_by_epoch[: self.last_epoch]),
            epochs=self.last_epoch,
            trainable=sum(value.numel() for value in self.bare.parameters() if value.requires_grad),
            parameters=sum(value.numel() for value in self.bare.parameters()),
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
        batches = self._batches(epoch)
        for number in range(self.position.batch, len(batches)):
            loss, terms = self._step(batches[number])
            sums = {name: self.position.sums.get(name, 0.0) + value for name, value in terms.items()}
            self.position = replace(self.position, step=self.position.step + 1, batch=number + 1, sums=sums)
            yield StepDone(self.position.step, epoch + 1, loss, terms, self.optimizer.param_groups[0]["lr"])
            every = self.settings.checkpoint_steps
            if every and self.position.step % every == 0 and number + 1 < len(batches):
                self._checkpoint()
        means = {name: value / len(batches) for name, value in self.position.sums.items()}
        report, value, best = self._evaluate(epoch + 1)
        self.position = replace(self.position, epoch=epoch + 1, batch=0, sums={})
        self._checkpoint()
        yield EpochDone(epoch + 1, means, time.perf_counter() - started, report, value, best)

    def _step(self, members: Sequence[int]) -> tuple[float, dict[str, float]]:
        """One step of the optimizer; the losses of all its documents, weighed and by term."""
        weights = self._weights()
        shares = step_shares(members, self.processes, self.settings.accumulation)
        batches = [self.bare.collate([self.documents[index] for index in share or members[:1]]) for share in shares]
        counts = self._counts_beforehand(batches, shares) if len(shares) > 1 else None
        means: list[Tensor] = []
        for number, (batch, share) in enumerate(zip(batches, shares, strict=True)):
            waiting = number + 1 < len(shares)
            with self.accelerator.no_sync(self.model) if waiting else nullcontext():
                terms: Mapping[str, Term] = self.model(batch)
                own = _counts(terms, share)
                counts = self.processes.summed(own.clone()) if counts is None else counts
                parts = torch.stack([term.mean for term in terms.values()]) * (own / counts.clamp(min=1))  # [term]
                loss = torch.stack([weights[name] * part for name, part in zip(terms, parts, strict=True)]).sum()
                # The wrapper takes the mean over processes; what each of them gives is its part of a sum.
                self.accelerator.backward(loss * self.processes.count)
            means.append(parts.detach())
        self._update()
        found = dict(zip(terms, self.processes.summed(torch.stack(means).sum(0)), strict=True))
        total = torch.stack([weights[name] * mean for name, mean in found.items()]).sum().item()
        return total, {name: mean.item() for name, mean in found.items()}

    def _weights(self) -> dict[str, float]:
        """The weight of each term at the present step."""
        risen = ramp(self.position.step, steps=self.settings.relation_ramp * self.steps_by_epoch[0])
        return {"entities": self.settings.entity_weight, "relations": self.settings.relation_weight * risen}

    def _counts_beforehand(self, batches: Sequence[Any], shares: Sequence[Sequence[int]]) -> Tensor:
        """What the terms of a whole step are means over [term], before the first gradient of it is computed.

        How many pairs there are is known only when entities have been predicted, so every batch is read twice, the
        second time with the same dropout. Gradients are recorded here too, so that the very same kernels run.
        """
        state = random_state()
        counts = [_counts(self.bare(batch), share) for batch, share in zip(batches, shares, strict=True)]
        set_random_state(state)
        return self.processes.summed(torch.stack(counts).sum(0))

    def _update(self) -> None:
        settings = self.settings
        factor = rate_factor(
            self.position.step, steps=sum(self.steps_by_epoch), warmup=settings.warmup, schedule=settings.schedule
        )
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor
        if settings.max_gradient_norm is not None:
            self.accelerator.clip_grad_norm_(self.bare.parameters(), settings.max_gradient_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.averaged:
            self.averaged.update()

    def _evaluate(self, epoch: int) -> tuple[Report | None, float | None, bool]:
        if not self.dev:
            return None, None, False
        with self._averaged_weights():
            self.bare.eval()
            annotator = Annotator(TorchBackEnd(self.bare), self.bare.decoder)
            found = self.processes.shared(annotator.annotate, self.dev)
            report = score(self.dev, found, symmetric=self.symmetric)
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
            if not self.processes.main:
                return
            with atomic_file(self.folder / "best.safetensors") as temporary:
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
            self.processes.wait()  # until it is written
            state = load_file(self.folder / "best.safetensors") if self.folder else self._best_state
            load_trainable(self.bare, state)
            self.processes.wait()  # until all have read it, before anyone may remove it
        elif self.averaged:
            self.averaged.swap()
        self.bare.eval()
        epoch = self.position.best_epoch if best else self.position.epoch
        return Finished(epoch, self.position.epoch, self.position.best_score if best else None, seconds)

    def _checkpoint(self) -> None:
        if not self.folder:
            return
        random = self.processes.gathered(random_state())
        if self.processes.main:
            save_checkpoint(
                self.folder,
                self.position,
                model=self.bare,
                optimizer=self.optimizer,
                averaged=self.averaged,
                scaler=self.accelerator.scaler,
                random=random,
            )

    def _resume(self) -> None:
        if self.folder:
            self.processes.wait()  # until the one that removes old checkpoints has done so
            position = load_checkpoint(
                self.folder,
                model=self.bare,
                optimizer=self.optimizer,
                averaged=self.averaged,
                scaler=self.accelerator.scaler,
                plan=self.position.plan,
                processes=self.processes,
            )
            self.processes.wait()  # until all have read it
            self.position = position or self.position


def _selection_score(report: Report, dev: Sequence[Document]) -> float:
    """What `best` means: the mean of strict micro F1 of entities and relations, or entities where gold has no relation."""
    entities = report.entities["strict"].micro.f1
    if not any(document.relations for document in dev):
        return entities
    return (entities + report.relations["strict"].micro.f1) / 2


def step_shares(members: Sequence[int], processes: Processes, accumulation: int) -> list[Sequence[int]]:
    """This process's batches of a step's documents: every n-th, so that all are about as long.

    All processes get as many batches. Of a step with few documents the last of them may be empty.
    """
    most = processes.count * accumulation
    rounds = min(accumulation, -(-len(members) // processes.count))
    return [members[number * processes.count + processes.rank :: most] for number in range(rounds)]


def _counts(terms: Mapping[str, Term], share: Sequence[int]) -> Tensor:
    """What each term is a mean over [term]: nothing, where a process without documents has read one of another's along."""
    counts = torch.stack([term.size for term in terms.values()]).float()
    return counts if share else 0 * counts
