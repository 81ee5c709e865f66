"""A page of sentences with gold and predicted annotations side by side, to be filtered by kind of mistake."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from conjoin.document import Document, Entity, Relation
from conjoin.evaluation.error_analysis import KINDS, Mistake, summary
from conjoin.render.html import document_to_html, page_to_html, type_colours


def mistakes_to_html(
    gold: Sequence[Document], predicted: Sequence[Document], found: Sequence[Sequence[Mistake]], *, title: str
) -> str:
    """One self-contained page: the number of mistakes of each kind, and every sentence that has any.

    A tick at a kind shows or hides it; this needs no script. `found` has the mistakes of each document.
    """
    both = [*gold, *predicted]
    colours = type_colours(entity.type for document in both for entity in document.entities)
    counts = summary(found)
    rows = "".join(_filter_row(kind, count) for kind, count in counts.items())
    parts = [
        f'<p class="cj-quiet">{sum(counts.values())} mistakes in {sum(map(bool, found))} of {len(gold)} documents</p>\n'
        '<table class="cj-relations">\n<caption>Kinds of mistakes</caption>\n<thead><tr><th scope="col">Shown</th>'
        '<th scope="col">Kind</th><th scope="col">What it means</th><th scope="col" class="cj-score">Count</th></tr>'
        f"</thead>\n<tbody>\n{rows}</tbody>\n</table>"
    ]
    for number, (ours, theirs, wrong) in enumerate(zip(gold, predicted, found, strict=True), start=1):
        if wrong:
            kinds = " ".join(sorted({f"cj-has-{mistake.kind}" for mistake in wrong}))
            items = "".join(_item(mistake) for mistake in wrong)
            parts.append(
                f'<section class="cj-mistaken {kinds}">\n<h2 dir="auto">{escape(ours.id or f"Document {number}")}</h2>\n'
                f'<ul class="cj-mistakes">\n{items}</ul>\n'
                f'{document_to_html(ours, anchor=f"d{number}-gold", heading="annotated", colours=colours)}\n'
                f'{document_to_html(theirs, anchor=f"d{number}-predicted", heading="predicted", colours=colours)}\n'
                "</section>"
            )
    return page_to_html("\n".join(parts), title=title)


def _filter_row(kind: str, count: int) -> str:
    return (
        f'<tr><td><input type="checkbox" id="cj-show-{kind}" checked></td>'
        f'<td><label for="cj-show-{kind}">{kind}</label></td>'
        f'<td>{escape(KINDS[kind])}</td><td class="cj-score">{count}</td></tr>\n'
    )


def _item(mistake: Mistake) -> str:
    sides = (("annotated", mistake.gold), ("predicted", mistake.predicted))
    said = [f"{name} {told(value)}" for name, value in sides if value]
    return f'<li class="cj-is-{mistake.kind}"><b>{mistake.kind}</b>: {escape("; ".join(said))}</li>\n'


def told(value: Entity | Relation) -> str:
    """An entity or a relation in words."""
    if isinstance(value, Entity):
        return f"{value.type} ‘{' '.join(value.text.split())}’"
    return f"{value.type} ({told(value.head)}, {told(value.tail)})"
