"""JSONL of Prodigy's relations interface (`rel.manual`), as `db-out` writes it: one task a line.

A task has `text`, `tokens`, `spans` and `relations` with `head` and `child`, and, where it was annotated, an `answer`:
`accept`, `reject` or `ignore` (prodi.gy/docs/api-interfaces). `head` and `child` are the last words of the spans they
stand for, as spaCy's relation tutorial reads them (explosion/projects, rel_component/scripts/parse_data.py);
`head_span` and `child_span` repeat those spans and go first here. `token_end` counts inclusively.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from conjoin.document import Document, Entity, Token
from conjoin.readers.fields import NUMBER, STRING, wrong_key
from conjoin.readers.format import Format, Options
from conjoin.readers.objects import finite_score, list_field, text_objects
from conjoin.readers.overlap import RULES
from conjoin.readers.problems import Problems
from conjoin.readers.standoff import SENTENCE_OPTIONS, Standoff
from conjoin.readers.writing import document_name

_SPAN = {"label": STRING, "start": NUMBER, "end": NUMBER}
_RELATION = {"label": STRING, "head": NUMBER, "child": NUMBER}
_OWN = {"text", "tokens", "spans", "relations", "answer", "meta", "id"}


def read(path: Path, problems: Problems, options: Options) -> Iterator[Document]:
    unread: set[str] = set()
    seen: set[int] = set()
    for line, task in text_objects(path, problems):
        answer = task.get("answer", "accept")
        if answer != "accept":
            if answer in ("reject", "ignore"):
                problems.note(path, line, f"answer-{answer}", f"the answer is {answer}; the task is left out",
                              loss=bool(task.get("spans")))
            else:
                problems.repair(path, line, "malformed-document", f"the answer is {json.dumps(answer)[:40]}, which is not "
                                "accept, reject or ignore", "leaves the line out")
            continue
        match task.get("_input_hash"):
            case int(hash) if hash in seen:
                problems.note(path, line, "annotated-twice", "an earlier line has the same text; both are read")
            case int(hash):
                seen.add(hash)
        unread |= {key for key in task.keys() - _OWN if not key.startswith("_")}
        yield from _standoff(task, path, line, problems).documents(options)
    if unread:
        problems.note(path, None, "unread-field", f"fields that are not read: {', '.join(sorted(unread))}")


def _standoff(task: Mapping[str, Any], path: Path, line: int, problems: Problems) -> Standoff:
    meta = task.get("meta")
    own = meta.get("id") if isinstance(meta, dict) and "id" in meta else task.get("id")
    standoff = Standoff(task["text"], id=str(own) if isinstance(own, str | int) else "", path=path, line=line,
                        problems=problems, tokens=_tokens(task, path, line, problems),
                        missing=("relation-end", "{}, which is no entity"))
    spans = _Spans(standoff)
    for number, item in enumerate(list_field(task, "spans", path, line, problems), start=1):
        spans.add(number, item)
    for number, item in enumerate(list_field(task, "relations", path, line, problems), start=1):
        _add_relation(spans, number, item)
    return standoff


def _tokens(task: Mapping[str, Any], path: Path, line: int, problems: Problems) -> list[Token] | None:
    """The words that the task gives, if it does; spaCy's tokens of white space are no words."""
    text, given = task["text"], task.get("tokens")
    if given is None:
        return None
    tokens: list[Token] = []
    position = 0
    for item in given if isinstance(given, list) else [given]:
        match item:
            case {"start": int(start), "end": int(end)} if position <= start < end <= len(text):
                tokens.append(Token(text[start:end], start, end))
                position = end
            case _:
                problems.repair(path, line, "malformed-tokens", f"'tokens' has {json.dumps(item)[:60]}, which has no start "
                                f"and end in order within the {len(text)} characters of the text",
                                "splits the text into words itself", loss=False)
                return None
    return [token for token in tokens if not token.text.isspace()]


@dataclass(frozen=True, slots=True)
class _Spans:
    """The spans of a task, found again by what relations say about them. A span is called by its number."""

    standoff: Standoff
    values: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    unlabelled: set[int] = field(default_factory=set)

    def add(self, number: int, item: Any) -> None:
        line = self.standoff.line
        match item:
            case {"start": int(start), "end": int(end), "label": str(label)} if label:
                self.values[number] = item
                self.standoff.entity(f"span {number}", label, start, end, line=line, score=finite_score(item.get("score")))
            case {"start": int(start), "end": int(end)} if item.get("label") in (None, ""):
                self.values[number] = item
                self.unlabelled.add(number)
                self.standoff.note(line, "no-label", f"the span at characters {start} to {end} has no label and is left "
                                   "out", loss=True)
            case _:
                self.standoff.repair(line, "malformed-entity", f"span {number} needs label, start and end: "
                                     f"{wrong_key(item, _SPAN)}", "leaves it out")

    def meant(self, relation: Mapping[str, Any], side: str) -> int | None:
        """The number of the span that a relation names on a side, `head` or `child`."""
        said = relation.get(f"{side}_span")
        if isinstance(said, dict):
            for keys in (("start", "end", "label"), ("start", "end"), ("token_start", "token_end")):
                found = self._first({key: said[key] for key in keys if key in said}) if keys[0] in said else None
                if found is not None:
                    return found
        last, first = (self._first({key: relation.get(side)}) for key in ("token_end", "token_start"))
        return first if last is None else last

    def _first(self, wanted: Mapping[str, Any]) -> int | None:
        return next((number for number, value in self.values.items()
                     if all(value.get(key) == meant for key, meant in wanted.items())), None)


def _add_relation(spans: _Spans, number: int, item: Any) -> None:
    standoff, line = spans.standoff, spans.standoff.line
    match item:
        case {"label": str(label), "head": int(head), "child": int(child)} if label:
            ends = [spans.meant(item, side) for side in ("head", "child")]
            keys = [f"word {index}" if end is None else f"span {end}"
                    for end, index in zip(ends, (head, child), strict=True)]
        case {"head": int(head), "child": int(child)} if item.get("label") in (None, ""):
            standoff.note(line, "no-label", f"the relation between words {head} and {child} has no label and is left out",
                          loss=True)
            return
        case _:
            standoff.repair(line, "malformed-relation", f"relation {number} needs label, head and child: "
                            f"{wrong_key(item, _RELATION)}", "leaves it out")
            return
    bare = any(end in spans.unlabelled if end is not None else _is_bare(item.get(f"{side}_span"))
               for end, side in zip(ends, ("head", "child"), strict=True))
    if bare:
        standoff.note(line, "no-label", f"relation {label} connects words that no labelled span covers and is left out",
                      loss=True)
    else:
        standoff.relation(label, keys[0], keys[1], line=line, score=finite_score(item.get("score")))


def _is_bare(said: Any) -> bool:
    """Whether a relation says itself that this end is no span: Prodigy then repeats the word without a label."""
    return isinstance(said, dict) and said.get("label") in (None, "")


def write(documents: Iterable[Document], file: TextIO, path: Path, problems: Problems) -> None:
    for number, document in enumerate(documents, start=1):
        if any(token.text.isspace() for token in document.tokens):
            problems.note(path, None, "words", f"{document_name(document, number)}: words of white space are none when read back")
        file.write(json.dumps(_value(document), ensure_ascii=False) + "\n")


def _value(document: Document) -> dict[str, Any]:
    spans = {entity: _span(entity) for entity in document.entities}
    return {
        "text": document.text,
        "tokens": [{"text": token.text, "start": token.char_start, "end": token.char_end, "id": number,
                    "ws": document.text[token.char_end : token.char_end + 1] == " "}
                   for number, token in enumerate(document.tokens)],
        "spans": [spans[entity] | _score(entity.score) for entity in document.entities],
        "relations": [{"head": r.head.end - 1, "child": r.tail.end - 1, "head_span": spans[r.head],
                       "child_span": spans[r.tail], "label": r.type} | _score(r.score) for r in document.relations],
        "meta": {"id": document.id} if document.id else {},
        "answer": "accept",
        "_view_id": "relations",
    }


def _span(entity: Entity) -> dict[str, Any]:
    return {"start": entity.char_start, "end": entity.char_end, "token_start": entity.start, "token_end": entity.end - 1,
            "label": entity.type}


def _score(score: float | None) -> dict[str, float]:
    return {} if score is None else {"score": round(score, 4)}


def sniff(head: str) -> bool:
    told = (r'"(token_start|token_end|_input_hash|_task_hash|_view_id|head_span|child_span)"\s*:'
            r'|"answer"\s*:\s*"(accept|reject|ignore)"')
    return re.match(r"\s*\{", head) is not None and re.search(told, head) is not None


FORMAT = Format("prodigy", "Prodigy's JSONL of relations: one task per line with tokens, spans and relations", (".jsonl",),
                sniff, read, write,
                options={"sentences": ("whole", "split"), "crossing": SENTENCE_OPTIONS["crossing"],
                         "overlap": tuple(RULES)})
