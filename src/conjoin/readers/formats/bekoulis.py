"""The multi-head columns of Bekoulis et al. 2018: `#doc id`, then index, word, BIO tag, relation types, heads per word.

A relation stands on the last word of its first argument and its head is the last word of the second; `['N']` with
the word's own index means none.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TextIO

from conjoin.document import Document
from conjoin.readers.document_builder import DocumentBuilder
from conjoin.readers.format import Format, Options
from conjoin.readers.lines import lines
from conjoin.readers.overlap import keep_longer
from conjoin.readers.problems import Place, Problems
from conjoin.readers.tags import NO_LAST_WORD, check_tags
from conjoin.readers.writing import documents_with_words, drop_unwritable_types
from conjoin.tagging import decode, encode

_NONE = "N"
_MARK = "#doc"


@dataclass(frozen=True, slots=True)
class _Row:
    line: int
    index: int
    word: str
    tag: str
    relations: tuple[tuple[str, int], ...]


def read(path: Path, problems: Problems, options: Options) -> Iterator[Document]:
    for id, line, rows in _sentences(path, problems):
        place = Place(path, problems, line)
        if rows:
            yield _document(id, rows, place)
        else:
            place.repair("empty-sentence", f"sentence '{id}' has no words", "leaves it out", loss=False)


def _sentences(path: Path, problems: Problems) -> Iterator[tuple[str, int, list[_Row]]]:
    id, opened, rows = "", 0, list[_Row]()
    for number, line in lines(path, problems):
        if line.startswith(_MARK):
            if opened:
                yield id, opened, rows
            id, opened, rows = line[len(_MARK) + 1 :], number, []
        elif line.strip():
            row = _row(line, number, path, problems)
            opened = opened or number
            rows += [row] if row else []
    if opened:
        yield id, opened, rows


def _row(line: str, number: int, path: Path, problems: Problems) -> _Row | None:
    columns = line.split("\t")
    try:
        index, word, tag, types, heads = columns
        return _Row(number, int(index), word, tag, tuple(zip(_strings(types), _numbers(heads), strict=True)))
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        problems.repair(path, number, "malformed-row", f"'{line[:60]}' is not index, word, tag, list of relations and "
                        "list of heads of equal length, separated by tabs", "leaves the word out")
        return None


@lru_cache(maxsize=4096)
def _strings(column: str) -> tuple[str, ...]:
    return tuple(str(value) for value in _literal_list(column))


@lru_cache(maxsize=4096)
def _numbers(column: str) -> tuple[int, ...]:
    return tuple(operator.index(value) for value in _literal_list(column))


def _literal_list(column: str) -> list[Any]:
    value = ast.literal_eval(column.strip())
    if not isinstance(value, list):
        raise TypeError(column)
    return value


def _document(id: str, rows: list[_Row], place: Place) -> Document:
    builder = DocumentBuilder.from_words([row.word for row in rows], place, id=id, missing=NO_LAST_WORD)
    tags = check_tags(((row.tag, row.line) for row in rows), "bio", place)
    for expected, row in zip([0, *(row.index + 1 for row in rows)], rows, strict=False):
        if row.index != expected:
            place.at(row.line).repair("word-number", f"the word is numbered {row.index}, {expected} comes next",
                                      "keeps the order of the lines", loss=False)
    for entity in decode(tags):
        last = rows[entity.end - 1]
        builder.entity(last.index, entity.type, entity.start, entity.end, line=last.line)
    for row in rows:
        for type, head in row.relations:
            if type != _NONE:
                builder.relation(type, row.index, head, line=row.line)
            elif head != row.index:
                place.at(row.line).note("head-without-relation", f"'N' (no relation) has head {head}; ignored")
    return builder.build()


def write(documents: Iterable[Document], file: TextIO, path: Path, problems: Problems) -> None:
    for document, place in documents_with_words(documents, path, problems):
        writable = _without_overlaps(drop_unwritable_types(document, _writable, place), place)
        file.write(f"{_MARK} {_one_line(document.id, 'id', place)}\n")
        _write_rows(writable, file, place)


def _writable(type: str) -> bool:
    return type not in ("", _NONE) and not re.search(r"[\t\n]", type)


def _without_overlaps(document: Document, place: Place) -> Document:
    reduced = keep_longer(document)
    for entity in document.entities:
        if entity not in reduced.entities:
            place.repair("overlapping-entity", f"{entity.type} '{entity.text}' overlaps another entity, one tag per word "
                         "holds one of them", "keeps the longer")
    for relation in document.relations:
        if relation not in reduced.relations:
            place.repair("lost-relation", f"{relation.type} from '{relation.head.text}' to '{relation.tail.text}' needs an "
                         "entity that overlaps another", "leaves the relation out")
    return reduced


def _write_rows(document: Document, file: TextIO, place: Place) -> None:
    relations: dict[int, list[tuple[str, int]]] = {}
    for relation in document.relations:
        relations.setdefault(relation.head.end - 1, []).append((relation.type, relation.tail.end - 1))
    for index, tag in enumerate(encode(document.entities, len(document.tokens), "bio")):
        pairs = relations.get(index, [(_NONE, index)])
        word = _one_line(document.tokens[index].text, "word", place)
        types, heads = [type for type, _ in pairs], [head for _, head in pairs]
        file.write(f"{index}\t{word}\t{tag}\t{types}\t{heads}\n")


def _one_line(text: str, what: str, place: Place) -> str:
    line = re.sub(r"[\t\n]|\r$", " ", text)
    if line != text:
        place.repair("white-space", f"{what} {text!r} has a tab or a line end in it", "writes a blank in its place",
                     loss=False)
    return line


def sniff(beginning: str) -> bool:
    return re.match(r"(#doc[^\n]*\n)+\d+\t[^\t\n]*\t[^\t\n]*\t\[", beginning) is not None


FORMAT = Format("bekoulis", "multi-head columns: #doc, then index, word, BIO tag, relations, heads", (".txt",),
                sniff, read, write)
