from __future__ import annotations

from itertools import permutations

import pytest
import torch
from torch import Tensor, nn

from conjoin.modeling.nn.pairs import (
    Biaffine,
    Cosine,
    DistMult,
    DistMultCosine,
    FeedForwardPairs,
    SummedPairs,
)


def all_pairs(*spans: int) -> Tensor:
    """[2, pair]: all ordered pairs of some spans."""
    return torch.tensor(list(permutations(spans, 2))).T


def hand_made(*, bilinear: bool, features: int) -> Biaffine:
    scorer = Biaffine(2, 2, features=features, bilinear=bilinear)
    with torch.no_grad():
        scorer.head.weight.copy_(torch.tensor([[1.0, 0], [0, 1]]))
        scorer.head.bias.copy_(torch.tensor([0.5, -0.5]))
        scorer.tail.weight.copy_(torch.tensor([[0.0, 1], [2, 0]]))
        if scorer.bilinear is not None:
            scorer.bilinear[:, 0, :] = torch.tensor([[1.0, 2], [3, 4]])
            scorer.bilinear[:, 1, :] = torch.tensor([[0.0, 1], [-1, 0]])
        if scorer.features is not None:
            scorer.features.weight.copy_(torch.tensor([[10.0], [20]]))
    return scorer


# Two spans, a = (1, 2) and b = (3, -1), and the pairs (a, b) and (b, a).
SPANS = torch.tensor([[1.0, 2], [3, -1]])
PAIRS = torch.tensor([[0, 1], [1, 0]])
# Linear part, W_head x₁ + W_tail x₂ + b:
#   (a, b): relation 0: 1 + (-1) + 0.5 = 0.5     relation 1: 2 + 2·3 - 0.5 = 7.5
#   (b, a): relation 0: 3 + 2 + 0.5 = 5.5        relation 1: -1 + 2·1 - 0.5 = 0.5
LINEAR = torch.tensor([[0.5, 7.5], [5.5, 0.5]])
# Bilinear part, x₁ᵀ U_r x₂ with U_0 = [[1, 2], [3, 4]] and U_1 = [[0, 1], [-1, 0]]:
#   (a, b): aᵀU_0 = (1+6, 2+8) = (7, 10), times b: 21 - 10 = 11     aᵀU_1 = (-2, 1), times b: -6 - 1 = -7
#   (b, a): bᵀU_0 = (3-3, 6-4) = (0, 2), times a: 4                 bᵀU_1 = (1, 3), times a: 1 + 6 = 7
BILINEAR = torch.tensor([[11.0, -7], [4, 7]])
# Features of the pairs, 1 and -2, times (10, 20):
FEATURES = torch.tensor([[1.0], [-2]])
FROM_FEATURES = torch.tensor([[10.0, 20], [-20, -40]])


@pytest.mark.parametrize("bilinear", [True, False])
@pytest.mark.parametrize("features", [0, 1])
def test_biaffine_by_hand(bilinear: bool, features: int) -> None:
    scorer = hand_made(bilinear=bilinear, features=features)
    expected = LINEAR + bilinear * BILINEAR + features * FROM_FEATURES
    assert torch.equal(scorer(SPANS, SPANS, PAIRS, FEATURES if features else None), expected)


def naive_bilinear(scorer: Biaffine, heads: Tensor, tails: Tensor, pairs: Tensor) -> Tensor:
    assert scorer.bilinear is not None
    return torch.stack([
        torch.stack([heads[i] @ scorer.bilinear[:, r, :] @ tails[j] for r in range(scorer.bilinear.shape[1])])
        for i, j in pairs.T.tolist()
    ])


def test_bilinear_term_is_the_naive_product() -> None:
    torch.manual_seed(0)
    scorer = Biaffine(5, 3).double()
    heads, tails = torch.randn(2, 4, 5, dtype=torch.double)
    pairs = all_pairs(1, 2, 3)
    linear = Biaffine(5, 3, bilinear=False).double()
    linear.load_state_dict({name: value for name, value in scorer.state_dict().items() if name != "bilinear"})
    found = scorer(heads, tails, pairs) - linear(heads, tails, pairs)
    torch.testing.assert_close(found, naive_bilinear(scorer, heads, tails, pairs))


def test_linear_term_is_one_matrix_over_both_vectors() -> None:
    """W (x₁ ∘ x₂) + b of eq. 7, split into a head and a tail part."""
    torch.manual_seed(0)
    scorer = Biaffine(5, 3, bilinear=False)
    heads, tails = torch.randn(2, 4, 5)
    pairs = all_pairs(0, 1, 2, 3)
    joined = torch.cat([heads[pairs[0]], tails[pairs[1]]], dim=1)
    whole = torch.nn.functional.linear(joined, torch.cat([scorer.head.weight, scorer.tail.weight], 1), scorer.head.bias)
    torch.testing.assert_close(scorer(heads, tails, pairs), whole)


def test_feedforward_scorer_by_hand() -> None:
    scorer = FeedForwardPairs(2, 2, features=1, size=2, activation="relu", dropout=0.0)
    with torch.no_grad():
        scorer.head.weight.copy_(torch.tensor([[1.0, 0], [0, 1]]))
        scorer.head.bias.copy_(torch.tensor([0.5, -0.5]))
        scorer.tail.weight.copy_(torch.tensor([[0.0, 1], [2, 0]]))
        assert scorer.features is not None
        scorer.features.weight.copy_(torch.tensor([[10.0], [20]]))
        scorer.output[2].weight.copy_(torch.tensor([[1.0, 1], [1, -1]]))
        scorer.output[2].bias.copy_(torch.tensor([0.0, 1]))
    # Hidden: LINEAR + FROM_FEATURES = (10.5, 27.5) and (-14.5, -39.5); ReLU: (10.5, 27.5) and (0, 0);
    # output: sum, and difference + 1.
    assert scorer(SPANS, SPANS, PAIRS, FEATURES).tolist() == [[38, -16], [0, 1]]


def test_summed_pairs_add_up() -> None:
    first, second = hand_made(bilinear=True, features=1), hand_made(bilinear=False, features=1)
    expected = 2 * (LINEAR + FROM_FEATURES) + BILINEAR
    assert torch.equal(SummedPairs(first, second)(SPANS, SPANS, PAIRS, FEATURES), expected)


@pytest.mark.parametrize("features", [0, 2])
def test_scorers_of_no_pairs_keep_a_gradient(features: int) -> None:
    """The conformance of a pair scorer: shape, and a graph even when there is nothing to score."""
    for scorer in (
        Biaffine(3, 4, features=features),
        FeedForwardPairs(3, 4, features=features, size=5, activation="relu", dropout=0.0),
    ):
        empty = torch.zeros(0, 3)
        scores = scorer(empty, empty, torch.zeros(2, 0, dtype=torch.long), torch.zeros(0, features) if features else None)
        assert scores.shape == (0, 4)
        assert scores.requires_grad


def pairs_of(spans: int) -> Tensor:
    return all_pairs(*range(spans))


def test_distmult_by_hand() -> None:
    scorer = DistMult(2, 2)
    with torch.no_grad():
        scorer.diagonals.copy_(torch.tensor([[1.0, 2], [-1, 0.5]]))
    # a · b element-wise is (3, -2): relation 0: 3·1 - 2·2 = -1, relation 1: -3 - 1 = -4, both ways
    assert scorer(SPANS, SPANS, PAIRS).tolist() == [[-1, -4], [-1, -4]]
    scorer(SPANS, SPANS, PAIRS).sum().backward()
    assert scorer.diagonals.grad is not None
    assert (scorer.diagonals.grad.abs() > 0).all()


def test_distmult_is_a_biaffine_with_diagonal_matrices() -> None:
    torch.manual_seed(0)
    distmult, biaffine = DistMult(5, 3, features=2), Biaffine(5, 3, features=2)
    with torch.no_grad():
        for parameter in biaffine.parameters():
            parameter.zero_()
        assert biaffine.bilinear is not None and biaffine.features is not None and distmult.features is not None
        for relation in range(3):
            biaffine.bilinear[:, relation, :] = torch.diag(distmult.diagonals[relation])
        biaffine.features.weight.copy_(distmult.features.weight)
        biaffine.head.bias.copy_(distmult.features.bias)
    heads, tails, features = torch.randn(4, 5), torch.randn(4, 5), torch.randn(12, 2)
    pairs = pairs_of(4)
    torch.testing.assert_close(distmult(heads, tails, pairs, features), biaffine(heads, tails, pairs, features))


def test_cosine_by_hand() -> None:
    scorer = Cosine(2, 1)
    with torch.no_grad():
        scorer.linear.head.weight.zero_()
        scorer.linear.head.bias.fill_(0.25)
        scorer.linear.tail.weight.zero_()
        scorer.weights.fill_(2.0)
    heads = torch.tensor([[3.0, 4], [0, 0]])
    tails = torch.tensor([[1.0, 0], [5, 0]])
    # cos((3, 4), (5, 0)) = 0.6; a vector of zeros has cosine 0
    torch.testing.assert_close(scorer(heads, tails, torch.tensor([[0, 1], [1, 0]])), torch.tensor([[1.45], [0.25]]))


def test_crone_scorer_is_one_linear_layer_over_its_four_parts() -> None:
    """Crone 2020, eq. 6, written out: W (f₁ ∘ f₂ ∘ cos ∘ DistMult) + b."""
    torch.manual_seed(0)
    scorer = DistMultCosine(5, 3, features=0, size=4, activation="relu")
    vectors, pairs = torch.randn(4, 5), pairs_of(4)
    heads, tails = pairs
    projected = scorer.projection(vectors)
    cosine = nn.functional.cosine_similarity(projected[heads], projected[tails], dim=1).unsqueeze(1)
    distmult = (vectors[heads] * vectors[tails]) @ scorer.distmult.diagonals.T
    joined = torch.cat([projected[heads], projected[tails], cosine, distmult], dim=1)
    weights = torch.cat([
        scorer.cosine.linear.head.weight, scorer.cosine.linear.tail.weight, scorer.cosine.weights.unsqueeze(1),
        scorer.mix.weight,
    ], dim=1)
    expected = joined @ weights.T + scorer.cosine.linear.head.bias
    torch.testing.assert_close(scorer(vectors, vectors, pairs), expected)
    scorer(vectors, vectors, pairs).sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in scorer.parameters())
