from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from conjoin.annotator import Annotator
from conjoin.config.presets import load_config
from conjoin.config.settings import Config
from conjoin.decoding.spans import Numbers, Spans
from conjoin.document import Document, Entity, Relation
from conjoin.evaluation.metrics import score
from conjoin.extractor import Extractor
from conjoin.modeling.backend import TorchBackEnd
from conjoin.modeling.build import assemble_model, build_model
from conjoin.modeling.embedders.encoder import open_encoder
from conjoin.modeling.embedders.transformer import TransformerEmbedder
from conjoin.modeling.joint import JointModel
from conjoin.modeling.nn.pairs import Biaffine
from conjoin.schema import Schema
from conjoin.training import DevSet, EpochDone, training_events

Shrunk = Callable[..., Config]
LONG = ("the mayor of oslo joined acme corp in norway " * 4).split()


@pytest.fixture(scope="module")
def embedder(encoder: str) -> TransformerEmbedder:
    torch.manual_seed(0)
    return TransformerEmbedder(open_encoder(encoder)).eval()


@pytest.fixture(scope="module")
def symmetric(documents: list[Document]) -> Schema:
    return Schema.from_documents(documents, symmetric=["Kill"])


def assemble(embedder: TransformerEmbedder, schema: Schema, *overrides: str) -> JointModel:
    """A model over a shared embedder, random but the same for the same settings."""
    config = load_config("conjoin-base", overrides)
    torch.manual_seed(0)
    return assemble_model(config, schema, embedder).eval()


def eager(model: JointModel) -> JointModel:
    """With a tagger that proposes many entities, as one that has learnt does."""
    with torch.no_grad():
        model.entities.output.bias[0] = -1.0
        model.entities.output.weight.mul_(5)
    return model


def annotate(model: JointModel, documents: Sequence[Document], *, gold_entities: bool = False) -> list[Document]:
    """All of them as one batch."""
    training = model.training
    annotator = Annotator(TorchBackEnd(model), model.decoder)
    result = annotator.annotate_batch(documents, gold_entities=gold_entities)
    model.train(training)
    return result


def shared_states(model: JointModel, documents: Sequence[Document]) -> tuple[Tensor, Tensor]:
    batch = model.collate(documents)
    return model.shared(model.embedder(batch.features), batch.lengths), batch.lengths


def emissions_of(model: JointModel, documents: Sequence[Document]) -> Tensor:
    with torch.no_grad():
        return model.emissions(*shared_states(model, documents))


def candidates_of(model: JointModel, documents: Sequence[Document]) -> tuple[Spans, Numbers]:
    """Between gold entities."""
    assert model.decoder.relations is not None
    return model.decoder.relations.candidates([document.entities for document in documents])


def pair_scores(model: JointModel, documents: Sequence[Document]) -> dict[tuple[int, Entity, Entity], Tensor]:
    """The scores of every candidate between gold entities, by document and arguments."""
    spans, pairs = candidates_of(model, documents)
    with torch.no_grad():
        scores = model.relation_scores(*shared_states(model, documents), spans, pairs)
    flat = [(row, entity) for row, document in enumerate(documents) for entity in document.entities]
    return {(*flat[head], flat[tail][1]): scores[index] for index, (head, tail) in enumerate(pairs.T.tolist())}


def close(left: Tensor, right: Tensor) -> None:
    torch.testing.assert_close(left, right, atol=2e-5, rtol=1e-4)


def same(left: Document, right: Document) -> None:
    assert left == right
    for one, other in zip([*left.entities, *left.relations], [*right.entities, *right.relations], strict=True):
        assert one.score == pytest.approx(other.score, abs=1e-4)


SLOTS = {
    "relations.pooling": ["last", "first-last", "max"],
    "relations.label_embedding": ["none", "tag", "type"],
    "relations.projections": ["separate", "shared", "none"],
    "relations.scorer": ["biaffine", "feedforward", "biaffine+feedforward", "distmult", "cosine", "distmult+cosine"],
    "relations.context": ["true", "false"],
    "relations.decision": ["softmax", "sigmoid"],
}
OUTPUTS = [("argmax", "softmax"), ("legal", "softmax"), ("legal", "crf")]
TAGGERS = list(product(["bio", "bioes"], OUTPUTS, ["1", "2"]))
STACKS = [(0, 0, 0, "gru"), (1, 0, 2, "gru"), (0, 1, 1, "lstm"), (2, 0, 0, "lstm"), (1, 1, 1, "gru")]


@pytest.mark.parametrize("pooling", SLOTS["relations.pooling"])
@pytest.mark.parametrize("scorer", SLOTS["relations.scorer"])
def test_a_document_alone_equals_itself_in_a_batch(
    embedder: TransformerEmbedder, symmetric: Schema, documents: list[Document], pooling: str, scorer: str
) -> None:
    """Every combination of slots: emissions, pair scores and what is annotated do not know their neighbours."""
    longer = Document.from_words(LONG, [Entity("Loc", 3, 4), Entity("Org", 5, 7), Entity("Loc", 8, 9)], id="long")
    empty = Document.from_words([], id="empty")
    fixed = {"relations.pooling": [pooling], "relations.scorer": [scorer]}
    for number, values in enumerate(product(*(SLOTS | fixed).values())):
        scheme, (decoding, output), layers = TAGGERS[number % len(TAGGERS)]
        shared, own, related, cell = STACKS[number % len(STACKS)]
        model = eager(assemble(
            embedder, symmetric, *(f"{key}={value}" for key, value in zip(SLOTS, values, strict=True)),
            f"entities.scheme={scheme}", f"entities.decoding={decoding}", f"entities.layers={layers}",
            f"entities.output={output}", f"stack.shared={shared}", f"stack.entities={own}", f"stack.relations={related}",
            f"stack.cell={cell}", "stack.size=16", f"stack.residual={'true' if number % 2 else 'false'}",
            "relations.size=16", "relations.scorer_size=16", "relations.threshold=0.2",
            f"relations.distance={4 * (number % 2)}", f"relations.constrain={'true' if number % 3 else 'false'}",
        ))
        document = documents[number % 2]
        batch = [longer, document, empty]
        close(emissions_of(model, [document])[0], emissions_of(model, batch)[1, : len(document.tokens)])
        alone = {(head, tail): value for (_, head, tail), value in pair_scores(model, [document]).items()}
        inside = {(head, tail): value for (row, head, tail), value in pair_scores(model, batch).items() if row == 1}
        assert alone.keys() == inside.keys()
        assert alone
        for pair, value in alone.items():
            close(value, inside[pair])
        same(annotate(model, [document])[0], annotate(model, batch)[1])
        same(annotate(model, [document], gold_entities=True)[0], annotate(model, batch, gold_entities=True)[1])


@pytest.mark.parametrize("pooling", ["first", "mean", "max"])
def test_word_poolings_do_not_see_padding(
    encoder: str, symmetric: Schema, documents: list[Document], pooling: str
) -> None:
    model = TransformerEmbedder(open_encoder(encoder), word_pooling=pooling).eval()  # type: ignore[arg-type]
    joint = assemble(model, symmetric)
    longer = Document.from_words([*LONG, "antidisestablishment"])
    close(emissions_of(joint, documents[:1])[0], emissions_of(joint, [longer, documents[0]])[1, :9])


@given(st.lists(st.lists(st.sampled_from([*LONG, "x", "zzyzx", "\u200b"]), max_size=40), min_size=2, max_size=5))
@settings(max_examples=15, deadline=None)
def test_annotate_does_not_know_the_batch(embedder: TransformerEmbedder, symmetric: Schema, texts: list[list[str]]) -> None:
    model = eager(assemble(embedder, symmetric))
    documents = [Document.from_words(words) for words in texts]
    together = annotate(model, documents)
    assert [document.words for document in together] == texts
    for document, found in zip(documents, together, strict=True):
        same(annotate(model, [document])[0], found)


def trained_step(model: JointModel, documents: Sequence[Document]) -> dict[str, Tensor]:
    """One step on the sum of the losses (Giorgi et al. 2019, eq. 9)."""
    optimizer = torch.optim.SGD((value for value in model.parameters() if value.requires_grad), lr=0.01)
    terms = model.train().loss(model.collate(documents))
    torch.stack(list(terms.values())).sum().backward()
    optimizer.step()
    assert all(torch.isfinite(term) and term > 0 for term in terms.values())
    assert all(torch.isfinite(value).all() for value in model.parameters())
    return terms


def giorgi(shrunk: Shrunk, schema: Schema, *overrides: str) -> tuple[Config, JointModel]:
    config = shrunk("giorgi2019-conll04", *overrides)
    torch.manual_seed(0)
    return config, build_model(config, schema)


def test_giorgi_full_model(shrunk: Shrunk, schema: Schema, documents: list[Document]) -> None:
    _, model = giorgi(shrunk, schema, "relations.proposals=gold")
    head = model.relations
    assert head is not None and head.labels is not None and isinstance(head.scorer, Biaffine)
    assert head.scorer.bilinear is not None and head.scorer.bilinear.shape == (512, 4, 512)  # m × |C(RE)| × m, with NEG
    assert head.labels.weight.shape == (128, 13)  # 4 tags each of three types, and O
    assert [tuple(layer.weight.shape) for layer in head.head if isinstance(layer, torch.nn.Linear)] \
        == [(512, 32 + 128), (512, 512)]
    assert head.head is not head.tail
    assert not {id(value) for value in head.head.parameters()} & {id(value) for value in head.tail.parameters()}
    assert model.decoder.entities.scheme == "bioes" and len(list(model.entities.inner)) == 0
    assert head.features.width == 0
    trained_step(model, documents)


def test_ablation_a_no_entity_pretraining(shrunk: Shrunk) -> None:
    full, without = shrunk("giorgi2019-conll04"), shrunk("giorgi2019-conll04", "training.relation_ramp=0")
    ramp = [full.training.term_weights(step, epoch_steps=4)["relations"] for step in range(6)]
    assert ramp == [0, 0.25, 0.5, 0.75, 1, 1]
    assert [without.training.term_weights(step, epoch_steps=4)["relations"] for step in range(3)] == [1, 1, 1]


def test_ablation_b_no_entity_embeddings(shrunk: Shrunk, schema: Schema, documents: list[Document]) -> None:
    _, model = giorgi(shrunk, schema, "relations.label_embedding=none", "relations.proposals=gold")
    assert model.relations is not None
    assert model.relations.labels is None
    assert model.relations.head[0].in_features == 32
    trained_step(model, documents)


def test_ablation_c_one_network_for_both_roles(shrunk: Shrunk, schema: Schema, documents: list[Document]) -> None:
    _, model = giorgi(shrunk, schema, "relations.projections=shared", "relations.proposals=gold")
    _, full = giorgi(shrunk, schema)
    assert model.relations is not None and full.relations is not None
    assert model.relations.head is model.relations.tail
    fewer = sum(value.numel() for value in full.parameters()) - sum(value.numel() for value in model.parameters())
    assert fewer == sum(value.numel() for value in full.relations.tail.parameters())
    trained_step(model, documents)


def test_ablation_d_no_networks(shrunk: Shrunk, schema: Schema, documents: list[Document]) -> None:
    _, model = giorgi(shrunk, schema, "relations.projections=none", "relations.proposals=gold")
    assert model.relations is not None and isinstance(model.relations.scorer, Biaffine)
    assert isinstance(model.relations.head, torch.nn.Identity) and isinstance(model.relations.tail, torch.nn.Identity)
    assert model.relations.scorer.head.in_features == 32 + 128
    trained_step(model, documents)


def test_ablation_e_no_bilinear_term(shrunk: Shrunk, schema: Schema, documents: list[Document]) -> None:
    _, model = giorgi(shrunk, schema, "relations.bilinear=false", "relations.proposals=gold")
    assert model.relations is not None
    assert not any("bilinear" in name for name, _ in model.named_parameters())
    # What is left is linear in the head: f(a, c) - f(b, c) does not depend on c.
    torch.manual_seed(0)
    spans = torch.randn(4, 512)
    scores = model.relations.scorer(spans, spans, torch.tensor([[0, 1, 0, 1], [2, 2, 3, 3]]))
    close(scores[0] - scores[1], scores[2] - scores[3])
    trained_step(model, documents)


def proposed_by(model: JointModel, documents: Sequence[Document]) -> list[set[Entity]]:
    gold = [document.entities for document in documents]
    predicted = [document.entities for document in annotate(model, documents)]
    return [set(row) for row in model._proposed(gold, predicted)]


def test_proposals_are_gold_predicted_their_union_or_a_mixture(
    embedder: TransformerEmbedder, schema: Schema, documents: list[Document]
) -> None:
    gold = [set(document.entities) for document in documents]
    kinds = ("gold", "predicted", "both", "mixture")
    models = {how: eager(assemble(embedder, schema, f"relations.proposals={how}")) for how in kinds}
    found = [set(document.entities) for document in annotate(models["gold"], documents)]
    assert any(found) and found != gold
    assert proposed_by(models["gold"], documents) == gold
    assert proposed_by(models["predicted"], documents) == found
    assert proposed_by(models["both"], documents) == [left | right for left, right in zip(gold, found, strict=True)]
    mixed = {tuple(rows[0] == gold[0] for rows in [proposed_by(models["mixture"], documents)]) for _ in range(40)}
    assert mixed == {(True,), (False,)}
    models["mixture"].candidates = replace(models["mixture"].candidates, mixture=1.0)
    assert proposed_by(models["mixture"], documents) == found


@pytest.mark.parametrize("labels", ["tag", "type"])
def test_labels_of_gold_entities_may_be_those_predicted_for_their_last_words(
    embedder: TransformerEmbedder, schema: Schema, documents: list[Document], labels: str
) -> None:
    settings = ("relations.proposals=gold", f"relations.label_embedding={labels}")
    model = assemble(embedder, schema, *settings, "relations.label_source=predicted")
    spans, _ = candidates_of(model, documents)
    assert spans.labels is not None
    lengths = [len(document.tokens) for document in documents]
    as_gold = model._predicted_labels(spans, [document.entities for document in documents], lengths)
    assert as_gold.tolist() == spans.labels.tolist()
    missed = model._predicted_labels(spans, [[], documents[1].entities, documents[2].entities], lengths)
    rows = spans.rows == 0
    assert missed[~rows].tolist() == spans.labels[~rows].tolist()
    outside = 0 if labels == "tag" else -1  # the tag O, or no type
    assert missed[rows].tolist() == [outside] * int(rows.sum())
    model.train()
    terms = eager(model).loss(model.collate(documents))
    assert torch.isfinite(terms["relations"])


@pytest.mark.parametrize("proposals", ["gold", "predicted", "both", "mixture"])
def test_every_kind_of_proposals_trains(
    embedder: TransformerEmbedder, schema: Schema, documents: list[Document], proposals: str
) -> None:
    model = eager(assemble(embedder, schema, f"relations.proposals={proposals}"))
    terms = model.loss(model.collate(documents))
    assert terms.keys() == {"entities", "relations"}
    assert all(torch.isfinite(term) and term.requires_grad for term in terms.values())


def test_predicted_proposals_of_a_tagger_that_finds_nothing(
    embedder: TransformerEmbedder, schema: Schema, documents: list[Document]
) -> None:
    model = assemble(embedder, schema, "relations.proposals=predicted")
    with torch.no_grad():
        model.entities.output.bias[0] = 1e4
    terms = model.loss(model.collate(documents))
    assert terms["relations"].item() == 0
    terms["relations"].backward()
    assert annotate(model, documents) == [document.bare() for document in documents]


def test_model_without_relation_types(shrunk: Shrunk, documents: list[Document]) -> None:
    only = [document.annotated(document.entities, ()) for document in documents]
    model = build_model(shrunk("conjoin-base"), Schema.from_documents(only))
    assert model.relations is None
    assert trained_step(model, only).keys() == {"entities"}
    found = annotate(eager(model.eval()), documents)
    assert any(document.entities for document in found)
    assert not any(document.relations for document in found)
    assert annotate(model, documents, gold_entities=True) == only


def test_model_without_any_types(shrunk: Shrunk, documents: list[Document]) -> None:
    bare = [document.bare() for document in documents]
    model = build_model(shrunk("conjoin-base"), Schema.from_documents(bare)).eval()
    assert annotate(model, bare) == bare


EMPTY = Document.from_words([], id="empty")
ONE = Document.from_words(["Oslo"], [Entity("Loc", 0, 1)], id="one")
NOTHING = Document.from_words(LONG[:4], id="nothing")


@pytest.mark.parametrize("batch", [[EMPTY], [EMPTY, EMPTY], [ONE], [NOTHING], [EMPTY, ONE, NOTHING]])
@pytest.mark.parametrize("preset", [
    ["conjoin-base"], ["giorgi2019-conll04"], ["crone2020-conll04-minilm"], ["conjoin-base", "entities.output=crf"],
], ids=" ".join)
def test_small_documents(shrunk: Shrunk, schema: Schema, batch: list[Document], preset: list[str]) -> None:
    """No words, one word, no entities: losses and gradients are finite, and annotation gives every document back."""
    model = build_model(shrunk(*preset), schema)
    terms = model.loss(model.collate(batch))
    torch.stack(list(terms.values())).sum().backward()
    assert all(torch.isfinite(term) for term in terms.values())
    assert all(torch.isfinite(value.grad).all() for value in model.parameters() if value.grad is not None)
    for gold_entities in (False, True):
        found = annotate(model.eval(), batch, gold_entities=gold_entities)
        assert [document.bare() for document in found] == [document.bare() for document in batch]
    assert [set(document.entities) for document in found] == [set(document.entities) for document in batch]


def test_annotate_nothing(embedder: TransformerEmbedder, schema: Schema) -> None:
    assert annotate(assemble(embedder, schema), []) == []


def test_annotate_ignores_gold_and_keeps_it_with_gold_entities(
    embedder: TransformerEmbedder, schema: Schema, documents: list[Document]
) -> None:
    model = eager(assemble(embedder, schema, "relations.constrain=false", "relations.decision=sigmoid",
                           "relations.threshold=0.3"))
    bare = [document.bare() for document in documents]
    assert annotate(model, documents) == annotate(model, bare)
    given_entities = annotate(model, documents, gold_entities=True)
    assert [document.entities for document in given_entities] == [document.entities for document in documents]
    assert any(document.relations for document in given_entities)
    for document in given_entities:
        assert all(0 <= relation.score <= 1 for relation in document.relations if relation.score is not None)


def test_annotations_come_with_scores_and_characters(
    embedder: TransformerEmbedder, schema: Schema, documents: list[Document]
) -> None:
    for document in annotate(eager(assemble(embedder, schema)), documents):
        for entity in document.entities:
            assert entity.score is not None and 0 <= entity.score <= 1
            assert document.text[entity.char_start : entity.char_end] == entity.text


def test_collate_without_gold_cannot_be_trained_on(
    embedder: TransformerEmbedder, schema: Schema, documents: list[Document]
) -> None:
    model = assemble(embedder, schema)
    batch = model.collate(documents, gold=False)
    assert batch.targets is None
    with pytest.raises(ValueError, match="gold"):
        model.loss(batch)


def test_loss_is_the_same_in_whatever_order_documents_come(
    embedder: TransformerEmbedder, schema: Schema, documents: list[Document]
) -> None:
    model = assemble(embedder, schema, "relations.proposals=gold")
    with torch.no_grad():
        forwards, backwards = model.loss(model.collate(documents)), model.loss(model.collate(documents[::-1]))
    for name in forwards:
        close(forwards[name], backwards[name])


@pytest.mark.parametrize("preset", ["conjoin-base", "giorgi2019-conll04"])
@pytest.mark.parametrize("scorer", ["biaffine", "biaffine+feedforward"])
def test_gradient_reaches_every_trainable_parameter(
    shrunk: Shrunk, schema: Schema, documents: list[Document], preset: str, scorer: str
) -> None:
    config = shrunk(preset, "relations.proposals=gold", f"relations.scorer={scorer}", "encoder.dropout=0")
    torch.manual_seed(0)
    model = build_model(config, schema)
    terms = model.loss(model.collate(documents))
    torch.stack(list(terms.values())).sum().backward()
    dead = [name for name, value in model.named_parameters()
            if value.requires_grad and (value.grad is None or not value.grad.abs().sum() > 0)]
    assert dead == []
    frozen = {name for name, value in model.named_parameters() if not value.requires_grad}
    assert frozen == ({"embedder.encoder.embeddings.word_embeddings.weight"} if preset == "conjoin-base" else set())


def test_the_relation_loss_teaches_the_encoder_and_the_entity_loss_not_the_relation_head(
    shrunk: Shrunk, schema: Schema, documents: list[Document]
) -> None:
    _, model = giorgi(shrunk, schema, "relations.proposals=gold")
    model.loss(model.collate(documents))["relations"].backward()
    assert model.embedder.encoder.get_input_embeddings().weight.grad.abs().sum() > 0  # type: ignore[operator]
    assert model.entities.output.weight.grad is None
    model.zero_grad(set_to_none=True)
    model.loss(model.collate(documents))["entities"].backward()
    assert all(value.grad is None for value in model.relations.parameters())  # type: ignore[union-attr]


def learnt(config: Config, documents: list[Document]) -> tuple[JointModel, list[Any]]:
    torch.manual_seed(0)
    model = build_model(config, Schema.from_documents(documents))
    dev = DevSet(documents, Extractor.from_model(model, config).annotate)
    return model, list(training_events(model, documents, settings=config.training, dev=dev))


@pytest.mark.parametrize("preset", ["conjoin-base", "giorgi2019-conll04"])
def test_three_documents_are_learnt_by_heart(shrunk: Shrunk, documents: list[Document], preset: str) -> None:
    config = shrunk(preset, "training.learning_rate=3e-3", "training.head_learning_rate=3e-3", "training.epochs=60",
                    "training.batch_size=2", "training.patience=60")
    model, events = learnt(config, documents)
    report = score(documents, annotate(model, [document.bare() for document in documents]))
    assert report.entities["strict"].micro.f1 == 1
    assert report.relations["strict"].micro.f1 == 1
    losses = [sum(event.terms.values()) for event in events if isinstance(event, EpochDone)]
    assert losses[-1] < losses[0] / 5


def test_a_symmetric_relation_is_learnt_whichever_way_it_is_written(shrunk: Shrunk, documents: list[Document]) -> None:
    document = documents[1]
    turned = [Relation(relation.type, relation.tail, relation.head) for relation in document.relations]
    config = shrunk("conjoin-base", "training.learning_rate=3e-3", "training.head_learning_rate=3e-3",
                    "training.epochs=60", 'symmetric=["Kill"]')
    gold = [document.annotated(document.entities, turned)]
    schema = Schema.from_documents(gold, symmetric=config.symmetric)
    torch.manual_seed(0)
    model = build_model(config, schema)
    list(training_events(model, gold, settings=config.training))
    assert set(annotate(model, gold)[0].relations) == set(document.relations)
