"""An error analysis as a page: gold and predicted annotations side by side, to be filtered by kind of error."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from conjoin.document import Document, Entity, Relation
from conjoin.evaluation.error_analysis import KINDS, ErrorAnalysis, PredictionError
from conjoin.render.html import document_to_html, page_to_html, type_colours


def errors_to_html(analysis: ErrorAnalysis, *, title: str) -> str:
    """One self-contained page: the number of errors of each kind, and every document that has any.

    A checkbox for each kind shows or hides its documents, without a script.
    """
    documents = [*analysis.gold, *analysis.predicted]
    colours = type_colours(entity.type for document in documents for entity in document.entities)
    counts = analysis.counts()
    rows = "".join(_filter_row(kind, count) for kind, count in counts.items())
    parts = [
        f'<p class="cj-quiet">{sum(counts.values())} errors in {sum(map(bool, analysis.errors))} of {len(analysis.gold)} '
        'documents</p>\n<table class="cj-relations">\n<caption>Kinds of errors</caption>\n<thead><tr>'
        '<th scope="col">Shown</th><th scope="col">Kind</th><th scope="col">Meaning</th>'
        f'<th scope="col" class="cj-score">Count</th></tr></thead>\n<tbody>\n{rows}</tbody>\n</table>'
    ]
    pairs = zip(analysis.gold, analysis.predicted, analysis.errors, strict=True)
    parts += [_section(number, *pair, colours) for number, pair in enumerate(pairs, start=1) if pair[2]]
    return page_to_html("\n".join(parts), title=title)


def _section(number: int, gold: Document, predicted: Document, errors: Sequence[PredictionError],
             colours: dict[str, int]) -> str:
    kinds = " ".join(sorted({f"cj-has-{error.kind}" for error in errors}))
    return (f'<section class="cj-errors {kinds}">\n<h2 dir="auto">{escape(gold.id or f"Document {number}")}</h2>\n'
            f'<ul class="cj-error-list">\n{"".join(map(_item, errors))}</ul>\n'
            f'{document_to_html(gold, anchor=f"d{number}-gold", heading="annotated", colours=colours)}\n'
            f'{document_to_html(predicted, anchor=f"d{number}-predicted", heading="predicted", colours=colours)}\n'
            "</section>")


def _filter_row(kind: str, count: int) -> str:
    return (f'<tr><td><input type="checkbox" id="cj-show-{kind}" checked></td>'
            f'<td><label for="cj-show-{kind}">{kind}</label></td>'
            f'<td>{escape(KINDS[kind])}</td><td class="cj-score">{count}</td></tr>\n')


def _item(error: PredictionError) -> str:
    sides = (("annotated", error.gold), ("predicted", error.predicted))
    text = "; ".join(f"{name} {annotation_text(annotation)}" for name, annotation in sides if annotation)
    return f'<li class="cj-is-{error.kind}"><b>{error.kind}</b>: {escape(text)}</li>\n'


def annotation_text(annotation: Entity | Relation) -> str:
    """An entity or relation as text: `Loc ‘Bonn’`, `Live_In (Peop ‘Ann’, Loc ‘Bonn’)`."""
    if isinstance(annotation, Entity):
        return f"{annotation.type} ‘{' '.join(annotation.text.split())}’"
    return f"{annotation.type} ({annotation_text(annotation.head)}, {annotation_text(annotation.tail)})"
