"""conjoin as a component of a spaCy pipeline.

    nlp = spacy.blank("en")
    nlp.add_pipe("conjoin", config={"model": "runs/mine"})
    doc = nlp("Maria Ortiz leads Halden Steel.")
    doc.ents, doc._.relations

An entry point registers the factory: nothing has to be imported. The model splits the text into words as in training,
within spaCy's sentences if an earlier component has set them. Entities are aligned with spaCy's tokens; one that begins or
ends inside a token is widened to the whole token and counted in `Component.misalignments`.

- `doc.ents`: the entities. spaCy allows no overlaps here: of overlapping entities it has the longest, the first of equals,
  and `doc.spans["conjoin"]` has all entities.
- `span._.score`: the score of an entity, in `doc.ents` and `doc.spans`.
- `doc._.relations`: `{"type", "head", "tail", "score"}` each, where head and tail are (start token, end token, label), the
  end exclusive: plain values, which a `DocBin` saves. `doc._.relation_spans` has (head span, type, tail span, score).
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from conjoin.annotator import Thresholds
from conjoin.artifacts.model_folder import MODEL_FILES, model_folder
from conjoin.document import Document, Entity
from conjoin.errors import ModelError, require_extra
from conjoin.extractor import Extractor
from conjoin.storage.atomic import atomic_folder

try:
    from spacy.language import Language
    from spacy.tokens import Doc, Span
    from spacy.util import filter_spans, minibatch
except ImportError as error:
    raise require_extra("spacy", "spacy") from error

SPANS = "conjoin"  # key in doc.spans of all entities, if some overlap
BATCH = 256
Place = tuple[int, int, str]  # start token, end token, label


def _relation_spans(doc: Doc) -> list[tuple[Span, str, Span, float | None]]:
    return [(Span(doc, *row["head"]), row["type"], Span(doc, *row["tail"]), row.get("score"))
            for row in doc._.relations or []]


def _set_extensions() -> None:
    """Set the extension attributes that are not yet set."""
    for kind, name, value in ((Doc, "relations", {"default": None}), (Doc, "relation_spans", {"getter": _relation_spans}),
                              (Span, "score", {"default": None})):
        if not kind.has_extension(name):
            kind.set_extension(name, **value)


class Component:
    """Extracts entities and relations of spaCy documents.

    `misalignments` counts entities that are not whole tokens of spaCy: `widened` to whole tokens, or `lost` because another
    entity of the same type covers the same tokens.
    """

    def __init__(self, name: str, model: Path | None, thresholds: Thresholds) -> None:
        self.name = name
        self.folder = model
        self.thresholds = thresholds
        self.misalignments: Counter[str] = Counter()
        self._extractor: Extractor | None = None

    def load(self) -> Extractor:
        """Load the model, once. Raises `ModelError` if the component has no model, or its folder has none."""
        if self._extractor is None:
            self._extractor = Extractor.load(self._folder(), thresholds=self.thresholds)
        return self._extractor

    def _folder(self) -> Path:
        if self.folder is None:
            raise ModelError(f"the component '{self.name}' has no model; give its folder: "
                             'nlp.add_pipe("conjoin", config={"model": "FOLDER"})')
        return self.folder

    def __call__(self, doc: Doc) -> Doc:
        return next(self.pipe([doc]))

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = BATCH) -> Iterator[Doc]:
        """Add entities and relations to a stream of documents, `batch_size` at a time; their order stays."""
        for docs in minibatch(stream, batch_size):
            texts = [("", doc.text) for doc in docs]
            documents = self.load().pipeline.extract(texts, sentences=list(map(_sentences, docs)))
            for doc, document in zip(docs, documents, strict=True):
                self._annotate(doc, document)
                yield doc

    def _annotate(self, doc: Doc, document: Document) -> None:
        places: dict[Entity, Place] = {}
        spans: dict[Place, Span] = {}
        for entity in document.entities:
            span = self._align(doc, entity)
            places[entity] = place = span.start, span.end, span.label_
            if place in spans:
                self.misalignments["lost"] += 1
            else:
                span._.score = entity.score
                spans[place] = span
        all_spans = sorted(spans.values(), key=lambda span: (span.start, -span.end))
        flat_spans = filter_spans(all_spans)
        doc.set_ents(flat_spans)
        if len(flat_spans) < len(all_spans):
            doc.spans[SPANS] = all_spans
        doc._.relations = _relation_rows(document, places)

    def _align(self, doc: Doc, entity: Entity) -> Span:
        span = doc.char_span(entity.char_start, entity.char_end, label=entity.type)
        if span is None:
            self.misalignments["widened"] += 1
            span = doc.char_span(entity.char_start, entity.char_end, label=entity.type, alignment_mode="expand")
        return span

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Write a copy of the model's folder, whole or not at all; spaCy calls this. `ModelError` without one."""
        source = model_folder(self._folder())
        with atomic_folder(Path(path), replaces=MODEL_FILES) as folder:
            shutil.copytree(source, folder, dirs_exist_ok=True)

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> Component:
        """Use the model that `to_disk` wrote; spaCy calls this."""
        self.folder, self._extractor = Path(path), None
        return self


def _sentences(doc: Doc) -> list[tuple[int, int]] | None:
    """(char_start, char_end) of the sentences that another component has set, without white space around them."""
    if not doc.has_annotation("SENT_START"):
        return None
    bounds = []
    for sentence in doc.sents:
        text = sentence.text
        if text.strip():
            start = sentence.start_char + len(text) - len(text.lstrip())
            bounds.append((start, start + len(text.strip())))
    return bounds


def _relation_rows(document: Document, places: Mapping[Entity, Place]) -> list[dict[str, Any]]:
    """Relations as plain values, without those whose head and tail are now one span."""
    rows: list[dict[str, Any]] = []
    for relation in document.relations:
        head, tail = places[relation.head], places[relation.tail]
        if head != tail:
            score = {} if relation.score is None else {"score": relation.score}
            rows.append({"type": relation.type, "head": head, "tail": tail, **score})
    return rows


@Language.factory(
    "conjoin",
    assigns=["doc.ents", "doc.spans", "doc._.relations", "span._.score"],
    default_config={"model": None, "entity_threshold": 0.0, "relation_threshold": 0.0},
)  # type: ignore[untyped-decorator]
def make_component(
    nlp: Language, name: str, model: str | None, entity_threshold: float, relation_threshold: float
) -> Component:
    """Make the component `conjoin`, with the folder of a trained model or of an export; spaCy calls this.

    A pipeline loaded from disk first names the folder the model once had, then its own: a missing folder is an error at the
    first document only, but one that exists and has no model raises `ModelError` here.
    """
    _set_extensions()
    component = Component(name, Path(model) if model else None, Thresholds(entity_threshold, relation_threshold))
    if model and Path(model).exists():
        component.load()  # raises now, not at the first document
    return component
