"""Scorers of ordered pairs of entities. Entities are projected once each; only cheap products are computed per pair."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from conjoin.modeling.nn.layers import ACTIVATIONS, Activation


class Biaffine(nn.Module):
    """Biaffine pair scorer (Giorgi et al. 2019, eq. 7; Dozat & Manning 2017): x₁ᵀ U x₂ + W (x₁ ∘ x₂) + b.

    Pair features are joined to the linear term. Without `bilinear` there is only the linear term (ablation e of Giorgi et
    al. 2019, Table 2).
    """

    def __init__(self, width: int, relations: int, *, features: int = 0, bilinear: bool = True) -> None:
        super().__init__()
        self.bilinear = nn.Parameter(torch.empty(width, relations, width)) if bilinear else None
        self.head = nn.Linear(width, relations)
        self.tail = nn.Linear(width, relations, bias=False)
        self.features = nn.Linear(features, relations, bias=False) if features else None
        if self.bilinear is not None:
            nn.init.xavier_uniform_(self.bilinear.view(width, relations * width))

    def forward(self, heads: Tensor, tails: Tensor, pairs: Tensor, features: Tensor | None = None) -> Tensor:
        """heads, tails: [span, width]; pairs: [2, pair] indices of spans; features: [pair, f] → [pair, relation]."""
        scores: Tensor = self.head(heads)[pairs[0]] + self.tail(tails)[pairs[1]]
        if self.bilinear is not None:
            width, relations, _ = self.bilinear.shape
            projected = (heads @ self.bilinear.flatten(1)).view(-1, relations, width)  # [span, relation, width]
            scores = scores + (projected[pairs[0]] @ tails[pairs[1]].unsqueeze(2)).squeeze(2)
        if self.features is not None and features is not None:
            scores = scores + self.features(features)
        return scores


class DistMult(nn.Module):
    """DistMult pair scorer (Yang et al. 2014; Crone 2020, eq. 4): Σ x₁ · mᵣ · x₂ with one diagonal mᵣ per relation.

    Symmetric in head and tail. Pair features have a linear term with a bias.
    """

    def __init__(self, width: int, relations: int, *, features: int = 0) -> None:
        super().__init__()
        self.diagonals = nn.Parameter(torch.empty(relations, width))
        self.features = nn.Linear(features, relations) if features else None
        nn.init.xavier_uniform_(self.diagonals)

    def forward(self, heads: Tensor, tails: Tensor, pairs: Tensor, features: Tensor | None = None) -> Tensor:
        """heads, tails: [span, width]; pairs: [2, pair] indices of spans; features: [pair, f] → [pair, relation]."""
        scores: Tensor = (heads[pairs[0]] * tails[pairs[1]]) @ self.diagonals.T
        if self.features is not None and features is not None:
            scores = scores + self.features(features)
        return scores


class Cosine(nn.Module):
    """Cosine pair scorer: a linear term W (x₁ ∘ x₂ ∘ f) + b, and the cosine of x₁ and x₂ times a weight per relation."""

    def __init__(self, width: int, relations: int, *, features: int = 0) -> None:
        super().__init__()
        self.linear = Biaffine(width, relations, features=features, bilinear=False)
        self.weights = nn.Parameter(torch.ones(relations))

    def forward(self, heads: Tensor, tails: Tensor, pairs: Tensor, features: Tensor | None = None) -> Tensor:
        cosine = functional.normalize(heads, dim=1)[pairs[0]] * functional.normalize(tails, dim=1)[pairs[1]]
        scores: Tensor = self.linear(heads, tails, pairs, features) + cosine.sum(1, keepdim=True) * self.weights
        return scores


class DistMultCosine(nn.Module):
    """The pair scorer of Crone 2020, eq. 4 to 6: W (f₁ ∘ f₂ ∘ cos(f₁, f₂) ∘ DistMult(g₁, g₂)) + b.

    DistMult scores the entities g, f = act(A g + a) is a feed-forward layer on each. The cosine distance 1 - cos of the
    paper is equivalent under the linear layer.
    """

    def __init__(self, width: int, relations: int, *, features: int = 0, size: int, activation: Activation) -> None:
        super().__init__()
        self.projection = nn.Sequential(nn.Linear(width, size), ACTIVATIONS[activation]())
        self.cosine = Cosine(size, relations, features=features)
        self.distmult = DistMult(width, relations)
        self.mix = nn.Linear(relations, relations, bias=False)

    def forward(self, heads: Tensor, tails: Tensor, pairs: Tensor, features: Tensor | None = None) -> Tensor:
        linear = self.cosine(self.projection(heads), self.projection(tails), pairs, features)
        scores: Tensor = linear + self.mix(self.distmult(heads, tails, pairs))
        return scores


class FeedForwardPairs(nn.Module):
    """One hidden layer over head, tail and pair features, then linear: act(A x₁ + B x₂ + C f) → [pair, relation]."""

    def __init__(
        self, width: int, relations: int, *, features: int, size: int, activation: Activation, dropout: float
    ) -> None:
        super().__init__()
        self.head = nn.Linear(width, size)
        self.tail = nn.Linear(width, size, bias=False)
        self.features = nn.Linear(features, size, bias=False) if features else None
        self.output = nn.Sequential(ACTIVATIONS[activation](), nn.Dropout(dropout), nn.Linear(size, relations))

    def forward(self, heads: Tensor, tails: Tensor, pairs: Tensor, features: Tensor | None = None) -> Tensor:
        """heads, tails: [span, width]; pairs: [2, pair] indices of spans; features: [pair, f] → [pair, relation]."""
        hidden = self.head(heads)[pairs[0]] + self.tail(tails)[pairs[1]]
        if self.features is not None and features is not None:
            hidden = hidden + self.features(features)
        scores: Tensor = self.output(hidden)
        return scores


class SummedPairs(nn.Module):
    """The sum of two pair scorers over the same inputs."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first = first
        self.second = second

    def forward(self, heads: Tensor, tails: Tensor, pairs: Tensor, features: Tensor | None = None) -> Tensor:
        scores: Tensor = self.first(heads, tails, pairs, features) + self.second(heads, tails, pairs, features)
        return scores


@dataclass(frozen=True, slots=True)
class ScorerSizes:
    """The sizes of a pair scorer."""

    width: int  # of the head and tail vectors
    relations: int  # scores per pair, including NEG if it is a class
    features: int  # width of the pair features; 0 for none
    hidden: int
    activation: Activation
    dropout: float
    bilinear: bool


def _biaffine(s: ScorerSizes) -> nn.Module:
    return Biaffine(s.width, s.relations, features=s.features, bilinear=s.bilinear)


def _feedforward(s: ScorerSizes) -> nn.Module:
    return FeedForwardPairs(s.width, s.relations, features=s.features, size=s.hidden, activation=s.activation,
                            dropout=s.dropout)


# The scorers by the names of `config.options.Scorer`.
SCORERS: dict[str, Callable[[ScorerSizes], nn.Module]] = {
    "biaffine": _biaffine,
    "feedforward": _feedforward,
    "biaffine+feedforward": lambda s: SummedPairs(_biaffine(s), _feedforward(s)),
    "distmult": lambda s: DistMult(s.width, s.relations, features=s.features),
    "cosine": lambda s: Cosine(s.width, s.relations, features=s.features),
    "distmult+cosine": lambda s: DistMultCosine(
        s.width, s.relations, features=s.features, size=s.hidden, activation=s.activation
    ),
}
