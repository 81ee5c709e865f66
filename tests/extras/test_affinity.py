from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from conjoin.config import build_model
from conjoin.document import Corpus, Document
from conjoin.errors import DataError
from conjoin.extras.affinity import (
    Depth,
    _ranks,
    advised_depth,
    affinities,
    affinity,
    dissimilarities,
    plot,
    representations,
    single_task_models,
)
from conjoin.schema import Schema
from conjoin.settings import Config


def test_dissimilarities_by_hand() -> None:
    # The first and second rows rise together (correlation 1), the third falls (correlation -1 with both).
    rows = torch.tensor([[1.0, 2, 3], [2, 4, 6], [3, 2, 1]])
    torch.testing.assert_close(dissimilarities(rows), torch.tensor([0.0, 2, 2], dtype=torch.double), atol=1e-9, rtol=0)
    assert dissimilarities(torch.zeros(3, 4)).tolist() == [1, 1, 1]  # no correlation is defined


def test_ranks_share_ties() -> None:
    assert _ranks(torch.tensor([5.0, 1, 5, 7])).tolist() == [2.5, 1, 2.5, 4]


@given(st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_affinity_is_symmetric_and_knows_neither_scale_nor_rotation_of_units(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    first, second = torch.randn(12, 6, generator=generator), torch.randn(12, 9, generator=generator)
    assert affinity(first, first) == pytest.approx(1)
    assert affinity(first, second) == pytest.approx(affinity(second, first))
    turned = 3 * first[:, torch.randperm(6, generator=generator)] + 1
    assert affinity(turned, second) == pytest.approx(affinity(first, second))
    assert -1 <= affinity(first, second) <= 1


def test_advice() -> None:
    def depths(*ratios: float) -> list[Depth]:
        return [Depth("embedder", 1, 1), *(Depth(f"shared {n}", r, 1.0) for n, r in enumerate(ratios, start=1))]

    assert advised_depth(depths(0.95, 0.85, 0.5, 0.9)) == 2
    assert advised_depth(depths(0.5)) == 0
    assert advised_depth(depths(0.9, 0.9)) == 2
    assert Depth("x", 0.4, 0.8).ratio == 0.5


def test_representations_are_those_of_each_layer(shrunk: Callable[..., Config], documents: list[Document]) -> None:
    config = shrunk("conjoin-base", "stack.shared=2", "stack.size=4")
    model = build_model(config, Schema.from_documents(documents)).eval()
    found = representations(model, documents, batch=2)
    assert list(found) == ["encoder 0", "encoder 1", "encoder 2", "embedder", "shared 1", "shared 2"]
    words = sum(len(document.tokens) for document in documents)
    assert {len(vectors) for vectors in found.values()} == {words}
    torch.testing.assert_close(found["encoder 2"], found["embedder"])
    torch.testing.assert_close(found["shared 2"][-2:], representations(model, documents[2:])["shared 2"][-2:])


def test_single_task_models_train_one_task(shrunk: Callable[..., Config], encoder: str, documents: list[Document]) -> None:
    corpus = Corpus({"train": tuple(documents), "dev": tuple(documents)})
    overrides = [f"encoder.name='{encoder}'", "training.epochs=40", "training.learning_rate=5e-3", "stack.size=8",
                 "stack.dropout=0", "relations.dropout=0", "characters.size=0", "training.batch_size=3"]
    models = single_task_models("crone2020-conll04-minilm", overrides, corpus, depth=2, cache_limit=0)
    entities, relations = models["entities"][0], models["relations"][0]
    assert sum(len(document.entities) for document in entities.annotate(documents)) == 8
    found = relations.annotate(documents, gold_entities=True)
    assert [set(document.relations) for document in found] == [set(document.relations) for document in documents]
    depths = affinities(models, documents, words=20)
    assert [depth.name for depth in depths] == ["embedder", "shared 1", "shared 2"]
    assert depths[0].within > 0.9
    assert all(-1 <= depth.between <= 1 for depth in depths)
    with pytest.raises(DataError, match="too few"):
        affinities(models, [Document.from_words(["a"])])


def test_the_plot_is_written_whole(tmp_path: Path) -> None:
    for name, head in (("a.png", b"\x89PNG"), ("a.svg", b"<?xml")):
        plot([Depth("embedder", 1, 1), Depth("shared 1", 0.5, 0.9)], tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(head)
