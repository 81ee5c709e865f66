"""DyGIE++ JSON (Wadden et al. 2019), the format of SciERC: a text on each line, with its sentences as lists of words.

Words are counted over the whole text, the end of a span inclusive. Each sentence is a document, called `doc_key#1` and
so on.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import accumulate
from pathlib import Path
from typing import Any, TextIO

from conjoin.document import Document
from conjoin.readers.document_builder import DocumentBuilder
from conjoin.readers.fields import Fields
from conjoin.readers.format import Format, Options
from conjoin.readers.objects import id_text, is_words, objects
from conjoin.readers.overlap import RULES
from conjoin.readers.problems import Place, Problems
from conjoin.readers.spans import MISSING, add_entities, add_relations, entity_rows, relation_rows
from conjoin.readers.writing import documents_with_words, drop_unwritable_types

_ANNOTATION = ("sentences", "ner", "relations")
_FIELDS = {"doc_key", *_ANNOTATION}
# annotations that a document has no place for
_UNHELD = {"clusters": "clusters of coreferent mentions", "events": "events", "event_clusters": "clusters of events"}
_Sentence = tuple[Document, Place]
_SENTENCE_ID = re.compile(r"(.*)#([1-9][0-9]{0,8})", re.DOTALL)


@dataclass(slots=True)
class _Unread:
    """Counts of annotations that are not read, by field, and of columns of entities and relations."""

    annotations: Counter[str] = field(default_factory=Counter)
    columns: int = 0

    def note(self, path: Path, problems: Problems) -> None:
        if self.columns:
            problems.note(path, None, "unread-column", f"{self.columns} entities and relations have further columns, which "
                          "are not read")
        for name, count in self.annotations.items():
            if count:
                problems.note(path, None, f"unread-{name.replace('_', '-')}", f"{count} {_UNHELD[name]} are not read: a "
                              "document holds entities and relations between two", loss=True)


def read(path: Path, problems: Problems, options: Options) -> Iterator[Document]:
    unread, fields = _Unread(), Fields(Place(path, problems), _FIELDS | _UNHELD.keys())
    for place, value in objects(path, problems):
        fields.check(value, _ANNOTATION, place)
        unread.annotations.update({name: _count(name, value.get(name)) for name in _UNHELD})
        sentences = value.get("sentences")
        if isinstance(sentences, list) and all(map(is_words, sentences)):
            yield from _documents(value, place, unread, options["overlap"])
        else:
            place.repair("malformed-document", "the line needs 'sentences', a list of lists of words",
                         "leaves the line out")
    fields.note_unread()
    unread.note(path, problems)


def _count(name: str, value: Any) -> int:
    """The number of annotations in a field; clusters are listed for the text, events for each sentence."""
    if not isinstance(value, list):
        return 0
    return len(value) if name != "events" else sum(len(events) for events in value if isinstance(events, list))


def _documents(value: dict[str, Any], place: Place, unread: _Unread, overlap: str) -> Iterator[Document]:
    sentences, key = value["sentences"], id_text(value.get("doc_key"))
    starts = list(accumulate(map(len, sentences), initial=0))
    entities, relations = (_lists(value, name, place) for name in ("ner", "relations"))
    for number, words in enumerate(sentences):
        sentence = replace(place, label=f"sentence {number + 1}: ")
        if not words:
            sentence.repair("empty-sentence", "it has no words", "leaves it out", loss=False)
            continue
        builder = DocumentBuilder.from_words(words, sentence, id=f"{key}#{number + 1}", missing=MISSING)
        unread.columns += add_entities(builder, entities[number], offset=starts[number])
        unread.columns += sum(map(bool, add_relations(builder, relations[number], offset=starts[number], total=starts[-1])))
        yield builder.build(overlap)


def _lists(value: dict[str, Any], name: str, place: Place) -> list[list[Any]]:
    """The field's list for each sentence; empty ones for a field that is absent or null."""
    lists, count = value.get(name), len(value["sentences"])
    if lists is None:
        return [[]] * count
    if not isinstance(lists, list) or not all(isinstance(items, list) for items in lists):
        place.repair(f"malformed-{name}", f"'{name}' is no list of lists", "reads none")
        return [[]] * count
    if len(lists) != count:
        place.repair(f"malformed-{name}", f"'{name}' has lists for {len(lists)} sentences, the text has {count} sentences",
                     "reads those that both have")
    return [*lists[:count], *[[]] * (count - len(lists))]


def write(documents: Iterable[Document], file: TextIO, path: Path, problems: Problems) -> None:
    keys: set[str] = set()
    for number, group in enumerate(_groups(documents_with_words(documents, path, problems)), start=1):
        writable = [(drop_unwritable_types(document, bool, place), place) for document, place in group]
        file.write(json.dumps(_value(_key(group, number, keys), writable), ensure_ascii=False) + "\n")


def _groups(documents: Iterable[_Sentence]) -> Iterator[list[_Sentence]]:
    """The sentences of each text: neighbours called `key#1`, `key#2` and so on, or else one document alone."""
    group: list[_Sentence] = []
    last: tuple[str, int] | None = None
    for document, place in documents:
        match = _SENTENCE_ID.fullmatch(document.id)
        name = (match[1], int(match[2])) if match else None
        if group and not (name and last and name[0] == last[0] and name[1] > last[1]):
            yield group
            group = []
        group.append((document, place))
        last = name
    if group:
        yield group


def _key(group: list[_Sentence], number: int, keys: set[str]) -> str:
    """A unique name for the text; documents that will have another id when read back are noted."""
    id = group[0][0].id
    match = _SENTENCE_ID.fullmatch(id)
    plain = (match[1] if match else id) or f"document-{number}"
    key, copy = plain, 1
    while key in keys:
        copy += 1
        key = f"{plain}-{copy}"
    keys.add(key)
    for index, (document, place) in enumerate(group, start=1):
        if document.id != f"{key}#{index}":
            place.note("sentence-name", f"it will be read as '{key}#{index}'")
    return key


def _value(key: str, group: list[_Sentence]) -> dict[str, Any]:
    starts = accumulate((len(sentence.tokens) for sentence, _ in group), initial=0)
    rows = [(sentence.words, entity_rows(sentence, offset=start), relation_rows(sentence, place, offset=start))
            for (sentence, place), start in zip(group, starts, strict=False)]
    sentences, entities, relations = zip(*rows, strict=True)
    return {"doc_key": key, "sentences": sentences, "ner": entities, "relations": relations}


def sniff(beginning: str) -> bool:
    return (re.match(r"\s*\{", beginning) is not None
            and re.search(r'"sentences"\s*:\s*\[\s*(?:\[\s*(?:"|\])|\])', beginning) is not None)


FORMAT = Format("dygie", "DyGIE++ and SciERC JSON: a text per line, sentences of words, spans with inclusive ends",
                (".json", ".jsonl"), sniff, read, write, options={"overlap": tuple(RULES)})
