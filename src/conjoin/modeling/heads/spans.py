"""Entities of a batch as flat tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from conjoin.document import Entity


@dataclass(frozen=True, slots=True)
class Spans:
    """The entities of a batch, row by row.

    rows, starts, ends, types: [span] (row of the batch, words, index of the entity type); counts: [batch].
    `entities` holds the same as values.
    """

    entities: tuple[tuple[Entity, ...], ...]
    rows: Tensor
    starts: Tensor
    ends: Tensor
    types: Tensor
    counts: Tensor

    @classmethod
    def of(cls, entities: Sequence[Sequence[Entity]], types: Sequence[str], device: torch.device) -> Spans:
        """The spans of one list of entities per row; entities of a type not in `types` are not expected."""
        index = {type: number for number, type in enumerate(types)}
        flat = [
            (row, entity.start, entity.end, index[entity.type])
            for row, row_entities in enumerate(entities)
            for entity in row_entities
        ]
        table = torch.tensor(flat, dtype=torch.long).reshape(-1, 4).to(device)
        counts = torch.tensor([len(row) for row in entities], dtype=torch.long).to(device)
        rows, starts, ends, kinds = table.unbind(1)
        return cls(tuple(map(tuple, entities)), rows, starts, ends, kinds, counts)

    def __len__(self) -> int:
        return len(self.rows)
