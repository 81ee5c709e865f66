"""How far two tasks want the same representations: task affinity by depth (Vandenhende et al. 2019, §3.1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from conjoin.config import load_config
from conjoin.document import Corpus, Document
from conjoin.embedders.transformer import TransformerEmbedder
from conjoin.errors import DataError, require_extra
from conjoin.files import whole_file
from conjoin.model import JointModel
from conjoin.protocols import CACHE_LIMIT, train
from conjoin.settings import Config
from conjoin.training import Event

SHARED_ABOVE = 0.8  # of the affinity that two runs of one task have
TASKS: Mapping[str, tuple[str, ...]] = {
    "entities": ("training.relation_weight=0",),
    "relations": ("training.entity_weight=0", "relations.proposals=gold", "training.relation_ramp=0"),
}


@dataclass(frozen=True, slots=True)
class Depth:
    """One depth: `between` is the affinity of the two tasks, `within` that of two runs of the same task, on average."""

    name: str
    between: float
    within: float

    @property
    def ratio(self) -> float:
        """How near the tasks come to being one; 1 where nothing is trained below."""
        return self.between / self.within if self.within > 0 else 0.0


def single_task_models(
    preset: str,
    overrides: Sequence[str],
    corpus: Corpus,
    *,
    depth: int,
    seeds: Sequence[int] = (0, 1),
    lenient: bool = False,
    cache_limit: float = CACHE_LIMIT,
    listen: Callable[[str, int, Event], None] | None = None,
) -> dict[str, list[JointModel]]:
    """Train, for each task alone, a model with `depth` recurrent layers and no task-specific ones, once per seed.

    The relation model is given gold entities. The last epoch is kept: a task alone has no joint score to choose by.
    """
    models: dict[str, list[JointModel]] = {}
    for task, only in TASKS.items():
        for seed in seeds:
            config = load_config(preset, [
                *overrides, f"stack.shared={depth}", "stack.entities=0", "stack.relations=0", *only,
                f"training.seed={seed}", "training.select=last",
            ])
            models.setdefault(task, []).append(_trained(config, corpus, task, seed, lenient, cache_limit, listen))
    return models


def _trained(
    config: Config,
    corpus: Corpus,
    task: str,
    seed: int,
    lenient: bool,
    cache_limit: float,
    listen: Callable[[str, int, Event], None] | None,
) -> JointModel:
    def follow(event: Event) -> None:
        if listen is not None:
            listen(task, seed, event)

    only = Corpus({"train": corpus.train})
    return train(config, only, lenient=lenient, cache_limit=cache_limit, listen=follow).model


@torch.no_grad()
def representations(model: JointModel, documents: Sequence[Document], *, batch: int = 32) -> dict[str, Tensor]:
    """Vectors of all words at each depth [word, width]: layers of a fine-tuned encoder, then the shared stack's."""
    found: dict[str, list[Tensor]] = {}
    for start in range(0, len(documents), batch):
        rows = model.collate(documents[start : start + batch], gold=False).to(model.device)
        alive = torch.arange(int(rows.lengths.max()), device=rows.lengths.device) < rows.lengths.unsqueeze(1)
        layers: dict[str, Tensor] = {}
        if isinstance(model.embedder, TransformerEmbedder):
            for number, layer in enumerate(model.embedder.layers(rows.features).unbind(2)):
                layers[f"encoder {number}"] = layer
        for number, layer in enumerate(model.shared.outputs(model.embedder(rows.features), rows.lengths)):
            layers[f"shared {number}" if number else "embedder"] = layer
        for name, layer in layers.items():
            found.setdefault(name, []).append(layer[alive])
    return {name: torch.cat(parts) for name, parts in found.items()}


def dissimilarities(vectors: Tensor) -> Tensor:
    """1 - Pearson's correlation of every pair of rows, once each [pair]. vectors: [word, width]."""
    correlation = torch.corrcoef(vectors.double()).nan_to_num()
    rows, columns = torch.triu_indices(len(vectors), len(vectors), offset=1)
    return 1 - correlation[rows, columns]


def affinity(first: Tensor, second: Tensor) -> float:
    """Spearman's correlation of two models' dissimilarities over the same words [word, width] each."""
    ranks = [_ranks(dissimilarities(vectors)) for vectors in (first, second)]
    return float(torch.corrcoef(torch.stack(ranks))[0, 1].nan_to_num())


def _ranks(values: Tensor) -> Tensor:
    """Ranks, equal values sharing the mean of theirs."""
    _, inverse, counts = values.unique(sorted=True, return_inverse=True, return_counts=True)
    ends = counts.cumsum(0).double()
    ranks: Tensor = (ends - (counts - 1) / 2)[inverse]
    return ranks


def affinities(
    models: Mapping[str, Sequence[JointModel]], documents: Sequence[Document], *, words: int = 500, seed: int = 0
) -> list[Depth]:
    """The affinity of two tasks at each depth, over some words of the documents, averaged over all pairs of runs."""
    vectors = {task: [representations(model, documents) for model in runs] for task, runs in models.items()}
    first, second = vectors.values()
    total = len(next(iter(first[0].values()), torch.zeros(0)))
    if total < 3:
        raise DataError("affinity needs some words to compare representations of: the documents have too few")
    chosen = torch.randperm(total, generator=torch.Generator().manual_seed(seed))[:words]

    def mean(pairs: Sequence[tuple[Mapping[str, Tensor], Mapping[str, Tensor]]], name: str) -> float:
        found = [affinity(left[name][chosen], right[name][chosen]) for left, right in pairs]
        return sum(found) / len(found) if found else 1.0

    between = [(left, right) for left in first for right in second]
    within = [(left, right) for runs in (first, second) for place, left in enumerate(runs) for right in runs[place + 1 :]]
    return [Depth(name, mean(between, name), mean(within, name)) for name in first[0]]


def advised_depth(depths: Sequence[Depth]) -> int:
    """How many recurrent layers to share: down to the last whose ratio is still above `SHARED_ABOVE`, without a gap.

    The rule is ours: the paper groups many tasks under a budget, two tasks need a threshold.
    """
    shared = 0
    for number, depth in enumerate(depth for depth in depths if depth.name.startswith("shared")):
        if depth.ratio < SHARED_ABOVE:
            break
        shared = number + 1
    return shared


def plot(depths: Sequence[Depth], path: Path) -> None:
    """Draw affinity by depth into a PNG or SVG file. Needs matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise require_extra("plot", "matplotlib") from error
    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.add_subplot()
    names = [depth.name for depth in depths]
    axes.plot(names, [depth.within for depth in depths], "o--", color="#888888", label="same task, another seed")
    axes.plot(names, [depth.between for depth in depths], "o-", color="#1f5fa8", label="entities and relations")
    axes.set_ylim(0, 1.05)
    axes.set_ylabel("task affinity (Spearman)")
    axes.tick_params(axis="x", rotation=30)
    axes.legend(frameon=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    with whole_file(path) as temporary:
        figure.savefig(temporary, format=path.suffix.removeprefix(".") or "png", dpi=150)
