"""The numpy twins give what the layers and heads of torch give."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from conjoin.modeling.heads.spans import Spans
from hypothesis import given, settings
from hypothesis import strategies as st

from conjoin.decoding.pairs import FlatSpans, Rules, between, largest, pooled
from conjoin.decoding.tags import Chain, decode, viterbi
from conjoin.document import Entity
from conjoin.modeling.heads.relations import PairFeatures, Projections, RelationHead
from conjoin.modeling.heads.tagger import TaggerHead
from conjoin.modeling.nn.layers import RangeMax, SpanPooling
from conjoin.modeling.nn.pairs import DistMult
from conjoin.schema import Schema

LENGTHS = st.lists(st.integers(1, 7), min_size=1, max_size=4)


def tagger(output: str, decoding: str) -> TaggerHead:
    torch.manual_seed(0)
    head = TaggerHead(4, ["Loc", "Org"], scheme="bioes", layers=1, size=4, activation="relu", dropout=0,
                      output=output, decoding=decoding)  # type: ignore[arg-type]
    if head.crf is not None:
        for value in head.crf.parameters():
            torch.nn.init.normal_(value)
    return head.eval()


def chain_of(head: TaggerHead) -> Chain | None:
    if head.crf is None and head.decoding == "argmax":
        return None
    weights = head.crf.weights() if head.crf is not None else (head.legal_starts, head.legal, head.legal_ends)
    return Chain(*(weight.detach().numpy() for weight in weights), trained=head.crf is not None)  # type: ignore[misc]


@pytest.mark.parametrize(("output", "decoding"), [("softmax", "argmax"), ("softmax", "legal"), ("crf", "legal")])
@given(lengths=LENGTHS, seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_tags_and_their_probabilities(output: str, decoding: str, lengths: list[int], seed: int) -> None:
    head = tagger(output, decoding)
    torch.manual_seed(seed)
    emissions = 2 * torch.randn(len(lengths), max(lengths), len(head.tags))
    with torch.no_grad():
        theirs = head._decode(emissions, torch.tensor(lengths))
    ours = decode(emissions.numpy(), np.array(lengths), chain_of(head))
    for row, length in enumerate(lengths):
        assert ours[0][row, :length].tolist() == theirs[0][row, :length].tolist()
        for one, other in zip(ours[1:], theirs[1:], strict=True):
            assert one[row, :length] == pytest.approx(other[row, :length].numpy(), abs=1e-4)


def test_viterbi_against_enumeration() -> None:
    generator = np.random.default_rng(0)
    emissions, lengths = generator.normal(size=(2, 4, 3)).astype(np.float32), np.array([4, 2])
    chain = Chain(*(generator.normal(size=size).astype(np.float32) for size in (3, (3, 3), 3)), trained=True)  # type: ignore[misc]
    found = viterbi(emissions, lengths, chain)
    for row, length in enumerate(lengths):
        def total(tags: tuple[int, ...], row: int = row) -> float:
            steps = sum(chain.transitions[one, other] for one, other in itertools.pairwise(tags))
            words = sum(emissions[row, word, tag] for word, tag in enumerate(tags))
            return float(chain.starts[tags[0]] + steps + words + chain.ends[tags[-1]])

        best = max(itertools.product(range(3), repeat=int(length)), key=total)
        assert tuple(found[row, :length]) == best
        assert not found[row, length:].any()


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 8), st.integers(0, 9)), max_size=6))
@settings(max_examples=50, deadline=None)
def test_largest_over_ranges(ranges: list[tuple[int, int, int]]) -> None:
    states = torch.randn(2, 9, 3, generator=torch.Generator().manual_seed(0))
    rows, starts, ends = np.array([(row, min(a, b), max(a, b)) for row, a, b in ranges], dtype=np.int64).reshape(-1, 3).T
    theirs = RangeMax()(states, *(torch.from_numpy(places.copy()) for places in (rows, starts, ends)))
    assert largest(states.numpy(), rows, starts, ends) == pytest.approx(theirs.numpy())


ENTITIES = st.lists(
    st.lists(st.tuples(st.integers(0, 7), st.integers(1, 3), st.sampled_from(["Loc", "Org", "Peop"])), max_size=5),
    min_size=1, max_size=3,
)


@given(found=ENTITIES, decision=st.sampled_from(["softmax", "sigmoid"]), threshold=st.sampled_from([None, 0.3, 0.9]))
@settings(max_examples=60, deadline=None)
def test_pairs_and_relations(
    found: list[list[tuple[int, int, str]]], decision: str, threshold: float | None
) -> None:
    schema = Schema(("Org", "Loc", "Peop"), ("Kill", "In", "Near"), symmetric=frozenset({"Near"}),
                    signatures={"In": frozenset({("Org", "Loc"), ("Loc", "Loc")})})
    same = torch.nn.Identity()
    head = RelationHead(
        schema, pooling=SpanPooling(4, how="max"), labels=None, projections=Projections(same, same, 4),
        features=PairFeatures(4, context=True, distance=2, dropout=0), scorer=DistMult(4, 4), decision=decision,  # type: ignore[arg-type]
        threshold=threshold, dropout=0, constrain=True,
    )
    rules = Rules(schema.relation_types, head.allowed.numpy(), head.symmetric.numpy(), head.type_ranks.numpy(),
                  decision, threshold)  # type: ignore[arg-type]
    entities = [list(dict.fromkeys(Entity(type, start, start + length) for start, length, type in row)) for row in found]
    spans, flat = Spans.of(entities, schema.entity_types, torch.device("cpu")), FlatSpans.of(entities, schema.entity_types)
    pairs = head.candidates(spans)
    assert rules.candidates(flat).tolist() == pairs.tolist()
    states = torch.randn(len(entities), 12, 4, generator=torch.Generator().manual_seed(0))
    for how in ("last", "first-last", "max"):
        theirs = SpanPooling(4, how=how)(states, spans.rows, spans.starts, spans.ends)  # type: ignore[arg-type]
        assert pooled(states.numpy(), flat, how) == pytest.approx(theirs.numpy())
    start, end, bucket = between(flat, pairs.numpy())
    context = largest(states.numpy(), flat.rows[pairs[0].numpy()], start, end)
    assert head.features.distance is not None
    ours = np.concatenate([context, head.features.distance(torch.from_numpy(bucket)).detach().numpy()], axis=1)
    features = head.features(states, spans, pairs)
    assert features is not None and ours == pytest.approx(features.detach().numpy())
    scores = 3 * torch.randn(pairs.shape[1], 4 if decision == "softmax" else 3, generator=torch.Generator().manual_seed(1))
    theirs = head.decode(scores, spans, pairs)
    mine = rules.relations(scores.numpy(), flat, pairs.numpy(), entities)
    assert [[(r.type, r.head, r.tail) for r in row] for row in mine] == [
        [(r.type, r.head, r.tail) for r in row] for row in theirs
    ]
    assert [r.score for row in mine for r in row] == pytest.approx([r.score for row in theirs for r in row], abs=1e-5)
