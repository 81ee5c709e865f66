"""Statistics of a corpus in one pass: types, lengths, overlaps, argument types, texts in several splits."""

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
from conjoin.text.words import without_spaces

Signature = tuple[str, str, str]  # relation type, head type, tail type


@dataclass(slots=True)
class SplitCounts:
    """Counts of one split; lengths and distances are in words, a counter maps a type, length or number to its frequency.

    Args:
        signatures: Type of a relation and of its arguments → number of relations.
        both_ways: Type → relations whose reverse is annotated too.
        crossing: Pairs of entities that share words, neither inside the other.
        nested: Pairs of entities, one inside the other.
        same_words: Pairs of entities on the same words.
        overlapping_documents: Documents with such pairs.
        several_types: Pairs of entities with relations of several types.
    """

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
        relations = set(relations)
        for relation in relations:
            head, tail = relation.head, relation.tail
            self.relations[relation.type] += 1
            self.signatures[relation.type, head.type, tail.type] += 1
            self.distances[max(0, max(head.start, tail.start) - min(head.end, tail.end))] += 1
            self.both_ways[relation.type] += Relation(relation.type, tail, head) in relations
        pairs = Counter((relation.head, relation.tail) for relation in relations)
        self.several_types += sum(count > 1 for count in pairs.values())

    @property
    def overlaps(self) -> int:
        """Pairs of entities that share words."""
        return self.crossing + self.nested + self.same_words


@dataclass(slots=True)
class CorpusStatistics:
    """Counts of all splits, and repeated texts and ids.

    Args:
        splits: Counts by split.
        texts_in_several_splits: Names of splits → number of texts that occur in each of them.
        repeated_texts: Number of texts that occur more than once in a split.
        repeated_ids: Split → id → number of documents with it, for ids of several documents.
        ids_in_several_splits: As for texts; sentences of one text (`doc1#1`, `doc1#2`) count as the text.
    """

    splits: dict[str, SplitCounts] = field(default_factory=dict)
    texts_in_several_splits: dict[tuple[str, ...], int] = field(default_factory=dict)
    repeated_texts: int = 0
    repeated_ids: dict[str, Counter[str]] = field(default_factory=dict)
    ids_in_several_splits: dict[tuple[str, ...], int] = field(default_factory=dict)

    @property
    def total(self) -> SplitCounts:
        """All splits taken together."""
        return _sum(self.splits.values())

    def symmetric_candidates(self, min_share: float = 0.5) -> dict[str, float]:
        """Relation type → share of relations whose reverse is annotated too, from `min_share` on: perhaps symmetric."""
        total = self.total
        shares = {type: total.both_ways[type] / count for type, count in total.relations.items()}
        return {type: share for type, share in sorted(shares.items()) if share >= min_share}

    def unseen_types(self) -> dict[str, list[str]]:
        """Split → types that it has and the train split lacks."""
        if "train" not in self.splits:
            return {}
        entities, relations = self.splits["train"].entities, self.splits["train"].relations
        unseen = {name: sorted((counts.entities.keys() - entities.keys()) | (counts.relations.keys() - relations.keys()))
                  for name, counts in self.splits.items()}
        return {name: types for name, types in unseen.items() if types}

    def to_json(self) -> dict[str, Any]:
        """The statistics as JSON values."""
        return {"splits": {name: _split_json(counts) for name, counts in self.splits.items()},
                "texts_in_several_splits": [
                    {"splits": list(names), "texts": count} for names, count in sorted(self.texts_in_several_splits.items())
                ],
                "texts_repeated_within_a_split": self.repeated_texts,
                "ids_repeated_within_a_split": {name: len(ids) for name, ids in self.repeated_ids.items()},
                "ids_in_several_splits": [
                    {"splits": list(names), "ids": count} for names, count in sorted(self.ids_in_several_splits.items())
                ],
                "types_that_train_lacks": self.unseen_types(),
                "perhaps_symmetric": {type: round(share, 4) for type, share in self.symmetric_candidates().items()}}


def corpus_statistics(streams: Mapping[str, Iterable[Document]]) -> CorpusStatistics:
    """Count the documents of each split, one split after the other, without holding them in memory."""
    statistics = CorpusStatistics()
    text_splits: dict[bytes, tuple[str, ...]] = {}  # digest of a text → the splits that it occurs in
    id_splits: dict[bytes, tuple[str, ...]] = {}  # digest of the id of a whole text → the splits that it occurs in
    repeated: set[bytes] = set()
    for split, documents in streams.items():
        counts = statistics.splits[split] = SplitCounts()
        ids: set[bytes] = set()
        for document in documents:
            counts.add(document)
            if document.id:
                _add_id(document.id, split, ids, id_splits, statistics)
            text = _digest(without_spaces(document.text))
            if not _add_split(text_splits, text, split):
                repeated.add(text)
    statistics.texts_in_several_splits = _shared(text_splits)
    statistics.repeated_texts = len(repeated)
    statistics.ids_in_several_splits = _shared(id_splits)
    return statistics


def _add_id(id: str, split: str, ids: set[bytes], id_splits: dict[bytes, tuple[str, ...]],
            statistics: CorpusStatistics) -> None:
    """Count an id among the `ids` of its split, and its text among those of several splits."""
    key = _digest(id)
    if key in ids:
        counter = statistics.repeated_ids.setdefault(split, Counter())
        counter[id] = max(counter[id], 1) + 1
    ids.add(key)
    text = re.fullmatch(r"(.+?)#[0-9]+(?:@.*)?", id, re.DOTALL)  # the same rule as in cross-validation
    _add_split(id_splits, _digest(text[1] if text else id), split)


def _add_split(splits: dict[bytes, tuple[str, ...]], key: bytes, split: str) -> bool:
    """Add a split to those of a key; False when it is among them already."""
    others = splits.get(key, ())
    if split in others:
        return False
    splits[key] = (*others, split)
    return True


def _shared(splits: Mapping[bytes, tuple[str, ...]]) -> dict[tuple[str, ...], int]:
    return dict(Counter(names for names in splits.values() if len(names) > 1))


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def shared_id_remarks(statistics: CorpusStatistics) -> Iterator[str]:
    """A sentence on the ids that occur in several splits, for each combination of splits."""
    for names, count in statistics.ids_in_several_splits.items():
        ids = "1 id or text of several sentences (doc1#1, doc1#2) occurs" if count == 1 else (
            f"{count:,} ids or texts of several sentences (doc1#1, doc1#2) occur")
        yield f"{ids} in {' and '.join(names)}: check that no text is cut between them"


def limits(statistics: CorpusStatistics, *, decision: str, constrain: bool) -> Iterator[str]:
    """Sentences on what a model with these settings of its relation head cannot learn or predict."""
    total = statistics.total
    if total.overlaps:
        yield (f"{total.overlaps:,} pairs of entities share words in {total.overlapping_documents:,} documents; a tagger "
               "predicts one entity a word (--lenient trains on the longer, overlap=keep-longer reads the longer only)")
    if total.several_types and decision == "softmax":
        yield (f"{total.several_types:,} pairs of entities have relations of several types, of which "
               "relations.decision=softmax predicts one (relations.decision=sigmoid predicts all)")
    train = statistics.splits.get("train")
    if constrain and train is not None:
        known = train.signatures.keys()
        unseen = sum(count for name, counts in statistics.splits.items() if name != "train"
                     for signature, count in counts.signatures.items() if signature not in known)
        if unseen:
            yield (f"{unseen:,} relations outside of train connect types that their type never connects in train; "
                   "relations.constrain=true cannot predict them")
    for name, types in statistics.unseen_types().items():
        yield f"{name} has types that train lacks, which no model can learn: {', '.join(types)}"


def unknown_types(statistics: CorpusStatistics, schema: Schema) -> Iterator[str]:
    """Sentences on types and argument types of the corpus that a trained model does not know."""
    total = statistics.total
    for what, counter, known in (("entity", total.entities, schema.entity_types),
                                 ("relation", total.relations, schema.relation_types)):
        for type in sorted(counter.keys() - set(known)):
            yield f"{counter[type]:,} annotations are of the {what} type {type}, which the model does not know"
    excluded = sum(count for (type, head, tail), count in total.signatures.items()
                 if type in schema.relation_types and not schema.allows(type, head, tail))
    if excluded:
        yield f"{excluded:,} relations connect types that their type does not connect in the model"


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
    return {"documents": counts.documents,
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
            "pairs_of_several_relation_types": counts.several_types}


def _sorted(counter: Counter[int]) -> dict[str, int]:
    return {str(value): count for value, count in sorted(counter.items())}
