"""Documents as a self-contained HTML page and as rows of a terminal table."""

from conjoin.render.html import document_to_html, legend_to_html, page_to_html, to_html, type_colours
from conjoin.render.table import ENTITY_COLUMNS, RELATION_COLUMNS, entity_rows, relation_rows

__all__ = [
    "ENTITY_COLUMNS", "RELATION_COLUMNS", "document_to_html", "entity_rows", "legend_to_html", "page_to_html",
    "relation_rows", "to_html", "type_colours",
]
