"""From settings and a corpus to a trained, scored and saved model."""

from __future__ import annotations

import logging
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from accelerate.utils.random import set_seed

from conjoin.artifacts.model_folder import MODEL_FILES
from conjoin.config.presets import with_absolute_paths
from conjoin.config.settings import Config
from conjoin.corpora.probe import cooccurrence_probe
from conjoin.document import SPLITS, Corpus, Document
from conjoin.errors import DataError, ModelError, needs_train_extra
from conjoin.evaluation.metrics import Report, score
from conjoin.experiments.curves import with_curves
from conjoin.extractor import Extractor
from conjoin.modeling.build import build_model
from conjoin.modeling.embedders.feature_cache import FeatureCache
from conjoin.modeling.embedders.static import word_coverage
from conjoin.readers.overlap import keep_longer, overlapping_pairs
from conjoin.schema import Schema, canonical
from conjoin.storage.atomic import check_replaceable, folder_to_fill
from conjoin.storage.cache import CACHE_LIMIT as CACHE_LIMIT
from conjoin.storage.cache import cache_folder
from conjoin.text.words import learn_hyphens, without_spaces
from conjoin.training import EpochDone, Event, Finished, Started
from conjoin.training import train as training_events
from conjoin.training.distributed import Processes, join_processes, one_for_all

LOGGER = logging.getLogger("conjoin")
Listener = Callable[[Event], None]
CHECKPOINTS = ("checkpoints", "checkpoints-retrain")
SPEED_DOCUMENTS = 256  # from which the speed on the card is measured


@needs_train_extra()
def train(
    config: Config,
    corpus: Corpus,
    *,
    output: str | Path | None = None,
    retrain_on_dev: bool = False,
    relation_free: Sequence[Document] = (),
    lenient: bool = False,
    overwrite: bool = False,
    cache_limit: float = CACHE_LIMIT,
    listen: Listener | None = None,
) -> Extractor:
    """Train on the train split, choose the epoch on dev, score on test, and save under `output`/model.

    With `retrain_on_dev` the best epoch on dev is found, whatever `training.select` says, and a new model is then trained
    on train and dev for as many epochs. `relation_free` sentences join the training data. A run that was killed goes on
    when it is called again with the same arguments but without `overwrite`, which always starts anew. With `overwrite` the
    finished model of an earlier run stays until the new one is saved. Overlapping entities are an error, or with `lenient`
    only the longest is trained on.
    Vectors of frozen encoders are kept between runs in a cache of at most `cache_limit` GB (0 for none), under
    $CONJOIN_CACHE or conjoin/ in the user's cache folder.
    Processes that were started together (torchrun, accelerate launch) train one model: each calls this with the same
    arguments and gets the same result, and the first one writes the files, where all of them can read.

    Raises `DataError` when there is nothing to train on, `ModelError` when `output` holds a finished model.
    """
    folder = Path(output) if output is not None else None
    config = with_absolute_paths(config)
    given = corpus
    corpus = _prepared(_looked_at(corpus), relation_free, lenient)
    if retrain_on_dev and not corpus.dev:
        raise DataError("--retrain-on-dev (retrain_on_dev=True) needs a dev split to find the epoch on; the data has none")
    _mention_other_splits(given)
    more = _taggable(corpus.dev, lenient) if retrain_on_dev else ()
    _mention_pairs_of_several_types((*corpus.train, *more), config)
    processes = join_processes()
    with _room(folder, overwrite, processes):
        if config.text.hyphens == "learn":
            learnt = config.text.model_copy(update={"hyphens": learn_hyphens(corpus.train)})
            config = config.model_copy(update={"text": learnt})
        cache = FeatureCache(cache_folder(), limit=round(cache_limit * 1e9)) if cache_limit > 0 else None
        listener = listen or _ignore
        if folder is not None and processes.main:
            listener = with_curves(listener, folder)
        stage = _Stage(_selecting(config, "best") if retrain_on_dev else config, listener, cache, processes)
        extractor = stage.run(corpus.train, corpus.dev, _inside(folder, "checkpoints"))
        if retrain_on_dev:
            del extractor  # one model in memory at a time
            stage = _Stage(
                _selecting(config, "last"), stage.listen, cache, processes, stop_epoch=stage.epoch, metrics=stage.metrics
            )
            extractor = stage.run((*corpus.train, *more), (), _inside(folder, "checkpoints-retrain"))
            extractor = Extractor.from_model(extractor.model, config, metrics=stage.metrics)
            extractor.metrics["training"]["dev_scores"] = "of the model trained on train alone, which chose the epoch"
        extractor.metrics["data"] = {split: count(documents) for split, documents in corpus.splits.items()}
        if corpus.test:
            extractor.metrics["test"] = _scored(extractor, corpus.test, processes).to_json()
        extractor.metrics["model"] = _speed(extractor, corpus.test or corpus.dev or corpus.train)
        probe = probe_cooccurrence(extractor)
        if probe is not None:
            extractor.metrics["probe"] = probe
        if folder is not None and processes.main:
            extractor.save(folder / "model")
            for name in CHECKPOINTS:
                shutil.rmtree(folder / name, ignore_errors=True)
        with one_for_all(processes):
            processes.wait()  # until the model is there
        return extractor


@dataclass
class _Stage:
    """One training run: a new model, its events passed on and summed up in `metrics`."""

    config: Config
    listen: Listener
    cache: FeatureCache | None
    processes: Processes
    stop_epoch: int | None = None
    metrics: dict[str, Any] | None = None
    epoch: int = 0

    def run(self, documents: Sequence[Document], dev: Sequence[Document], folder: Path | None) -> Extractor:
        schema = Schema.from_documents(documents, symmetric=self.config.symmetric)
        set_seed(self.config.training.seed)
        model = build_model(self.config, schema, documents=documents, cache=self.cache)
        metrics = self.metrics = self.metrics or {"training": {"seed": self.config.training.seed}}
        training = metrics["training"]
        coverage = word_coverage(model)
        if coverage is not None:
            training["word_vectors"] = dict(zip(("found", "words"), coverage, strict=True))
        events = training_events(
            model, documents, dev=dev, settings=self.config.training, folder=folder, stop_epoch=self.stop_epoch,
            symmetric=schema.symmetric, fingerprint=self.config.model_dump_json(exclude={"training", "paper"}),
        )
        reports: dict[int, Report | None] = {}
        for event in events:
            if isinstance(event, Started):
                event = replace(event, word_vectors=coverage)
            self.listen(event)
            if isinstance(event, Started):
                training["trainable"] = event.trainable
            if isinstance(event, EpochDone):
                reports[event.epoch] = event.report
            if isinstance(event, Finished):
                self.epoch = event.epoch
                training |= {"epoch": event.epoch, "documents": len(documents)}
        extractor = Extractor.from_model(model, self.config)
        if dev:
            metrics["dev"] = (reports.get(self.epoch) or _scored(extractor, dev, self.processes)).to_json()
        extractor.metrics = metrics
        return extractor


def _scored(extractor: Extractor, documents: Sequence[Document], processes: Processes) -> Report:
    """Scores of documents that may hold types which the training data lack: those are missed, and count as missed."""
    with one_for_all(processes):
        annotated = processes.shared(extractor.annotate, documents)
    return score(documents, annotated, symmetric=extractor.schema.symmetric)


def _speed(extractor: Extractor, documents: Sequence[Document]) -> dict[str, Any]:
    """How many sentences a second the model annotates here, on its own, from some of them."""
    some, start = documents[:SPEED_DOCUMENTS], time.perf_counter()
    extractor.annotate(some)
    seconds = max(time.perf_counter() - start, 1e-6)
    device = "a GPU" if torch.cuda.is_available() else f"{extractor.annotator.backend.compute.threads} threads of a CPU"
    return {"sentences_per_second": round(len(some) / seconds), "device": device}


def _selecting(config: Config, select: Literal["best", "last"]) -> Config:
    training = config.training.model_copy(update={"select": select})
    return config.model_copy(update={"training": training})


def _ignore(event: Event) -> None:
    """Listen to nothing."""


def _inside(folder: Path | None, name: str) -> Path | None:
    return folder / name if folder is not None else None


@contextmanager
def _room(folder: Path | None, overwrite: bool, processes: Processes) -> Iterator[None]:
    """Make the output folder for a block; with `overwrite` checkpoints go from it. A finished model stays until the new one
    is saved. A run that is refused before it has written anything leaves no folder.

    A model beside checkpoints is what a killed run with `overwrite` leaves: that run may go on.
    """
    if folder is None:
        yield
        return
    with folder_to_fill(folder):
        check_replaceable(folder / "model", MODEL_FILES)
        checkpoints = [folder / name for name in CHECKPOINTS if (folder / name).exists()]
        if overwrite:
            for checkpoint in checkpoints if processes.main else ():
                shutil.rmtree(checkpoint)
        elif (folder / "model").exists() and not checkpoints:
            raise ModelError(f"{folder}: holds a finished model; give another --output (output=), or replace it with "
                             "--overwrite (overwrite=True)")
        yield


def _prepared(corpus: Corpus, relation_free: Sequence[Document], lenient: bool) -> Corpus:
    if "train" in corpus.splits and not corpus.train:
        raise DataError("there is nothing to train on: the train split holds no documents; see its file with conjoin check")
    if not corpus.train:
        raise DataError("there is nothing to train on: the data has no train split; name a file with --train, or call it "
                        "train.jsonl (or another ending)")
    train = _taggable((*corpus.train, *_unseen(relation_free, corpus)), lenient)
    return replace(corpus, splits={**corpus.splits, "train": train})


def _taggable(documents: Sequence[Document], lenient: bool) -> tuple[Document, ...]:
    """Documents without overlapping entities, which a tagger cannot learn; `lenient` keeps the longer."""
    if lenient:
        return tuple(keep_longer(document) for document in documents)
    for document in documents:
        _check_overlaps(document)
    return tuple(documents)


def _looked_at(corpus: Corpus) -> Corpus:
    return replace(corpus, splits={split: documents for split, documents in corpus.splits.items() if split in SPLITS})


def _mention_other_splits(corpus: Corpus) -> None:
    others = [f"'{split}' ({len(corpus.splits[split]):,} documents)" for split in sorted(corpus.splits.keys() - SPLITS)]
    if others:
        LOGGER.warning("splits other than train, dev and test are not looked at: %s; --relation-free (relation_free=) "
                       "trains on sentences of theirs that hold no relation", ", ".join(others))


def _mention_pairs_of_several_types(documents: Iterable[Document], config: Config) -> None:
    """Warn of pairs that have relations of several types, of which a softmax over types trains on one."""
    if config.relations.decision != "softmax":
        return
    symmetric = frozenset(config.symmetric)
    several = 0
    for document in documents:
        relations = {canonical(relation, symmetric) for relation in document.relations}
        types = Counter((relation.head, relation.tail) for relation in relations)
        several += sum(number > 1 for number in types.values())
    if several:
        LOGGER.warning("%d pairs of entities have relations of several types, of which relations.decision=softmax trains "
                       "on one; to train on all of them set relations.decision=sigmoid", several)


def _unseen(documents: Iterable[Document], corpus: Corpus) -> list[Document]:
    """Documents without relations whose text stands in no split, so that nothing leaks into dev or test."""
    # without white space: the same sentence in two files may be split into words differently
    known = {without_spaces(document.text) for document in corpus.documents}
    return [document for document in documents if not document.relations and without_spaces(document.text) not in known]


def chosen(documents: Sequence[Document], most: int | None, *, seed: int) -> list[Document]:
    """At most so many of the documents, drawn by seed, in their own order."""
    if most is None or most >= len(documents):
        return list(documents)
    kept = sorted(random.Random(seed).sample(range(len(documents)), most))
    return [documents[index] for index in kept]


def _check_overlaps(document: Document) -> None:
    for first, second in overlapping_pairs(document):
        raise DataError(f"document '{document.id}': the entities {first.type} '{first.text}' and {second.type} "
                        f"'{second.text}' overlap, and a tagger holds one entity per word; --lenient (lenient=True) trains "
                        "on the longer")


def count(documents: Sequence[Document]) -> dict[str, int]:
    """How many documents, entities and relations."""
    return {
        "documents": len(documents),
        "entities": sum(len(document.entities) for document in documents),
        "relations": sum(len(document.relations) for document in documents),
    }


def probe_cooccurrence(extractor: Extractor) -> dict[str, Any] | None:
    """How often a model invents relations between entities that merely co-occur in a sentence.

    `false_share`: of sentences without a relation, how many get one; `found_share`: of relations in closely similar
    sentences that state them, how many are found under `strict`. None for models of other types than the probe's.
    """
    cooccurring, related = cooccurrence_probe()
    types = {relation.type for document in related for relation in document.relations}
    if not types <= set(extractor.schema.relation_types):
        return None
    invented = sum(bool(document.relations) for document in extractor.annotate(cooccurring))
    found = sum(
        len(set(gold.relations) & set(predicted.relations))
        for gold, predicted in zip(related, extractor.annotate(related), strict=True)
    )
    return {
        "cooccurring": len(cooccurring),
        "related": len(related),
        "false_share": invented / len(cooccurring),
        "found_share": found / count(related)["relations"],
    }
