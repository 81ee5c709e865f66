"""Task affinity: how similar the representations of the two tasks are at each depth (Vandenhende et al. 2019, §3.1)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations, product, takewhile
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
from conjoin.storage.atomic import atomic_file, make_folder, read_json, write_text
from conjoin.storage.cache import CACHE_LIMIT
from conjoin.training import Event

MIN_SCORE = 0.2  # F1 of a model on its own task; below, it has learnt too little to be compared
MIN_RATIO = 0.8  # affinity of the tasks to affinity within a task, for a layer to be shared
TASKS: Mapping[str, tuple[str, ...]] = {
    "entities": ("training.relation_weight=0",),
    "relations": ("training.entity_weight=0", "relations.proposals=gold", "training.relation_ramp=0"),
}
PLAN = "plan.json"  # beside a saved model: its settings and a digest of its data
Models = Mapping[str, Mapping[int, JointModel]]  # by task, then by seed
Listener = Callable[[str, int, Event], None]  # task, seed, event of training


@dataclass(frozen=True, slots=True)
class Depth:
    """The affinities at one layer, means over pairs of models: `between` different tasks, and `within` the same task."""

    name: str
    between: float
    within: float

    @property
    def ratio(self) -> float:
        """`between` relative to `within`: 1 if the tasks are as similar as two runs of one task."""
        return self.between / self.within if self.within > 0 else 0.0


@dataclass(frozen=True, slots=True)
class SingleTaskTraining:
    """Trains models of one task each, with `depth` shared recurrent layers only.

    Relation models get gold entities. The last epoch counts: one task alone has no joint score to select an epoch by.
    Models are saved in `folder`, and those saved there by an earlier training are loaded.
    """

    preset: str
    overrides: Sequence[str]
    corpus: Corpus
    depth: int
    folder: Path
    lenient: bool = False
    cache_limit: float = CACHE_LIMIT

    def models(self, *, seeds: Sequence[int], listen: Listener | None = None) -> Models:
        """Train or load a model for each task and seed.

        Raises `SettingError` for invalid settings, and `ModelError` for a model in the folder of other settings or data.
        """
        for task, seed in product(TASKS, seeds):
            self._check(task, seed)  # all of them before any training
        return {task: {seed: self._model(task, seed, listen) for seed in seeds} for task in TASKS}

    def config(self, task: str, seed: int) -> Config:
        return load_config(self.preset, [
            *self.overrides, f"stack.shared={self.depth}", "stack.entities=0", "stack.relations=0", *TASKS[task],
            f"training.seed={seed}", "training.select=last",
        ])

    def _plan(self, task: str, seed: int) -> dict[str, object]:
        config = self.config(task, seed).model_dump(mode="json", exclude={"paper"})
        return {"settings": config, "documents": documents_digest(self.corpus.train), "lenient": self.lenient}

    def _check(self, task: str, seed: int) -> None:
        plan, run = self._plan(task, seed), self.folder / f"{task}-{seed}"
        same = read_json(run / PLAN) == plan if (run / PLAN).is_file() else not (run / "model").exists()
        if not same:
            raise ModelError(f"{run}: holds a run with other settings or data; give another --output, or use these models "
                             "with --models")

    def _model(self, task: str, seed: int, listen: Listener | None) -> JointModel:
        run = self.folder / f"{task}-{seed}"
        if (run / "model").is_dir():
            return read_model(read_contents(run))
        make_folder(run)
        write_text(run / PLAN, json.dumps(self._plan(task, seed), indent=1) + "\n")
        extractor = train(self.config(task, seed), Corpus({"train": self.corpus.train}), output=run, lenient=self.lenient,
                          cache_limit=self.cache_limit, progress=False,
                          listen=partial(listen, task, seed) if listen else None)
        return extractor.model


def trained_models(folder: Path) -> Models:
    """Load the models of each task from folders `entities-…` and `relations-…`, each a model or a run of `conjoin train`.

    Raises `ModelError` if a task has less than two models, or two with the same seed.
    """
    models: dict[str, dict[int, JointModel]] = {task: {} for task in TASKS}
    for task, by_seed in models.items():
        for path in sorted(folder.glob(f"{task}-*")):
            contents = read_contents(model_folder(path))
            seed = contents.config.training.seed
            if seed in by_seed:
                raise ModelError(f"{path}: has seed {seed} like another model of its task, so both start with the same "
                                 "weights; train each with another --seed")
            by_seed[seed] = read_model(contents)
        if len(by_seed) < 2:
            raise ModelError(f"{folder}: holds {len(by_seed)} models named {task}-…, and two or more are needed; each is a "
                             "model folder or a run of conjoin train, with a seed of its own")
    return models


def own_scores(models: Models, documents: Sequence[Document]) -> dict[str, dict[int, float]]:
    """Strict micro F1 of each model on its own task, by task and seed.

    Relation models get the gold entities whose types they know.
    """
    scores: dict[str, dict[int, float]] = {}
    for task, by_seed in models.items():
        for seed, model in by_seed.items():
            report = score(documents, _annotate(task, model, documents), symmetric=model.schema.symmetric)
            scores.setdefault(task, {})[seed] = getattr(report, task)["strict"].micro.f1
    return scores


def _annotate(task: str, model: JointModel, documents: Sequence[Document]) -> list[Document]:
    annotator = Annotator(TorchBackEnd(model), model.decoder)
    if task == "entities":
        return annotator.annotate(documents)
    types = set(model.schema.entity_types)
    documents = [document.annotated([entity for entity in document.entities if entity.type in types], ())
                 for document in documents]
    return annotator.annotate(documents, gold_entities=True)


@torch.no_grad()
def representations(model: JointModel, documents: Sequence[Document], *, batch_size: int = 32) -> dict[str, Tensor]:
    """The vectors of all words in each layer, [word, width].

    The layers are `encoder 0` (the input embeddings), `encoder 1`, … of a fine-tuned encoder, `embedder` (all embedders
    joined), then `shared 1`, … of the shared stack.
    """
    vectors: dict[str, list[Tensor]] = {}
    for start in range(0, len(documents), batch_size):
        batch = model.collate(documents[start : start + batch_size], gold=False).to(model.device)
        mask = torch.arange(int(batch.lengths.max()), device=batch.lengths.device) < batch.lengths.unsqueeze(1)
        layers = dict(_encoder_layers(model.embedder, batch.features))
        for number, layer in enumerate(model.shared.outputs(model.embedder(batch.features), batch.lengths)):
            layers[f"shared {number}" if number else "embedder"] = layer
        for name, layer in layers.items():
            vectors.setdefault(name, []).append(layer[mask])
    return {name: torch.cat(parts) for name, parts in vectors.items()}


def _encoder_layers(embedder: Embedder, features: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Name and [batch, word, width] of each layer of a fine-tuned encoder; none without one."""
    prefix, transformer = find_transformer(embedder) or ("", None)
    if transformer is not None and any(parameter.requires_grad for parameter in transformer.encoder.parameters()):
        for number, layer in enumerate(transformer.layers(own_features(prefix, features)).unbind(2)):
            yield f"encoder {number}", layer


def dissimilarities(vectors: Tensor) -> Tensor:
    """1 - Pearson's correlation of each pair of rows: [pair]. vectors: [word, width]."""
    correlation = torch.corrcoef(vectors.double()).nan_to_num()
    rows, columns = torch.triu_indices(len(vectors), len(vectors), offset=1)
    return 1 - correlation[rows, columns]


def affinity(first: Tensor, second: Tensor) -> float:
    """Spearman's correlation of the dissimilarities of two models: vectors of the same words, [word, width] each."""
    ranks = [_ranks(dissimilarities(vectors)) for vectors in (first, second)]
    return float(torch.corrcoef(torch.stack(ranks))[0, 1].nan_to_num())


def _ranks(values: Tensor) -> Tensor:
    """Ranks from 1; equal values share the mean of their ranks."""
    _, inverse, counts = values.unique(sorted=True, return_inverse=True, return_counts=True)
    ends = counts.cumsum(0).double()
    ranks: Tensor = (ends - (counts - 1) / 2)[inverse]
    return ranks


def affinities(models: Models, documents: Sequence[Document], *, words: int = 500, seed: int = 0) -> list[Depth]:
    """The affinities at each depth, over `words` words drawn at random with `seed`.

    Models with the same seed are never compared: they start with the same weights and see the same batches, which makes
    models of two tasks similar, but not two models of one task.

    Raises `SettingError` for less than two models of a task, `ModelError` for models with different layers, and `DataError`
    for documents with less than three words.
    """
    first, second = ({run: representations(model, documents) for run, model in by_seed.items()}
                     for by_seed in models.values())
    between = [(first[left], second[right]) for left in first for right in second if left != right]
    within = [(task[left], task[right]) for task in (first, second) for left, right in combinations(task, 2)]
    if len(within) < 2 or not between:
        raise SettingError("affinity compares models of different seeds; give two or more of each task")
    names = list(between[0][0])
    if any(list(layers) != names for task in (first, second) for layers in task.values()):
        raise ModelError("the models have different layers; compare models of one --depth and encoder")
    total = len(next(iter(between[0][0].values()), ()))
    if total < 3:
        raise DataError("the documents have too few words to compare representations; give more documents")
    rows = torch.randperm(total, generator=torch.Generator().manual_seed(seed))[:words]

    def mean(pairs: Sequence[tuple[Mapping[str, Tensor], Mapping[str, Tensor]]], name: str) -> float:
        return sum(affinity(left[name][rows], right[name][rows]) for left, right in pairs) / len(pairs)

    return [Depth(name, mean(between, name), mean(within, name)) for name in names]


def advised_depth(depths: Sequence[Depth]) -> int:
    """The number of recurrent layers to share: those before the first whose ratio is below `MIN_RATIO`.

    The rule is ours: the paper groups many tasks under a budget, two tasks need a threshold.
    """
    shared = (depth for depth in depths if depth.name.startswith("shared"))
    return len(list(takewhile(lambda depth: depth.ratio >= MIN_RATIO, shared)))


def plot(depths: Sequence[Depth], path: Path) -> None:
    """Draw affinities by depth into a PNG or SVG file."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.add_subplot()
    names = [depth.name for depth in depths]
    axes.plot(names, [depth.within for depth in depths], "o--", color="#888888", label="same task, another seed")
    axes.plot(names, [depth.between for depth in depths], "o-", color="#1f5fa8", label="entities and relations")
    axes.set(ylim=(0, 1.05), ylabel="task affinity (Spearman)")
    axes.tick_params(axis="x", rotation=30)
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format=path.suffix.removeprefix(".") or "png", dpi=150)
