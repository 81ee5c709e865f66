"""One step of the optimizer, over all processes and accumulated batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Generic, TypeVar

import torch
from torch import Tensor

from conjoin.config.settings import TrainingSettings
from conjoin.document import Document
from conjoin.modeling.nn.term import Term
from conjoin.training.distributed import Processes, build_accelerator, random_state, set_random_state
from conjoin.training.optimizer import AveragedWeights, build_optimizer, rate_factor
from conjoin.training.trainable import Batch, Trainable

Item = TypeVar("Item")


class Stepper(Generic[Batch]):
    """Takes optimizer steps on a model, `steps` in all and `epoch_steps` in the first epoch."""

    def __init__(
        self, model: Trainable[Batch], settings: TrainingSettings, processes: Processes, *, steps: int, epoch_steps: int
    ) -> None:
        self.model, self.settings, self.processes = model, settings, processes
        self.steps, self.epoch_steps = steps, epoch_steps
        self.accelerator = build_accelerator(processes, settings.precision)
        optimizer = build_optimizer(model, settings)
        self.wrapped, self.optimizer = self.accelerator.prepare(model, optimizer)  # wrapped: for several processes
        self.rates = [group["lr"] for group in self.optimizer.param_groups]
        self.averaged = AveragedWeights(model.parameters(), settings.averaging) if settings.averaging else None

    @property
    def learning_rate(self) -> float:
        """The rate of the first group of parameters in the last step."""
        rate: float = self.optimizer.param_groups[0]["lr"]
        return rate

    def take(self, step: int, documents: Sequence[Document]) -> tuple[float, dict[str, float]]:
        """Take a step (from 0) on documents; the losses of all of them, weighted and by term."""
        weights = self.settings.term_weights(step, epoch_steps=self.epoch_steps)
        shares = step_shares(documents, self.processes, self.settings.accumulation)
        batches = [self.model.collate(share or documents[:1]) for share in shares]
        sizes = self._sizes_beforehand(batches, shares) if len(shares) > 1 else None
        means: list[Tensor] = []
        for number, (batch, share) in enumerate(zip(batches, shares, strict=True)):
            waiting = number + 1 < len(shares)
            with self.accelerator.no_sync(self.wrapped) if waiting else nullcontext():
                terms: Mapping[str, Term] = self.wrapped(batch)
                own = _term_sizes(terms, share)
                sizes = self.processes.summed(own.clone()) if sizes is None else sizes
                parts = torch.stack([term.mean for term in terms.values()]) * (own / sizes.clamp(min=1))  # [term]
                # The wrapper takes the mean over processes, and each of them computes its part of a sum.
                self.accelerator.backward(_weighted(dict(zip(terms, parts, strict=True)), weights) * self.processes.count)
            means.append(parts.detach())
        self._update(step)
        losses = dict(zip(terms, self.processes.summed(torch.stack(means).sum(0)), strict=True))
        return _weighted(losses, weights).item(), {name: loss.item() for name, loss in losses.items()}

    def _sizes_beforehand(self, batches: Sequence[Batch], shares: Sequence[Sequence[Document]]) -> Tensor:
        """The sizes of the terms over a whole step [term], before the first gradient of it is computed.

        How many pairs there are is known only when entities have been predicted, so every batch passes the model twice,
        the second time with the same dropout. Gradients are recorded here too, so that the very same kernels run.
        """
        state = random_state()
        sizes = [_term_sizes(self.model.forward(batch), share) for batch, share in zip(batches, shares, strict=True)]
        set_random_state(state)
        return self.processes.summed(torch.stack(sizes).sum(0))

    def _update(self, step: int) -> None:
        settings = self.settings
        factor = rate_factor(step, steps=self.steps, warmup=settings.warmup, schedule=settings.schedule)
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor
        if settings.max_gradient_norm is not None:
            self.accelerator.clip_grad_norm_(self.model.parameters(), settings.max_gradient_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.averaged:
            self.averaged.update()

    @contextmanager
    def averaged_weights(self) -> Iterator[None]:
        """Averaged weights, where there are any, in place of the current ones for the length of a block."""
        if not self.averaged:
            yield
            return
        self.averaged.swap()
        try:
            yield
        finally:
            self.averaged.swap()


def step_shares(items: Sequence[Item], processes: Processes, accumulation: int) -> list[Sequence[Item]]:
    """The batches of this process in one step. Each takes every n-th document, so that their lengths are alike.

    All processes get the same number of batches; in a step with few documents the last one may be empty.
    """
    stride = processes.count * accumulation
    rounds = min(accumulation, -(-len(items) // processes.count))
    return [items[number * processes.count + processes.rank :: stride] for number in range(rounds)]


def _weighted(losses: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    return torch.stack([weights.get(name, 1.0) * loss for name, loss in losses.items()]).sum()


def _term_sizes(terms: Mapping[str, Term], share: Sequence[Document]) -> Tensor:
    """The number of losses that each term averages [term]; 0 if this process had no document and borrowed one."""
    sizes = torch.stack([term.size for term in terms.values()]).float()
    return sizes if share else 0 * sizes
