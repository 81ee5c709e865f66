"""Atomic writing of files, and notes on what the target format cannot hold."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

from conjoin.document import Document, Entity, Relation
from conjoin.errors import DataError
from conjoin.readers.characters import cut_words
from conjoin.readers.format import Format
from conjoin.readers.problems import Place, Problems
from conjoin.storage.atomic import atomic_file, atomic_folder
from conjoin.text.words import words


def write_files(files: Mapping[Path, Iterable[Document]], format: Format, problems: Problems) -> None:
    """Write all files (or folders) or none: they get their names when all are complete.

    Raises `DataError` when a file cannot be written, or a text is not valid Unicode.
    """
    try:
        with ExitStack() as stack:
            for path, documents in files.items():
                if format.write_folder:
                    format.write_folder(documents, stack.enter_context(atomic_folder(path)), path, problems)
                elif format.write:
                    temporary = stack.enter_context(atomic_file(path))
                    with temporary.open("w", encoding="utf-8", newline="\n") as file:
                        format.write(documents, file, path, problems)
    except OSError as error:
        raise DataError(f"{error.filename or 'target'}: cannot be written ({error.strerror}); check folder and "
                        "permissions") from error
    except UnicodeEncodeError as error:
        raise DataError(f"the text holds {error.object[error.start]!r}, half of a UTF-16 pair, which no UTF-8 file can "
                        "hold; replace that character") from error


def with_places(documents: Iterable[Document], path: Path, problems: Problems) -> Iterator[tuple[Document, Place]]:
    """Each document with a place whose messages begin with its id, or else its number."""
    for number, document in enumerate(documents, start=1):
        name = f"'{document.id}'" if document.id else str(number)
        yield document, Place(path, problems, label=f"document {name}: ")


def documents_with_words(documents: Iterable[Document], path: Path, problems: Problems) -> Iterator[tuple[Document, Place]]:
    """As `with_places`, for a format that holds words without their text; documents without words are repairs.

    Losses (white space between words, scores) are noted.
    """
    for document, place in with_places(documents, path, problems):
        if not document.tokens:
            place.repair("empty-sentence", "it has no words", "leaves it out", loss=False)
            continue
        if document.text != " ".join(document.words):
            place.note("spacing", "the format holds words only; the text becomes the words with one blank between them")
        note_scores((*document.entities, *document.relations), place)
        yield document, place


def documents_with_characters(documents: Iterable[Document], path: Path,
                              problems: Problems) -> Iterator[tuple[Document, Place]]:
    """As `with_places`, for a format that holds text and characters; words that reading splits otherwise are noted."""
    for document, place in with_places(documents, path, problems):
        edges = [edge for entity in document.entities for edge in (entity.char_start, entity.char_end)]
        if tuple(cut_words(document.text, words(document.text), edges)) != document.tokens:
            place.note("words", "the format holds text and characters; reading it splits the text into words again")
        yield document, place


def note_scores(annotations: Iterable[Entity | Relation], place: Place, *, of: str = "") -> None:
    """Note the loss of scores, if these annotations have any; `of` names the annotations in the message."""
    if any(annotation.score is not None for annotation in annotations):
        place.note("score", f"the format holds no scores{of and f' of {of}'}")


def write_json_list(values: Iterable[Any], file: TextIO) -> None:
    """Write one JSON list with an item on each line."""
    separator = "["
    for value in values:
        file.write(separator + json.dumps(value, ensure_ascii=False))
        separator = ",\n"
    file.write("[]\n" if separator == "[" else "]\n")


def drop_unwritable_types(document: Document, writable: Callable[[str], bool], place: Place) -> Document:
    """The document without annotations whose type name the format cannot hold; losing some is a repair."""
    entities = [entity for entity in document.entities if writable(entity.type)]
    relations = [relation for relation in document.relations
                 if writable(relation.type) and writable(relation.head.type) and writable(relation.tail.type)]
    lost = len(document.entities) - len(entities), len(document.relations) - len(relations)
    if not any(lost):
        return document
    place.repair("type-name", f"{lost[0]} entities and {lost[1]} relations have a type that is empty, has a tab or line "
                 "end, or is the format's word for none (N)", "leaves them out")
    return document.annotated(entities, relations)
