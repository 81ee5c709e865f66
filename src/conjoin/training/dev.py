"""The dev documents of a run, on which the best epoch is chosen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from conjoin.document import Document
from conjoin.evaluation.metrics import Report, score
from conjoin.training.distributed import Processes


@dataclass(frozen=True, slots=True)
class DevSet:
    """Documents, at least one, with the function that annotates them with the weights of the moment.

    Relations of a `symmetric` type count in either direction.
    """

    documents: Sequence[Document]
    annotate: Callable[[Sequence[Document]], list[Document]]
    symmetric: frozenset[str] = frozenset()

    def report(self, processes: Processes) -> Report:
        """Annotate, each process its share of the documents, and score."""
        return score(self.documents, processes.shared(self.annotate, self.documents), symmetric=self.symmetric)

    def selection_score(self, report: Report) -> float:
        """The mean of strict micro F1 of entities and relations, or entities alone where gold has no relation."""
        entities = report.entities["strict"].micro.f1
        if not any(document.relations for document in self.documents):
            return entities
        return (entities + report.relations["strict"].micro.f1) / 2
