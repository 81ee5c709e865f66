"""Statistics of a corpus as a page with charts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape

from conjoin.corpora.statistics import CorpusStatistics, SplitCounts
from conjoin.render.html import page_to_html

MAX_BARS = 24  # of a chart of lengths; the last one holds all longer ones
WIDTH, HEIGHT, LABELS = 480, 120, 28


def statistics_to_html(statistics: CorpusStatistics, *, title: str, problems: Mapping[str, int],
                       limits: Sequence[str]) -> str:
    """One self-contained page: counts of types by split, charts of lengths, argument types, problems and limits.

    `problems` counts those of reading by kind, `limits` are the sentences of `corpora.statistics.limits`.
    """
    total = statistics.total
    parts = [_counts_table(statistics)]
    parts += [_chart("Words in a document", total.document_lengths),
              _chart("Words in an entity", total.entity_lengths),
              _chart("Entities in a document", total.entities_per_document),
              _chart("Relations in a document", total.relations_per_document),
              _chart("Words between the arguments of a relation", total.distances)]
    parts.append(_table("Argument types", ("relation", "head", "tail", "count"),
                        [(*signature, f"{count:,}") for signature, count in sorted(total.signatures.items())]))
    sentences = remarks(statistics, limits)
    if sentences:
        items = "".join(f"<li>{escape(sentence)}</li>\n" for sentence in sentences)
        parts.append(f"<h2>Worth knowing</h2>\n<ul>\n{items}</ul>")
    if problems:
        parts.append(_table("Repairs and notes", ("kind", "count"), [(kind, f"{n:,}") for kind, n in problems.items()]))
    return page_to_html("\n".join(parts), title=title)


def remarks(statistics: CorpusStatistics, limits: Sequence[str]) -> list[str]:
    """Sentences on texts in several splits, repeated texts, symmetric types, and the limits."""
    sentences = [f"{count:,} texts occur in {' and '.join(names)}: scores on one after training on another are too high"
                 for names, count in statistics.texts_in_several_splits.items()]
    if statistics.repeated_texts:
        sentences.append(f"{statistics.repeated_texts:,} texts occur in a split more than once")
    sentences += [
        f"{type} holds both ways in {100 * share:.0f} % of its cases: if it has no direction, set symmetric=[\"{type}\"]"
        for type, share in statistics.symmetric_candidates().items()
    ]
    return [*sentences, *limits]


def _counts_table(statistics: CorpusStatistics) -> str:
    columns = dict(statistics.splits)
    if len(columns) > 1:
        columns["sum"] = statistics.total
    rows = [("documents", *(f"{counts.documents:,}" for counts in columns.values())),
            ("words", *(f"{counts.words:,}" for counts in columns.values()))]
    for name in ("entities", "relations"):
        rows += _type_rows(name, list(columns.values()))
    return _table("Counts", ("", *columns), rows)


def _type_rows(name: str, columns: Sequence[SplitCounts]) -> list[tuple[str, ...]]:
    counters: list[Counter[str]] = [getattr(counts, name) for counts in columns]
    rows: list[tuple[str, ...]] = [(name, *(f"{counter.total():,}" for counter in counters))]
    for type in sorted(set().union(*counters)):
        cells = (f"{counter[type]:,} ({100 * counter[type] / max(1, counter.total()):.0f} %)" for counter in counters)
        rows.append((f"  {type}", *cells))
    return rows


def _table(caption: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>\n" for row in rows)
    return (f'<h2>{escape(caption)}</h2>\n<table class="cj-relations">\n<thead><tr>{head}</tr></thead>\n'
            f"<tbody>\n{body}</tbody>\n</table>")


def _chart(caption: str, counter: Counter[int]) -> str:
    """A histogram as SVG with a label for screen readers."""
    bars = _bars(counter)
    if not bars:
        return ""
    highest = max(count for _, count in bars)
    step = WIDTH / len(bars)
    shapes = []
    every = -(-len(bars) * 34 // WIDTH)  # a label takes about 34 units
    for number, (label, count) in enumerate(bars):
        height = (HEIGHT - LABELS) * count / highest
        x = number * step
        place = f'x="{x + 1:.1f}" y="{HEIGHT - LABELS - height:.1f}" width="{max(1, step - 2):.1f}" height="{height:.1f}"'
        shapes.append(f'<rect class="cj-bar" {place}><title>{label}: {count:,}</title></rect>')
        last = len(bars) - 1
        if number == last or (number % every == 0 and number <= last - every):
            shapes.append(f'<text class="cj-axis" x="{x + step / 2:.1f}" y="{HEIGHT - LABELS + 14}">{label}</text>')
    values = sum(value * count for value, count in counter.items()) / counter.total()
    summary = f"mean {values:.1f}, at most {max(counter):,}"
    return (f"<h2>{escape(caption)}</h2>\n<p class=\"cj-quiet\">{summary}</p>\n"
            f'<svg class="cj-chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(caption)}: {summary}">'
            f"{''.join(shapes)}</svg>")


def _bars(counter: Counter[int]) -> list[tuple[str, int]]:
    """Label and height of each bar; a bar is for one value or a range, the last for all higher values too."""
    if not counter:
        return []
    high = _quantile(counter, 0.98)
    size = max(1, -(-(high + 1) // MAX_BARS))
    bars: Counter[int] = Counter()
    for value, count in counter.items():
        bars[min(value, high) // size] += count
    labels = {number: f"{number * size}" if size == 1 else f"{number * size}–{number * size + size - 1}" for number in bars}
    last = max(bars)
    if max(counter) > last * size + size - 1:
        labels[last] = f"{last * size}+"
    return [(labels.get(number, str(number * size)), bars[number]) for number in range(min(bars), last + 1)]


def _quantile(counter: Counter[int], share: float) -> int:
    left = share * counter.total()
    for value in sorted(counter):
        left -= counter[value]
        if left <= 0:
            return value
    return max(counter)
