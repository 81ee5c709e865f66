"""What only a GPU shows; skipped without one. `pytest tests/modeling/test_gpu.py` is a smoke test of one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState

from conjoin import Corpus, Extractor, train
from conjoin.config.settings import Config
from conjoin.document import Document
from conjoin.modeling.build import build_model
from conjoin.schema import Schema
from conjoin.training import StepDone, training_events

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

BY_HEART = {
    "conjoin-base": ("encoder.train_word_table=true", "training.learning_rate=3e-3", "training.head_learning_rate=3e-3",
                     "training.epochs=40", "training.averaging=0", "training.warmup=0", "training.schedule=constant",
                     "encoder.dropout=0", "entities.dropout=0", "relations.dropout=0", "encoder.masking=0"),
    "crone2020-conll04-minilm": ("training.learning_rate=5e-3", "training.batch_size=2", "training.epochs=60",
                                 "stack.size=16", "stack.dropout=0", "relations.dropout=0", "characters.size=4",
                                 "relations.scorer_size=16", "training.averaging=0"),
}


@pytest.mark.parametrize("preset", BY_HEART)
@pytest.mark.parametrize("precision", ["no", "auto"])
def test_a_model_learns_on_a_gpu_and_annotates_the_same_on_a_cpu(
    preset: str, precision: str, shrunk: Callable[..., Config], documents: list[Document], tmp_path: Path
) -> None:
    config = shrunk(preset, *BY_HEART[preset], f"training.precision={precision}")
    extractor = train(config, Corpus({"train": tuple(documents)}), output=tmp_path / "run")
    assert extractor.model.device.type == "cuda"
    on_gpu = extractor.annotate(documents)
    assert [document.relations for document in on_gpu] == [document.relations for document in documents]
    on_cpu = Extractor.load(tmp_path / "run", device="cpu").annotate(documents)
    assert [(document.entities, document.relations) for document in on_cpu] == [
        (document.entities, document.relations) for document in on_gpu
    ]


@pytest.mark.parametrize("preset", BY_HEART)
def test_the_first_steps_on_a_gpu_are_those_on_a_cpu(
    preset: str, shrunk: Callable[..., Config], documents: list[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = shrunk(preset, *BY_HEART[preset], "training.precision=no", "training.epochs=2", "training.batch_size=3")
    schema = Schema.from_documents(documents)

    def losses(device: str) -> list[float]:
        torch.manual_seed(0)
        model = build_model(config, schema, documents=documents)
        AcceleratorState._reset_state(reset_partial_state=True)
        monkeypatch.setenv("ACCELERATE_USE_CPU", "true" if device == "cpu" else "false")
        events = training_events(model, documents, settings=config.training)
        return [event.loss for event in events if isinstance(event, StepDone)]

    on_cpu, on_gpu = losses("cpu"), losses("cuda")
    assert on_gpu == pytest.approx(on_cpu, rel=1e-3)
