"""Exported models: graphs run by ONNX Runtime, without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from conjoin.artifacts.model_folder import EXPORTED, Contents, broken_folder, read_json, short_message
from conjoin.config.settings import Config
from conjoin.decoding.pairs import PAIRS_AT_ONCE, between
from conjoin.decoding.spans import Floats, Numbers, Spans, pool_spans, range_max
from conjoin.decoding.tags import TagScores, Transitions
from conjoin.document import Document
from conjoin.errors import ModelError
from conjoin.features.arrays import Arrays, Featuriser
from conjoin.features.featurisers import load_featuriser
from conjoin.parallel.process_pool import thread_share
from conjoin.parallel.threads import Compute, parallel_batches

FORMAT = 2
WORDS, PAIRS = "words.onnx", "pairs.onnx"
TRANSITIONS = "transitions.safetensors"  # of a CRF
BATCH_PIECES = 512  # the fastest size for graphs


@dataclass(frozen=True, slots=True)
class ExportedBatch:
    """Documents as arrays."""

    arrays: Arrays
    lengths: Numbers


class OnnxBackEnd:
    """Scores of exported graphs.

    Args:
        featuriser: Makes the inputs of `words`.
        words: Graph of emissions [batch, word, tag] and states of the relation head [batch, word, width].
        pairs: Graph of scores of pairs, from pooled states of entities and of the words between them, or None.
        transitions: Of a CRF, or None.
    """

    def __init__(
        self, config: Config, *, featuriser: Featuriser, words: Any, pairs: Any | None, transitions: Transitions | None
    ) -> None:
        self.config, self.featuriser = config, featuriser
        self.words, self.pairs, self.transitions = words, pairs, transitions
        graphs = [graph for graph in (words, pairs) if graph is not None]
        self._inputs = {graph: {value.name for value in graph.get_inputs()} for graph in graphs}

    @property
    def compute(self) -> Compute:
        """All cores, or OMP_NUM_THREADS; the threads of a graph are set when it is loaded."""
        return Compute(BATCH_PIECES, thread_share(1))

    def sizes(self, documents: Sequence[Document]) -> list[int]:
        return self.featuriser.sizes([document.words for document in documents])

    def collate(self, documents: Sequence[Document]) -> ExportedBatch:
        lengths = np.array([len(document.tokens) for document in documents], dtype=np.int64)
        return ExportedBatch(self.featuriser.arrays([document.words for document in documents]), lengths)

    def entity_scores(self, batch: ExportedBatch) -> tuple[TagScores, Floats]:
        emissions, states = self._run(self.words, {**batch.arrays, "lengths": batch.lengths})
        return TagScores(emissions, batch.lengths, self.transitions), states

    def relation_scores(self, state: Floats, spans: Spans, pairs: Numbers) -> Floats:
        of_spans = {"vectors": pool_spans(state, spans, self.config.relations.pooling), "labels": spans.labels}
        return np.concatenate([
            self._run(self.pairs, of_spans | self._pair_inputs(state, spans, pairs[:, start : start + PAIRS_AT_ONCE]))[0]
            for start in range(0, pairs.shape[1], PAIRS_AT_ONCE)
        ])

    def _pair_inputs(self, states: Floats, spans: Spans, pairs: Numbers) -> dict[str, Any]:
        start, end, bucket = between(spans, pairs)
        context = range_max(states, spans.rows[pairs[0]], start, end) if self.config.relations.context else None
        return {"head": pairs[0], "tail": pairs[1], "context": context, "bucket": bucket}

    def _run(self, graph: Any, values: Mapping[str, Any]) -> list[NDArray[Any]]:
        outputs: list[NDArray[Any]] = graph.run(None, {name: values[name] for name in self._inputs[graph]})
        return outputs


def read_export(contents: Contents) -> OnnxBackEnd:
    """Load the exported model of a folder. Raises `ModelError` if it is broken."""
    from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidGraph, InvalidProtobuf, NoSuchFile

    folder, crf = contents.folder, contents.config.entities.output == "crf"
    description = read_json(folder / EXPORTED)
    if description.get("format") != FORMAT:
        raise ModelError(f"{folder / EXPORTED}: export format {description.get('format')!r}, this version of conjoin reads "
                         f"{FORMAT}; export the model again")
    try:
        return OnnxBackEnd(
            contents.config,
            featuriser=load_featuriser(description["featuriser"]),
            words=_graph(folder / WORDS),
            pairs=_graph(folder / PAIRS) if contents.schema.relation_types else None,
            transitions=Transitions(**load_file(folder / TRANSITIONS)) if crf else None,
        )
    except (OSError, LookupError, TypeError, ValueError, SafetensorError) as error:
        raise broken_folder(folder, error) from error
    except (Fail, InvalidGraph, InvalidProtobuf, NoSuchFile) as error:
        problem = short_message(error)
        raise ModelError(f"{folder}: a graph is missing or damaged ({problem}); export the model again") from error


def _graph(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    threads = thread_share(1)
    options.intra_op_num_threads = threads // parallel_batches(threads)
    options.log_severity_level = 3
    # Spinning threads would take the cores from featurising and decoding.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # One operator for a sum and its normalisation takes several times as long as the two (docs/experiments.md).
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"],
                                        disabled_optimizers=["SkipLayerNormFusion"])
