"""Raw texts to annotated documents, read together: sentences, annotation in batches, merging."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, repeat

from conjoin.annotator import Annotator
from conjoin.document import Document
from conjoin.parallel.batching import Text, chunks
from conjoin.parallel.threads import BatchThreads, parallel_batches
from conjoin.text.windows import merge, split
from conjoin.text.words import Hyphens

AHEAD_CHARACTERS = 20_000  # of a chunk; a caller that sends less may wait for its results before it sends more
Sentences = Sequence[tuple[int, int]]  # as pairs of characters


class TextPipeline:
    """Extracts from raw texts with an annotator.

    Services, bulk jobs and processes use it; `Extractor` is the front door. Compounds are words, as in the training data,
    or cut at their `hyphens`.
    """

    def __init__(self, annotator: Annotator, hyphens: Hyphens) -> None:
        self.annotator = annotator
        self.hyphens: Hyphens = hyphens

    def extract(self, texts: Sequence[Text], *, sentences: Sequence[Sentences | None] | None = None) -> list[Document]:
        """A document for each pair of id and text, in order. They are read together, so that batches hold sentences of like
        lengths. `sentences` are those of each text, or None for a text to be split."""
        with BatchThreads[Document](self.annotator.backend.compute) as threads:
            return self._begin(texts, threads, sentences)()

    def stream(self, texts: Iterable[Text]) -> Iterator[Document]:
        """As `extract`, over a stream; memory does not grow with it. Where the stream fails, the results of the texts
        before come first."""
        return chain.from_iterable(self.extract_each(chunks(texts)))

    def extract_each(self, groups: Iterable[Sequence[Text]]) -> Iterator[list[Document]]:
        """As `extract`, for one group of texts after the other. While a large one is computed, the next is split into
        sentences; where that fails, the results of the one before come first."""
        compute = self.annotator.backend.compute
        ahead = parallel_batches(compute.threads) > 1
        waiting: list[Callable[[], list[Document]]] = []  # popped to be called, so that results are freed
        with BatchThreads[Document](compute) as threads:
            try:
                for texts in groups:
                    results = self._begin(texts, threads)
                    if waiting:
                        yield waiting.pop()()
                    if ahead and sum(len(text) for _, text in texts) >= AHEAD_CHARACTERS:
                        waiting.append(results)
                    else:
                        yield results()
            except Exception:
                if waiting:
                    yield waiting.pop()()
                raise
            if waiting:
                yield waiting.pop()()

    def _begin(
        self, texts: Sequence[Text], threads: BatchThreads[Document], sentences: Sequence[Sentences | None] | None = None
    ) -> Callable[[], list[Document]]:
        """Split texts into sentences and begin to annotate those; call the returned function for the documents."""
        units = [
            split(text, id=name, hyphens=self.hyphens, bounds=bounds)
            for (name, text), bounds in zip(texts, sentences or repeat(None), strict=sentences is not None)
        ]
        results = self.annotator.begin([unit.document for of_text in units for unit in of_text], threads)

        def wait() -> list[Document]:
            annotated = iter(results())
            return [
                merge(text, of_text, [next(annotated) for _ in of_text], id=name)
                for (name, text), of_text in zip(texts, units, strict=True)
            ]

        return wait
