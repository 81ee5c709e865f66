"""conjoin as a component of a spaCy pipeline.

    nlp = spacy.blank("en")
    nlp.add_pipe("conjoin", config={"model": "runs/mine"})
    doc = nlp("Maria Ortiz leads Halden Steel.")
    doc.ents, doc._.relations

The factory is registered by an entry point: nothing has to be imported. The model reads the text of a document with its own
words, those it was trained on, within the sentences of spaCy where an earlier component has set them. What it finds is
put on spaCy's tokens; where an entity begins or ends inside one, it is widened to the whole token and counted in
`Component.misaligned`.

- `doc.ents`: the entities. Where some overlap, which `doc.ents` cannot hold, it has the longest of those that do, of equals
  the first, and `doc.spans["conjoin"]` has all.
- `span._.score`: the score of an entity, for spans of both.
- `doc._.relations`: `{"type", "head", "tail", "score"}` each, where head and tail are (first token, end token, label), the
  end exclusive: plain values, which a `DocBin` keeps. `doc._.relation_spans` gives (head span, type, tail span, score).
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from conjoin.annotator import Thresholds
from conjoin.artifacts.model_folder import MODEL_FILES, model_folder
from conjoin.document import Document, Entity
from conjoin.errors import ModelError, require_extra
from conjoin.extractor import Extractor
from conjoin.storage.atomic import whole_folder

try:
    from spacy.language import Language
    from spacy.tokens import Doc, Span
    from spacy.util import filter_spans, minibatch
except ImportError as error:
    raise require_extra("spacy", "spacy") from error

SPANS = "conjoin"  # the group of all entities, where some overlap
BATCH = 256


def _relation_spans(doc: Doc) -> list[tuple[Span, str, Span, float | None]]:
    return [
        (Span(doc, *row["head"]), row["type"], Span(doc, *row["tail"]), row.get("score")) for row in doc._.relations or []
    ]


def _register() -> None:
    """The extension attributes; those of that name which are there stay."""
    if not Doc.has_extension("relations"):
        Doc.set_extension("relations", default=None)
    if not Doc.has_extension("relation_spans"):
        Doc.set_extension("relation_spans", getter=_relation_spans)
    if not Span.has_extension("score"):
        Span.set_extension("score", default=None)


class Component:
    """Finds entities and relations in documents.

    `misaligned` counts entities by what spaCy's tokens did to them: `widened`, or `lost` where another of the same type is
    widened to the same tokens.
    """

    def __init__(self, name: str, model: Path | None, thresholds: Thresholds) -> None:
        self.name = name
        self.folder = model
        self.thresholds = thresholds
        self.misaligned: Counter[str] = Counter()
        self._extractor: Extractor | None = None

    def load(self) -> Extractor:
        """The model, loaded once."""
        if self._extractor is None:
            if self.folder is None:
                raise ModelError(f"the component '{self.name}' has no model; name its folder: "
                                 'nlp.add_pipe("conjoin", config={"model": "FOLDER"})')
            self._extractor = Extractor.load(self.folder, thresholds=self.thresholds)
        return self._extractor

    def __call__(self, doc: Doc) -> Doc:
        """The document with what was found in it."""
        return next(self.pipe([doc]))

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = BATCH) -> Iterator[Doc]:
        """The documents of a stream in order; so many at a time are read together."""
        for docs in minibatch(stream, batch_size):
            texts = [("", doc.text) for doc in docs]
            documents = self.load().pipeline.extract(texts, sentences=list(map(_sentences, docs)))
            for doc, found in zip(docs, documents, strict=True):
                self._annotate(doc, found)
                yield doc

    def _annotate(self, doc: Doc, found: Document) -> None:
        spans: dict[Entity, Span] = {}
        taken: dict[tuple[int, int, str], Span] = {}
        for entity in found.entities:
            span = self._aligned(doc, entity)
            place = span.start, span.end, span.label_
            if place in taken:
                self.misaligned["lost"] += 1
            else:
                span._.score = entity.score
            spans[entity] = taken.setdefault(place, span)
        every = sorted(taken.values(), key=lambda span: (span.start, -span.end))
        flat = filter_spans(every)
        doc.set_ents(flat)
        if len(flat) < len(every):
            doc.spans[SPANS] = every
        relations = []
        for relation in found.relations:
            head, tail = spans[relation.head], spans[relation.tail]
            if head is not tail:
                row: dict[str, Any] = {"type": relation.type, "head": _place(head), "tail": _place(tail)}
                relations.append(row if relation.score is None else row | {"score": relation.score})
        doc._.relations = relations

    def _aligned(self, doc: Doc, entity: Entity) -> Span:
        span = doc.char_span(entity.char_start, entity.char_end, label=entity.type)
        if span is None:
            self.misaligned["widened"] += 1
            span = doc.char_span(entity.char_start, entity.char_end, label=entity.type, alignment_mode="expand")
        return span

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Write a copy of the model's folder, whole or not at all."""
        if self.folder is None:
            raise ModelError(f"the component '{self.name}' has no model that could be written")
        with whole_folder(Path(path), replaces=MODEL_FILES) as folder:
            shutil.copytree(model_folder(self.folder), folder, dirs_exist_ok=True)

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> Component:
        """Use the model that `to_disk` wrote."""
        self.folder, self._extractor = Path(path), None
        return self


def _sentences(doc: Doc) -> list[tuple[int, int]] | None:
    """The sentences that another component has set, without the white space at their ends."""
    if not doc.has_annotation("SENT_START"):
        return None
    found = []
    for sentence in doc.sents:
        text = sentence.text
        if text.strip():
            start = sentence.start_char + len(text) - len(text.lstrip())
            found.append((start, start + len(text.strip())))
    return found


def _place(span: Span) -> tuple[int, int, str]:
    return span.start, span.end, span.label_


@Language.factory(
    "conjoin",
    assigns=["doc.ents", "doc.spans", "doc._.relations", "span._.score"],
    default_config={"model": None, "entity_threshold": 0.0, "relation_threshold": 0.0},
)  # type: ignore[untyped-decorator]
def make_component(
    nlp: Language, name: str, model: str | None, entity_threshold: float, relation_threshold: float
) -> Component:
    """The component `conjoin`. `model` is the folder of a trained model or of an export; thresholds are least scores.

    A pipeline that was saved names the folder of before, and brings its own: a folder that is not there is an error when
    the first document comes.
    """
    _register()
    component = Component(name, Path(model) if model else None, Thresholds(entity_threshold, relation_threshold))
    if model and Path(model).exists():
        component.load()  # what is wrong with it is said now
    return component
