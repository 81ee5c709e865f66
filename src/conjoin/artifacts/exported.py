"""Exported models: graphs run by ONNX Runtime, without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from conjoin import tagging
from conjoin.artifacts.model_folder import EXPORTED, Contents, broken, first_line, read_json
from conjoin.config.options import PAIRS_AT_ONCE
from conjoin.decoding.pairs import FlatSpans, Rules, between, largest, marks, min_score, pooled
from conjoin.decoding.tags import Chain, decode
from conjoin.document import Document, Entity
from conjoin.errors import ModelError, require_extra
from conjoin.features.arrays import Arrays, JoinedReader, Reader
from conjoin.features.casing import CasingReader
from conjoin.features.characters import CharacterReader
from conjoin.features.pieces import PieceReader, Vocabulary
from conjoin.features.words import WordReader
from conjoin.parallel.process_pool import thread_share
from conjoin.parallel.threads import lanes_of
from conjoin.schema import Schema

FORMAT = 1
WORDS, PAIRS = "words.onnx", "pairs.onnx"
TABLES = "tables.safetensors"


@dataclass(frozen=True, slots=True)
class ExportedBatch:
    """Documents as arrays."""

    documents: tuple[Document, ...]
    arrays: Arrays
    lengths: NDArray[np.int64]


class ExportedModel:
    """The verbs of a model over two graphs.

    The first gives emissions [batch, word, tag] and the states that relations are read from [batch, word, width]; the
    second rates pairs, from vectors of entities and of what stands between them. Decoding is in numpy.
    """

    batch_pieces = 512

    def __init__(
        self, schema: Schema, facts: Mapping[str, Any], *, reader: Reader, words: Any, pairs: Any | None, rules: Rules,
        chain: Chain | None,
    ) -> None:
        self.schema = schema
        self.facts = facts
        self.reader = reader
        self.words = words
        self.pairs = pairs
        self.rules = rules
        self.chain = chain
        self.tags: tuple[str, ...] = tagging.tag_set(schema.entity_types, facts["scheme"])
        self._asked = {graph: {value.name for value in graph.get_inputs()} for graph in (words, pairs) if graph is not None}

    @property
    def relation_threshold(self) -> float | None:
        """As for `JointModel`."""
        return None if self.pairs is None else min_score(self.rules.decision, self.rules.threshold)

    @relation_threshold.setter
    def relation_threshold(self, least: float | None) -> None:
        self.rules = replace(self.rules, threshold=least)

    @property
    def threads(self) -> int:
        """The cores of this process, or fewer where OMP_NUM_THREADS says so; each graph has its lane's share of them."""
        return thread_share(1)

    def use_threads(self, count: int) -> None:
        """The graphs have theirs from the start."""

    def prepare(self) -> None:
        """Nothing: a graph is always ready."""

    def sizes(self, documents: Sequence[Document]) -> list[int]:
        """The cost of each document in pieces."""
        return self.reader.sizes([document.words for document in documents])

    def collate(self, documents: Sequence[Document], *, gold: bool = False) -> ExportedBatch:
        """Documents → arrays; annotations are not looked at."""
        lengths = np.array([len(document.tokens) for document in documents], dtype=np.int64)
        return ExportedBatch(tuple(documents), self.reader.arrays([document.words for document in documents]), lengths)

    def annotate_batch(self, batch: ExportedBatch, *, gold_entities: bool = False) -> list[Document]:
        """The documents with predicted annotations; with `gold_entities` only relations are."""
        documents = batch.documents
        if not documents or not batch.lengths.any():
            return [document.annotated(document.entities if gold_entities else (), ()) for document in documents]
        emissions, states = self._run(self.words, {**batch.arrays, "lengths": batch.lengths})
        if gold_entities:
            entities: list[list[Entity]] = [list(document.entities) for document in documents]
        else:
            entities = self._entities(emissions, batch.lengths)
        relations: list[Any] = [()] * len(documents)
        if self.pairs is not None and any(entities):
            relations = self._relations(states, entities)
        return [
            document.annotated(found, related)
            for document, found, related in zip(documents, entities, relations, strict=True)
        ]

    def _entities(self, emissions: NDArray[np.float32], lengths: NDArray[np.int64]) -> list[list[Entity]]:
        tags, first, later = decode(emissions, np.maximum(lengths, 1), self.chain)
        rows = zip(tags.tolist(), first.tolist(), later.tolist(), lengths.tolist(), strict=True)
        return [
            tagging.scored([self.tags[tag] for tag in row[:length]], begins, goes_on) if any(row[:length]) else []
            for row, begins, goes_on, length in rows
        ]

    def _relations(self, states: NDArray[np.float32], entities: Sequence[Sequence[Entity]]) -> list[Any]:
        spans = FlatSpans.of(entities, self.schema.entity_types)
        pairs = self.rules.candidates(spans)
        of_spans = {
            "vectors": pooled(states, spans, self.facts["pooling"]),
            "marks": marks(spans, self.facts["labels"], self.tags, self.schema.entity_types, self.facts["scheme"]),
        }
        blocks = [
            self._run(self.pairs, of_spans | self._of_pairs(states, spans, pairs[:, start : start + PAIRS_AT_ONCE]))[0]
            for start in range(0, pairs.shape[1], PAIRS_AT_ONCE)
        ]
        if not blocks:
            return [()] * len(entities)
        return self.rules.relations(np.concatenate(blocks), spans, pairs, entities)

    def _of_pairs(self, states: NDArray[np.float32], spans: FlatSpans, pairs: NDArray[np.int64]) -> dict[str, Any]:
        start, end, bucket = between(spans, pairs)
        context = largest(states, spans.rows[pairs[0]], start, end) if self.facts["context"] else None
        return {"head": pairs[0], "tail": pairs[1], "context": context, "bucket": bucket}

    def _run(self, graph: Any, values: Mapping[str, Any]) -> list[NDArray[Any]]:
        outputs: list[NDArray[Any]] = graph.run(None, {name: values[name] for name in self._asked[graph]})
        return outputs


def read_export(contents: Contents) -> ExportedModel:
    """The exported model of a folder. Raises `ModelError` when it is broken, `ExtraMissingError` without ONNX Runtime."""
    try:
        from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidGraph, InvalidProtobuf, NoSuchFile
    except ImportError as error:
        raise require_extra("onnx", "onnxruntime") from error
    folder = contents.folder
    facts = read_json(folder / EXPORTED)
    if facts.get("format") != FORMAT:
        raise ModelError(f"{folder / EXPORTED}: export format {facts.get('format')!r}, this version of conjoin reads "
                         f"{FORMAT}; export the model again")
    try:
        tables = load_file(folder / TABLES)
        chain = None
        if facts["decoding"] != "argmax":
            chain = Chain(tables["starts"], tables["transitions"], tables["ends"], facts["decoding"] == "crf")
        rules = Rules(contents.schema.relation_types, tables["allowed"], tables["symmetric"], tables["ranks"],
                      facts["decision"], facts["threshold"])
        return ExportedModel(
            contents.schema, facts, reader=_reader(facts["reader"]), words=_graph(folder / WORDS),
            pairs=_graph(folder / PAIRS) if facts["relations"] else None, rules=rules, chain=chain,
        )
    except (OSError, LookupError, TypeError, ValueError, SafetensorError) as error:
        raise broken(folder, error) from error
    except (Fail, InvalidGraph, InvalidProtobuf, NoSuchFile) as error:
        wrong = first_line(error)
        raise ModelError(f"{folder}: a graph is missing or damaged ({wrong}); export the model again") from error


def _graph(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    threads = thread_share(1)
    options.intra_op_num_threads = threads // lanes_of(threads)
    options.log_severity_level = 3
    # Spinning threads would take the cores from reading and decoding.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # One operator for a sum and its normalisation takes several times as long as the two (docs/experiments.md).
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"],
                                        disabled_optimizers=["SkipLayerNormFusion"])


def _reader(facts: Mapping[str, Any]) -> Reader:
    """What `extras.onnx` wrote of a reader."""
    kind = facts["kind"]
    if kind == "joined":
        return JoinedReader({name: _reader(part) for name, part in facts["parts"].items()})
    if kind == "casing":
        return CasingReader()
    if kind == "characters":
        return CharacterReader(facts["alphabet"])
    if kind == "words":
        return WordReader(facts["words"], width=facts["width"])
    special = facts["vocabulary"]
    return PieceReader(
        Tokenizer.from_str(facts["tokenizer"]),
        Vocabulary(tuple(special["prefix"]), tuple(special["suffix"]), special["padding"], special["unknown"]),
        window=facts["window"],
        overlap=facts["overlap"],
        first_only=facts["first_only"],
        inputs={name: _reader(part) for name, part in facts["inputs"].items()},
    )
