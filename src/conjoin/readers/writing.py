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
from conjoin.readers.problems import Problems
from conjoin.storage.atomic import atomic_file, atomic_folder
from conjoin.text.words import words


def write_files(files: Mapping[Path, Iterable[Document]], format: Format, problems: Problems) -> None:
    """Write all files (or folders) or none: they get their names when all are complete.

    Raises:
        DataError: When a file cannot be written, or a text is not valid Unicode.
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


def document_name(document: Document, number: int | None = None) -> str:
    """A document's name in messages: its id, else its number, else the beginning of its text."""
    if document.id:
        return f"document '{document.id}'"
    if number is not None:
        return f"document {number}"
    return f"the document without id that begins '{document.text[:30]}'"


def documents_with_words(documents: Iterable[Document], path: Path, problems: Problems) -> Iterator[Document]:
    """The documents for a format that holds words without their text; those without words are repairs.

    Losses (white space between words, scores) are noted.
    """
    for number, document in enumerate(documents, start=1):
        if document.tokens:
            _note_words_only(document, number, path, problems)
            yield document
        else:
            problems.repair(path, None, "empty-sentence", f"{document_name(document, number)} has no words",
                            "leaves it out", loss=False)


def documents_with_characters(documents: Iterable[Document], path: Path, problems: Problems) -> Iterator[Document]:
    """The documents for a format that holds text and characters, with notes where reading would split other words."""
    for number, document in enumerate(documents, start=1):
        edges = [edge for entity in document.entities for edge in (entity.char_start, entity.char_end)]
        if tuple(cut_words(document.text, words(document.text), edges)) != document.tokens:
            problems.note(path, None, "words", f"{document_name(document, number)}: the format holds text and characters; "
                          "reading it splits the text into words again")
        yield document


def _note_words_only(document: Document, number: int, path: Path, problems: Problems) -> None:
    """Note the loss of white space between words and of scores."""
    if document.text != " ".join(document.words):
        problems.note(path, None, "spacing", f"{document_name(document, number)}: the format holds words only; the text "
                      "becomes the words with one blank between them")
    note_scores(document, (*document.entities, *document.relations), path, problems, number=number)


def note_scores(
    document: Document, annotations: Iterable[Entity | Relation], path: Path, problems: Problems, *, number: int,
    of: str = "",
) -> None:
    """Note the loss of scores, if these annotations have any; `of` names the annotations in the message."""
    if any(annotation.score is not None for annotation in annotations):
        name = document_name(document, number)
        problems.note(path, None, "score", f"{name}: the format holds no scores{of and f' of {of}'}")


def write_json_list(values: Iterable[Any], file: TextIO) -> None:
    """Write one JSON list with an item on each line."""
    separator = "["
    for value in values:
        file.write(separator + json.dumps(value, ensure_ascii=False))
        separator = ",\n"
    file.write("[]\n" if separator == "[" else "]\n")


def drop_unwritable_types(document: Document, writable: Callable[[str], bool], path: Path, problems: Problems) -> Document:
    """The document without annotations whose type name the format cannot hold; losing some is a repair."""
    entities = [entity for entity in document.entities if writable(entity.type)]
    relations = [relation for relation in document.relations
                 if writable(relation.type) and writable(relation.head.type) and writable(relation.tail.type)]
    lost = len(document.entities) - len(entities), len(document.relations) - len(relations)
    if not any(lost):
        return document
    problems.repair(path, None, "type-name", f"{document_name(document)}: {lost[0]} entities and {lost[1]} relations have "
                    "a type that is empty, has a tab or line end, or is the format's word for none (N)", "leaves them out")
    return document.annotated(entities, relations)
