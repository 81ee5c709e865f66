from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from conjoin.config.settings import Config, TrainingSettings
from conjoin.document import Document
from conjoin.modeling.build import build_model
from conjoin.modeling.joint import JointModel
from conjoin.schema import Schema
from conjoin.training.optimizer import AveragedWeights, build_optimizer, rate_factor


def test_rates_by_hand() -> None:
    # 10 steps, a fifth of them warm-up: 1/3 and 2/3 on the way up, then 8 steps from 1 down to 1/8.
    linear = [rate_factor(step, steps=10, warmup=0.2, schedule="linear") for step in range(10)]
    assert linear == pytest.approx([1 / 3, 2 / 3, *(share / 8 for share in range(8, 0, -1))])
    constant = [rate_factor(step, steps=10, warmup=0.2, schedule="constant") for step in range(10)]
    assert constant == pytest.approx([1 / 3, 2 / 3, *[1.0] * 8])
    cosine = [rate_factor(step, steps=4, warmup=0.0, schedule="cosine") for step in range(4)]
    assert cosine == pytest.approx([1, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2])


def test_the_paper_has_no_warmup_and_no_decay() -> None:
    assert {rate_factor(step, steps=7, warmup=0.0, schedule="constant") for step in range(7)} == {1.0}


@given(st.integers(1, 200), st.floats(0, 1), st.sampled_from(["constant", "linear", "cosine"]))
def test_rates_rise_then_never_rise_again_and_never_vanish(steps: int, warmup: float, schedule: str) -> None:
    factors = [rate_factor(step, steps=steps, warmup=warmup, schedule=schedule) for step in range(steps)]  # type: ignore[arg-type]
    assert all(0 < factor <= 1 for factor in factors)
    peak = factors.index(max(factors))
    assert factors[:peak] == sorted(factors[:peak])
    assert factors[peak:] == sorted(factors[peak:], reverse=True)


def test_weights_of_terms_by_hand() -> None:
    """Giorgi et al. 2019 §2.1: the weight of relations rises from 0, step by step, over the first epoch."""
    def weights(ramp: float, steps: int) -> list[float]:
        settings = TrainingSettings(entity_weight=3, relation_weight=2, relation_ramp=ramp)
        terms = [settings.term_weights(step, epoch_steps=4) for step in range(steps)]
        assert {weight["entities"] for weight in terms} == {3}
        return [weight["relations"] for weight in terms]

    assert weights(1, 7) == [0, 0.5, 1, 1.5, 2, 2, 2]
    assert weights(0.625, 4) == [0, 0.8, 1.6, 2]
    assert weights(0, 1) == [2]


@pytest.fixture(scope="module")
def model(shrunk: Callable[..., Config], schema: Schema) -> JointModel:
    return build_model(shrunk("conjoin-base", "encoder.train_word_table=true"), schema)


def group_of(optimizer: torch.optim.Optimizer, parameter: nn.Parameter) -> tuple[float, float]:
    [group] = [group for group in optimizer.param_groups if any(value is parameter for value in group["params"])]
    return group["lr"], group["weight_decay"]


def test_every_trainable_parameter_is_in_one_group_and_biases_and_norms_do_not_decay(model: JointModel) -> None:
    optimizer = build_optimizer(model, TrainingSettings(learning_rate=1e-3, head_learning_rate=1e-2, weight_decay=0.1))
    parameters = 0
    for name, parameter in model.named_parameters():
        rate, decay = group_of(optimizer, parameter)
        assert rate == (1e-3 if name.startswith("embedder.encoder.") else 1e-2), name
        assert decay == (0.0 if name.endswith("bias") or "LayerNorm" in name else 0.1), name
        parameters += 1
    assert parameters == sum(len(group["params"]) for group in optimizer.param_groups)
    assert len(optimizer.param_groups) == 4


def test_transitions_and_diagonals_do_not_decay(shrunk: Callable[..., Config], documents: list[Document]) -> None:
    config = shrunk("crone2020-conll04-minilm", "stack.shared=2", "stack.residual=true")
    model = build_model(config, Schema.from_documents(documents), documents=documents)
    optimizer = build_optimizer(model, TrainingSettings(learning_rate=1.0, weight_decay=0.1))
    undecayed = {name for name, parameter in model.named_parameters() if parameter.requires_grad and parameter.ndim > 1
                 and group_of(optimizer, parameter)[1] == 0}
    assert undecayed == {"entities.crf.transitions", "relations.scorer.distmult.diagonals"}


def test_nadam_is_nadam_with_decoupled_decay(model: JointModel) -> None:
    optimizer = build_optimizer(model, TrainingSettings(learning_rate=1e-3, weight_decay=0.1, optimizer="nadam"))
    assert isinstance(optimizer, torch.optim.NAdam)
    assert {(group["weight_decay"], group["decoupled_weight_decay"]) for group in optimizer.param_groups} \
        == {(0.0, True), (0.1, True)}


def test_heads_learn_at_the_encoders_rate_unless_told(model: JointModel) -> None:
    optimizer = build_optimizer(model, TrainingSettings(learning_rate=1e-3, weight_decay=0.1))
    assert {group["lr"] for group in optimizer.param_groups} == {1e-3}


def test_layer_decay_by_hand(model: JointModel) -> None:
    """Two layers: the upper at the full rate, the lower at half, the embeddings at a quarter."""
    settings = TrainingSettings(learning_rate=1e-3, head_learning_rate=1e-2, layer_decay=0.5, weight_decay=0.0)
    optimizer = build_optimizer(model, settings)
    rates = {name: group_of(optimizer, parameter)[0] for name, parameter in model.named_parameters()}
    for name, rate in rates.items():
        if ".layer.1." in name:
            assert rate == 1e-3, name
        elif ".layer.0." in name:
            assert rate == 5e-4, name
        elif ".embeddings." in name:
            assert rate == 2.5e-4, name
        else:
            assert rate == 1e-2, name


def test_biases_and_embeddings_of_xlnet(tmp_path: Path) -> None:
    """Its biases have two dimensions, its word table is called `word_embedding`."""
    from transformers import XLNetConfig, XLNetModel

    xlnet = nn.ModuleDict({"encoder": XLNetModel(XLNetConfig(vocab_size=9, d_model=8, n_layer=2, n_head=2, d_inner=8))})
    optimizer = build_optimizer(xlnet, TrainingSettings(learning_rate=1.0, layer_decay=0.5, weight_decay=0.1))
    groups = {name: group_of(optimizer, parameter) for name, parameter in xlnet.named_parameters()}
    assert groups["encoder.word_embedding.weight"] == (0.25, 0.1)
    assert groups["encoder.layer.0.rel_attn.r_w_bias"] == (0.5, 0.0)
    assert groups["encoder.layer.1.rel_attn.q"] == (1.0, 0.1)


def test_frozen_parameters_are_left_out(shrunk: Callable[..., Config], schema: Schema) -> None:
    frozen = build_model(shrunk("conjoin-base"), schema)
    table = frozen.embedder.encoder.get_input_embeddings().weight  # type: ignore[operator]
    optimizer = build_optimizer(frozen, TrainingSettings(learning_rate=1e-3, weight_decay=0.1))
    assert not any(value is table for group in optimizer.param_groups for value in group["params"])


def test_averaging_by_hand() -> None:
    weight, fixed = nn.Parameter(torch.tensor([1.0])), nn.Parameter(torch.tensor([5.0]), requires_grad=False)
    averaged = AveragedWeights([weight, fixed], decay=0.25)
    assert len(averaged.values) == 1
    # Update 1: decay min(0.25, 2/11) = 2/11: 1 · 2/11 + 12 · 9/11 = 110/11 = 10.
    weight.data.fill_(12.0)
    averaged.update()
    assert averaged.values[0].item() == pytest.approx(10)
    # Update 2: decay min(0.25, 3/12) = 0.25: 10 · 0.25 + 2 · 0.75 = 4.
    weight.data.fill_(2.0)
    averaged.update()
    assert averaged.values[0].item() == pytest.approx(4)
    # Update 3: 4/13 is more than 0.25: 4 · 0.25 + 8 · 0.75 = 7.
    weight.data.fill_(8.0)
    averaged.update()
    assert averaged.values[0].item() == pytest.approx(7)
    averaged.swap()
    assert (weight.item(), averaged.values[0].item()) == pytest.approx((7, 8))
    averaged.swap()
    assert (weight.item(), averaged.values[0].item()) == pytest.approx((8, 7))
    assert fixed.item() == 5
