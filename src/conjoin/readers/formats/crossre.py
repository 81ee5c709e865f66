"""CrossRE JSON (Bassignana & Plank 2022): a sentence on each line, with `ner` and `relations` as lists of word numbers.

A relation goes on with an explanation and two flags, `uncertain` and `syntax ambiguity`, which a document has no place for.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

from conjoin.document import Document
from conjoin.readers.document_builder import DocumentBuilder
from conjoin.readers.fields import Fields
from conjoin.readers.format import Format, Options
from conjoin.readers.objects import is_words, list_field, objects
from conjoin.readers.overlap import RULES
from conjoin.readers.problems import Problems
from conjoin.readers.spans import MISSING, add_entities, add_relations, entity_rows, relation_rows
from conjoin.readers.writing import documents_with_words, drop_unwritable_types

_ANNOTATION = ("sentence", "ner", "relations")
_FIELDS = {"doc_key", *_ANNOTATION}
_FURTHER = ("explanations", "marks of uncertainty", "marks of syntactic ambiguity")  # columns of a relation after its type


def read(path: Path, problems: Problems, options: Options) -> Iterator[Document]:
    fields = Fields(path, problems, _FIELDS)
    further: Counter[str] = Counter()
    for number, value in objects(path, problems):
        fields.check(value, _ANNOTATION, number)
        words = value.get("sentence")
        if not is_words(words):
            problems.repair(path, number, "malformed-document", "the line needs 'sentence', a list of words",
                            "leaves the line out")
        elif not words:
            problems.repair(path, number, "empty-sentence", "the sentence has no words", "leaves it out", loss=False)
        else:
            yield _builder(value, path, number, problems, further).build(options["overlap"])
    fields.note_unread()
    if further:
        counts = ", ".join(f"{count} {name}" for name, count in further.items())
        problems.note(path, None, "unread-column", f"columns of relations that are not read: {counts}")


def _builder(value: dict[str, Any], path: Path, line: int, problems: Problems, further: Counter[str]) -> DocumentBuilder:
    words, key = value["sentence"], value.get("doc_key")
    builder = DocumentBuilder.from_words(words, id="" if key is None else str(key), path=path, line=line, problems=problems,
                           missing=MISSING)
    add_entities(builder, list_field(value, "ner", path, line, problems))
    for columns in add_relations(builder, list_field(value, "relations", path, line, problems), total=len(words)):
        further.update(name for name, column in zip(_FURTHER, columns, strict=False) if column)
    return builder


def write(documents: Iterable[Document], file: TextIO, path: Path, problems: Problems) -> None:
    for document in documents_with_words(documents, path, problems):
        held = drop_unwritable_types(document, bool, path, problems)
        value = {
            "doc_key": document.id,
            "sentence": document.words,
            "ner": entity_rows(held),
            "relations": [[*row, "", False, False] for row in relation_rows(held, path, problems)],
        }
        file.write(json.dumps(value, ensure_ascii=False) + "\n")


def sniff(head: str) -> bool:
    return re.match(r"\s*\{", head) is not None and re.search(r'"sentence"\s*:\s*\[\s*["\]]', head) is not None


FORMAT = Format("crossre", "CrossRE JSON: a sentence of words per line, spans with inclusive ends", (".json", ".jsonl"),
                sniff, read, write, options={"overlap": tuple(RULES)})
