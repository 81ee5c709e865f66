"""The ADE file of Giorgi et al. 2019: nine columns, one row per word, BIOES tags, relations between last words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from conjoin.document import Document
from conjoin.readers.blocks import Block, Row, blocks
from conjoin.readers.document_builder import Draft
from conjoin.readers.format import Format, Options
from conjoin.readers.problems import Problems
from conjoin.tagging import OUTSIDE, decode, may_follow

_DRUG, _EFFECT = "DRUG", "AE"


def read(path: Path, problems: Problems, options: Options) -> Iterator[Document]:
    swap = options["direction"] == "effect-drug"
    for block in blocks(path, problems):
        yield _document(block, path, problems, swap=swap)


def _document(block: Block, path: Path, problems: Problems, *, swap: bool) -> Document:
    draft = Draft.of_words([row.word for row in block.rows], id=block.id, path=path, line=block.line,
                           problems=problems, missing=("relation-end", "word {}, which is no entity's last word"))
    types: dict[int, str] = {}
    for entity in decode(_tags(block.rows, draft)):
        last = block.rows[entity.end - 1]
        types[last.number] = entity.type
        draft.entity(last.number, entity.type, entity.start, entity.end, line=last.line)
    for relation in block.relations:
        first, second = relation.first, relation.second
        pair = types.get(first), types.get(second)
        if None not in pair and set(pair) <= {_DRUG, _EFFECT} and pair != (_DRUG, _EFFECT):
            draft.note(relation.line, "signature", f"relation {relation.type} runs {pair[0]} → {pair[1]}, not "
                       f"{_DRUG} → {_EFFECT}; kept")
        if swap and pair == (_DRUG, _EFFECT):
            first, second = second, first
        draft.relation(relation.type, first, second, line=relation.line)
    return draft.finish()


def _tags(rows: list[Row], draft: Draft) -> list[str]:
    """The tags, unreadable ones as `O`; every step that BIOES does not allow is a repair."""
    tags: list[str] = []
    for row in rows:
        tag = row.tag
        if tag != OUTSIDE and not re.fullmatch(r"[BIES]-.+", tag):
            draft.repair(row.line, "unknown-tag", f"tag '{tag}' is neither O nor B-, I-, E- or S- with a type",
                         "reads the word as outside")
            tag = OUTSIDE
        previous = tags[-1] if tags else None
        if not may_follow(previous, tag, "bioes"):
            draft.repair(row.line, "illegal-tag", f"{tag} may not follow {previous or 'the start'} in BIOES",
                         _consequence(tag), loss=False)
        tags.append(tag)
    if tags and not may_follow(tags[-1], None, "bioes"):
        draft.repair(rows[-1].line, "illegal-tag", f"the sentence ends inside an entity ({tags[-1]})",
                     "ends the entity there", loss=False)
    return tags


def _consequence(tag: str) -> str:
    if tag == OUTSIDE:
        return "ends the open entity before it"
    return "ends an entity that is open before it and opens one there"


def sniff(head: str) -> bool:
    rows = [columns for columns in (line.split("\t") for line in head.split("\n")) if len(columns) == 9]
    if not rows or head.split("\n", 1)[0].count("\t") != 8:
        return False
    return any(re.match(r"[BIES]-", row[1]) for row in rows) or all(row[4] == OUTSIDE for row in rows[:-1] or rows)


FORMAT = Format("giorgi", "nine columns, a row per word with BIOES tags, then relations between last words (ADE)",
                (".tsv",), sniff, read, options={"direction": ("drug-effect", "effect-drug")})
