"""Parameter groups, the schedule of learning rates, averaged weights."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from conjoin.config.options import Schedule
from conjoin.config.settings import TrainingSettings
from conjoin.training.trainable import NamedParameters

# Of two dimensions, and no weights of a product all the same: XLNet's biases, CRF transitions, DistMult's diagonals.
UNDECAYED = ("bias", ".transitions", ".diagonals")


def build_optimizer(model: NamedParameters, settings: TrainingSettings) -> torch.optim.Optimizer:
    """Adam, or with Nesterov momentum NAdam, over the trainable parameters, with decoupled decay, none of it on biases,
    norms, the transitions of a CRF and the diagonals of DistMult; the encoder and the rest at their own rates.

    `layer_decay` multiplies an encoder layer's rate once for each layer above it.
    """
    depth = 1 + max((_layer(name) for name, _ in model.named_parameters()), default=-1)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if ".encoder." in f".{name}":
            above = depth - 1 - _layer(name) if _layer(name) >= 0 else (depth if "embedding" in name else 0)
            rate = settings.learning_rate * settings.layer_decay**above
        else:
            rate = settings.head_learning_rate or settings.learning_rate
        decay = 0.0 if parameter.ndim < 2 or name.endswith(UNDECAYED) else settings.weight_decay
        groups.setdefault((rate, decay), []).append(parameter)
    tables = [{"params": members, "lr": rate, "weight_decay": decay} for (rate, decay), members in groups.items()]
    if settings.optimizer == "nadam":
        return torch.optim.NAdam(tables, decoupled_weight_decay=True)
    return torch.optim.AdamW(tables, fused=True)


def _layer(name: str) -> int:
    """The number of the encoder layer a parameter belongs to, -1 outside of layers."""
    match = re.search(r"encoder\..*?\blayers?\.(\d+)\.", name)
    return int(match[1]) if match else -1


def rate_factor(step: int, *, steps: int, warmup: float, schedule: Schedule) -> float:
    """The factor on all learning rates at a step (from 0) of `steps`."""
    rising = round(warmup * steps)
    if step < rising:
        return (step + 1) / (rising + 1)
    if schedule == "constant":
        return 1.0
    share = (step - rising) / max(1, steps - rising)
    return 1.0 - share if schedule == "linear" else (1 + math.cos(math.pi * share)) / 2


class AveragedWeights:
    """An exponential moving average of trainable parameters.

    Early on the decay is (1 + n) / (10 + n) for update n, so that the random start is soon forgotten.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], decay: float) -> None:
        self.parameters = [parameter for parameter in parameters if parameter.requires_grad]
        self.decay = decay
        self.values = [parameter.detach().clone() for parameter in self.parameters]
        self.updates = 0

    @torch.no_grad()
    def update(self) -> None:
        """Add the parameters after a step to the average."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        current: list[Tensor] = [parameter.detach() for parameter in self.parameters]
        for value, parameter in zip(self.values, current, strict=True):
            value.lerp_(parameter, 1 - decay)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the parameters with their averages; a second call undoes the first."""
        for parameter, value in zip(self.parameters, self.values, strict=True):
            current = parameter.detach().clone()
            parameter.copy_(value)
            value.copy_(current)
