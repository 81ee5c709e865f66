"""CrossRE JSON (Bassignana & Plank 2022): a sentence on each line, with `ner` and `relations` as lists of word numbers.

A relation goes on with an explanation and two flags, `uncertain` and `syntax ambiguity`, which a document has no place for.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO

from conjoin.document import Document
from conjoin.readers.document_builder import DocumentBuilder
from conjoin.readers.fields import Fields
from conjoin.readers.format import Format, Options
from conjoin.readers.objects import id_text, is_words, list_field, objects
from conjoin.readers.overlap import RULES
from conjoin.readers.problems import Place, Problems
from conjoin.readers.spans import MISSING, add_entities, add_relations, entity_rows, relation_rows
from conjoin.readers.writing import documents_with_words, drop_unwritable_types

_ANNOTATION = ("sentence", "ner", "relations")
_FIELDS = {"doc_key", *_ANNOTATION}
_FURTHER = ("explanations", "marks of uncertainty", "marks of syntactic ambiguity")  # columns of a relation after its type


def read(path: Path, problems: Problems, options: Options) -> Iterator[Document]:
    fields = Fields(Place(path, problems), _FIELDS)
    unread: Counter[str] = Counter()
    for place, value in objects(path, problems):
        fields.check(value, _ANNOTATION, place)
        words = value.get("sentence")
        if not is_words(words):
            place.repair("malformed-document", "the line needs 'sentence', a list of words", "leaves the line out")
        elif not words:
            place.repair("empty-sentence", "the sentence has no words", "leaves it out", loss=False)
        else:
            builder = DocumentBuilder.from_words(words, place, id=id_text(value.get("doc_key")), missing=MISSING)
            add_entities(builder, list_field(value, "ner", place))
            for columns in add_relations(builder, list_field(value, "relations", place), total=len(words)):
                unread.update(name for name, column in zip(_FURTHER, columns, strict=False) if column)
            yield builder.build(options["overlap"])
    fields.note_unread()
    if unread:
        counts = ", ".join(f"{count} {name}" for name, count in unread.items())
        problems.note(path, None, "unread-column", f"columns of relations that are not read: {counts}")


def write(documents: Iterable[Document], file: TextIO, path: Path, problems: Problems) -> None:
    for document, place in documents_with_words(documents, path, problems):
        writable = drop_unwritable_types(document, bool, place)
        value = {"doc_key": document.id,
                 "sentence": document.words,
                 "ner": entity_rows(writable),
                 "relations": [[*row, "", False, False] for row in relation_rows(writable, place)]}
        file.write(json.dumps(value, ensure_ascii=False) + "\n")


def sniff(beginning: str) -> bool:
    return re.match(r"\s*\{", beginning) is not None and re.search(r'"sentence"\s*:\s*\[\s*["\]]', beginning) is not None


FORMAT = Format("crossre", "CrossRE JSON: a sentence of words per line, spans with inclusive ends", (".json", ".jsonl"),
                sniff, read, write, options={"overlap": tuple(RULES)})
