"""Documents as HTML: highlighted entities, relations as arcs and as a table, in one file without external assets.

`document_to_html` returns the fragment of one document, `page_to_html` the page around fragments, `to_html` both. The
markup alone shows every entity and relation; `page.js` adds the arcs, which it computes from the positions of the words.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from html import escape
from importlib.resources import files

from conjoin.document import Document, Entity, Relation
from conjoin.render.table import score_text

HUES = 8  # the classes cj-c0 to cj-c7 of page.css
RINGS = 3  # the same hue again with another underline: solid, dashed, dotted
NESTING = 4  # deepest nesting that page.css gives a frame of its own

NOTEBOOK_STYLE = ".cj-page main { padding: 0 1.5rem; } .cj-document { border: 0; }"
NOTEBOOK_SCRIPT = """
new ResizeObserver(() => {
  if (frameElement) frameElement.style.height = `${document.body.offsetHeight}px`;
}).observe(document.body);
"""

# Common names have the same colour on every page; the colour of any other name comes from its checksum.
COMMON_HUES = {
    "peop": 0, "per": 0, "person": 0, "drug": 0, "method": 0,
    "org": 1, "organization": 1, "organisation": 1, "task": 1,
    "loc": 2, "location": 2, "material": 2,
    "adverse-effect": 3, "disease": 3, "fac": 3, "metric": 3,
    "wea": 4, "gene": 4, "protein": 4, "event": 4, "otherscientificterm": 4,
    "gpe": 5,
    "veh": 6, "date": 6, "time": 6, "generic": 6,
    "other": 7, "misc": 7,
}  # fmt: skip


def to_html(documents: Iterable[Document], *, title: str = "Entities and relations", notice: str = "",
            types: Iterable[str] = ()) -> str:
    """One self-contained page that shows the documents, with a notice under the heading.

    `types` are the entity types of a model, so that all of its pages have the same colours.
    """
    documents = tuple(documents)
    colours = type_colours((*types, *(entity.type for document in documents for entity in document.entities)))
    articles = [
        document_to_html(document, anchor=f"d{number}", heading=document.id or f"Document {number}", colours=colours)
        for number, document in enumerate(documents, start=1)
    ]
    body = "\n".join(articles) or '<p class="cj-quiet">No documents.</p>'
    return page_to_html(legend_to_html(documents, colours=colours) + "\n" + body, title=title, notice=notice)


def page_to_html(body: str, *, title: str, notice: str = "", style: str = "", script: str = "",
                 asks_home: bool = False) -> str:
    """The page around fragments, without a heading if the title is empty.

    Its content security policy allows its own style and script only, with those added here; the page cannot reach the
    network, save the server that it came from if `asks_home`.
    """
    style, script = _asset("page.css") + style, _asset("page.js") + script
    home = "connect-src 'self'; " if asks_home else ""
    policy = (f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; img-src data:; {home}"
              "base-uri 'none'; form-action 'none'")
    heading = f'<h1 dir="auto">{escape(title)}</h1>\n' if title else ""
    remark = f'<p class="cj-notice">{escape(notice)}</p>\n' if notice else ""
    return ("<!DOCTYPE html>\n"
            '<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            '<meta name="color-scheme" content="light dark">\n'
            '<link rel="icon" href="data:,">\n'
            f"<title>{escape(title)}</title>\n<style>{style}</style>\n</head>\n"
            f'<body class="cj-page">\n<main>\n{heading}{remark}{body}\n</main>\n'
            f"<script>{script}</script>\n</body>\n</html>\n")


def notebook_html(document: Document) -> str:
    """A frame with the document's page, for a notebook: its style and script do not touch those of the notebook."""
    page = page_to_html(document_to_html(document, heading=document.id), title="", style=NOTEBOOK_STYLE,
                        script=NOTEBOOK_SCRIPT)
    return f'<iframe srcdoc="{escape(page)}" title="Document" style="width: 100%; height: 12rem; border: 0"></iframe>'


def document_to_html(document: Document, *, anchor: str = "d1", heading: str = "",
                     colours: Mapping[str, int] | None = None) -> str:
    """The fragment of one document: text with marked entities, table of relations, and the document as JSON.

    `anchor` is the id of the element, unique on a page; the colours are those of `type_colours`.
    """
    if colours is None:
        colours = type_colours(entity.type for entity in document.entities)
    title = f'<h2 id="{escape(anchor)}-title" dir="auto">{escape(heading)}</h2>\n' if heading else ""
    label = f'aria-labelledby="{escape(anchor)}-title"' if heading else 'aria-label="Document"'
    pieces = _pieces(document)
    depth = min(max((piece.depth for piece in pieces if isinstance(piece, _Mark)), default=0), NESTING)
    text = "".join(_piece_html(piece, colours) for piece in pieces)
    return (f'<article class="cj-document" id="{escape(anchor)}" {label}>\n{title}'
            f'<div class="cj-canvas"><div class="cj-text cj-deep{depth}" dir="auto" lang="">{text}</div></div>\n'
            f"{_relation_table(document.relations, colours)}"
            f'<script type="application/json" class="cj-data">{_json(document)}</script>\n'
            "</article>")


def legend_to_html(documents: Sequence[Document], *, colours: Mapping[str, int]) -> str:
    """Numbers of documents, entities and relations, by type."""
    entities = Counter(entity.type for document in documents for entity in document.entities)
    relations = Counter(relation.type for document in documents for relation in document.relations)
    totals = (f"{_counted(len(documents), 'document')} · {_counted(entities.total(), 'entity', 'entities')} · "
              f"{_counted(relations.total(), 'relation')}")
    chips = {type: f'<span class="cj-chip {_colour(colours[type])}">{escape(type)}</span>' for type in entities}
    names = {type: f'<span class="cj-link">{escape(type)}</span>' for type in relations}
    return (f'<section class="cj-legend" aria-label="Legend">\n<p class="cj-quiet">{totals}</p>\n'
            + _legend_list("Entities", chips, entities)
            + _legend_list("Relations", names, relations)
            + "</section>")


def type_colours(types: Iterable[str]) -> dict[str, int]:
    """Entity type → colour number below `HUES * RINGS`.

    A type has the same colour on every page, unless another type of the page has that colour.
    """
    names = sorted(set(types))
    names.sort(key=lambda name: name.casefold() not in COMMON_HUES)  # common names first; stable
    used: set[int] = set()
    colours = {}
    for name in names:
        hue = COMMON_HUES.get(name.casefold(), zlib.crc32(name.encode("utf-8", "replace")) % HUES)
        choices = (ring * HUES + (hue + step) % HUES for ring in range(RINGS) for step in range(HUES))
        colours[name] = next((choice for choice in choices if choice not in used), hue)
        used.add(colours[name])
    return colours


@dataclass(slots=True)
class _Mark:
    """A stretch of an entity that nests properly; an entity that crosses the end of another has several."""

    entity: Entity
    number: int
    start: int  # in characters
    end: int = 0
    inside: list[str | _Mark] = field(default_factory=list)

    @property
    def depth(self) -> int:
        """Levels of nested marks, this one included."""
        return 1 + max((piece.depth for piece in self.inside if isinstance(piece, _Mark)), default=0)


def _pieces(document: Document) -> list[str | _Mark]:
    """The text as plain stretches and nested marks.

    At every border the entities that cover the following text are opened in order of their start, outer ones first; an
    entity inside one that ends here is closed with it and opened again.
    """
    numbered = list(enumerate(document.entities, start=1))
    numbered.sort(key=lambda item: (item[1].char_start, -item[1].char_end, item[0]))
    waiting = numbered[::-1]
    borders = sorted({0, len(document.text), *(edge for entity in document.entities
                                               for edge in (entity.char_start, entity.char_end))})
    root: list[str | _Mark] = []
    active: list[tuple[int, Entity]] = []
    opened: list[_Mark] = []
    for position, following in zip(borders, [*borders[1:], len(document.text)], strict=True):
        active = [item for item in active if item[1].char_end > position]
        while waiting and waiting[-1][1].char_start == position:
            active.append(waiting.pop())
        common = _common_length(opened, active)
        for mark in opened[common:]:
            mark.end = position
        del opened[common:]
        for number, entity in active[common:]:
            mark = _Mark(entity, number, position)
            (opened[-1].inside if opened else root).append(mark)
            opened.append(mark)
        if position < following:
            (opened[-1].inside if opened else root).append(document.text[position:following])
    return root


def _common_length(opened: Sequence[_Mark], active: Sequence[tuple[int, Entity]]) -> int:
    length = 0
    for mark, (number, _) in zip(opened, active, strict=False):
        if mark.number != number:
            break
        length += 1
    return length


def _piece_html(piece: str | _Mark, colours: Mapping[str, int]) -> str:
    if isinstance(piece, str):
        return escape(piece)
    entity = piece.entity
    classes = ["cj-entity", _colour(colours[entity.type]), f"cj-level{min(piece.depth, NESTING)}"]
    if piece.start > entity.char_start:
        classes.append("cj-continued")
    label = ""
    if piece.end < entity.char_end:
        classes.append("cj-continues")
    else:  # the no-break blank keeps word and type apart for screen readers, and together on a line
        label = f'<span class="cj-type">\N{NO-BREAK SPACE}{escape(entity.type)}</span>'
    score = score_text(entity.score)
    tip = f"{entity.type}, score {score}" if score else entity.type
    inside = "".join(_piece_html(inner, colours) for inner in piece.inside)
    return (f'<mark class="{" ".join(classes)}" data-entity="e{piece.number}" title="{escape(tip)}">{inside}{label}</mark>')


def _relation_table(relations: Sequence[Relation], colours: Mapping[str, int]) -> str:
    """A row per relation; the column of scores is left out when none has one."""
    if not relations:
        return ""
    scored = any(relation.score is not None for relation in relations)
    score_head = '<th scope="col" class="cj-score">Score</th>' if scored else ""
    rows = "".join(_relation_row(number, relation, colours, scored) for number, relation in enumerate(relations))
    return ('<table class="cj-relations">\n<caption>Relations</caption>\n<thead><tr><th scope="col">Head</th>'
            f'<th scope="col">Type</th><th scope="col">Tail</th>{score_head}</tr></thead>\n<tbody>\n{rows}</tbody>\n'
            "</table>\n")


def _relation_row(number: int, relation: Relation, colours: Mapping[str, int], scored: bool) -> str:
    score = f'<td class="cj-score">{score_text(relation.score)}</td>' if scored else ""
    return (f'<tr data-relation="{number}"><td>{_argument(relation.head, colours)}</td>'
            f'<td class="cj-link"><span>{escape(relation.type)}</span></td>'
            f"<td>{_argument(relation.tail, colours)}</td>{score}</tr>\n")


def _argument(entity: Entity, colours: Mapping[str, int]) -> str:
    return (f'<bdi>{escape(" ".join(entity.text.split()))}</bdi> '
            f'<span class="cj-kind {_colour(colours[entity.type])}">{escape(entity.type)}</span>')


def _legend_list(name: str, labels: Mapping[str, str], counts: Counter[str]) -> str:
    if not labels:
        return ""
    items = "".join(f'<li>{labels[type]} <span class="cj-count">{counts[type]}</span></li>' for type in sorted(labels))
    return f'<div class="cj-types"><h2>{name}</h2><ul>{items}</ul></div>\n'


def _colour(number: int) -> str:
    ring, hue = divmod(number, HUES)
    return f"cj-c{hue} cj-ring{ring}" if ring else f"cj-c{hue}"


def _counted(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"


def _json(document: Document) -> str:
    """The document as JSON without characters that end a script element or open a comment."""
    text = json.dumps(document.to_json(tokens=False), ensure_ascii=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


@cache
def _asset(name: str) -> str:
    return files("conjoin.render").joinpath(name).read_text("utf-8")


def _digest(text: str) -> str:
    """The source expression of a content security policy for an inline style or script."""
    return "sha256-" + b64encode(hashlib.sha256(text.encode()).digest()).decode()
