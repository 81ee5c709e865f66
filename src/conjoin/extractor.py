"""The front door: load a trained model, extract from raw text, annotate documents, evaluate, save."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conjoin.artifacts.model_folder import EXPORTED, MODEL_FILES, Contents, model_folder, read_contents, write_contents
from conjoin.config.options import Precision
from conjoin.config.settings import Config
from conjoin.document import Document, Relation, reaches
from conjoin.errors import DataError, ModelError, SettingError
from conjoin.evaluation.calibration import Calibration, fit
from conjoin.evaluation.metrics import Report, score
from conjoin.parallel.batching import Annotator, Text, chunks
from conjoin.parallel.threads import Lanes, annotate_all, lanes_of
from conjoin.schema import Schema
from conjoin.storage.atomic import whole_folder
from conjoin.text.windows import merge, split
from conjoin.text.words import Hyphens

if TYPE_CHECKING:
    from conjoin.modeling.joint import JointModel

CANDIDATES = 0.05  # the least score of relations that calibration looks at
AHEAD_CHARACTERS = 20_000  # who sends less may wait for the results before sending more


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Least scores of what is returned; an entity that falls takes its relations along."""

    entities: float = 0.0
    relations: float = 0.0

    def __post_init__(self) -> None:
        for name, least in (("entities", self.entities), ("relations", self.relations)):
            if not 0 <= least <= 1:
                raise SettingError(f"the threshold of {name} is {least}; give a number from 0 to 1, as scores are")

    def apply(self, document: Document) -> Document:
        """The document without what scores too low. What has no score stays."""
        if self.entities <= 0 and self.relations <= 0:
            return document
        entities = [entity for entity in document.entities if reaches(entity.score, self.entities)]
        kept = set(entities)

        def stays(relation: Relation) -> bool:
            return relation.head in kept and relation.tail in kept and reaches(relation.score, self.relations)

        return document.annotated(entities, filter(stays, document.relations))


class Extractor:
    """A trained model, or an export of one, with its settings.

    `extractor("text")` gives one `Document` with entities, relations and character offsets; `extractor.pipe(texts)`
    streams; `extractor.annotate(documents)` keeps given words.
    """

    def __init__(
        self,
        model: Annotator,
        config: Config,
        *,
        metrics: Mapping[str, Any] | None = None,
        thresholds: Thresholds | None = None,
        calibration: Calibration | None = None,
    ) -> None:
        self.model = model
        self.config = config
        self.metrics = dict(metrics or {})
        self.thresholds = thresholds or Thresholds()
        self.calibration = calibration
        if calibration is not None and calibration.candidates is not None:
            model.relation_threshold = calibration.candidates

    @property
    def schema(self) -> Schema:
        return self.model.schema

    @property
    def hyphens(self) -> Hyphens:
        """Whether raw text is cut at hyphens, as its training data were."""
        return "whole" if self.config.text.hyphens == "whole" else "cut"

    def __call__(self, text: str, *, id: str = "") -> Document:
        """Entities and relations of a raw text, sentence by sentence."""
        return next(self.pipe_named([(id, text)]))

    def pipe(self, texts: Iterable[str]) -> Iterator[Document]:
        """Extract from a stream of raw texts; results come in order, memory does not grow with the stream.

        A text is cut into sentences, which are read on their own. Where the stream fails, the results of what came before
        are given first. Raises `TypeError` for one text on its own, and for what is no text.
        """
        if isinstance(texts, str):
            raise TypeError("pipe takes several texts; call extractor(text) for one, or pipe([text])")
        return self.pipe_named(("", text) for text in texts)

    def pipe_named(self, texts: Iterable[tuple[str, str]]) -> Iterator[Document]:
        """As `pipe`, over pairs of id and text; the ids are those of the results."""
        yield from chain.from_iterable(self.extract_each(chunks(_checked(texts))))

    def extract(
        self, texts: Sequence[Text], *, sentences: Sequence[Sequence[tuple[int, int]] | None] | None = None
    ) -> list[Document]:
        """As `pipe_named`, over texts that are read together, so that batches hold sentences of like lengths.

        `sentences` are those of each text as pairs of characters, or None for a text where they are to be found.
        """
        with Lanes(self.model) as lanes:
            return self._begin(texts, lanes, sentences)()

    def extract_each(self, groups: Iterable[Sequence[Text]]) -> Iterator[list[Document]]:
        """As `extract`, for one group of texts after the other. While a large one is computed the next is read and cut into
        sentences; where that fails, the results of the one before are given first."""
        waiting: list[Callable[[], list[Document]]] = []  # taken out to be called, so that nothing is held on to
        with Lanes(self.model) as lanes:
            try:
                for texts in groups:
                    begun = self._begin(texts, lanes)
                    if waiting:
                        yield waiting.pop()()
                    if lanes_of(self.model.threads) > 1 and sum(len(text) for _, text in texts) >= AHEAD_CHARACTERS:
                        waiting.append(begun)
                    else:
                        yield begun()
            except Exception:
                if waiting:
                    yield waiting.pop()()
                raise
            if waiting:
                yield waiting.pop()()

    def _begin(
        self,
        texts: Sequence[Text],
        lanes: Lanes,
        sentences: Sequence[Sequence[tuple[int, int]] | None] | None = None,
    ) -> Callable[[], list[Document]]:
        """Cut texts into sentences and begin to annotate those; call what is returned for the documents."""
        split_up = [
            split(text, id=name, hyphens=self.hyphens, bounds=bounds)
            for (name, text), bounds in zip(texts, sentences or repeat(None), strict=sentences is not None)
        ]
        results = lanes.begin([unit.document for units in split_up for unit in units])

        def wait() -> list[Document]:
            annotated = map(self._finished, results())
            return [
                merge(text, units, [next(annotated) for _ in units], id=name)
                for (name, text), units in zip(texts, split_up, strict=True)
            ]

        return wait

    def annotate(self, documents: Sequence[Document], *, gold_entities: bool = False) -> list[Document]:
        """The documents, on their own words, with predicted annotations; with `gold_entities` only relations are.

        Raises `DataError` for gold entities of types that the model does not know.
        """
        if gold_entities:
            self.schema.check(document.annotated(document.entities, ()) for document in documents)
        annotated = annotate_all(self.model, documents, gold_entities=gold_entities)
        return [self._finished(document) for document in annotated]

    def _finished(self, document: Document) -> Document:
        """What the model found, as it is given: with calibrated scores, without what scores too low."""
        return self.thresholds.apply(document if self.calibration is None else self.calibration.apply(document))

    def calibrate(self, documents: Sequence[Document]) -> dict[str, Any]:
        """Fit temperatures and the least score of each type on annotated documents that it was not trained on, such as dev.

        From then on scores and what is found are calibrated, also after `save` and `load`. Returns what `calibration.fit`
        tells, which goes into `metrics` too. Raises `DataError` for types that the model does not know, and where nothing
        is annotated.
        """
        self.schema.check(documents)
        if not any(document.entities for document in documents):
            raise DataError("there are no documents to calibrate on, for none holds an entity; give a split that is "
                            "annotated, such as dev")
        own = self.forget_calibration()
        if own is not None:
            self.model.relation_threshold = min(own, CANDIDATES)
        predicted = annotate_all(self.model, documents)
        self.calibration, told = fit(
            documents, predicted, relation_types=self.schema.relation_types, symmetric=self.schema.symmetric, least=own,
            candidates=self.model.relation_threshold,
        )
        self.metrics["calibration"] = told
        return told

    def forget_calibration(self) -> float | None:
        """Give scores as the model gives them again; returns its own least score of a relation, where it has one."""
        self.calibration = None
        self.metrics.pop("calibration", None)
        self.model.relation_threshold = self.config.relations.threshold
        return self.model.relation_threshold

    def evaluate(
        self, documents: Sequence[Document], *, gold_entities: bool = False, raw_text: bool = False
    ) -> Report:
        """Scores on annotated documents, under every match.

        With `raw_text` the model sees the bare text alone and finds sentences and words itself; spans are then compared
        by characters. With `gold_entities` it is given the entities. Raises `DataError` for types it does not know.
        """
        self.schema.check(documents)
        if raw_text:
            predicted = list(self.pipe(document.text for document in documents))
        else:
            predicted = self.annotate(documents, gold_entities=gold_entities)
        return score(documents, predicted, symmetric=self.schema.symmetric, characters=raw_text)

    def save(self, path: str | Path) -> None:
        """Write the model folder, whole or not at all: settings, schema, weights, tokenizer, metrics, card.

        An earlier model goes. Raises `ModelError` when `path` is a file or a folder of something else, and for an export.
        """
        from conjoin.artifacts.weights import write_model
        from conjoin.modeling.joint import JointModel

        model = self.model
        if not isinstance(model, JointModel):
            raise ModelError("an exported model is not saved again; copy its folder")
        with whole_folder(Path(path), replaces=MODEL_FILES) as folder:
            self.metrics["model"] = {**self.metrics.get("model", {}), **_measured(model)}
            write_contents(self.contents(folder))
            write_model(model, folder)

    def contents(self, folder: Path) -> Contents:
        """What a folder of this model says of it."""
        return Contents(folder, self.config, self.schema, self.metrics, self.calibration)

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        device: str | None = None,
        precision: Precision = "no",
        thresholds: Thresholds | None = None,
    ) -> Extractor:
        """Load a model folder, an export or a training run. No code of the folder is run, and for an export torch is not
        loaded.

        `precision` `bf16` runs a transformer in half precision, `auto` where the hardware computes that; scores
        then differ in the third digit. Raises `ModelError` when the folder is broken, `SettingError` for a precision that
        an export was not made with.
        """
        contents = read_contents(Path(path))
        model = _annotator(contents, device, precision)
        return cls(model, contents.config, metrics=contents.metrics, thresholds=thresholds,
                   calibration=contents.calibration)

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        *,
        revision: str | None = None,
        token: str | None = None,
        device: str | None = None,
        precision: Precision = "no",
        thresholds: Thresholds | None = None,
    ) -> Extractor:
        """As `load`, of a folder or of a model on a model hub, `owner/name`, which is kept in the hub's cache.

        `revision` is a branch, tag or commit of the hub's repository. Raises `ModelError` when neither is there.
        """
        from conjoin.artifacts.hub import fetched

        folder = fetched(str(name), revision=revision, token=token)
        return cls.load(folder, device=device, precision=precision, thresholds=thresholds)

    def push_to_hub(
        self, name: str, *, private: bool | None = None, token: str | None = None, message: str = "A conjoin model"
    ) -> str:
        """Save into the repository `owner/name` of a model hub, which is made when it is not there; the commit's address.

        Raises `ModelError` for an export, and when the hub refuses.
        """
        from conjoin.artifacts.hub import pushed

        with tempfile.TemporaryDirectory() as folder:
            self.save(Path(folder) / "model")
            return pushed(Path(folder) / "model", name, private=private, token=token, message=message)


@dataclass(frozen=True, slots=True)
class ExtractorLoader:
    """Loads a model in each of several processes, given the number of the process; several GPUs are shared out."""

    path: str
    thresholds: Thresholds | None = None
    device: str | None = None
    precision: Precision = "no"

    def __call__(self, number: int) -> Extractor:
        exported = (model_folder(Path(self.path)) / EXPORTED).is_file()  # runs without torch, which is not to be loaded
        device = self.device if self.device or exported else _gpu(number)
        return Extractor.load(self.path, device=device, precision=self.precision, thresholds=self.thresholds)


def _gpu(number: int) -> str | None:
    try:
        import torch
    except ImportError:
        return None
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return f"cuda:{number % count}" if count > 1 else None


def _measured(model: JointModel) -> dict[str, float]:
    """How large a model is: its parameters, and the megabytes of all its weights."""
    size = sum(value.numel() * value.element_size() for value in model.state_dict().values())
    return {"parameters": sum(value.numel() for value in model.parameters()), "megabytes": round(size / 2**20, 1)}


def _checked(texts: Iterable[Text]) -> Iterator[Text]:
    for number, (name, text) in enumerate(texts, start=1):
        if not isinstance(text, str):
            raise TypeError(f"text {number} is {repr(text)[:40]}, where a string is expected; leave it out, or give ''")
        yield name, text


def _annotator(contents: Contents, device: str | None, precision: Precision) -> Annotator:
    if contents.exported:
        if precision not in ("no", "auto"):
            raise SettingError(f"an export computes as it was made; '{precision}' is for a model that is not exported")
        from conjoin.artifacts.exported import read_export

        return read_export(contents)
    from conjoin.artifacts.weights import read_model

    return read_model(contents, device=device, precision=precision, to_annotate=True)
