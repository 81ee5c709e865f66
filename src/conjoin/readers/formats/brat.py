"""brat standoff (Stenetorp et al. 2012): a text `<id>.txt` and beside it `<id>.ann`, an annotation with an id per line.

Entities are T lines (`T1`, tab, `Type start end`, tab, their text), relations R lines (`R1`, tab, `Type Arg1:T1 Arg2:T2`).
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from conjoin.document import Document, Entity, Relation
from conjoin.readers.characters import trim
from conjoin.readers.format import Format, Options
from conjoin.readers.lines import lines, raw_content
from conjoin.readers.overlap import RULES
from conjoin.readers.problems import Place, Problems
from conjoin.readers.splits import ALL, files_by_split, split_of
from conjoin.readers.standoff import SENTENCE_OPTIONS, Standoff
from conjoin.readers.writing import documents_with_characters, note_scores
from conjoin.text.words import BYTE_ORDER_MARK, without_spaces

# First letter of an id → name of annotations that are counted but not read, and whether that is a loss.
_UNREAD: Mapping[str, tuple[str, bool]] = {
    "E": ("events", True), "*": ("equivalences", True), "N": ("normalisations", False), "A": ("attributes", False),
    "M": ("attributes", False), "#": ("notes", False),
}
_MENTION = re.compile(r"(T\S*)\t(\S+) +(\d{1,15} \d{1,15}(?:;\d{1,15} \d{1,15})*) *(?:\t(.*))?")
_RELATION = re.compile(r"(R\S*)\t(\S+) +([^\s:]+):(\S+) +([^\s:]+):(\S+)\s*")
_TRIGGER = re.compile(r"(E\S*)\t[^\s:]+:(\S+)")


@dataclass(frozen=True, slots=True)
class _Mention:
    """A T line; `copy` is its copy of the text."""

    line: int
    id: str
    type: str
    parts: tuple[tuple[int, int], ...]
    copy: str | None

    def inside(self, text: str) -> bool:
        """True when all parts lie in the text."""
        return all(0 <= start < end <= len(text) for start, end in self.parts)

    def agrees(self, text: str) -> bool:
        """True when the text has `copy` at the offsets. brat writes a blank between parts, old versions wrote nothing."""
        return self.copy is None or any(
            without_spaces(self.copy) == without_spaces("".join(text[start:end] for start, end in parts))
            for parts in (self.parts, sorted(self.parts))
        )


@dataclass(frozen=True, slots=True)
class _Link:
    line: int
    type: str
    head: str
    tail: str


@dataclass(slots=True)
class _Annotations:
    """The content of an `.ann` file; `triggers` maps events to the T lines of their triggers."""

    mentions: list[_Mention] = field(default_factory=list)
    links: list[_Link] = field(default_factory=list)
    triggers: dict[str, str] = field(default_factory=dict)
    unread: Counter[str] = field(default_factory=Counter)


def read(path: Path, problems: Problems, options: Options) -> Iterator[Document]:
    """The sentences of one text; `path` is the `.ann` or the `.txt` file."""
    unread: Counter[str] = Counter()
    is_text = path.suffix.lower() == ".txt"
    yield from _documents(path if is_text else path.with_suffix(".txt"), path.stem, unread, problems, options,
                          annotations=path.with_suffix(".ann") if is_text else path)
    _note_unread(path, unread, problems)


def read_folder(folder: Path, problems: Problems, options: Options) -> Mapping[str, Iterable[Document]]:
    """All texts of a folder, or of folders in it that are named for splits; the id is the name of the file."""
    unread: Counter[str] = Counter()
    splits: dict[str, list[Document]] = {}
    for split, files in files_by_split(folder, ".txt", problems).items():
        above = os.path.commonpath([file.parent for file in files])
        splits[split] = [
            document for file in files
            for document in _documents(file, file.relative_to(above).with_suffix("").as_posix(), unread, problems, options,
                                       annotations=file.with_suffix(".ann"))
        ]
    for file in sorted(folder.rglob("*.ann")):
        if not file.name.startswith(".") and not file.with_suffix(".txt").exists():
            _repair_missing_text(file, problems)
    _note_unread(folder, unread, problems)
    return splits


def _repair_missing_text(annotations: Path, problems: Problems) -> None:
    problems.repair(annotations, None, "missing-text", f"there is no {annotations.with_suffix('.txt').name} beside it, the "
                    "text that it annotates", "leaves it out")


def _note_unread(path: Path, unread: Counter[str], problems: Problems) -> None:
    for name, loss in dict(_UNREAD.values()).items():
        if unread[name]:
            letters = ", ".join(letter for letter, (other, _) in _UNREAD.items() if other == name)
            problems.note(path, None, f"unread-{name}", f"{unread[name]} {name} ({letters} lines) are not read: a document "
                          "holds entities and relations between two", loss=loss)


def _documents(file: Path, id: str, unread: Counter[str], problems: Problems, options: Options, *,
               annotations: Path) -> Iterator[Document]:
    """The documents of the text in `file`; annotations that are not read are added to `unread`."""
    content, path = _Annotations(), file
    if not file.exists():
        _repair_missing_text(annotations, problems)
        return
    if annotations.exists():
        content, path = _annotations(annotations, problems), annotations
    else:
        problems.note(file, None, "no-annotations", f"there is no {annotations.name}; the text has no annotations")
    unread.update(content.unread)
    standoff = Standoff(_counted_text(file, content.mentions, problems), Place(path, problems), id=id)
    for mention in content.mentions:
        _add_mention(standoff, mention, options["discontinuous"])
    for link in content.links:
        _add_link(standoff, link, content.triggers)
    yield from standoff.documents(options)


def _annotations(path: Path, problems: Problems) -> _Annotations:
    content = _Annotations()
    for number, line in lines(path, problems):
        kind = line[:1]
        mention, link = _MENTION.fullmatch(line), _RELATION.fullmatch(line)
        if mention:
            parts = [tuple(map(int, part.split())) for part in mention[3].split(";")]
            content.mentions.append(_Mention(number, mention[1], mention[2], tuple((a, b) for a, b in parts), mention[4]))
        elif link:
            ends = [(link[3], link[4]), (link[5], link[6])]
            if (link[3].lower(), link[5].lower()) == ("arg2", "arg1"):
                ends.reverse()
            content.links.append(_Link(number, link[2], ends[0][1], ends[1][1]))
        elif kind in _UNREAD:
            content.unread[_UNREAD[kind][0]] += 1
            trigger = _TRIGGER.match(line)
            if trigger:
                content.triggers[trigger[1]] = trigger[2]
        elif line.strip():
            problems.repair(path, number, "malformed-row", f"'{line[:60]}' is neither an entity (T1, tab, type start end, "
                            "tab, text) nor a relation (R1, tab, type Arg1:T1 Arg2:T2)", "leaves the line out")
    return content


def _counted_text(file: Path, mentions: Sequence[_Mention], problems: Problems) -> str:
    """The text as the offsets count it.

    brat has counted CRLF as one character (nlplab/brat issue 853) and as two (issue 1169), and tools differ on the
    byte-order mark: the choice is the way that agrees with most mentions, of equal ones the file as it is.
    """
    text = raw_content(file, problems)
    bare = text.removeprefix(BYTE_ORDER_MARK)
    ways = dict.fromkeys([text, text.replace("\r\n", "\n"), bare, bare.replace("\r\n", "\n")])
    if len(ways) == 1:
        return text
    best = max(ways, key=lambda way: sum(mention.inside(way) and mention.agrees(way) for mention in mentions))
    if "\r\n" in text:
        width = "two characters" if "\r\n" in best else "one character"
        problems.note(file, None, "crlf", f"lines end with CRLF, which the offsets count as {width}")
    if text != bare:
        verb = "count" if best.startswith(BYTE_ORDER_MARK) else "do not count"
        problems.note(file, 1, "byte-order-mark", f"the file starts with a byte-order mark, which the offsets {verb}")
    return best


def _add_mention(standoff: Standoff, mention: _Mention, discontinuous: str) -> None:
    text, parts = standoff.text, mention.parts
    if mention.inside(text):
        if not mention.agrees(text):
            covered = " … ".join(text[start:end] for start, end in parts)
            standoff.place.at(mention.line).repair("text-disagrees", f"{mention.id}, {mention.type}, says "
                                                   f"'{mention.copy}', the text has '{covered}' at its offsets (count "
                                                   "characters, not bytes)", "trusts the offsets", loss=False)
        parts = tuple(_joined(text, parts))
    if len(parts) == 1:
        standoff.entity(mention.id, mention.type, *parts[0], line=mention.line)
    else:
        standoff.discontinuous(mention.id, mention.type, parts, discontinuous, line=mention.line)


def _joined(text: str, parts: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The parts in order, joined where only white space is between them: brat splits spans at line ends (issue 1169)."""
    first, *others = sorted(parts)
    begin, stop = first
    for start, end in others:
        if text[stop:start].strip():
            yield begin, stop
            begin = start
        stop = max(stop, end)
    yield begin, stop


def _add_link(standoff: Standoff, link: _Link, triggers: Mapping[str, str]) -> None:
    for end in (link.head, link.tail):
        if end in triggers:
            standoff.place.at(link.line).note("event-argument", f"relation {link.type} points at event {end}; it goes to "
                                              f"the trigger of the event, {triggers[end]}")
    standoff.relation(link.type, triggers.get(link.head, link.head), triggers.get(link.tail, link.tail), line=link.line)


def write_folder(documents: Iterable[Document], folder: Path, path: Path, problems: Problems) -> None:
    """A pair of files for each document, named after its id."""
    names: set[str] = set()
    types: dict[str, str] = {}
    for number, (document, place) in enumerate(documents_with_characters(documents, path, problems), start=1):
        name = _file_name(document.id or f"document-{number}", names)
        if name != document.id:
            place.note("file-name", f"it is called '{name}', a name that every system takes and no other document has")
        annotations: list[Entity | Relation] = [*document.entities, *document.relations]
        note_scores(annotations, place)
        unseen = dict.fromkeys(annotation.type for annotation in annotations if annotation.type not in types)
        types |= {type: _one_word(type, path, problems) for type in unseen}
        rows = _rows(document, types, place)
        (folder / f"{name}.txt").write_bytes(document.text.encode())
        (folder / f"{name}.ann").write_bytes("".join(f"{row}\n" for row in rows).encode())


# Names that Windows reserves, with any ending.
_DEVICES = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE)


def _file_name(id: str, names: set[str]) -> str:
    """A unique name for the files of a document, where upper and lower case do not differ."""
    plain = re.sub(r"[^\w.#+=@,-]+", "_", id)[:60]
    if plain.startswith((".", "README")) or _DEVICES.fullmatch(plain):
        plain = "_" + plain
    name, number = plain, 1
    while (folded := unicodedata.normalize("NFKD", name).casefold()) in names:
        number += 1
        name = f"{plain}-{number}"
    names.add(folded)
    return name


def _one_word(type: str, path: Path, problems: Problems) -> str:
    word = re.sub(r"\s+", "_", type) or "_"
    if word != type:
        problems.repair(path, None, "type-name", f"type '{type}' is empty or has white space in it", f"writes {word}",
                        loss=False)
    return word


def _rows(document: Document, types: Mapping[str, str], place: Place) -> Iterator[str]:
    """The lines of the `.ann` file; `types` maps each type to the name in the file."""
    ids: dict[Entity, str] = {}
    for entity in document.entities:
        start, end = trim(document.text, entity.char_start, entity.char_end)
        if start == end:
            place.repair("span-without-words", f"entity {entity.type} covers white space only",
                         "leaves it out with its relations")
            continue
        ids[entity] = f"T{len(ids) + 1}"
        # a line of the file cannot hold a line end, so the lines of the span become its parts, as in brat
        parts = [(start + line.start(), start + line.end()) for line in re.finditer(r"[^\r\n]+", document.text[start:end])]
        offsets = ";".join(f"{begin} {stop}" for begin, stop in parts)
        copy = " ".join(document.text[begin:stop] for begin, stop in parts)
        yield f"{ids[entity]}\t{types[entity.type]} {offsets}\t{copy}"
    relations = [relation for relation in document.relations if relation.head in ids and relation.tail in ids]
    for number, relation in enumerate(relations, start=1):
        yield f"R{number}\t{types[relation.type]} Arg1:{ids[relation.head]} Arg2:{ids[relation.tail]}"


def sniff(beginning: str) -> bool:
    return (re.match(r"(?:[TREAMN#]\S*|\*)\t", beginning) is not None
            and re.search(r"^T\S*\t\S+ \d+ \d+(?:;\d+ \d+)*[\t\n]", beginning, re.MULTILINE) is not None)


def claims(folder: Path) -> bool:
    """True when there are `.ann` files in the folder, or below folders in it that are named for splits."""
    return any(folder.glob("*.ann")) or any(inner.is_dir() and (split_of(inner) or inner.name == ALL)
                                            and any(inner.rglob("*.ann")) for inner in folder.iterdir())


FORMAT = Format("brat", "brat standoff: a text and an .ann file for each document, entities in characters", (".ann",),
                sniff, read, claims=claims, read_folder=read_folder, write_folder=write_folder,
                options={**SENTENCE_OPTIONS, "overlap": tuple(RULES)})
