from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from conjoin.annotator import Annotator
from conjoin.config.settings import Config
from conjoin.document import Corpus, Document, Entity
from conjoin.errors import DataError, ModelError, SettingError
from conjoin.extractor import Extractor
from conjoin.extras import affinity as module
from conjoin.extras.affinity import (
    Depth,
    SingleTaskTraining,
    _ranks,
    advised_depth,
    affinities,
    affinity,
    dissimilarities,
    own_scores,
    plot,
    representations,
    trained_models,
)
from conjoin.modeling.backend import TorchBackEnd
from conjoin.modeling.build import build_model
from conjoin.modeling.joint import JointModel
from conjoin.schema import Schema


def test_dissimilarities_by_hand() -> None:
    # The first and second rows rise together (correlation 1), the third falls (correlation -1 with both).
    rows = torch.tensor([[1.0, 2, 3], [2, 4, 6], [3, 2, 1]])
    torch.testing.assert_close(dissimilarities(rows), torch.tensor([0.0, 2, 2], dtype=torch.double), atol=1e-9, rtol=0)
    assert dissimilarities(torch.zeros(3, 4)).tolist() == [1, 1, 1]  # no correlation is defined


def test_ranks_share_ties() -> None:
    assert _ranks(torch.tensor([5.0, 1, 5, 7])).tolist() == [2.5, 1, 2.5, 4]


@given(st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_affinity_is_symmetric_and_invariant_to_scale_and_order_of_units(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    first, second = torch.randn(12, 6, generator=generator), torch.randn(12, 9, generator=generator)
    assert affinity(first, first) == pytest.approx(1)
    assert affinity(first, second) == pytest.approx(affinity(second, first))
    transformed = 3 * first[:, torch.randperm(6, generator=generator)] + 1
    assert affinity(transformed, second) == pytest.approx(affinity(first, second))
    assert -1 <= affinity(first, second) <= 1


def test_advised_depth() -> None:
    def depths(*ratios: float) -> list[Depth]:
        return [Depth("embedder", 1, 1), *(Depth(f"shared {n}", r, 1.0) for n, r in enumerate(ratios, start=1))]

    assert advised_depth(depths(0.95, 0.85, 0.5, 0.9)) == 2
    assert advised_depth(depths(0.5)) == 0
    assert advised_depth(depths(0.9, 0.9)) == 2
    assert Depth("x", 0.4, 0.8).ratio == 0.5


def test_representations_are_those_of_each_layer(shrunk: Callable[..., Config], documents: list[Document]) -> None:
    config = shrunk("conjoin-base", "stack.shared=2", "stack.size=4")
    model = build_model(config, Schema.from_documents(documents)).eval()
    layers = representations(model, documents, batch_size=2)
    assert list(layers) == ["encoder 0", "encoder 1", "encoder 2", "embedder", "shared 1", "shared 2"]
    words = sum(len(document.tokens) for document in documents)
    assert {len(vectors) for vectors in layers.values()} == {words}
    torch.testing.assert_close(layers["encoder 2"], layers["embedder"])
    torch.testing.assert_close(layers["shared 2"][-2:], representations(model, documents[2:])["shared 2"][-2:])


def test_layers_of_an_encoder_among_other_embedders(shrunk: Callable[..., Config], documents: list[Document]) -> None:
    config = shrunk("conjoin-base", "words.casing=true")
    model = build_model(config, Schema.from_documents(documents)).eval()
    layers = representations(model, documents)
    assert list(layers) == ["encoder 0", "encoder 1", "encoder 2", "embedder"]
    torch.testing.assert_close(layers["encoder 2"], layers["embedder"][:, :32])


def test_models_of_one_seed_are_never_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """With vectors that depend on the seed alone, two tasks must not seem more similar than two runs of one task."""
    vectors = {seed: torch.randn(12, 6, generator=torch.Generator().manual_seed(seed)) for seed in range(3)}
    monkeypatch.setattr(module, "representations", lambda seed, _: {"embedder": vectors[seed]})
    runs: Any = {task: {seed: seed for seed in vectors} for task in ("entities", "relations")}
    [depth] = affinities(runs, [])
    expected = [affinity(vectors[left], vectors[right]) for left, right in ((0, 1), (0, 2), (1, 2))]
    assert depth.between == pytest.approx(sum(expected) / 3) == depth.within
    assert depth.between < 0.9
    for wrong in ({"entities": {0: 0}, "relations": {0: 0}}, {"entities": {0: 0, 1: 1}, "relations": {}}):
        with pytest.raises(SettingError, match="different seeds"):
            affinities(wrong, [])  # type: ignore[arg-type]


LEARN = ("training.epochs=40", "training.learning_rate=5e-3", "stack.size=8", "stack.dropout=0", "relations.dropout=0",
         "characters.size=0", "training.batch_size=3")


@pytest.fixture
def plan(encoder: str, documents: list[Document], tmp_path: Path) -> SingleTaskTraining:
    corpus = Corpus({"train": tuple(documents), "dev": tuple(documents)})
    return SingleTaskTraining("crone2020-conll04-minilm", [f"encoder.name='{encoder}'", *LEARN], corpus, 2,
                              tmp_path / "models", cache_limit=0)


def annotator(model: JointModel) -> Annotator:
    return Annotator(TorchBackEnd(model), model.decoder)


@pytest.mark.long
def test_models_of_one_task_are_trained_saved_and_loaded(plan: SingleTaskTraining, documents: list[Document]) -> None:
    trainings: list[tuple[str, int]] = []

    def listen(task: str, seed: int, event: object) -> None:
        trainings.append((task, seed))

    models = plan.models(seeds=(0, 1), listen=listen)
    entities, relations = models["entities"][0], models["relations"][0]
    assert sum(len(document.entities) for document in annotator(entities).annotate(documents)) == 8
    predicted = annotator(relations).annotate(documents, gold_entities=True)
    assert [set(document.relations) for document in predicted] == [set(document.relations) for document in documents]
    assert own_scores(models, documents) == {"entities": {0: 1.0, 1: 1.0}, "relations": {0: 1.0, 1: 1.0}}
    unknown = documents[0].annotated([*documents[0].entities, Entity("Planet", 2, 3)], documents[0].relations)
    assert own_scores(models, [unknown]) == {"entities": {0: pytest.approx(6 / 7), 1: pytest.approx(6 / 7)},
                                             "relations": {0: 1.0, 1: 1.0}}
    depths = affinities(models, documents, words=20)
    assert [depth.name for depth in depths] == ["embedder", "shared 1", "shared 2"]
    assert depths[0].within > 0.9
    assert all(-1 <= depth.between <= 1 for depth in depths)
    with pytest.raises(DataError, match="too few words"):
        affinities(models, [Document.from_words(["a"])])
    assert list(dict.fromkeys(trainings)) == [("entities", 0), ("entities", 1), ("relations", 0), ("relations", 1)]

    trainings.clear()
    again = plan.models(seeds=(0, 1), listen=listen)
    assert trainings == [], "no model is trained twice"
    assert affinities(again, documents, words=20) == depths
    assert plan.folder is not None
    assert affinities(trained_models(plan.folder), documents, words=20) == depths
    other = replace(plan, overrides=[*plan.overrides, "training.epochs=3"])
    with pytest.raises(ModelError, match=r"entities-0: .*other settings or data.*--output"):
        other.models(seeds=(0, 1), listen=listen)
    smaller = Corpus({"train": tuple(documents[:2])})
    with pytest.raises(ModelError, match="other settings or data"):
        replace(plan, corpus=smaller).models(seeds=(0, 1), listen=listen)
    assert trainings == []


def test_models_that_cannot_be_compared(
    shrunk: Callable[..., Config], documents: list[Document], tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=r"nowhere: holds 0 models named entities-…"):
        trained_models(tmp_path / "nowhere")
    schema = Schema.from_documents(documents)
    for name, seed, depth in (("entities-a", 0, 1), ("entities-b", 1, 1), ("relations-a", 0, 1), ("relations-b", 0, 2)):
        config = shrunk("conjoin-base", f"training.seed={seed}", f"stack.shared={depth}", "stack.size=4")
        Extractor.from_model(build_model(config, schema), config).save(tmp_path / name)
    with pytest.raises(ModelError, match=r"relations-b: has seed 0 .*--seed"):
        trained_models(tmp_path)
    config = shrunk("conjoin-base", "training.seed=2", "stack.shared=2", "stack.size=4")
    Extractor.from_model(build_model(config, schema), config).save(tmp_path / "relations-b")
    with pytest.raises(ModelError, match=r"different layers.*--depth"):
        affinities(trained_models(tmp_path), documents)


def test_the_plot_is_written_whole(tmp_path: Path) -> None:
    for name, head in (("a.png", b"\x89PNG"), ("a.svg", b"<?xml")):
        plot([Depth("embedder", 1, 1), Depth("shared 1", 0.5, 0.9)], tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(head)
