"""spaCy's DocBin (`.spacy`): documents with `ents`, span groups and user data (spacy.io/api/docbin). Needs spaCy.

Relations stand in the user data, in one of two places:
- `doc._.relations`, as conjoin writes them: a list of {"type": "Live_In", "head": (start, end, label), "tail": (start, end,
  label), "score": 0.9}, where start and end are tokens, the end exclusive, and the score may be absent;
- `doc._.rel` of spaCy's relation tutorial (explosion/projects, tutorials/rel_component): {(first token of the head, first
  token of the tail): {label: score}}, a relation where the score is 0.5 or more. It is read where the other is not there.

Both are written. A DocBin keeps user data under the name of the extension, so that nothing has to be registered to read it.
"""

from __future__ import annotations

import gc
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from conjoin.document import Document, Entity, Token
from conjoin.errors import DataError, needs_extra
from conjoin.readers.format import Format, Options
from conjoin.readers.objects import finite_score
from conjoin.readers.overlap import RULES
from conjoin.readers.problems import Place, Problems
from conjoin.readers.standoff import SPLIT_OPTIONS, Standoff
from conjoin.readers.writing import drop_unwritable_types, note_scores, with_places

if TYPE_CHECKING:
    from spacy.tokens import Doc
    from spacy.vocab import Vocab

_RELATIONS = ("._.", "relations", None, None)  # where user data keeps doc._.relations
_REL = ("._.", "rel", None, None)
_ID = "id"
_GROUP = "conjoin"  # all entities of a document, where some overlap, which doc.ents cannot hold
_USUAL_GROUP = "sc"  # that of spaCy's span categorizer
_THRESHOLD = 0.5  # the tutorial's


@dataclass(frozen=True, slots=True)
class _Span:
    """Tokens `start` to `end` (exclusive) of a group of doc.spans, or of doc.ents, which has no name."""

    group: str | None
    start: int
    end: int
    label: str
    char_start: int
    char_end: int

    @property
    def name(self) -> str:
        return _key(self.start, self.end, self.label)


@dataclass(frozen=True, slots=True)
class _Stored:
    """A document of a DocBin, without tokens of white space."""

    text: str
    tokens: list[Token]
    spans: list[_Span]
    user_data: Mapping[Any, Any]


def read(path: Path, problems: Problems, options: Options) -> Iterator[Document]:
    for number, stored in enumerate(_read_file(path), start=1):
        yield from _standoff(stored, Place(path, problems, label=f"document {number}: "), options).documents(options)


def _read_file(path: Path) -> Iterator[_Stored]:
    """The documents of the file. Raises `DataError` when it is no DocBin."""
    with needs_extra("spacy", "spacy"):
        from spacy.tokens import DocBin
        from spacy.vocab import Vocab
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the name") from error
    try:
        with _garbage_collection():
            for doc in DocBin().from_bytes(raw).get_docs(Vocab()):
                groups = [(None, doc.ents), *doc.spans.items()]
                yield _Stored(doc.text,
                              [Token(token.text, token.idx, token.idx + len(token.text))
                               for token in doc if not token.text.isspace()],
                              [_Span(name, span.start, span.end, span.label_, span.start_char, span.end_char)
                               for name, group in groups for span in group],
                              doc.user_data)
    except (ValueError, TypeError, LookupError, AttributeError, AssertionError, zlib.error) as error:
        raise DataError(f"{path}: is no DocBin that spaCy can read ({type(error).__name__}); write it again with "
                        "DocBin.to_disk") from error


@contextmanager
def _garbage_collection() -> Iterator[None]:
    """Restores garbage collection, which spaCy leaves switched off after a file that is no DocBin."""
    enabled = gc.isenabled()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _standoff(stored: _Stored, place: Place, options: Options) -> Standoff:
    id = stored.user_data.get(_ID, "")
    standoff = Standoff(stored.text, place, id=str(id) if isinstance(id, str | int) else "", tokens=stored.tokens,
                        missing=("relation-end", "{}, which is no entity"))
    first: dict[int, str] = {}  # token → the entity that begins there; doc.ents go before groups
    names: set[str] = set()
    for span in stored.spans:
        if not span.label:
            place.note("no-label", f"the span at tokens {span.start} to {span.end} has no label and is left out", loss=True)
        elif _is_read(span.group, options) and span.name not in names:
            names.add(span.name)
            standoff.entity(span.name, span.label, span.char_start, span.char_end)
            first.setdefault(span.start, span.name)
    unread = Counter(span.group for span in stored.spans if span.label and not _is_read(span.group, options))
    for group, count in unread.items():
        place.note("unread-spans", f"the group '{group}' of doc.spans is not read; it has {count} spans "
                   f"(groups={'sc' if group == _USUAL_GROUP else 'all'} reads them)", loss=True)
    if _RELATIONS in stored.user_data:
        _add_relations(standoff, stored.user_data[_RELATIONS])
    elif _REL in stored.user_data:
        _add_rel(standoff, stored.user_data[_REL], first)
    return standoff


def _is_read(group: str | None, options: Options) -> bool:
    rule = options["groups"]
    return rule == "all" or group in (None, _GROUP) or (rule == "sc" and group == _USUAL_GROUP)


def _key(start: int, end: int, label: str) -> str:
    """The key of an entity, which messages show."""
    return f"{label} at tokens {start} to {end}"


def _add_relations(standoff: Standoff, relations: Any) -> None:
    if not isinstance(relations, list | tuple):
        standoff.place.repair("malformed-relations", "doc._.relations is no list", "reads none")
        return
    for number, item in enumerate(relations, start=1):
        match item:
            case {"type": str(type), "head": [int(), int(), str()] as head, "tail": [int(), int(), str()] as tail}:
                standoff.relation(type, _key(*head), _key(*tail), score=_number(item.get("score")))
            case _:
                standoff.place.repair("malformed-relation", f"relation {number} of doc._.relations needs a type, a head "
                                      "and a tail of the form (start, end, label)", "leaves it out")


def _add_rel(standoff: Standoff, pairs: Any, first: Mapping[int, str]) -> None:
    low = 0
    for pair, labels in pairs.items() if isinstance(pairs, dict) else [(None, pairs)]:
        match pair, labels:
            case (int(head), int(tail)), dict():
                for label, score in labels.items():
                    number = _number(score)
                    if number is None:
                        standoff.place.repair("malformed-score", f"doc._.rel gives {label} from token {head} to token "
                                              f"{tail} a score that is no finite number", "leaves it out")
                    elif number < _THRESHOLD:
                        low += number > 0
                    else:
                        standoff.relation(str(label), first.get(head, f"token {head}"), first.get(tail, f"token {tail}"),
                                          score=None if number == 1 else number)
            case _:
                standoff.place.repair("malformed-relation", f"doc._.rel has {str(pair)[:40]}, where pairs of tokens with a "
                                      "score for each label are needed", "leaves it out")
    if low:
        standoff.place.note("low-score", f"doc._.rel gives {low} relations a score below {_THRESHOLD}; they are none")


def _number(score: Any) -> float | None:
    return finite_score(score.item() if hasattr(score, "item") else score)  # a component's scores are NumPy's


def write(documents: Iterable[Document], file: TextIO, path: Path, problems: Problems) -> None:
    with needs_extra("spacy", "spacy"):
        from spacy.tokens import DocBin
        from spacy.vocab import Vocab
    store, vocab = DocBin(store_user_data=True), Vocab()
    for document, place in with_places(documents, path, problems):
        store.add(_doc(drop_unwritable_types(document, bool, place), vocab, place))
    file.buffer.write(store.to_bytes())


def _doc(document: Document, vocab: Vocab, place: Place) -> Doc:
    from spacy.tokens import Doc, Span
    from spacy.util import filter_spans

    words, spaces, homes = _tokens(document)
    if [word for word in words if not word.isspace()] != document.words:
        place.note("words", "spaCy's tokens cover the whole text; read back, those of white space are no words and all "
                   "others are")
    doc = Doc(vocab, words=words, spaces=spaces)
    ends = {entity: (homes[entity.start], homes[entity.end - 1] + 1) for entity in document.entities}
    spans = [Span(doc, *ends[entity], label=entity.type) for entity in document.entities]
    doc.ents = filter_spans(spans)
    if len(doc.ents) < len(spans):
        doc.spans[_GROUP] = spans
    note_scores(document.entities, place, of="entities")
    doc.user_data.update({_ID: document.id, _RELATIONS: _relations(document, ends), _REL: _rel(document, ends)})
    return doc


def _tokens(document: Document) -> tuple[list[str], list[bool], list[int]]:
    """spaCy's words, whether a blank follows each, and the indices of the document's words.

    The text between words, except single blanks, becomes tokens too.
    """
    words: list[str] = []
    spaces: list[bool] = []
    homes: list[int] = []
    position = 0
    for token in (*document.tokens, None):
        for part in re.findall(r"\s+|\S+", document.text[position : token.char_start if token else None]):
            if words and part.startswith(" "):
                spaces[-1], part = True, part[1:]
            words += [part] if part else []
            spaces += [False] if part else []
        if token:
            homes.append(len(words))
            words.append(token.text)
            spaces.append(False)
            position = token.char_end
    return words, spaces, homes


def _relations(document: Document, ends: Mapping[Entity, tuple[int, int]]) -> list[dict[str, Any]]:
    return [{"type": r.type, "head": [*ends[r.head], r.head.type], "tail": [*ends[r.tail], r.tail.type]}
            | ({} if r.score is None else {"score": r.score}) for r in document.relations]


def _rel(document: Document, ends: Mapping[Entity, tuple[int, int]]) -> dict[tuple[int, int], dict[str, float]]:
    """All pairs of entities, as the tutorial's scorer needs them, most of them without a label."""
    starts = sorted({start for start, _ in ends.values()})
    pairs: dict[tuple[int, int], dict[str, float]] = {(head, tail): {} for head in starts for tail in starts}
    for r in document.relations:
        pairs[ends[r.head][0], ends[r.tail][0]][r.type] = 1.0 if r.score is None else r.score
    return pairs


def sniff(beginning: str) -> bool:
    return beginning.startswith("x\ufffd")  # zlib's first byte, and one that is no UTF-8


FORMAT = Format("docbin", "spaCy's DocBin: entities, and relations in the user data (needs spaCy)", (".spacy",), sniff,
                read, write, options={"groups": ("own", "sc", "all"), **SPLIT_OPTIONS,
                                      "sentences": ("whole", "split"), "overlap": tuple(RULES)})
