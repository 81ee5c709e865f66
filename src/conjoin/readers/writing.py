"""Files that are written whole or not at all, and what a target format cannot hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

from conjoin.document import Document, Entity, Relation
from conjoin.errors import DataError
from conjoin.readers.characters import cut
from conjoin.readers.format import Format
from conjoin.readers.problems import Problems
from conjoin.storage.atomic import whole_file, whole_folder
from conjoin.text.words import words


def write_whole(files: Mapping[Path, Iterable[Document]], format: Format, problems: Problems) -> None:
    """Write all files, or folders, or none: each gets its name when all are complete.

    Raises `DataError` when a file cannot be written or holds what UTF-8 cannot.
    """
    try:
        with ExitStack() as stack:
            for path, documents in files.items():
                if format.write_folder:
                    format.write_folder(documents, stack.enter_context(whole_folder(path)), path, problems)
                elif format.write:
                    temporary = stack.enter_context(whole_file(path))
                    with temporary.open("w", encoding="utf-8", newline="\n") as file:
                        format.write(documents, file, path, problems)
    except OSError as error:
        raise DataError(f"{error.filename or 'target'}: cannot be written ({error.strerror}); check folder and "
                        "permissions") from error
    except UnicodeEncodeError as error:
        raise DataError(f"the text holds {error.object[error.start]!r}, half of a UTF-16 pair, which no UTF-8 file can "
                        "hold; replace that character") from error


def called(document: Document, number: int | None = None) -> str:
    """What messages call a document: by its id, else by its number among those given, or by how its text begins."""
    if document.id:
        return f"document '{document.id}'"
    if number is not None:
        return f"document {number} of those given"
    return f"the document without id that begins '{document.text[:30]}'"


def worded(documents: Iterable[Document], path: Path, problems: Problems) -> Iterator[Document]:
    """The documents that a format of plain words can hold: those with words. What it does not hold of them is noted."""
    for number, document in enumerate(documents, start=1):
        if document.tokens:
            _note_words_only(document, number, path, problems)
            yield document
        else:
            problems.repair(path, None, "empty-sentence", f"{called(document, number)} has no words",
                            "leaves it out", loss=False)


def charactered(documents: Iterable[Document], path: Path, problems: Problems) -> Iterator[Document]:
    """The documents for a format of text and characters. Words that are split otherwise when read back are noted."""
    for number, document in enumerate(documents, start=1):
        edges = [edge for entity in document.entities for edge in (entity.char_start, entity.char_end)]
        if tuple(cut(document.text, words(document.text), edges)) != document.tokens:
            problems.note(path, None, "words", f"{called(document, number)}: the format holds text and characters; "
                          "reading it splits the text into words anew")
        yield document


def _note_words_only(document: Document, number: int, path: Path, problems: Problems) -> None:
    """Note the loss of scores and of the white space between words."""
    if document.text != " ".join(document.words):
        problems.note(path, None, "spacing", f"{called(document, number)}: the format holds words only; the text "
                      "becomes the words with one blank between them")
    note_scores(document, (*document.entities, *document.relations), path, problems, number=number)


def note_scores(document: Document, unheld: Iterable[Entity | Relation], path: Path, problems: Problems, *, number: int,
                of: str = "") -> None:
    """Note that the scores of these annotations are lost, if they have any; `of` says which the format does not hold."""
    if any(annotation.score is not None for annotation in unheld):
        problems.note(path, None, "score", f"{called(document, number)}: the format holds no scores{of and f' of {of}'}")


def unwritable_types(document: Document, writable: Callable[[str], bool], path: Path, problems: Problems) -> Document:
    """The document without annotations whose type name the format cannot hold; each is a repair."""
    entities = [entity for entity in document.entities if writable(entity.type)]
    relations = [relation for relation in document.relations
                 if writable(relation.type) and writable(relation.head.type) and writable(relation.tail.type)]
    lost = len(document.entities) - len(entities), len(document.relations) - len(relations)
    if not any(lost):
        return document
    problems.repair(path, None, "type-name", f"{called(document)}: {lost[0]} entities and {lost[1]} relations "
                    "have a type that is empty, has a tab or line end, or is the format's word for none (N)",
                    "leaves them out")
    return document.annotated(entities, relations)
