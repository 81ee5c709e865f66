"""Batches side by side: the results of one lane, whatever lanes there are."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from conjoin.document import Document, Entity
from conjoin.parallel.threads import MAX_LANES, Lanes, annotate_all, lanes_of
from conjoin.schema import Schema


class Echo:
    """Annotates every document with one entity over all its words, and remembers the batches."""

    schema = Schema(("All",))

    batch_pieces = 1024

    def __init__(self, threads: int = 1) -> None:
        self.threads = threads
        self.prepared = 0
        self.lanes: dict[int, int] = {}  # thread → the threads it was told to compute with
        self.batches: list[list[int]] = []

    def use_threads(self, count: int) -> None:
        self.lanes[threading.get_ident()] = count

    def prepare(self) -> None:
        self.prepared += not self.batches

    def sizes(self, documents: Sequence[Document]) -> list[int]:
        return [len(document.tokens) for document in documents]

    def collate(self, documents: Sequence[Document], *, gold: bool = True) -> list[Document]:
        return list(documents)

    def annotate_batch(self, batch: list[Document], *, gold_entities: bool = False) -> list[Document]:
        self.batches.append([len(document.tokens) for document in batch])
        if any("trouble" in document.words for document in batch):
            raise ValueError("trouble")
        if gold_entities:
            return list(batch)
        return [document.annotated([Entity("All", 0, len(document.tokens))], ()) for document in batch]


@given(st.lists(st.integers(1, 30), max_size=30), st.integers(1, 6), st.integers(1, 60))
@settings(deadline=None)
def test_annotate_all_gives_documents_back_in_their_order(lengths: list[int], most: int, pieces: int) -> None:
    documents = [Document.from_words(["w"] * length, id=str(number)) for number, length in enumerate(lengths)]
    echo = Echo()
    found = annotate_all(echo, documents, batch_documents=most, batch_pieces=pieces)
    assert [document.id for document in found] == [document.id for document in documents]
    assert [document.entities[0].end for document in found] == lengths
    assert all(len(batch) <= most and (len(batch) * max(batch) <= pieces or len(batch) == 1) for batch in echo.batches)
    assert [size for batch in echo.batches for size in batch] == sorted(lengths, reverse=True)
    assert annotate_all(echo, documents, gold_entities=True) == documents


def test_lanes_give_what_one_gives_and_share_the_threads() -> None:
    documents = [Document.from_words(["w"] * (1 + number * 7 % 23), id=str(number)) for number in range(60)]
    alone, together = Echo(), Echo(threads=6)
    assert annotate_all(together, documents, batch_pieces=40) == annotate_all(alone, documents, batch_pieces=40)
    assert sorted(together.batches) == sorted(alone.batches)
    assert together.lanes.pop(threading.get_ident()) == 6, "the caller's own threads stay as they were"
    assert list(together.lanes.values()) == [2, 2, 2]
    assert not alone.lanes, "one lane is the caller's own thread"
    assert together.prepared == 1


def test_several_calls_go_on_side_by_side() -> None:
    documents = [Document.from_words(["w"] * 30)] * 8
    with Lanes(Echo(threads=2)) as lanes:
        first, second = (lanes.begin(documents, batch_pieces=60) for _ in range(2))
        assert len(second()) == len(first()) == 8


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_in_a_batch_is_the_callers(threads: int) -> None:
    documents = [Document.from_words(["trouble"] if number == 5 else ["w"]) for number in range(50)]
    with pytest.raises(ValueError, match="trouble"):
        annotate_all(Echo(threads), documents, batch_documents=2)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("conjoin-lane")]


def test_how_many_lanes() -> None:
    assert [lanes_of(threads) for threads in (0, 1, 2, 3, 4, 64)] == [1, 1, 2, 3, 4, MAX_LANES]
    assert [threads - threads // lanes_of(threads) * lanes_of(threads) for threads in (5, 6, 7, 9, 10)] == [1, 0, 1, 0, 0]


def test_threads_of_torch_are_those_of_the_thread_that_set_them() -> None:
    """What lanes rest on: their setting does not reach the caller, nor threads that are made later."""
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        found: list[int] = []

        def lane() -> None:
            torch.set_num_threads(1)
            found.append(torch.get_num_threads())

        for target in (lane, lambda: found.append(torch.get_num_threads())):
            thread = threading.Thread(target=target)
            thread.start()
            thread.join()
            torch.set_num_threads(3)
        assert (found, torch.get_num_threads()) == ([1, 3], 3)
    finally:
        torch.set_num_threads(before)
