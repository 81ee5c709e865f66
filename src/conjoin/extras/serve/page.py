"""The page at `/`: type or paste text and see what the model extracts."""

from __future__ import annotations

from html import escape
from importlib.resources import files

from conjoin.document import Document
from conjoin.render import document_to_html, page_to_html, type_colours

EXAMPLE = ("Maria Ortiz leads the Halden Steel of Leeds. Lee Oswald shot Kennedy in Dallas, where the Texas School Book "
           "Depository stands.")


def page_html(name: str, *, max_characters: int) -> str:
    """The page of a model; its text field takes at most `max_characters`."""
    folder = files("conjoin.extras.serve")
    body, style, script = (folder.joinpath(f"page.{kind}").read_text("utf-8") for kind in ("html", "css", "js"))
    body = body.replace("{example}", escape(EXAMPLE)).replace("{max_characters}", str(max_characters))
    return page_to_html(body, title=f"conjoin · {name}", style=style, script=script, asks_home=True)


def documents_html(documents: list[Document], types: tuple[str, ...]) -> str:
    """The documents as HTML to insert into the page; each of the model's entity types keeps its colour."""
    colours = type_colours((*types, *(entity.type for document in documents for entity in document.entities)))
    return "\n".join(document_to_html(document, anchor=f"d{number}", colours=colours)
                     for number, document in enumerate(documents, start=1))
