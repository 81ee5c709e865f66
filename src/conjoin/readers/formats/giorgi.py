"""The ADE file of Giorgi et al. 2019: nine columns, one row per word, BIOES tags, relations between last words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from conjoin.document import Document
from conjoin.readers.blocks import Block, blocks
from conjoin.readers.document_builder import DocumentBuilder
from conjoin.readers.format import Format, Options
from conjoin.readers.problems import Problems
from conjoin.readers.tags import NO_LAST_WORD, check_tags
from conjoin.tagging import OUTSIDE, decode

_DRUG, _EFFECT = "DRUG", "AE"


def read(path: Path, problems: Problems, options: Options) -> Iterator[Document]:
    for block in blocks(path, problems):
        yield _document(block, swap=options["direction"] == "effect-drug")


def _document(block: Block, *, swap: bool) -> Document:
    builder = DocumentBuilder.from_words([row.word for row in block.rows], block.place, id=block.id, missing=NO_LAST_WORD)
    types: dict[int, str] = {}
    for entity in decode(check_tags(((row.tag, row.line) for row in block.rows), "bioes", block.place)):
        last = block.rows[entity.end - 1]
        types[last.number] = entity.type
        builder.entity(last.number, entity.type, entity.start, entity.end, line=last.line)
    for relation in block.relations:
        first, second = relation.first, relation.second
        pair = types.get(first), types.get(second)
        if None not in pair and set(pair) <= {_DRUG, _EFFECT} and pair != (_DRUG, _EFFECT):
            block.place.at(relation.line).note("signature", f"relation {relation.type} leads from {pair[0]} to {pair[1]}, "
                                               f"not from {_DRUG} to {_EFFECT}; it is kept")
        if swap and pair == (_DRUG, _EFFECT):
            first, second = second, first
        builder.relation(relation.type, first, second, line=relation.line)
    return builder.build()


def sniff(beginning: str) -> bool:
    rows = [columns for columns in (line.split("\t") for line in beginning.split("\n")) if len(columns) == 9]
    if not rows or beginning.split("\n", 1)[0].count("\t") != 8:
        return False
    return any(re.match(r"[BIES]-", row[1]) for row in rows) or all(row[4] == OUTSIDE for row in rows[:-1] or rows)


FORMAT = Format("giorgi", "nine columns, a row per word with BIOES tags, then relations between last words (ADE)",
                (".tsv",), sniff, read, options={"direction": ("drug-effect", "effect-drug")})
