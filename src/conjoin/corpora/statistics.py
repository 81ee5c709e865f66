"""What a corpus holds, counted in one pass: balance, lengths, overlaps, leakage, which types relations connect."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from conjoin.document import Document, Relation
from conjoin.schema import Schema
from conjoin.text.words import squeezed

Signature = tuple[str, str, str]  # relation type, head type, tail type


@dataclass(slots=True)
class SplitCounts:
    """What one split holds. Lengths and distances are in words; counters go from a value to how often it occurs."""

    documents: int = 0
    words: int = 0
    entities: Counter[str] = field(default_factory=Counter)
    relations: Counter[str] = field(default_factory=Counter)
    document_lengths: Counter[int] = field(default_factory=Counter)
    entity_lengths: Counter[int] = field(default_factory=Counter)
    entities_per_document: Counter[int] = field(default_factory=Counter)
    relations_per_document: Counter[int] = field(default_factory=Counter)
    distances: Counter[int] = field(default_factory=Counter)
    signatures: Counter[Signature] = field(default_factory=Counter)
    both_ways: Counter[str] = field(default_factory=Counter)
    crossing: int = 0
    nested: int = 0
    same_words: int = 0
    overlapping_documents: int = 0
    several_types: int = 0

    def add(self, document: Document) -> None:
        """Count one document."""
        self.documents += 1
        self.words += len(document.tokens)
        self.document_lengths[len(document.tokens)] += 1
        self.entities_per_document[len(document.entities)] += 1
        self.relations_per_document[len(document.relations)] += 1
        for entity in document.entities:
            self.entities[entity.type] += 1
            self.entity_lengths[entity.end - entity.start] += 1
        self._add_overlaps(document)
        self._add_relations(document.relations)

    def _add_overlaps(self, document: Document) -> None:
        """Pairs of entities that share words: of the same words, one inside the other, or crossing."""
        spans = sorted((entity.start, entity.end) for entity in document.entities)
        if all(first[1] <= second[0] for first, second in pairwise(spans)):
            return
        self.overlapping_documents += 1
        for index, (start, end) in enumerate(spans):
            for other_start, other_end in spans[index + 1 :]:
                if other_start >= end:
                    break
                if (start, end) == (other_start, other_end):
                    self.same_words += 1
                elif start == other_start or other_end <= end:
                    self.nested += 1
                else:
                    self.crossing += 1

    def _add_relations(self, relations: Iterable[Relation]) -> None:
        found = set(relations)
        for relation in found:
            head, tail = relation.head, relation.tail
            self.relations[relation.type] += 1
            self.signatures[relation.type, head.type, tail.type] += 1
            self.distances[max(0, max(head.start, tail.start) - min(head.end, tail.end))] += 1
            self.both_ways[relation.type] += Relation(relation.type, tail, head) in found
        pairs = Counter((relation.head, relation.tail) for relation in found)
        self.several_types += sum(count > 1 for count in pairs.values())

    @property
    def overlaps(self) -> int:
        """Pairs of entities that share words."""
        return self.crossing + self.nested + self.same_words


@dataclass(slots=True)
class Inspection:
    """What all splits hold, and how many texts stand in it more than once.

    `leaking`: those that stand in several splits, by the splits they stand in, in the order of the splits.
    `repeated_within`: those that stand in one split more than once. `repeated_ids`: ids that several documents of a split
    have, by split, with how many. `torn`: ids that stand in several splits, as texts do in `leaking`; sentences of one text
    (`doc1#1`, `doc1#2`) count as the text.
    """

    splits: dict[str, SplitCounts] = field(default_factory=dict)
    leaking: dict[tuple[str, ...], int] = field(default_factory=dict)
    repeated_within: int = 0
    repeated_ids: dict[str, Counter[str]] = field(default_factory=dict)
    torn: dict[tuple[str, ...], int] = field(default_factory=dict)

    @property
    def total(self) -> SplitCounts:
        """All splits taken together."""
        return _sum(self.splits.values())

    def symmetric_candidates(self, least: float = 0.5) -> dict[str, float]:
        """Relation types that hold both ways in at least this share of cases, with that share: perhaps symmetric."""
        total = self.total
        shares = {type: total.both_ways[type] / count for type, count in total.relations.items()}
        return {type: share for type, share in sorted(shares.items()) if share >= least}

    def unseen_types(self) -> dict[str, list[str]]:
        """Types of other splits that the train split lacks, by split."""
        if "train" not in self.splits:
            return {}
        entities, relations = self.splits["train"].entities, self.splits["train"].relations
        found = {
            name: sorted((counts.entities.keys() - entities.keys()) | (counts.relations.keys() - relations.keys()))
            for name, counts in self.splits.items()
        }
        return {name: types for name, types in found.items() if types}

    def to_json(self) -> dict[str, Any]:
        """Plain values; counters by text keys, signatures as lists."""
        return {
            "splits": {name: _split_json(counts) for name, counts in self.splits.items()},
            "texts_in_several_splits": [
                {"splits": list(names), "texts": count} for names, count in sorted(self.leaking.items())
            ],
            "texts_repeated_within_a_split": self.repeated_within,
            "ids_repeated_within_a_split": {name: len(ids) for name, ids in self.repeated_ids.items()},
            "ids_in_several_splits": [{"splits": list(names), "ids": count} for names, count in sorted(self.torn.items())],
            "types_that_train_lacks": self.unseen_types(),
            "perhaps_symmetric": {type: round(share, 4) for type, share in self.symmetric_candidates().items()},
        }


def inspect(streams: Mapping[str, Iterable[Document]]) -> Inspection:
    """Count the documents of each split, one after the other; none is kept."""
    inspection = Inspection()
    homes: dict[bytes, tuple[str, ...]] = {}  # digest of a text → the splits it stands in, each once
    again: set[bytes] = set()
    parted: dict[bytes, tuple[str, ...]] = {}  # digest of a text's id → the splits it stands in, each once
    for name, documents in streams.items():
        counts = inspection.splits[name] = SplitCounts()
        met: set[bytes] = set()
        for document in documents:
            counts.add(document)
            if document.id:
                _add_id(document.id, name, met, parted, inspection)
            key = _digest(squeezed(document.text))
            before = homes.get(key, ())
            if name in before:
                again.add(key)
            else:
                homes[key] = (*before, name)
    inspection.leaking = dict(Counter(names for names in homes.values() if len(names) > 1))
    inspection.repeated_within = len(again)
    inspection.torn = dict(Counter(names for names in parted.values() if len(names) > 1))
    return inspection


def _add_id(id: str, split: str, met: set[bytes], parted: dict[bytes, tuple[str, ...]], inspection: Inspection) -> None:
    """Count an id among those `met` in its split, and its text among those of several splits."""
    key = _digest(id)
    if key in met:
        ids = inspection.repeated_ids.setdefault(split, Counter())
        ids[id] = max(ids[id], 1) + 1
    met.add(key)
    text = re.fullmatch(r"(.+?)#[0-9]+(?:@.*)?", id, re.DOTALL)  # as folds have it
    home = _digest(text[1] if text else id)
    before = parted.get(home, ())
    if split not in before:
        parted[home] = (*before, split)


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def torn_texts(inspection: Inspection) -> Iterator[str]:
    """What is said of ids that stand in several splits, each as a sentence."""
    for names, count in inspection.torn.items():
        ids = "1 id or text of several sentences (doc1#1, doc1#2) stands" if count == 1 else (
            f"{count:,} ids or texts of several sentences (doc1#1, doc1#2) stand")
        yield f"{ids} in {' and '.join(names)}: see that no text was cut between them"


def limits(inspection: Inspection, *, decision: str, constrain: bool) -> Iterator[str]:
    """What a model with these settings of its relation head cannot learn or give of a corpus, each as a sentence."""
    total = inspection.total
    if total.overlaps:
        yield (f"{total.overlaps:,} pairs of entities share words in {total.overlapping_documents:,} documents; a tagger "
               "holds one entity a word (--lenient trains on the longer, overlap=keep-longer reads it alone)")
    if total.several_types and decision == "softmax":
        yield (f"{total.several_types:,} pairs of entities have relations of several types, of which "
               "relations.decision=softmax holds one (relations.decision=sigmoid holds all)")
    train = inspection.splits.get("train")
    if constrain and train is not None:
        known = train.signatures.keys()
        unseen = sum(
            count for name, counts in inspection.splits.items() if name != "train"
            for signature, count in counts.signatures.items() if signature not in known
        )
        if unseen:
            yield (f"{unseen:,} relations outside of train connect types that their type never connects in train; "
                   "relations.constrain=true cannot give them")
    for name, types in inspection.unseen_types().items():
        yield f"{name} has types that train lacks, which no model can learn: {', '.join(types)}"


def unknown_to(inspection: Inspection, schema: Schema) -> Iterator[str]:
    """What a trained model cannot give of a corpus, each as a sentence: types and argument types it does not know."""
    total = inspection.total
    for what, counter, known in (("entity", total.entities, schema.entity_types),
                                 ("relation", total.relations, schema.relation_types)):
        for type in sorted(counter.keys() - set(known)):
            yield f"{counter[type]:,} annotations are of the {what} type {type}, which the model does not know"
    barred = sum(count for (type, head, tail), count in total.signatures.items()
                 if type in schema.relation_types and not schema.allows(type, head, tail))
    if barred:
        yield f"{barred:,} relations connect types that the model never saw connected by their type"


def _sum(parts: Iterable[SplitCounts]) -> SplitCounts:
    total = SplitCounts()
    for part in parts:
        for name in SplitCounts.__slots__:
            value = getattr(total, name)
            if isinstance(value, Counter):
                value.update(getattr(part, name))
            else:
                setattr(total, name, value + getattr(part, name))
    return total


def _split_json(counts: SplitCounts) -> dict[str, Any]:
    return {
        "documents": counts.documents,
        "words": counts.words,
        "entities": dict(sorted(counts.entities.items())),
        "relations": dict(sorted(counts.relations.items())),
        "document_lengths": _sorted(counts.document_lengths),
        "entity_lengths": _sorted(counts.entity_lengths),
        "entities_per_document": _sorted(counts.entities_per_document),
        "relations_per_document": _sorted(counts.relations_per_document),
        "words_between_arguments": _sorted(counts.distances),
        "argument_types": [
            {"relation": type, "head": head, "tail": tail, "count": count}
            for (type, head, tail), count in sorted(counts.signatures.items())
        ],
        "overlaps": {"same_words": counts.same_words, "nested": counts.nested, "crossing": counts.crossing,
                     "documents": counts.overlapping_documents},
        "pairs_of_several_relation_types": counts.several_types,
    }


def _sorted(counter: Counter[int]) -> dict[str, int]:
    return {str(value): count for value, count in sorted(counter.items())}
