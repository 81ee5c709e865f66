"""A term of a loss and its size."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Term(NamedTuple):
    """A mean of losses, 0 for none, and the number of losses; both scalars.

    The mean over several batches weights each by its size, since batches hold different numbers of words and pairs. A
    named tuple, because data-parallel wrappers look for tensors in tuples.
    """

    mean: Tensor
    size: Tensor
