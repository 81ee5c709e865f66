"""Folds and other parts of a corpus, at random or stratified by types; the sentences of one text stay together."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from conjoin.document import Corpus, Document
from conjoin.errors import DataError, SettingError

DevUse = Literal["choose", "retrain", "join"]


@dataclass(frozen=True, slots=True)
class Folding:
    """How test and dev parts are made of a corpus.

    Attributes:
        folds: Number of folds, each of which tests on other documents; 0 keeps the splits of the corpus.
        splits: Names of the splits that are folded; all when empty.
        stratified: Spread the types evenly.
        hold_out: Share set aside before folding, the dev part of every fold (Crone 2020 on ADE).
        dev_share: Share of all folded documents that each fold takes for dev, from those that it does not test on (Giorgi
            et al. 2019).
    """

    folds: int = 0
    splits: tuple[str, ...] = ()
    stratified: bool = False
    hold_out: float = 0.0
    dev_share: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.folds < 0 or self.folds == 1:
            raise SettingError(f"folds = {self.folds}: give 2 or more, or 0 for the splits of the corpus")
        for name, share in (("hold_out", self.hold_out), ("dev_share", self.dev_share)):
            if not 0 <= share < 1:
                raise SettingError(f"{name} = {share}: a share lies between 0 and 1")
        if self.hold_out and self.dev_share:
            raise SettingError("hold_out and dev_share both make a dev part; give one of them")
        if not self.folds and (self.hold_out or self.splits):
            raise SettingError("hold_out and splits are for folds; give folds too")
        if self.folds and self.dev_share + 1 / self.folds >= 1:
            raise SettingError(f"dev_share = {self.dev_share} and {self.folds} folds leave nothing to train on")


def parts(corpus: Corpus, folding: Folding) -> dict[str, Corpus]:
    """The corpora that a model is trained and scored on, by name: `fold1` …, or `test` for the corpus' own splits.

    Raises:
        DataError: There are fewer documents than folds, a named split is not there, or there is nothing to test on.
    """
    if not folding.folds:
        return {"test": _own_splits(corpus, folding)}
    documents = _folded_documents(corpus, folding.splits)
    held_out: tuple[Document, ...] = ()
    if folding.hold_out:
        rest, held_out = split_off(documents, folding.hold_out, stratified=folding.stratified, seed=folding.seed)
        documents = list(rest)
    tests = fold_places(documents, folding.folds, stratified=folding.stratified, seed=folding.seed)
    result = {}
    for number, places in enumerate(map(set, tests), start=1):
        test = tuple(document for place, document in enumerate(documents) if place in places)
        train = tuple(document for place, document in enumerate(documents) if place not in places)
        dev = held_out
        if folding.dev_share:
            share = min(0.99, folding.dev_share * len(documents) / len(train))
            train, dev = split_off(train, share, stratified=folding.stratified, seed=folding.seed + number)
        result[f"fold{number}"] = Corpus({"train": train, "test": test} | ({"dev": dev} if dev else {}))
    return result


def _own_splits(corpus: Corpus, folding: Folding) -> Corpus:
    if not corpus.test:
        raise DataError("the data has no test split; give one (a file called test…), or --folds (folds=)")
    splits = {name: corpus.splits[name] for name in ("train", "dev", "test") if name in corpus.splits}
    if folding.dev_share and corpus.dev:
        raise SettingError("the data has a dev split, beside which dev_share has no use; leave it out, or give folds")
    if folding.dev_share:
        splits["train"], splits["dev"] = split_off(
            corpus.train, folding.dev_share, stratified=folding.stratified, seed=folding.seed
        )
    return Corpus(splits, format=corpus.format)


def _folded_documents(corpus: Corpus, splits: Sequence[str]) -> list[Document]:
    for name in splits:
        if name not in corpus.splits:
            raise DataError(f"the data has no split '{name}' to fold; it has {', '.join(corpus.splits)}")
    return [document for name in (splits or corpus.splits) for document in corpus.splits[name]]


def split_off(
    documents: Sequence[Document], share: float, *, stratified: bool, seed: int
) -> tuple[tuple[Document, ...], tuple[Document, ...]]:
    """The documents in two parts: the rest, and about that share of them, each in its own order."""
    sizes = [len(documents) - round(share * len(documents)), round(share * len(documents))]
    if share and not sizes[1]:
        raise DataError(f"{100 * share:g} % of {len(documents)} documents is none; give a larger share")
    places = _assign(documents, sizes, stratified=stratified, seed=seed)
    rest, part = (tuple(documents[place] for place in members) for members in places)
    return rest, part


def fold_places(documents: Sequence[Document], count: int, *, stratified: bool, seed: int) -> list[list[int]]:
    """The indices of the test documents of each of `count` folds, of about equal size."""
    if len(documents) < count:
        raise DataError(f"{len(documents)} documents cannot be divided into {count} folds; give fewer folds")
    sizes = [len(documents) // count + (number < len(documents) % count) for number in range(count)]
    return _assign(documents, sizes, stratified=stratified, seed=seed)


def _assign(documents: Sequence[Document], sizes: Sequence[int], *, stratified: bool, seed: int) -> list[list[int]]:
    """The indices of the documents in parts of about these sizes, each in order."""
    groups: dict[str, list[int]] = {}
    for number, document in enumerate(documents):
        groups.setdefault(_group(document, number), []).append(number)
    names = list(groups)
    random.Random(seed).shuffle(names)
    if stratified:
        labels = {name: Counter(label for n in groups[name] for label in _labels(documents[n])) for name in names}
        part_of = _stratified([(len(groups[name]), labels[name]) for name in names], sizes)
    else:
        part_of = _filled([len(groups[name]) for name in names], sizes)
    parts: list[list[int]] = [[] for _ in sizes]
    for name, part in zip(names, part_of, strict=True):
        parts[part] += groups[name]
    if any(size and not members for size, members in zip(sizes, parts, strict=True)):
        raise DataError(f"{len(groups)} texts, some of several sentences, cannot be divided into {len(sizes)} parts; give "
                        "fewer folds or another share")
    return [sorted(members) for members in parts]


def _group(document: Document, number: int) -> str:
    """The group of documents that must stay together: those of one text, whose ids are the text's with `#` and a number,
    and perhaps `@` and an annotator."""
    match = re.fullmatch(r"(.+?)#[0-9]+(@.*)?", document.id, re.DOTALL)
    return f"text {match[1]}" if match else f"number {number}"


def _labels(document: Document) -> set[str]:
    return {f"entity {entity.type}" for entity in document.entities} | {
        f"relation {relation.type}" for relation in document.relations
    }


def _filled(weights: Sequence[int], sizes: Sequence[int]) -> list[int]:
    """The part of each group: always the one that lacks most of its size, the first of equals."""
    lacking = [float(size) for size in sizes]
    result = []
    for weight in weights:
        part = max(range(len(sizes)), key=lambda part: (lacking[part], -part))
        lacking[part] -= weight
        result.append(part)
    return result


def _stratified(groups: Sequence[tuple[int, Counter[str]]], sizes: Sequence[int]) -> list[int]:
    """The part of each group by iterative stratification (Sechidis et al. 2011).

    The groups with the rarest label come first, each to the part that lacks that label most, of equals to the one that
    lacks most documents. A full part takes no more. Groups without labels come last.
    """
    parts = _Parts(groups, sizes)
    left = dict(Counter(label for _, labels in groups for label in labels))  # groups without a part yet, by label
    while left:
        rarest = min(left, key=lambda label: (left[label], label))
        for number, (_, labels) in enumerate(groups):
            if rarest in labels and parts.part_of[number] < 0:
                parts.add(number, rarest)
                for label in labels:
                    left[label] -= 1
        left = {label: count for label, count in left.items() if count > 0 and label != rarest}
    for number in range(len(groups)):
        if parts.part_of[number] < 0:
            parts.add(number, None)
    return parts.part_of


class _Parts:
    """Parts that groups of documents are added to, with what each part still lacks."""

    def __init__(self, groups: Sequence[tuple[int, Counter[str]]], sizes: Sequence[int]) -> None:
        total = sum(sizes)
        counts: Counter[str] = sum((labels for _, labels in groups), Counter())
        self.groups = groups
        self.part_of = [-1] * len(groups)
        self.documents = [float(size) for size in sizes]  # that a part lacks
        self.labels = [{label: count * size / total for label, count in counts.items()} for size in sizes]

    def add(self, number: int, label: str | None) -> None:
        """Add a group to the part that lacks most of a label, or most documents."""
        parts = range(len(self.documents))
        not_full = [part for part in parts if self.documents[part] > 0] or list(parts)
        part = max(not_full, key=lambda part: (self.labels[part][label] if label else 0.0, self.documents[part], -part))
        self.part_of[number] = part
        size, labels = self.groups[number]
        self.documents[part] -= size
        for name, count in labels.items():
            self.labels[part][name] -= count
