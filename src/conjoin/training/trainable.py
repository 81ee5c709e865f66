"""The part of a model that training needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, TypeVar

from torch import nn

from conjoin.document import Document
from conjoin.modeling.nn.term import Term

Batch = TypeVar("Batch")


class NamedParameters(Protocol):
    """Anything with parameters, as an `nn.Module`."""

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Every parameter with its name."""


class Trainable(NamedParameters, Protocol[Batch]):
    """A model that the training loop can train: an `nn.Module` that makes batches of documents and losses of batches."""

    def sizes(self, documents: Sequence[Document]) -> Sequence[int]:
        """The cost of each document, by which batches are filled."""

    def collate(self, documents: Sequence[Document]) -> Batch:
        """Documents with gold annotations → a batch, on the CPU."""

    def forward(self, batch: Batch) -> Mapping[str, Term]:
        """The terms of the loss by name, which `TrainingSettings.term_weights` weighs."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """Every parameter."""

    def train(self) -> object:
        """Turn dropout and masking on."""

    def eval(self) -> object:
        """Turn dropout and masking off."""
