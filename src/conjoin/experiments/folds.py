"""Documents dealt into folds and parts, plainly or with the types spread evenly; what belongs together stays together."""

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
    """How test and dev parts are cut from a corpus.

    `folds`: each document is in the test part of one of so many folds; 0 keeps the splits of the corpus. `splits` names
    those that are dealt out, all when empty. `stratified` spreads the types evenly. `hold_out` is the share set aside
    before folding as the dev part of every fold (Crone 2020 on ADE); `dev_share` is the share of all folded documents
    that each fold takes for dev out of what it does not test on (Giorgi et al. 2019). Cuts follow `seed`.
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

    Raises `DataError` when there are fewer documents than folds, a named split is not there, or nothing to test on.
    """
    if not folding.folds:
        return {"test": _own_splits(corpus, folding)}
    documents = _dealt(corpus, folding.splits)
    held: tuple[Document, ...] = ()
    if folding.hold_out:
        rest, held = cut(documents, folding.hold_out, stratified=folding.stratified, seed=folding.seed)
        documents = list(rest)
    dealt = deal(documents, folding.folds, stratified=folding.stratified, seed=folding.seed)
    result = {}
    for number, tested in enumerate(map(set, dealt), start=1):
        test = tuple(document for place, document in enumerate(documents) if place in tested)
        train = tuple(document for place, document in enumerate(documents) if place not in tested)
        dev = held
        if folding.dev_share:
            share = min(0.99, folding.dev_share * len(documents) / len(train))
            train, dev = cut(train, share, stratified=folding.stratified, seed=folding.seed + number)
        result[f"fold{number}"] = Corpus({"train": train, "test": test} | ({"dev": dev} if dev else {}))
    return result


def _own_splits(corpus: Corpus, folding: Folding) -> Corpus:
    if not corpus.test:
        raise DataError("the data has no test split; give one (a file called test…), or --folds (folds=)")
    splits = {name: corpus.splits[name] for name in ("train", "dev", "test") if name in corpus.splits}
    if folding.dev_share and corpus.dev:
        raise SettingError("the data has a dev split, beside which dev_share has no use; leave it out, or give folds")
    if folding.dev_share:
        splits["train"], splits["dev"] = cut(
            corpus.train, folding.dev_share, stratified=folding.stratified, seed=folding.seed
        )
    return Corpus(splits, format=corpus.format)


def _dealt(corpus: Corpus, splits: Sequence[str]) -> list[Document]:
    for name in splits:
        if name not in corpus.splits:
            raise DataError(f"the data has no split '{name}' to fold; it has {', '.join(corpus.splits)}")
    return [document for name in (splits or corpus.splits) for document in corpus.splits[name]]


def cut(
    documents: Sequence[Document], share: float, *, stratified: bool, seed: int
) -> tuple[tuple[Document, ...], tuple[Document, ...]]:
    """The documents in two parts: the rest, and about that share of them, each in its own order."""
    sizes = [len(documents) - round(share * len(documents)), round(share * len(documents))]
    if share and not sizes[1]:
        raise DataError(f"{100 * share:g} % of {len(documents)} documents is none; give a larger share")
    rest, taken = _shared_out(documents, sizes, stratified=stratified, seed=seed)
    return tuple(documents[place] for place in rest), tuple(documents[place] for place in taken)


def deal(documents: Sequence[Document], count: int, *, stratified: bool, seed: int) -> list[list[int]]:
    """The places of the documents in so many parts of about equal size."""
    if len(documents) < count:
        raise DataError(f"{len(documents)} documents cannot be dealt into {count} folds; give fewer folds")
    sizes = [len(documents) // count + (number < len(documents) % count) for number in range(count)]
    return _shared_out(documents, sizes, stratified=stratified, seed=seed)


def _shared_out(
    documents: Sequence[Document], sizes: Sequence[int], *, stratified: bool, seed: int
) -> list[list[int]]:
    groups: dict[str, list[int]] = {}
    for number, document in enumerate(documents):
        groups.setdefault(_group(document, number), []).append(number)
    names = list(groups)
    random.Random(seed).shuffle(names)
    if stratified:
        labels = {name: Counter(label for n in groups[name] for label in _labels(documents[n])) for name in names}
        homes = _stratified([(len(groups[name]), labels[name]) for name in names], sizes)
    else:
        homes = _filled([len(groups[name]) for name in names], sizes)
    parts: list[list[int]] = [[] for _ in sizes]
    for name, home in zip(names, homes, strict=True):
        parts[home] += groups[name]
    if any(size and not part for size, part in zip(sizes, parts, strict=True)):
        raise DataError(f"{len(groups)} texts, some of several sentences, cannot be dealt into {len(sizes)} parts; give "
                        "fewer folds or another share")
    return [sorted(part) for part in parts]


def _group(document: Document, number: int) -> str:
    """What must not be torn apart: the documents of one text, whose ids are the text's with `#` and a number, and perhaps
    `@` and an annotator."""
    found = re.fullmatch(r"(.+?)#[0-9]+(@.*)?", document.id, re.DOTALL)
    return f"text {found[1]}" if found else f"number {number}"


def _labels(document: Document) -> set[str]:
    return {f"entity {entity.type}" for entity in document.entities} | {
        f"relation {relation.type}" for relation in document.relations
    }


def _filled(weights: Sequence[int], sizes: Sequence[int]) -> list[int]:
    """The part of each group: always the one that lacks most of its size, the first of equals."""
    lacking = [float(size) for size in sizes]
    homes = []
    for weight in weights:
        home = max(range(len(sizes)), key=lambda part: (lacking[part], -part))
        lacking[home] -= weight
        homes.append(home)
    return homes


def _stratified(groups: Sequence[tuple[int, Counter[str]]], sizes: Sequence[int]) -> list[int]:
    """The part of each group by iterative stratification (Sechidis et al. 2011): the rarest label that is left is dealt
    out first, each group that has it to the part that lacks it most, of equals the one that lacks most documents. A part
    that is full takes no more."""
    total = sum(sizes)
    every: Counter[str] = sum((labels for _, labels in groups), Counter())
    lacking = [float(size) for size in sizes]
    wanted = [{label: count * size / total for label, count in every.items()} for size in sizes]
    homes = [-1] * len(groups)

    def give(number: int, label: str | None) -> None:
        room = [part for part in range(len(sizes)) if lacking[part] > 0] or list(range(len(sizes)))
        home = max(room, key=lambda part: (wanted[part][label] if label else 0.0, lacking[part], -part))
        homes[number] = home
        lacking[home] -= groups[number][0]
        for found, times in groups[number][1].items():
            wanted[home][found] -= times

    having: dict[str, list[int]] = {}
    for number, (_, labels) in enumerate(groups):
        for label in labels:
            having.setdefault(label, []).append(number)
    left = {label: len(numbers) for label, numbers in having.items()}
    while left:
        rarest = min(left, key=lambda label: (left[label], label))
        for number in having[rarest]:
            if homes[number] < 0:
                give(number, rarest)
                for label in groups[number][1]:
                    left[label] -= 1
        del left[rarest]
        left = {label: count for label, count in left.items() if count > 0}
    for number in range(len(groups)):
        if homes[number] < 0:
            give(number, None)
    return homes
