"""Scores of predicted against gold documents: four match rules, micro, macro and per type, all at once.

| match | an entity counts when | a relation counts when |
|---|---|---|
| `strict` | type and span are equal | type, direction, both spans and both entity types are equal |
| `boundaries` | the span is equal | type, direction and both spans are equal |
| `relaxed` | the type is equal and a word is shared | type and direction are equal, both arguments match relaxed |
| `last-word` | type and last word are equal | type and direction are equal, both arguments match by last word |

Both sides are counted: precision is the share of predicted items that match, recall the share of gold items that match,
so a gold relation whose entities were not predicted is a miss. Items that are equal under a match count once.
"""

from __future__ import annotations

import statistics
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import accumulate
from typing import Any, Literal, get_args

from conjoin.document import Document, Entity
from conjoin.errors import DataError

Match = Literal["strict", "boundaries", "relaxed", "last-word"]
MATCHES: tuple[Match, ...] = get_args(Match)
Average = Literal["micro", "macro"]

_Span = tuple[str, int, int]  # entity type, start, end
_Item = tuple[Any, ...]  # what a match compares of an entity or relation, its type first
_Link = tuple[str, _Span, _Span]  # relation type, head, tail


@dataclass(frozen=True, slots=True)
class Score:
    """Precision, recall and F1 as fractions of 1, where 0/0 is 0, with the counts behind them.

    `support` counts gold items, `predicted` predicted items, `correct` the predicted items that match. A macro score
    carries the counts of the micro score.
    """

    precision: float
    recall: float
    f1: float
    support: int
    predicted: int
    correct: int


@dataclass(frozen=True, slots=True)
class MatchScores:
    """The scores under one match: `micro` over all items, `macro` the mean of `per_type`.

    `per_type` has a row for every type seen in gold or prediction. Under the match `boundaries` an entity's type is not
    compared: `micro` is over spans, two types on one span counting once, and the row of a type has the precision of the
    entities predicted with it and the recall of the gold entities that have it.
    """

    micro: Score
    macro: Score
    per_type: Mapping[str, Score]


@dataclass(frozen=True, slots=True)
class Report:
    """Entity and relation scores by match: `report.entities["strict"].micro.f1`.

    `print(report)` shows a table.
    """

    entities: Mapping[str, MatchScores]
    relations: Mapping[str, MatchScores]

    def __repr__(self) -> str:
        figures = (f"{task} {100 * getattr(self, task)['strict'].micro.f1:.2f} %" for task in ("entities", "relations"))
        return f"Report(strict micro F1: {', '.join(figures)})"

    def to_json(self) -> dict[str, Any]:
        """`{"entities": {match: {"micro": score, "macro": score, "per_type": {type: score}}}, "relations": …}`."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Report:
        """The inverse of `to_json`; raises `DataError` when a key is missing or has another shape."""
        try:
            return cls(_scores_from_json(value["entities"]), _scores_from_json(value["relations"]))
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(f"report: {type(error).__name__} at {error}; it needs entities and relations, in each "
                            f"{', '.join(MATCHES)}, in each of these micro, macro and per_type") from error

    def __str__(self) -> str:
        return self.table("entities", "relations")

    def table(self, *tasks: Literal["entities", "relations"]) -> str:
        """The table of some tasks, such as `table("relations")` for predictions with gold entities."""
        rows = [row for task in tasks for row in _rows(task, getattr(self, task))]
        width = max(len(name) for _, name, _ in rows)
        lines: list[str] = []
        for match, name, score in rows:
            label = f"{match:<12}{name:<{width}}"
            if score is None:
                lines += ["", f"{label}{'P':>8}{'R':>8}{'F1':>8}{'gold':>8}{'predicted':>11}{'correct':>9}"]
                continue
            figures = "".join(f"{100 * figure:8.2f}" for figure in (score.precision, score.recall, score.f1))
            lines.append(f"{label}{figures}{score.support:8}{score.predicted:11}{score.correct:9}")
        lines += ["",
                  "P, R and F1 in per cent; the first column names the match, the second the average or the type;",
                  "macro is the mean over the types seen in gold or prediction."]
        return "\n".join(lines[1:])


def _rows(title: str, scores: Mapping[str, MatchScores]) -> list[tuple[str, str, Score | None]]:
    """Match, name and score of each row; a row without score is a heading."""
    strict = scores["strict"]
    rows: list[tuple[str, str, Score | None]] = [(title, "", None)]
    rows += [("strict", "micro", strict.micro), ("strict", "macro", strict.macro)]
    rows += [("strict", type, score) for type, score in strict.per_type.items()]
    rows += [(match, "micro", scores[match].micro) for match in MATCHES if match != "strict"]
    return rows


def _scores_from_json(value: Mapping[str, Any]) -> dict[str, MatchScores]:
    return {
        match: MatchScores(
            Score(**value[match]["micro"]),
            Score(**value[match]["macro"]),
            {type: Score(**score) for type, score in value[match]["per_type"].items()},
        )
        for match in MATCHES
    }


def score(gold: Sequence[Document], predicted: Sequence[Document], *, symmetric: frozenset[str] = frozenset(),
          characters: bool = False) -> Report:
    """Compare predicted with gold documents, paired by position, under every match.

    Args:
        gold: Annotated documents.
        predicted: The same documents with predictions.
        symmetric: Relation types that count once, in either direction.
        characters: Compare spans by `char_start` and `char_end`, for documents that are split into other words. The
            match `last-word` then compares `char_end`, and `relaxed` needs a shared character. A full stop at the end
            of a span is ignored, as it may belong to the name (`Calif.`) or to the sentence.

    Returns:
        Scores by match for entities and relations.

    Raises:
        DataError: When the numbers of documents, the texts of a pair, or (without `characters`) its words differ.

    Examples:
        >>> report = score(corpus.test, extractor.annotate(corpus.test))
        >>> print(report)
    """
    _check_pairs(gold, predicted, characters=characters)
    entities = {match: _Tally() for match in MATCHES}
    relations = {match: _Tally() for match in MATCHES}
    for pair in zip(gold, predicted, strict=True):
        _count_entities(entities, *({_span(entity, characters) for entity in document.entities} for document in pair))
        gold_links, predicted_links = (_links(document, characters, symmetric) for document in pair)
        _count_relations(relations, gold_links, predicted_links, symmetric)
    return Report({match: tally.scores() for match, tally in entities.items()},
                  {match: tally.scores() for match, tally in relations.items()})


def document_counts(gold: Sequence[Document], predicted: Sequence[Document], *,
                    symmetric: frozenset[str] = frozenset()) -> dict[str, list[list[int]]]:
    """Task → for each document the numbers of gold, predicted and correct items under `strict`.

    Significance tests compare two systems by them. Raises `DataError` as `score` does.
    """
    _check_pairs(gold, predicted, characters=False)
    counts: dict[str, list[list[int]]] = {"entities": [], "relations": []}
    for left, right in zip(gold, predicted, strict=True):
        spans = [{_span(entity, False) for entity in document.entities} for document in (left, right)]
        links = [_links(document, False, symmetric) for document in (left, right)]
        for task, (ours, theirs) in (("entities", spans), ("relations", links)):
            counts[task].append([len(ours), len(theirs), len(ours & theirs)])
    return counts


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    """The mean and the sample standard deviation (divisor n - 1), which is 0.0 for one value.

    Raises `DataError` when there are no values.
    """
    if not values:
        raise DataError("there are no values to average; score at least one run")
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0


def _check_pairs(gold: Sequence[Document], predicted: Sequence[Document], *, characters: bool) -> None:
    if len(gold) != len(predicted):
        raise DataError(f"{len(gold)} gold documents but {len(predicted)} predicted ones; "
                        "give one predicted document for each gold one, in the same order")
    for index, (left, right) in enumerate(zip(gold, predicted, strict=True)):
        pair = f"pair {index} (gold '{left.id}', predicted '{right.id}')"
        if left.text != right.text:
            raise DataError(f"{pair}: the texts differ; give the predicted documents in the order of the gold ones")
        if not characters and left.tokens != right.tokens:
            raise DataError(f"{pair}: the texts are equal but split into words differently; "
                            "compare by characters (characters=True)")


@dataclass(slots=True)
class _Counts:
    """Gold items and those of them that are recalled, predicted items and those of them that are correct."""

    gold: int = 0
    recalled: int = 0
    predicted: int = 0
    correct: int = 0

    def add(self, gold: int, recalled: int, predicted: int, correct: int) -> None:
        self.gold += gold
        self.recalled += recalled
        self.predicted += predicted
        self.correct += correct

    def score(self) -> Score:
        precision, recall = _ratio(self.correct, self.predicted), _ratio(self.recalled, self.gold)
        return Score(precision, recall, _ratio(2 * precision * recall, precision + recall),
                     self.gold, self.predicted, self.correct)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


@dataclass(slots=True)
class _Tally:
    """The counts under one match, in all and by type."""

    micro: _Counts = field(default_factory=_Counts)
    per_type: defaultdict[str, _Counts] = field(default_factory=lambda: defaultdict(_Counts))

    def add_equal(self, gold: set[Any], predicted: set[Any]) -> None:
        """Count items that match when they are equal."""
        both = gold & predicted
        self.add(gold, both, predicted, both)

    def add(self, gold: Collection[_Item], recalled: Collection[_Item], predicted: Collection[_Item],
            correct: Collection[_Item]) -> None:
        """Count the items of both sides, and of each side those that match, in all and by type."""
        self.micro.add(len(gold), len(recalled), len(predicted), len(correct))
        self.add_types(gold, recalled, predicted, correct)

    def add_types(self, gold: Iterable[_Item], recalled: Iterable[_Item], predicted: Iterable[_Item],
                  correct: Iterable[_Item]) -> None:
        for item in gold:
            self.per_type[item[0]].gold += 1
        for item in recalled:
            self.per_type[item[0]].recalled += 1
        for item in predicted:
            self.per_type[item[0]].predicted += 1
        for item in correct:
            self.per_type[item[0]].correct += 1

    def scores(self) -> MatchScores:
        per_type = {type: self.per_type[type].score() for type in sorted(self.per_type)}
        micro = self.micro.score()
        macro = Score(_mean(score.precision for score in per_type.values()),
                      _mean(score.recall for score in per_type.values()), _mean(score.f1 for score in per_type.values()),
                      micro.support, micro.predicted, micro.correct)
        return MatchScores(micro, macro, per_type)


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return statistics.fmean(listed) if listed else 0.0


def _span(entity: Entity, characters: bool) -> _Span:
    if characters:
        return (entity.type, entity.char_start, entity.char_end - (len(entity.text) > 1 and entity.text.endswith(".")))
    return (entity.type, entity.start, entity.end)


def _links(document: Document, characters: bool, symmetric: frozenset[str]) -> set[_Link]:
    return {_ordered(relation.type, _span(relation.head, characters), _span(relation.tail, characters), symmetric)
            for relation in document.relations}


def _ordered(type: str, head: _Item, tail: _Item, symmetric: frozenset[str]) -> tuple[str, Any, Any]:
    """The relation with its arguments in a fixed order if it is symmetric.

    The order is that of the compared values, not of the entities as in `schema.canonical`: of two nested entities the
    first by position need not be the first by last word.
    """
    if type in symmetric and tail < head:
        head, tail = tail, head
    return type, head, tail


def _count_entities(tallies: Mapping[Match, _Tally], gold: set[_Span], predicted: set[_Span]) -> None:
    tallies["strict"].add_equal(gold, predicted)
    tallies["last-word"].add_equal({(type, end) for type, _, end in gold}, {(type, end) for type, _, end in predicted})

    gold_overlaps, predicted_overlaps = _Overlaps(gold), _Overlaps(predicted)
    recalled = [span for span in gold if predicted_overlaps.of(span)]
    correct = [span for span in predicted if gold_overlaps.of(span)]
    tallies["relaxed"].add(gold, recalled, predicted, correct)

    gold_places, predicted_places = {span[1:] for span in gold}, {span[1:] for span in predicted}
    both = gold_places & predicted_places
    recalled = [span for span in gold if span[1:] in both]
    correct = [span for span in predicted if span[1:] in both]
    tallies["boundaries"].add_types(gold, recalled, predicted, correct)
    tallies["boundaries"].micro.add(len(gold_places), len(both), len(predicted_places), len(both))


def _count_relations(tallies: Mapping[Match, _Tally], gold: set[_Link], predicted: set[_Link],
                     symmetric: frozenset[str]) -> None:
    compared: dict[Match, Callable[[_Span], tuple[Any, ...]]] = {
        "strict": lambda span: span,
        "boundaries": lambda span: span[1:],
        "last-word": lambda span: (span[0], span[2]),
    }
    for match, part in compared.items():
        tallies[match].add_equal({_ordered(type, part(head), part(tail), symmetric) for type, head, tail in gold},
                                 {_ordered(type, part(head), part(tail), symmetric) for type, head, tail in predicted})
    recalled, correct = _related(gold, predicted, symmetric), _related(predicted, gold, symmetric)
    tallies["relaxed"].add(gold, recalled, predicted, correct)


def _related(links: set[_Link], others: set[_Link], symmetric: frozenset[str]) -> list[_Link]:
    """The links that match one of the others relaxed."""
    tails: dict[tuple[str, _Span], list[_Span]] = {}
    for type, head, tail in others:
        tails.setdefault((type, head), []).append(tail)
        if type in symmetric:
            tails.setdefault((type, tail), []).append(head)
    heads = _Overlaps({head for _, head in tails})
    return [(type, head, tail) for type, head, tail in links
            if any(_overlap(tail, other) for near in heads.of(head) for other in tails.get((type, near), ()))]


def _overlap(left: _Span, right: _Span) -> bool:
    return left[0] == right[0] and left[1] < right[2] and right[1] < left[2]


class _Overlaps:
    """Finds the spans of a set that overlap a span by binary search: sorted by type and start."""

    def __init__(self, spans: Iterable[_Span]) -> None:
        self._spans: dict[str, list[_Span]] = {}
        for span in sorted(spans):
            self._spans.setdefault(span[0], []).append(span)
        self._furthest = {type: list(accumulate((span[2] for span in spans), max)) for type, spans in self._spans.items()}

    def of(self, span: _Span) -> list[_Span]:
        """The spans of the same type that share a word with this one."""
        type, start, end = span
        spans, furthest = self._spans.get(type, []), self._furthest.get(type, [])
        overlapping = []
        index = bisect_left(spans, (type, end, -1)) - 1  # the last that starts before our end
        while index >= 0 and furthest[index] > start:
            if spans[index][2] > start:
                overlapping.append(spans[index])
            index -= 1
        return overlapping
