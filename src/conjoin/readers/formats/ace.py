"""ACE 2004 and 2005 as the LDC distributes them: per document a text (`.sgm`) and its annotation (`.apf.xml`).

Offsets count the text without its SGML tags; START and END are both inclusive. The documents follow the preprocessing of
Miwa & Bansal 2016 (tticoin/LSTM-ER) as far as possible without CoreNLP: heads with the coarse entity type, each head once,
wrapped lines joined, no sentence end within a head or a relation.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import resources
from itertools import accumulate
from pathlib import Path

from conjoin.document import Document
from conjoin.errors import DataError
from conjoin.readers.characters import trim
from conjoin.readers.format import Format, Options
from conjoin.readers.lines import content
from conjoin.readers.markup import Element, parse_xml
from conjoin.readers.overlap import RULES
from conjoin.readers.problems import Place, Problems
from conjoin.readers.splits import ALL, files_below, files_by_split
from conjoin.readers.standoff import SPLIT_OPTIONS, Standoff
from conjoin.text.words import without_spaces

_TEXT, _ANNOTATION = ".sgm", ".apf.xml"
_DISCOURSE = "DISC"
# Folders of ACE 2005 with the documents after each pass of the annotators, the last pass first.
_PASSES = ("timex2norm", "adj", "fp2", "fp1")
_FOLDS = range(5)

_TAG = re.compile(r"<[^>]+>")
_WRAP = re.compile(r"(?<=\S)\n(?=\S[^:])")
_OFFSET = re.compile(r"[0-9]{1,9}")
_REFERENCE = re.compile(r"&(amp|lt|gt|quot|apos);", re.IGNORECASE)
_CHARACTERS = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}
_ARGUMENTS = {"Arg-1": 0, "Arg-2": 1, "1": 0, "2": 1}  # ROLE of 2005, ARGNUM of 2004
_MISSING = ("unknown-id", "'{}', which is no entity mention that could be read")


@dataclass(frozen=True, slots=True)
class _Mention:
    """Characters `start` to `end` (exclusive) of the text without tags."""

    id: str
    type: str
    start: int
    end: int
    line: int


@dataclass(slots=True)
class _Reading:
    """State while one or more documents are read; `unread` counts annotations that a `Document` cannot hold."""

    problems: Problems
    options: Options
    unread: Counter[str] = field(default_factory=Counter)

    def finish(self, path: Path) -> None:
        if self.unread:
            counts = ", ".join(f"{count} {name}" for name, count in sorted(self.unread.items()))
            self.problems.note(path, None, "unread-annotation", f"documents hold entities and relations; other "
                               f"annotations are not read: {counts}", loss=True)


def read(path: Path, problems: Problems, options: Options) -> Iterator[Document]:
    """One document, named by either of its files."""
    if not path.name.endswith((_TEXT, _ANNOTATION)):
        raise DataError(f"{path}: ends neither in {_TEXT} nor in {_ANNOTATION}, so its partner cannot be found; rename it")
    reading = _Reading(problems, options)
    yield from _documents(path.with_name(_stem(path) + _ANNOTATION), reading)
    reading.finish(path)


def read_folder(folder: Path, problems: Problems, options: Options) -> Mapping[str, Iterable[Document]]:
    """All documents below a folder, in splits by the names of folders or by published lists."""
    reading = _Reading(problems, options)
    splits = {split: [document for file in files for document in _documents(file, reading)]
              for split, files in _files(folder, problems, options).items()}
    reading.finish(folder)
    return splits


def _stem(path: Path) -> str:
    return path.name.removesuffix(_ANNOTATION).removesuffix(_TEXT)


def _files(folder: Path, problems: Problems, options: Options) -> dict[str, list[Path]]:
    rule = options["splits"]
    by_split = files_by_split(folder, _ANNOTATION, problems) if rule == "folders" else {
        ALL: files_below(folder, _ANNOTATION)}
    splits = _each_once(by_split, folder, problems)
    for text in sorted(folder.rglob(f"*{_TEXT}")):
        if not text.name.startswith(".") and not text.with_name(_stem(text) + _ANNOTATION).exists():
            problems.note(text, None, "file-not-read", f"there is no {_stem(text)}{_ANNOTATION} beside it; the text is "
                          "left out")
    return splits if rule == "folders" else _by_lists(splits[ALL], rule, folder, problems)


def _each_once(splits: Mapping[str, list[Path]], folder: Path, problems: Problems) -> dict[str, list[Path]]:
    """The files of the last pass over each document, without duplicates."""
    passes = {file.parent.name for files in splits.values() for file in files} & set(_PASSES)
    last = next((name for name in _PASSES if name in passes), None)
    earlier, seen = 0, dict[str, Path]()
    unique: dict[str, list[Path]] = {}
    for split, files in splits.items():
        unique[split] = []
        for file in files:
            if file.parent.name in passes - {last}:
                earlier += 1
            elif _stem(file) in seen:
                problems.repair(file, None, "duplicate-document", f"the document is in {seen[_stem(file)].parent} "
                                "already", "keeps the first")
            else:
                seen[_stem(file)] = file
                unique[split].append(file)
    if earlier:
        problems.note(folder, None, "earlier-pass", f"{earlier} files of earlier passes of annotation "
                      f"({', '.join(sorted(passes - {last}))}) are not read; {last} is")
    return unique


def _by_lists(files: list[Path], name: str, folder: Path, problems: Problems) -> dict[str, list[Path]]:
    """The files in the splits and the order of the published lists."""
    file_of = {_stem(file): file for file in files}
    lists = _lists(name)
    listed = [document for documents in lists.values() for document in documents]
    missing = [document for document in listed if document not in file_of]
    if len(missing) == len(listed):
        raise DataError(f"{folder}: has none of the {len(listed)} documents that splits={name} lists; name another "
                        "folder, or other splits")
    if missing:
        problems.repair(folder, None, "missing-document", f"{len(missing)} of the {len(listed)} documents that "
                        f"splits={name} lists are not there: {', '.join(missing)}", "reads the others", loss=False)
    for document in sorted(file_of.keys() - set(listed)):
        problems.note(file_of[document], None, "not-in-lists", f"splits={name} does not list the document; it is left "
                      "out", loss=True)
    return {split: [file_of[document] for document in documents if document in file_of]
            for split, documents in lists.items()}


def _lists(name: str) -> dict[str, list[str]]:
    """Split → names of documents: `ace05` as published; `cv0` to `cv4` with that fold of ACE 2004 as test."""
    if name == "ace05":
        return {split: _list(f"ace05-{split}") for split in ("train", "dev", "test")}
    test = int(name.removeprefix("cv"))
    return {"train": [document for fold in _FOLDS if fold != test for document in _list(f"ace04-fold{fold}")],
            "test": _list(f"ace04-fold{test}")}


def _list(name: str) -> list[str]:
    return (resources.files("conjoin.readers.formats") / "splits_ace" / f"{name}.txt").read_text(encoding="utf-8").split()


def _documents(annotation: Path, reading: _Reading) -> Iterator[Document]:
    text = annotation.with_name(_stem(annotation) + _TEXT)
    for file, other in ((text, annotation), (annotation, text)):
        if not file.is_file():
            reading.problems.repair(other, None, "missing-partner", f"there is no {file.name} beside it",
                                    "leaves the document out")
            return
    outermost = parse_xml(annotation, reading.problems)
    if outermost is None:
        return
    parts = list(outermost.each("document"))
    if not parts:
        reading.problems.repair(annotation, outermost.line, "malformed-document", f"<{outermost.name}> holds no "
                                "<document>; APF has one in <source_file>", "leaves the document out")
        return
    raw = _without_tags(text, reading.problems)
    mentions = [mention for part in parts for mention in _mentions(part, raw, annotation, reading)]
    clean, place = _clean(raw, mentions)
    standoff = Standoff(clean, Place(annotation, reading.problems), id=_stem(annotation), missing=_MISSING)
    first = _add_entities(standoff, mentions, place)
    for part in parts:
        _add_relations(standoff, part, first, reading)
    yield from standoff.documents(reading.options)


def _without_tags(path: Path, problems: Problems) -> str:
    """The text without tags, which offsets count."""
    text = content(path, problems)
    if "\r" in text:
        problems.note(path, None, "crlf", "lines end with CRLF; the carriage returns are ignored and not counted")
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    last = text.rfind(">") + 1  # a `<` behind it would make the search for its `>` quadratic
    return _TAG.sub("", text[:last]) + text[last:]


def _clean(raw: str, mentions: Iterable[_Mention]) -> tuple[str, _Places]:
    """The text with wrapped lines joined and references decoded, and the map of offsets to it."""
    text = _WRAP.sub(" ", raw)
    for mention in mentions:
        if "\n" in text[mention.start : mention.end]:
            joined = text[mention.start : mention.end].replace("\n", " ")
            text = text[: mention.start] + joined + text[mention.end :]
    return _decode(text), _Places(text)


def _decode(text: str) -> str:
    return _REFERENCE.sub(lambda match: _CHARACTERS[match[1].lower()], text)


class _Places:
    """Maps offsets in a text to offsets in the same text with its references decoded."""

    def __init__(self, text: str) -> None:
        spans = [match.span() for match in _REFERENCE.finditer(text)]
        self.starts = [start for start, _ in spans]
        self.ends = [end for _, end in spans]
        self.removed = [0, *accumulate(end - start - 1 for start, end in spans)]

    def __call__(self, offset: int) -> int:
        """The new offset; an offset inside a reference becomes the end of its character."""
        index = bisect_right(self.ends, offset)
        if index < len(self.starts) and self.starts[index] < offset:
            offset = self.starts[index] + 1
        return offset - self.removed[index]


def _mentions(part: Element, raw: str, path: Path, reading: _Reading) -> Iterator[_Mention]:
    """The entity mentions of a document whose characters are in the text."""
    problems = reading.problems
    for entity in part.each("entity"):
        type = entity.attributes.get("TYPE", "").strip()
        mentions = list(entity.each("entity_mention"))
        if not type:
            problems.repair(path, entity.line, "malformed-entity", "the entity has no TYPE", "leaves its mentions out")
            continue
        if not mentions:
            problems.note(path, entity.line, "entity-without-mention", f"entity {type} has no mention; nothing in the "
                          "text stands for it", loss=True)
        for mention in mentions:
            span = _span(mention, type, raw, path, reading)
            id = mention.attributes.get("ID", "")
            if not id:
                problems.repair(path, mention.line, "malformed-entity", f"the mention of {type} has no ID",
                                "reads it without relations", loss=False)
            if span is not None:
                yield _Mention(id or f"line {mention.line}", type, *span, mention.line)


def _span(mention: Element, type: str, raw: str, path: Path, reading: _Reading) -> tuple[int, int] | None:
    """The characters of a mention, end exclusive; None when it is left out."""
    name = reading.options["span"]
    sequences = [sequence for part in mention.each(name) for sequence in part.each("charseq")]
    offsets = [sequences[0].attributes.get(key, "") for key in ("START", "END")] if len(sequences) == 1 else []
    if not offsets or not all(map(_OFFSET.fullmatch, offsets)):
        reading.problems.repair(path, mention.line, "malformed-entity", f"the mention of {type} needs one <{name}> with "
                                "one <charseq>, whose START and END are whole numbers", "leaves it out")
        return None
    place = Place(path, reading.problems, sequences[0].line)
    start, end = int(offsets[0]), int(offsets[1]) + 1
    if not start < end <= len(raw):
        place.repair("span-out-of-range", f"entity {type} has characters {start} to {end - 1} "
                     f"(both inclusive), the text without tags has {len(raw)}", "leaves the entity out")
        return None
    covered = raw[start:end].replace("\n", " ")
    if without_spaces(_decode(covered)) != without_spaces(_decode(sequences[0].text)):
        place.repair("text-disagrees", f"entity {type} says '{sequences[0].text}', the text without "
                     f"tags has '{covered}' at characters {start} to {end - 1}", "trusts the offsets", loss=False)
    inner = trim(raw, start, end)
    if inner[0] == inner[1]:
        place.repair("span-without-words", f"entity {type} covers white space only", "leaves the entity out")
        return None
    if inner != (start, end):
        place.note("white-space-edge", f"entity {type} '{covered}' starts or ends with "
                   "white space; the edge is moved to the word")
    return inner


def _add_entities(standoff: Standoff, mentions: Iterable[_Mention], place: _Places) -> dict[str, str]:
    """Add each span once; returns id of a mention → id of the first mention with its type and span."""
    owners: dict[tuple[str, int, int], str] = {}
    first: dict[str, str] = {}
    for mention in mentions:
        owner = owners.setdefault((mention.type, mention.start, mention.end), mention.id)
        if owner == mention.id:
            standoff.entity(mention.id, mention.type, place(mention.start), place(mention.end), line=mention.line)
        else:
            standoff.place.at(mention.line).note("duplicate-entity", f"entity {mention.type} '{mention.id}' is on the same "
                                                 f"characters as '{owner}', which stands for both")
        first.setdefault(mention.id, owner)
    return first


def _add_relations(standoff: Standoff, part: Element, first: Mapping[str, str], reading: _Reading) -> None:
    """Add the relations of a document; `first` maps the id of a mention to the id of its entity."""
    others = {mention.attributes.get("ID", "") for child in part.children if child.name not in ("entity", "relation")
              for mention in child.children}
    reading.unread.update(child.name for child in part.children if child.name not in ("entity", "relation"))
    seen: set[tuple[str, str, str]] = set()
    for relation in part.each("relation"):
        type = relation.attributes.get("TYPE", "").strip()
        mentions, place = list(relation.each("relation_mention")), standoff.place.at(relation.line)
        if not type:
            place.repair("malformed-relation", "the relation has no TYPE", "leaves it out")
        elif type == _DISCOURSE and reading.options["discourse"] != "keep":
            place.note("discourse", f"relation {type} is left out (discourse=keep keeps it)", loss=True)
        elif not mentions:
            place.note("relation-without-mention", f"relation {type} has no mention; nothing in "
                       "the text states it", loss=True)
        else:
            for mention in mentions:
                _add_relation(standoff, type, mention, first, others, seen, reading)


def _add_relation(standoff: Standoff, type: str, mention: Element, first: Mapping[str, str], others: set[str],
                  seen: set[tuple[str, str, str]], reading: _Reading) -> None:
    arguments, place = _arguments(mention, reading), standoff.place.at(mention.line)
    if arguments is None:
        place.repair("malformed-relation", f"the mention of {type} needs a first and a second argument (ROLE Arg-1 and "
                     "Arg-2, or ARGNUM 1 and 2), each with the id of an entity mention", "leaves it out")
        return
    if not others.isdisjoint(arguments):
        place.note("relation-argument", f"relation {type} has an argument that is no entity and is left out", loss=True)
        return
    head, tail = (first.get(id, id) for id in arguments)
    if head == tail and arguments[0] != arguments[1]:
        place.note("self-relation", f"relation {type} connects '{arguments[0]}' and '{arguments[1]}', "
                   "which are on the same characters; it is left out", loss=True)
    elif (type, head, tail) in seen:
        place.note("duplicate-relation", f"relation {type} from '{head}' to '{tail}' is stated twice; one is kept")
    else:
        seen.add((type, head, tail))
        standoff.relation(type, head, tail, line=mention.line)


def _arguments(mention: Element, reading: _Reading) -> tuple[str, str] | None:
    """The ids of the first and second argument, or None; other arguments, such as times, are counted as unread."""
    ids: tuple[list[str], list[str]] = ([], [])
    for part in mention.children:
        values = part.attributes
        role = values.get("ROLE") or values.get("ARGNUM") or ""
        id = values.get("REFID") or values.get("ENTITYMENTIONID")
        if part.name in ("extent", "ldc_extent"):
            continue
        if part.name not in ("relation_mention_argument", "rel_mention_arg"):
            reading.unread[part.name] += 1
        elif role not in _ARGUMENTS:
            reading.unread[f"argument {role}".strip()] += 1
        elif id:
            ids[_ARGUMENTS[role]].append(id)
    match ids:
        case [first], [second]:
            return first, second
    return None


def claims(folder: Path) -> bool:
    return any(not file.name.startswith(".") for file in folder.rglob(f"*{_ANNOTATION}"))


def sniff(beginning: str) -> bool:
    return re.match(r"\s*<DOC[\s>]", beginning) is not None or (
        beginning.lstrip().startswith("<") and re.search(r"<source_file[\s>]", beginning) is not None)


FORMAT = Format("ace", "ACE 2004 and 2005 from the LDC: .sgm with .apf.xml beside it", (_TEXT,), sniff, read,
                options={
                    "splits": ("folders", "ace05", *(f"cv{fold}" for fold in _FOLDS)),
                    "span": ("head", "extent"),
                    "discourse": ("drop", "keep"),
                    **SPLIT_OPTIONS,
                    "overlap": tuple(RULES),
                },
                claims=claims, read_folder=read_folder)
