"""Stand-ins for a model that processes can load at once: they find first words, and fail or die over certain texts."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from conjoin.document import Document, Entity, Relation, Token
from conjoin.parallel.batching import Text
from conjoin.parallel.process_pool import Notify, Work


class FirstWords:
    """Finds the first word of a text and, where there are two, a relation to the second."""

    def extract(self, texts: Sequence[Text]) -> list[Document]:
        return [self.document(name, text) for name, text in texts]

    def document(self, name: str, text: str) -> Document:
        if "raise" in text:
            raise RuntimeError("the model stumbles\nand says more")
        if "die" in text:
            os._exit(7)
        return first_words(name, text)


def first_words(name: str, text: str) -> Document:
    tokens, position = [], 0
    for word in text.split():
        position = text.index(word, position)
        tokens.append(Token(word, position, position + len(word)))
        position += len(word)
    entities = [Entity("Word", index, index + 1, score=1 / 3) for index in range(min(2, len(tokens)))]
    relations = [Relation("Next", *entities, score=0.99999)] if len(entities) == 2 else []
    return Document(text, tuple(tokens), tuple(entities), tuple(relations), name)


def load(number: int) -> FirstWords:
    return FirstWords()


def load_late(number: int) -> FirstWords:
    """Dies over "once" the first time only; `$MARK` names a file that remembers it."""
    mark = Path(os.environ["MARK"])

    class Once(FirstWords):
        def document(self, name: str, text: str) -> Document:
            if "once" in text and not mark.exists():
                mark.touch()
                os._exit(7)
            return super().document(name, text)

    return Once()


def load_never(number: int) -> FirstWords:
    os._exit(3)


def squares(number: int) -> Work[int, tuple[int, int]]:
    """The number of the process and the square of an item; some items take longer."""

    def work(item: int, notify: Notify) -> tuple[int, int]:
        notify(("item", item))
        if item < 0:
            raise ValueError(f"{item} is negative")
        if item == 666:
            os._exit(7)
        time.sleep(0.02 * (item % 3))
        return os.getpid(), item * item

    return work


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a file of bulk results."""
    if path.suffix == ".parquet":
        from pyarrow import parquet

        rows: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
        return rows
    with path.open("rb") as file:
        return [json.loads(line) for line in file]
