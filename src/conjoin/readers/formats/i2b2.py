"""i2b2/VA 2010: a record's lines of words (`.txt`), its concepts (`.con`) and the relations between them (`.rel`).

Positions are `line:word`, lines from 1, words from 0, both ends inclusive. A line is a document.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from conjoin.document import Document, Token
from conjoin.readers.document_builder import DocumentBuilder
from conjoin.readers.format import Format, Options
from conjoin.readers.lines import lines
from conjoin.readers.overlap import RULES
from conjoin.readers.problems import Place, Problems
from conjoin.readers.splits import ALL, files_below, files_by_split

_TEXT, _CONCEPTS, _RELATIONS, _ASSERTIONS = ".txt", ".con", ".rel", ".ast"
# Their folders in the release; the texts of its test part are two folders up.
_FOLDERS = {_TEXT: ("txt", "test_data"), _CONCEPTS: ("concept", "concepts"), _RELATIONS: ("rel",), _ASSERTIONS: ("ast",)}

# The quoted text may itself hold quotes and bars, so each pattern takes as much of it as it can.
_MARK = r'c="(.*)"\s+([0-9]{1,9}):([0-9]{1,9})\s+([0-9]{1,9}):([0-9]{1,9})'
_CONCEPT = re.compile(rf'\s*{_MARK}\s*\|\|\s*t="([^"|]+)"\s*')
_RELATION = re.compile(rf'\s*{_MARK}\s*\|\|\s*r="([^"|]+)"\s*\|\|\s*{_MARK}\s*')
_WORD = re.compile(r"[^ \t\r\v\f]+")  # no-break spaces part no words

_PROBLEM = "problem"
# First two letters of a relation's type → type of its first argument; the second is a problem.
_FIRST = {"Tr": "treatment", "Te": "test", "PI": _PROBLEM}


@dataclass(frozen=True, slots=True)
class _Place:
    """From word `start` of line `first` to word `end` of line `last`, as the files count: `end` inclusive."""

    first: int
    start: int
    last: int
    end: int

    def __str__(self) -> str:
        return f"{self.first}:{self.start} {self.last}:{self.end}"


@dataclass(frozen=True, slots=True)
class _Mark:
    """A place and the file's copy of its text; `number` is the line of the file with the mark."""

    place: _Place
    copy: str
    number: int


@dataclass(frozen=True, slots=True)
class _Concept:
    type: str
    mark: _Mark


@dataclass(frozen=True, slots=True)
class _Relation:
    type: str
    head: _Mark
    tail: _Mark


@dataclass(frozen=True, slots=True)
class _Record:
    """The files of a record; `relations` is None where there is no such file."""

    text: Path
    concepts: Path
    relations: Path | None
    problems: Problems


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of the text and its words; `skipped` is 1 where the files count an empty word before a leading blank."""

    number: int
    text: str
    tokens: tuple[Token, ...]
    skipped: int

    def agrees(self, mark: _Mark) -> bool:
        """True when the words at the place equal the copy, ignoring case."""
        return _WORD.findall(mark.copy.lower()) == [token.text.lower() for token in self.words_at(mark.place)]

    def words_at(self, place: _Place) -> tuple[Token, ...]:
        """The words at a place of this line."""
        return self.tokens[max(0, place.start - self.skipped) : place.end + 1 - self.skipped]


def read(path: Path, problems: Problems, options: Options) -> Iterator[Document]:
    """One record, named by any of its files."""
    concepts, text, relations = (_beside(path, ending) for ending in (_CONCEPTS, _TEXT, _RELATIONS))
    for ending, file in ((_CONCEPTS, concepts), (_TEXT, text)):
        if file is None:
            problems.repair(path, None, "missing-partner", f"there is no {path.stem}{ending} beside it or in one of the "
                            f"folders {', '.join(_FOLDERS[ending])} beside its folder", "leaves the record out")
    if concepts and text:
        yield from _documents(_Record(text, concepts, relations, problems), options)
        _note_files(path, problems, without_relations=relations is None, assertions=bool(_beside(path, _ASSERTIONS)))


def _beside(path: Path, ending: str) -> Path | None:
    """The file of a record with another ending, in the same folder or in its folder of the release."""
    name = path.with_suffix(ending).name
    places = [path.parent, *(above / folder for above in path.absolute().parents[1:3] for folder in _FOLDERS[ending])]
    return next((place / name for place in places if (place / name).is_file()), None)


def read_folder(folder: Path, problems: Problems, options: Options) -> Mapping[str, Iterable[Document]]:
    """All records below a folder, in the splits of the folders' names or (`splits=none`) all in one."""
    splits = ({ALL: files_below(folder, _CONCEPTS)} if options["splits"] == "none"
              else files_by_split(folder, _CONCEPTS, problems))
    texts, relations = (_partners(folder, ending, problems) for ending in (_TEXT, _RELATIONS))
    documents: dict[str, list[Document]] = {}
    without = 0
    for split, files in splits.items():
        documents[split] = []
        for concepts in files:
            text, relation_file = texts.get(concepts), relations.get(concepts)
            if text is None:
                problems.repair(concepts, None, "missing-partner", f"there is no {concepts.stem}{_TEXT} for it; give the "
                                "folder that holds both", "leaves the record out")
                continue
            without += relation_file is None
            documents[split] += _documents(_Record(text, concepts, relation_file, problems), options)
    _note_files(folder, problems, without_relations=without, assertions=len(list(folder.rglob(f"*{_ASSERTIONS}"))))
    return documents


def _partners(folder: Path, ending: str, problems: Problems) -> dict[Path, Path]:
    """Concept file → the nearest file of the same name with another ending, each file once.

    Texts without a concept file are noted, relations without one are a repair.
    """
    by_name: dict[str, list[Path]] = {}
    for concepts in files_below(folder, _CONCEPTS):
        by_name.setdefault(concepts.stem, []).append(concepts)
    candidates: dict[Path, list[Path]] = {}
    unused = []
    for file in sorted(folder.rglob(f"*{ending}")):
        if file.stem in by_name:
            candidates.setdefault(_nearest(file, by_name[file.stem]), []).append(file)
        elif not file.name.startswith("."):
            unused.append(file)
    partners = {concepts: _nearest(concepts, files) for concepts, files in candidates.items()}
    unused += [file for concepts, files in candidates.items() for file in files if file != partners[concepts]]
    if unused and ending == _TEXT:
        problems.note(folder, None, "file-not-read", f"{len(unused)} {_TEXT} files have no {_CONCEPTS} file of their own "
                      f"and are left out, the first of them {unused[0]}")
    elif unused:
        problems.repair(unused[0], None, "missing-partner", f"{len(unused)} {_RELATIONS} files such as this one have no "
                        f"{_CONCEPTS} file of their own", "leaves their relations out")
    return partners


def _nearest(path: Path, candidates: Sequence[Path]) -> Path:
    """The candidate that shares most folders with a path; of several the first."""
    def shared(candidate: Path) -> int:
        pairs = zip(path.parts, candidate.parts, strict=False)
        return next((index for index, (one, other) in enumerate(pairs) if one != other), 0)

    return max(candidates, key=shared)


def _note_files(path: Path, problems: Problems, *, without_relations: int, assertions: int) -> None:
    if without_relations:
        problems.note(path, None, "no-relation-file", f"records without a {_RELATIONS} file, which have no relations: "
                      f"{without_relations:d}")
    if assertions:
        problems.note(path, None, "unread-annotation", f"{_ASSERTIONS} files, whose assertions a document has no place "
                      f"for: {assertions:d}", loss=True)


def _documents(record: _Record, options: Options) -> Iterator[Document]:
    """A document for each line with words."""
    concepts, over = _concepts(record)
    relations = _relations(record, over)
    count = 0
    for count, text in lines(record.text, record.problems):
        here = concepts.pop(count, [])
        line = _line(count, text, here)
        builder = DocumentBuilder(text, line.tokens, Place(record.text, record.problems, count),
                                  id=f"{record.text.stem}#{count}")
        types = _add_concepts(builder, line, here, record)
        for relation in relations.pop(count, []):
            _add_relation(builder, line, relation, types, record)
        if line.tokens:
            yield builder.build(options["overlap"])
    for mark in (concept.mark for unused in concepts.values() for concept in unused):
        record.problems.repair(record.concepts, mark.number, "span-out-of-range", f"'{mark.copy}' is in line "
                               f"{mark.place.first}, the text has {count}", "leaves the concept out")
    for relation in (relation for unused in relations.values() for relation in unused):
        _point_nowhere(relation, relation.head, record)


def _concepts(record: _Record) -> tuple[dict[int, list[_Concept]], set[_Place]]:
    """Line → its concepts, each once; and the places of concepts that extend over the end of a line."""
    by_line: dict[int, list[_Concept]] = {}
    over: set[_Place] = set()
    seen: set[tuple[str, _Place]] = set()
    problems, path = record.problems, record.concepts
    for number, match in _matches(path, _CONCEPT, 'c="text" line:word line:word||t="type"', problems):
        type, mark = match[6], _mark(match, 1, number)
        if (type, mark.place) in seen:
            problems.note(path, number, "duplicate-entity", f"{type} '{mark.copy}' is written twice; one is kept")
        elif mark.place.first != mark.place.last:
            over.add(mark.place)
            problems.note(path, number, "concept-over-lines", f"{type} '{mark.copy}' runs over the end of a line and is "
                          "left out with its relations", loss=True)
        else:
            by_line.setdefault(mark.place.first, []).append(_Concept(type, mark))
        seen.add((type, mark.place))
    return by_line, over


def _relations(record: _Record, over: set[_Place]) -> dict[int, list[_Relation]]:
    """Line → its relations, each once, without those of concepts `over` the end of a line."""
    by_line: dict[int, list[_Relation]] = {}
    seen: set[tuple[str, _Place, _Place]] = set()
    problems, path = record.problems, record.relations
    if path is None:
        return by_line
    shape = 'c="text" line:word line:word||r="type"||c="text" line:word line:word'
    for number, match in _matches(path, _RELATION, shape, problems):
        type, head, tail = match[6], _mark(match, 1, number), _mark(match, 7, number)
        if (type, head.place, tail.place) in seen:
            problems.note(path, number, "duplicate-relation", f"{type} from '{head.copy}' to '{tail.copy}' is written "
                          "twice; one is kept")
        elif head.place in over or tail.place in over:
            problems.note(path, number, "concept-over-lines", f"{type} goes with its concept, which runs over the end of "
                          "a line", loss=True)
        elif head.place.first != tail.place.first:
            problems.note(path, number, "relation-across-sentences", f"{type} from '{head.copy}' to '{tail.copy}' crosses "
                          "the end of a line and is left out", loss=True)
        else:
            by_line.setdefault(head.place.first, []).append(_Relation(type, head, tail))
        seen.add((type, head.place, tail.place))
    return by_line


def _matches(path: Path, pattern: re.Pattern[str], shape: str, problems: Problems) -> Iterator[tuple[int, re.Match[str]]]:
    """Number and match of each line; lines of another shape are repairs, blank lines are skipped."""
    for number, text in lines(path, problems):
        match = pattern.fullmatch(text)
        if match:
            yield number, match
        elif text.strip():
            problems.repair(path, number, "malformed-row", f"'{text[:60]}' is not {shape}", "leaves the line out")


def _mark(match: re.Match[str], group: int, number: int) -> _Mark:
    copy, *numbers = match.groups()[group - 1 : group + 4]
    return _Mark(_Place(*map(int, numbers)), copy, number)


def _line(number: int, text: str, concepts: Sequence[_Concept]) -> _Line:
    """The words of a line; an empty word before a leading blank counts where that agrees best with the concepts."""
    tokens = tuple(Token(match[0], *match.span()) for match in _WORD.finditer(text))
    line, skipping = (_Line(number, text, tokens, skipped) for skipped in (0, 1))
    if not tokens or not tokens[0].char_start:
        return line
    agreeing = [sum(choice.agrees(concept.mark) for concept in concepts) for choice in (line, skipping)]
    return skipping if agreeing[1] >= agreeing[0] else line


def _add_concepts(builder: DocumentBuilder, line: _Line, concepts: Iterable[_Concept],
                  record: _Record) -> dict[_Place, list[str]]:
    """Add the concepts of a line under their place and type; returns the types at each place."""
    types: dict[_Place, list[str]] = {}
    for concept in concepts:
        mark, place = concept.mark, concept.mark.place
        start, end = place.start - line.skipped, place.end + 1 - line.skipped
        if not 0 <= start < end <= len(line.tokens):
            record.problems.repair(record.concepts, mark.number, "span-out-of-range", f"{concept.type} '{mark.copy}' has "
                                   f"words {place}, line {line.number} has {len(line.tokens)}", "leaves the concept out")
            continue
        _check(mark, line, record.concepts, record.problems)
        builder.entity((place, concept.type), concept.type, start, end, line=mark.number)
        types.setdefault(place, []).append(concept.type)
    return types


def _add_relation(builder: DocumentBuilder, line: _Line, relation: _Relation, types: Mapping[_Place, Sequence[str]],
                  record: _Record) -> None:
    problems, path, number = record.problems, record.relations or record.text, relation.head.number
    marks = relation.head, relation.tail
    for mark in marks:
        if mark.place not in types:
            _point_nowhere(relation, mark, record)
            return
    for mark in marks:
        _check(mark, line, path, problems)
    expected = _FIRST.get(relation.type[:2], ""), _PROBLEM
    head, tail = ((mark.place, type if type in types[mark.place] else types[mark.place][0])
                  for mark, type in zip(marks, expected, strict=True))
    if head == tail:
        problems.repair(path, number, "self-relation", f"{relation.type} connects '{marks[0].copy}' with itself",
                        "leaves it out")
        return
    if expected[0] and (head[1], tail[1]) != expected:
        problems.note(path, number, "signature", f"{relation.type} goes from {head[1]} to {tail[1]}, where {expected[0]} "
                      f"to {expected[1]} is usual")
    builder.relation(relation.type, head, tail, line=number)


def _point_nowhere(relation: _Relation, mark: _Mark, record: _Record) -> None:
    record.problems.repair(record.relations or record.text, mark.number, "relation-end", f"{relation.type} points at "
                           f"{mark.place} ('{mark.copy}'), which is no concept that could be read",
                           "leaves the relation out")


def _check(mark: _Mark, line: _Line, path: Path, problems: Problems) -> None:
    if not line.agrees(mark):
        covered = " ".join(token.text for token in line.words_at(mark.place))
        problems.repair(path, mark.number, "text-disagrees", f"'{mark.copy}' is said to be at {mark.place}, where the text "
                        f"has '{covered}'", "trusts the position", loss=False)


def claims(folder: Path) -> bool:
    return any(not file.name.startswith(".") for file in folder.rglob(f"*{_CONCEPTS}"))


def sniff(beginning: str) -> bool:
    return re.match(r'\s*c="[^\n]*"\s+\d+:\d+\s+\d+:\d+\s*\|\|\s*[tr]=', beginning) is not None


FORMAT = Format("i2b2", "i2b2/VA 2010: .txt with .con and .rel, side by side or in folders", (_CONCEPTS,), sniff, read,
                options={"splits": ("folders", "none"), "overlap": tuple(RULES)}, claims=claims, read_folder=read_folder)
