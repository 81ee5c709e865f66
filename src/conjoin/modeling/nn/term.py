"""A term of a loss with what it is a mean over."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Term(NamedTuple):
    """A mean of losses, 0 of nothing, and its size, the number of things it is over: scalars.

    The mean over several batches weighs each by its size; the mean of their means is another number where they hold
    differently many words or pairs. A named tuple, because data-parallel wrappers look for tensors in tuples.
    """

    mean: Tensor
    size: Tensor
