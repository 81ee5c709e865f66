"""How far two tasks want the same representations: task affinity by depth (Vandenhende et al. 2019, §3.1)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import torch
from torch import Tensor

from conjoin.annotator import Annotator
from conjoin.artifacts.model_folder import model_folder, read_contents
from conjoin.artifacts.weights import read_model
from conjoin.config.presets import load_config
from conjoin.config.settings import Config
from conjoin.document import Corpus, Document, documents_digest
from conjoin.errors import DataError, ModelError, SettingError
from conjoin.evaluation.metrics import score
from conjoin.experiments.train import train
from conjoin.modeling.backend import TorchBackEnd
from conjoin.modeling.embedders.embedder import Embedder, own_features
from conjoin.modeling.embedders.transformer import find_transformer
from conjoin.modeling.joint import JointModel
from conjoin.storage.atomic import make_folder, read_json, whole_file, write_text
from conjoin.storage.cache import CACHE_LIMIT
from conjoin.training import Event

MIN_SCORE = 0.2  # F1 of a model on its own task, below which it has learnt too little to be compared
SHARED_ABOVE = 0.8  # of the affinity that two runs of one task have
TASKS: Mapping[str, tuple[str, ...]] = {
    "entities": ("training.relation_weight=0",),
    "relations": ("training.entity_weight=0", "relations.proposals=gold", "training.relation_ramp=0"),
}
PLAN = "plan.json"  # beside a kept model: what it was trained from
Runs = Mapping[str, Mapping[int, JointModel]]  # by task, then by the seed of the run


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


@dataclass(frozen=True, slots=True)
class SingleTask:
    """How models of one task each are trained: with `depth` recurrent layers and no task-specific ones.

    The relation model is given gold entities. The last epoch is kept: a task alone has no joint score to choose by. With
    `folder` the models are kept there, and those that are there already are taken, if they were trained in this way.
    """

    preset: str
    overrides: Sequence[str]
    corpus: Corpus
    depth: int
    folder: Path | None = None
    lenient: bool = False
    cache_limit: float = CACHE_LIMIT

    def models(self, *, seeds: Sequence[int], listen: Callable[[str, int, Event], None] | None = None) -> Runs:
        """One model for each task and seed."""
        for task in TASKS:
            for seed in seeds:
                self._check(task, seed)  # before an hour is spent
        return {task: {seed: self._model(task, seed, listen) for seed in seeds} for task in TASKS}

    def config(self, task: str, seed: int) -> Config:
        """The settings of a run."""
        return load_config(self.preset, [
            *self.overrides, f"stack.shared={self.depth}", "stack.entities=0", "stack.relations=0", *TASKS[task],
            f"training.seed={seed}", "training.select=last",
        ])

    def _run(self, task: str, seed: int) -> Path | None:
        return self.folder / f"{task}-{seed}" if self.folder is not None else None

    def _plan(self, task: str, seed: int) -> dict[str, object]:
        config = self.config(task, seed).model_dump(mode="json", exclude={"paper"})
        return {"settings": config, "documents": documents_digest(self.corpus.train), "lenient": self.lenient}

    def _check(self, task: str, seed: int) -> None:
        """Raise for settings that are none, and for a folder with the run of another plan."""
        plan, run = self._plan(task, seed), self._run(task, seed)
        if run is None or not ((run / PLAN).is_file() or (run / "model").exists()):
            return
        if not (run / PLAN).is_file() or read_json(run / PLAN) != plan:
            raise ModelError(f"{run}: holds a run with other settings or data; give another --output, or take what is "
                             "there with --models")

    def _model(self, task: str, seed: int, listen: Callable[[str, int, Event], None] | None) -> JointModel:
        def follow(event: Event) -> None:
            if listen is not None:
                listen(task, seed, event)

        run = self._run(task, seed)
        if run is not None and (run / "model").is_dir():
            return read_model(read_contents(run))
        if run is not None:
            make_folder(run)
            write_text(run / PLAN, json.dumps(self._plan(task, seed), indent=1) + "\n")
        extractor = train(self.config(task, seed), Corpus({"train": self.corpus.train}), output=run, lenient=self.lenient,
                          cache_limit=self.cache_limit, listen=follow)
        return extractor.model


def trained_models(folder: Path) -> Runs:
    """The models of each task in a folder: its `entities-…` and `relations-…` are models or runs of `conjoin train`."""
    models: dict[str, dict[int, JointModel]] = {task: {} for task in TASKS}
    for task, found in models.items():
        for path in sorted(folder.glob(f"{task}-*")):
            contents = read_contents(model_folder(path))
            seed = contents.config.training.seed
            if seed in found:
                raise ModelError(f"{path}: was trained with seed {seed}, as another of its task, and runs of one seed are "
                                 "alike from the start; train each with a --seed of its own")
            found[seed] = read_model(contents)
        if len(found) < 2:
            raise ModelError(f"{folder}: holds {len(found)} of at least two models called {task}-…; each is a model folder "
                             "or a run of conjoin train, of a seed of its own")
    return models


def own_scores(models: Runs, documents: Sequence[Document]) -> dict[str, dict[int, float]]:
    """Strict micro F1 of each model on its own task, by task and seed; a relation model is given the gold entities, of the
    types that it knows."""
    scores: dict[str, dict[int, float]] = {}
    for task, runs in models.items():
        for seed, model in runs.items():
            report = score(documents, _annotated(task, model, documents), symmetric=model.schema.symmetric)
            scores.setdefault(task, {})[seed] = getattr(report, task)["strict"].micro.f1
    return scores


def _annotated(task: str, model: JointModel, documents: Sequence[Document]) -> list[Document]:
    annotator = Annotator(TorchBackEnd(model), model.decoder)
    if task == "entities":
        return annotator.annotate(documents)
    known = set(model.schema.entity_types)
    given = [document.annotated([entity for entity in document.entities if entity.type in known], ())
             for document in documents]
    return annotator.annotate(given, gold_entities=True)


@torch.no_grad()
def representations(model: JointModel, documents: Sequence[Document], *, batch: int = 32) -> dict[str, Tensor]:
    """Vectors of all words at each depth [word, width]: the layers of a fine-tuned encoder, alone or beside other
    embedders, then what the shared stack reads, and its layers."""
    found: dict[str, list[Tensor]] = {}
    for start in range(0, len(documents), batch):
        rows = model.collate(documents[start : start + batch], gold=False).to(model.device)
        alive = torch.arange(int(rows.lengths.max()), device=rows.lengths.device) < rows.lengths.unsqueeze(1)
        encoded = _encoder_layers(model.embedder, rows.features)
        layers = {f"encoder {number}": layer for number, layer in enumerate(encoded)}
        for number, layer in enumerate(model.shared.outputs(model.embedder(rows.features), rows.lengths)):
            layers[f"shared {number}" if number else "embedder"] = layer
        for name, layer in layers.items():
            found.setdefault(name, []).append(layer[alive])
    return {name: torch.cat(parts) for name, parts in found.items()}


def _encoder_layers(embedder: Embedder, features: Mapping[str, Tensor]) -> Sequence[Tensor]:
    """[batch, word, width] of each layer of a fine-tuned encoder; nothing without one."""
    transformer = find_transformer(embedder)
    if transformer is None or not any(value.requires_grad for value in transformer[1].encoder.parameters()):
        return ()
    prefix, part = transformer
    return part.layers(own_features(prefix, features)).unbind(2)


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


def affinities(models: Runs, documents: Sequence[Document], *, words: int = 500, seed: int = 0) -> list[Depth]:
    """The affinity of two tasks at each depth, over some words of the documents, averaged over pairs of runs.

    Runs of one seed are never compared: they begin with the same weights and meet the same batches, and what they have in
    common by that would count for the two tasks and not for two runs of one.
    """
    vectors = {task: {run: representations(model, documents) for run, model in runs.items()}
               for task, runs in models.items()}
    first, second = vectors.values()
    between = [(first[left], second[right]) for left in first for right in second if left != right]
    within = [(runs[left], runs[right]) for runs in (first, second) for left, right in combinations(runs, 2)]
    if len(within) < 2 or not between:
        raise SettingError("affinity compares runs of different seeds: give two or more of each task")
    names = list(between[0][0])
    if any(list(found) != names for runs in (first, second) for found in runs.values()):
        raise ModelError("the models have layers of different number or kind; compare those of one --depth and encoder")
    total = len(next(iter(between[0][0].values()), ()))
    if total < 3:
        raise DataError("affinity needs some words to compare representations of: the documents have too few")
    chosen = torch.randperm(total, generator=torch.Generator().manual_seed(seed))[:words]

    def mean(pairs: Sequence[tuple[Mapping[str, Tensor], Mapping[str, Tensor]]], name: str) -> float:
        return sum(affinity(left[name][chosen], right[name][chosen]) for left, right in pairs) / len(pairs)

    return [Depth(name, mean(between, name), mean(within, name)) for name in names]


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
    """Draw affinity by depth into a PNG or SVG file."""
    from matplotlib.figure import Figure

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
