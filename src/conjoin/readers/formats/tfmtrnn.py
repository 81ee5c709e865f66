"""The original CoNLL04 columns (Roth & Yih 2004) with the index lists of Gupta et al. 2016 (TF-MTRNN).

A row is a chunk: an entity's words stand in one row, joined with `/`. Relations name chunks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from conjoin.document import Document
from conjoin.errors import DataError
from conjoin.readers.blocks import Block, Row, blocks
from conjoin.readers.document_builder import DocumentBuilder
from conjoin.readers.format import Format, Options
from conjoin.readers.formats import giorgi
from conjoin.readers.lines import first_characters, lines
from conjoin.readers.problems import Problems
from conjoin.tagging import OUTSIDE

# the corpus file avoids commas and brackets; -LCB- and -RCB- stand for braces
_ESCAPES = {"COMMA": ",", "-LRB-": "(", "-RRB-": ")", "-LCB-": "{", "-RCB-": "}"}
_LISTS = {"training": "train", "validation": "dev", "testing": "test"}
_EXTRA = "extra"


def read(path: Path, problems: Problems, options: Options) -> Iterator[Document]:
    """All sentences of the file, those without relations too."""
    for block in blocks(path, problems):
        yield _document(block)


def _document(block: Block) -> Document:
    chunks = [_words(row) for row in block.rows]
    words = [word for chunk in chunks for word in chunk]
    builder = DocumentBuilder.from_words(words, block.place, id=block.id,
                                         missing=("relation-end", "chunk {}, which is no entity"))
    position = 0
    for row, chunk in zip(block.rows, chunks, strict=True):
        if row.tag != OUTSIDE:
            builder.entity(row.number, row.tag, position, position + len(chunk), line=row.line)
        position += len(chunk)
    for relation in block.relations:
        builder.relation(relation.type, relation.first, relation.second, line=relation.line)
    return builder.build()


def _words(row: Row) -> list[str]:
    parts = [row.word] if row.tag == OUTSIDE else [part for part in row.word.split("/") if part] or [row.word]
    return [_ESCAPES.get(part, part) for part in parts]


def read_folder(folder: Path, problems: Problems, options: Options) -> Mapping[str, Iterable[Document]]:
    """The splits of the index lists; with `relation-free=yes` also `extra`, the sentences in none of them."""
    path = _corpus_file(folder)
    documents: dict[str, Document] = {}
    for document in read(path, problems, options):
        if document.id in documents:
            problems.repair(path, None, "duplicate-id", f"two sentences are numbered {document.id}", "keeps the first")
        documents.setdefault(document.id, document)
    unlisted = dict(documents)
    splits = {split: [documents[id] for id in _ids(file, documents, unlisted, problems)]
              for split, file in _list_files(folder).items()}
    if options["relation-free"] == "yes":
        splits[_EXTRA] = list(unlisted.values())
    elif unlisted:
        entities = sum(len(document.entities) for document in unlisted.values())
        relations = sum(len(document.relations) for document in unlisted.values())
        problems.note(path, None, "not-in-lists", f"{len(unlisted)} sentences with {entities} entities and {relations} "
                      "relations stand in no index list and are left out; relation-free=yes reads them as split "
                      f"'{_EXTRA}'", loss=True)
    return splits


def _ids(path: Path, documents: Mapping[str, Document], unlisted: dict[str, Document], problems: Problems) -> Iterator[str]:
    """The sentence ids of a list; those are removed from `unlisted`."""
    for number, line in lines(path, problems):
        id = line.partition(":")[0].strip()
        if not line.strip():
            continue
        if id not in documents:
            problems.repair(path, number, "unknown-id", f"the list names sentence '{id}', which the corpus does not "
                            "have", "leaves it out")
        elif unlisted.pop(id, None) is None:
            problems.repair(path, number, "listed-twice", f"sentence '{id}' stands in a list already",
                            "leaves it out here", loss=False)
        else:
            yield id


def _list_files(folder: Path) -> dict[str, Path]:
    """Split → index list: the first by name, as all variants (words, POS, tags) list the same sentences."""
    paths: dict[str, Path] = {}
    for word, split in _LISTS.items():
        files = sorted(folder.glob(f"{word}_indx*"), key=lambda file: (len(file.name), file.name))
        if files:
            paths[split] = files[0]
    return paths


def _corpus_file(folder: Path) -> Path:
    files = [file for file in sorted(folder.glob("*.tsv")) if sniff(first_characters(file))]
    if len(files) != 1:
        raise DataError(f"{folder}: the folder needs one corpus file in nine columns (corp.tsv), it has {len(files)}")
    return files[0]


def claims(folder: Path) -> bool:
    return bool(_list_files(folder)) and any(folder.glob("*.tsv"))


def sniff(beginning: str) -> bool:
    return re.match(r"[^\t\n]*\t[^\t\n]+\t\d+(\t[^\t\n]*){6}\n", beginning) is not None and not giorgi.sniff(beginning)


FORMAT = Format("tfmtrnn", "the original CoNLL04 columns (corp.tsv), a row per chunk, with index lists", (".tsv",),
                sniff, read, options={"relation-free": ("no", "yes")}, claims=claims, read_folder=read_folder)
