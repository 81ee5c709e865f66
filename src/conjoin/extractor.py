"""The front door: load a trained model, extract from raw text, annotate documents, evaluate, save."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import tee
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from conjoin.annotator import Annotator, BackEnd, Thresholds
from conjoin.artifacts.model_folder import EXPORTED, MODEL_FILES, Contents, model_folder, read_contents, write_contents
from conjoin.artifacts.run_record import ModelRecord, RunRecord
from conjoin.config.options import Precision
from conjoin.config.settings import Config
from conjoin.decoding.decoder import Decoder, build_decoder
from conjoin.document import Document
from conjoin.errors import DataError, ModelError, SettingError, needs_train_extra
from conjoin.evaluation.calibration import Calibration, fit
from conjoin.evaluation.metrics import Report, score
from conjoin.modeling.architectures import DEFAULT, find_architecture
from conjoin.parallel.streaming import pipe_in_processes
from conjoin.pipeline import TextPipeline
from conjoin.schema import Schema
from conjoin.storage.atomic import atomic_folder

if TYPE_CHECKING:
    from conjoin.modeling.joint import JointModel

NO_DOCUMENTS = "annotate takes a list of documents; for raw text call extractor(text), or extractor.pipe(texts)"
CANDIDATES = 0.05  # the minimum score of relations that calibration looks at
Context = TypeVar("Context")


class Extractor:
    """A trained model, or an export of one, with its settings.

    Args:
        backend: Gives scores: a torch model's, an export's, or your own.
        config: Settings; they say how scores become annotations.
        schema: Entity and relation types, in the order of the scores.
        decoder: Makes annotations of scores; by default that of the settings.

    Examples:
        >>> extractor = Extractor.load("run")
        >>> document = extractor("Maria Ortiz leads Halden Steel of Leeds.")
        >>> for document in extractor.pipe(texts): ...
    """

    def __init__(
        self, backend: BackEnd, config: Config, schema: Schema, *, record: RunRecord | None = None,
        thresholds: Thresholds | None = None, calibration: Calibration | None = None, architecture: str = DEFAULT,
        decoder: Decoder | None = None,
    ) -> None:
        self.config = config
        self.schema = schema
        self.record = record or RunRecord()
        self.architecture = architecture
        decoder = decoder or build_decoder(config, schema)
        self.annotator = Annotator(backend, decoder, calibration, thresholds or Thresholds())
        self._model: JointModel | None = None
        self._precision: Precision = "no"
        self._loader: ExtractorLoader | None = None

    @classmethod
    def from_model(
        cls, model: JointModel, config: Config, *, precision: Precision = "no", record: RunRecord | None = None,
        thresholds: Thresholds | None = None, calibration: Calibration | None = None, architecture: str = DEFAULT,
    ) -> Extractor:
        """An extractor of a torch model, which leaves training mode."""
        backend = find_architecture(architecture).backend(model, precision)
        extractor = cls(backend, config, model.schema, record=record, thresholds=thresholds, calibration=calibration,
                        architecture=architecture, decoder=model.decoder)
        extractor._model, extractor._precision = model, precision
        return extractor

    def __repr__(self) -> str:
        types, relations = len(self.schema.entity_types), len(self.schema.relation_types)
        return f"Extractor({type(self.annotator.backend).__name__}, {types} entity types, {relations} relation types)"

    @property
    def model(self) -> JointModel:
        """The torch model. Raises `ModelError` for an export, which has none."""
        if self._model is None:
            raise ModelError("an export has no torch model; load the model folder that it was exported from")
        return self._model

    @property
    def pipeline(self) -> TextPipeline:
        """Extraction from groups of raw texts, for services and bulk jobs."""
        return TextPipeline(self.annotator, "whole" if self.config.text.hyphens == "whole" else "cut")

    @property
    def calibration(self) -> Calibration | None:
        """Fitted by `calibrate`, or read from the model folder."""
        return self.annotator.calibration

    def __call__(self, text: str, *, id: str = "") -> Document:
        """Entities and relations of a raw text, sentence by sentence.

        Character offsets in the result refer to the text. Raises `TypeError` for anything else than one text.
        """
        if not isinstance(text, str):
            raise TypeError(f"extractor(text) takes one text, not a {type(text).__name__}; for several call "
                            "extractor.pipe(texts), for documents extractor.annotate(documents)")
        return self.pipeline.extract([(id, text)])[0]

    @overload
    def pipe(
        self, texts: Iterable[str], *, as_tuples: Literal[False] = False, workers: int = 1
    ) -> Iterator[Document]: ...
    @overload
    def pipe(
        self, texts: Iterable[tuple[str, Context]], *, as_tuples: Literal[True], workers: int = 1
    ) -> Iterator[tuple[Document, Context]]: ...
    def pipe(self, texts: Iterable[Any], *, as_tuples: bool = False, workers: int = 1) -> Iterator[Any]:
        """Extract from a stream of raw texts; results come in order, memory does not grow with the stream.

        Where the stream fails, the results of the texts before come first.

        Args:
            texts: Raw texts, or with `as_tuples` pairs of a text and anything.
            as_tuples: Yield pairs of a document and whatever came with its text.
            workers: Processes, each of which loads the model and has its share of the cores. More than one need a model
                that was loaded or saved, and a script with `if __name__ == "__main__":`.

        Raises:
            TypeError: One text on its own, or anything that is not a text.
            SettingError: Several workers and a model that is in no folder.
        """
        if isinstance(texts, str):
            raise TypeError("pipe takes several texts; call extractor(text) for one, or pipe([text])")
        if not as_tuples:
            return self._stream(texts, workers)
        pairs, again = tee(texts)
        documents = self._stream(_first_of_pairs(pairs), workers)
        return ((document, context) for document, (_, context) in zip(documents, again, strict=True))

    def _stream(self, texts: Iterable[str], workers: int) -> Iterator[Document]:
        named = (("", text) for text in _checked(texts))
        if workers == 1:
            return self.pipeline.stream(named)
        if self._loader is None:
            raise SettingError(f"{workers} workers each load the model, and this one is in no folder; save it, then call "
                               "Extractor.load(folder).pipe(texts, workers=…)")
        return pipe_in_processes(self._loader, named, workers=workers)

    def annotate(self, documents: Sequence[Document], *, gold_entities: bool = False) -> list[Document]:
        """Predict annotations of documents on their own words, without splitting sentences.

        `gold_entities` keeps their entities and predicts only relations.

        Raises:
            DataError: Gold entities of types that the model does not know.
            TypeError: Raw texts in place of documents.
        """
        if isinstance(documents, str | Document):
            raise TypeError(NO_DOCUMENTS)
        documents = list(documents)  # of a generator too
        if any(isinstance(document, str) for document in documents):
            raise TypeError(NO_DOCUMENTS)
        if gold_entities:
            self.schema.check(document.annotated(document.entities, ()) for document in documents)
        return self.annotator.annotate(documents, gold_entities=gold_entities)

    def calibrate(self, documents: Sequence[Document]) -> dict[str, Any]:
        """Fit temperatures and a minimum score for each type; from then on scores are calibrated, also once saved.

        Args:
            documents: Annotated documents that the model was not trained on, such as dev.

        Returns:
            The report of `evaluation.calibration.fit`, which goes into `record` too.

        Raises:
            DataError: Types that the model does not know, or nothing that is annotated.
        """
        self.schema.check(documents)
        if not any(document.entities for document in documents):
            raise DataError("there are no documents to calibrate on, for none holds an entity; give a split that is "
                            "annotated, such as dev")
        decoder = self.annotator.decoder.relations
        min_score = None if decoder is None else decoder.min_score
        candidates = None if min_score is None else min(min_score, CANDIDATES)
        predicted = self.annotator.uncalibrated(candidates).annotate(documents)
        calibration, report = fit(
            documents, predicted, relation_types=self.schema.relation_types, symmetric=self.schema.symmetric,
            threshold=min_score, candidates=candidates,
        )
        self._calibrated(calibration)
        self.record = replace(self.record, calibration=report)
        return report

    def forget_calibration(self) -> None:
        """Remove the calibration: scores are those of the model again."""
        self._calibrated(None)
        self.record = replace(self.record, calibration=None)

    def _calibrated(self, calibration: Calibration | None) -> None:
        self._loader = None  # the folder holds another calibration until it is saved again
        self.annotator = replace(self.annotator, calibration=calibration)

    def evaluate(
        self, documents: Sequence[Document], *, gold_entities: bool = False, raw_text: bool = False
    ) -> Report:
        """Scores on annotated documents, under every match.

        Args:
            gold_entities: Give the model their entities, and score relations.
            raw_text: Give the model the bare text, which it splits itself; spans are then compared by characters.

        Raises:
            DataError: Types that the model does not know.
        """
        self.schema.check(documents)
        if raw_text:
            predicted = list(self.pipe(document.text for document in documents))
        else:
            predicted = self.annotate(documents, gold_entities=gold_entities)
        return score(documents, predicted, symmetric=self.schema.symmetric, characters=raw_text)

    def save(self, path: str | Path) -> None:
        """Write the model folder: settings, schema, weights, tokenizer, record, card. An earlier model is replaced.

        Raises:
            ModelError: `path` is a file or a folder of something else, or the model is an export.
        """
        if self._model is None:
            raise ModelError("an exported model is not saved again; copy its folder")
        from conjoin.artifacts.weights import write_model

        with atomic_folder(Path(path), replaces=MODEL_FILES) as folder:
            self.record = replace(self.record, model=_with_size(self.record.model, self._model))
            contents = self.contents(folder)
            write_model(self._model, folder)
            write_contents(contents)
        device = "cpu" if self._model.device.type == "cpu" else None  # else processes share the GPUs out
        self._loader = ExtractorLoader(str(path), self.annotator.thresholds, device, self._precision)

    def contents(self, folder: Path) -> Contents:
        """The model's settings, types and scores, for a folder."""
        return Contents(folder, self.config, self.schema, self.record, self.calibration, self.architecture)

    @classmethod
    @needs_train_extra()
    def load(
        cls, path: str | Path, *, device: str | None = None, precision: Precision = "no",
        thresholds: Thresholds | None = None,
    ) -> Extractor:
        """Load a model folder, an export or a training run. No code of the folder is run.

        Args:
            device: As torch names it; a GPU if there is one when absent.
            precision: `bf16` runs a transformer in half precision, `auto` where the hardware computes that; scores then
                differ in the third digit.
            thresholds: Minimum scores of results.

        Raises:
            ModelError: The folder is broken.
            MissingExtraError: The model is not exported, and `conjoin[train]` is not installed.
            SettingError: A precision that an export was not made with.
        """
        contents = read_contents(Path(path))
        if contents.exported:
            if precision not in ("no", "auto"):
                raise SettingError(f"an export computes as it was made; '{precision}' is for a model that is not exported")
            from conjoin.artifacts.exported import read_export

            extractor = cls(read_export(contents), contents.config, contents.schema, record=contents.record,
                            thresholds=thresholds, calibration=contents.calibration, architecture=contents.architecture)
        else:
            from conjoin.artifacts.weights import read_model

            extractor = cls.from_model(
                read_model(contents, device=device, training=False), contents.config, precision=precision,
                record=contents.record, thresholds=thresholds, calibration=contents.calibration,
                architecture=contents.architecture,
            )
        extractor._loader = ExtractorLoader(str(path), thresholds, device, precision)
        return extractor

    @classmethod
    def from_pretrained(
        cls, name: str | Path, *, revision: str | None = None, token: str | None = None, device: str | None = None,
        precision: Precision = "no", thresholds: Thresholds | None = None,
    ) -> Extractor:
        """As `load`, of a folder or of a model on a model hub, `owner/name`, which is kept in the hub's cache.

        `revision` is a branch, tag or commit of the hub's repository. Raises `ModelError` when neither is there.
        """
        from conjoin.artifacts.hub import download_model

        folder = download_model(str(name), revision=revision, token=token)
        return cls.load(folder, device=device, precision=precision, thresholds=thresholds)

    def push_to_hub(
        self, name: str, *, private: bool | None = None, token: str | None = None, message: str = "A conjoin model"
    ) -> str:
        """Save into the repository `owner/name` of a model hub, which is created when it is not there.

        Returns the address of the commit. Raises `ModelError` if the model is an export, or the hub refuses.
        """
        from conjoin.artifacts.hub import upload_model

        loader = self._loader
        with tempfile.TemporaryDirectory() as folder:
            self.save(Path(folder) / "model")
            self._loader = loader  # that folder is about to go
            return upload_model(Path(folder) / "model", name, private=private, token=token, message=message)


@dataclass(frozen=True, slots=True)
class ExtractorLoader:
    """Loads the text pipeline of a model in each of several processes, given the number of the process.

    Several GPUs are shared out among the processes.
    """

    path: str
    thresholds: Thresholds | None = None
    device: str | None = None
    precision: Precision = "no"

    def __call__(self, number: int) -> TextPipeline:
        exported = (model_folder(Path(self.path)) / EXPORTED).is_file()  # runs without torch, which is not to be loaded
        device = self.device if self.device or exported else _gpu(number)
        return Extractor.load(self.path, device=device, precision=self.precision, thresholds=self.thresholds).pipeline


def _gpu(number: int) -> str | None:
    try:
        import torch
    except ImportError:
        return None
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return f"cuda:{number % count}" if count > 1 else None


def _with_size(record: ModelRecord, model: JointModel) -> ModelRecord:
    """The record with the number of parameters and the megabytes of all weights."""
    size = sum(value.numel() * value.element_size() for value in model.state_dict().values())
    parameters = sum(value.numel() for value in model.parameters())
    return replace(record, parameters=parameters, megabytes=round(size / 2**20, 1))


def _first_of_pairs(pairs: Iterable[Any]) -> Iterator[str]:
    for number, pair in enumerate(pairs, start=1):
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise TypeError(f"item {number} is {repr(pair)[:40]}; with as_tuples give pairs of a text and anything, or "
                            "leave as_tuples out")
        yield pair[0]


def _checked(texts: Iterable[str]) -> Iterator[str]:
    for number, text in enumerate(texts, start=1):
        if not isinstance(text, str):
            raise TypeError(f"text {number} is {repr(text)[:40]}, where a string is expected; leave it out, or give ''")
        yield text
