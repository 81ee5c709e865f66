"""Exporting a model as graphs for ONNX Runtime, in full precision or with 8-bit weights."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors.numpy import save_file

from conjoin.errors import ModelError, require_extra

try:
    import torch
    from onnxruntime.quantization import QuantType, quantize_dynamic  # which imports onnx
    from onnxscript.optimizer import fold_constants
    from torch import Tensor, nn
    from torch.export import Dim
except ImportError as error:
    raise require_extra("export", "torch, onnx, onnxscript") from error

from conjoin.artifacts.exported import FORMAT, PAIRS, TRANSITIONS, WORDS
from conjoin.artifacts.model_folder import EXPORTED, MODEL_FILES, read_contents, write_contents
from conjoin.artifacts.weights import read_model
from conjoin.features.arrays import Featuriser
from conjoin.modeling.embedders.transformer import find_transformer
from conjoin.modeling.heads.relations import RelationHead
from conjoin.modeling.joint import JointModel
from conjoin.storage.atomic import atomic_folder, write_text

LARGEST = 2**31  # bytes of a weight
EXPORT_FILES = (*MODEL_FILES, EXPORTED)
PROBE = ("Maria Ortiz leads the Halden Steel of Leeds , England .", "Oslo and Leeds", "X-9 met Kofi Mensah in 1998")


def export(model: Path, output: Path, *, int8: bool = False) -> None:
    """Write an export of a saved model, whole or not at all: graphs, settings, types, scores.

    With `int8` the weights of products are 8-bit whole numbers and the activations are made so as they come, which
    is smaller and faster and costs some accuracy: `conjoin evaluate` says how much. Raises `ModelError` for a folder that
    is no model, and for ELMo, which is not exported.
    """
    contents = read_contents(model)
    if contents.exported:
        raise ModelError(f"{contents.folder}: is an export itself; name the model that conjoin train wrote")
    network = read_model(contents, device="cpu")
    featuriser = network.embedder.featuriser
    _plain_attention(network)
    with atomic_folder(output, replaces=EXPORT_FILES) as folder:
        description = {"format": FORMAT, "int8": int8, "featuriser": featuriser.to_json()}
        write_text(folder / EXPORTED, json.dumps(description) + "\n")  # ASCII: words may hold half a surrogate pair
        if network.entities.crf is not None:
            names = ("starts", "steps", "ends")
            weights = (value.detach().numpy() for value in network.entities.crf.weights())
            save_file(dict(zip(names, weights, strict=True)), folder / TRANSITIONS)
        _write_word_graph(network, featuriser, folder / WORDS)
        if network.relations is not None:
            _write_pair_graph(network.relations, folder / PAIRS)
        if int8:
            _quantise(folder)
        size = sum(path.stat().st_size for path in folder.iterdir()) / 2**20
        own = replace(contents.record.model, megabytes=round(size, 1), export="8 bits" if int8 else "full precision")
        write_contents(replace(contents, folder=folder, record=replace(contents.record, model=own)))


class WordGraph(nn.Module):
    """Features of words → emissions [batch, word, tag] and the states of the relation head [batch, word, width]."""

    def __init__(self, model: JointModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, features: Mapping[str, Tensor], lengths: Tensor) -> tuple[Tensor, Tensor]:
        """features: the featuriser's; lengths: [batch]."""
        model = self.model
        states = model.shared(model.embedder(features).float(), lengths)
        emissions = model.emissions(states, lengths)
        return emissions, states if model.relation_stack is None else model.relation_stack(states, lengths)


class PairGraph(nn.Module):
    """Vectors and labels of entities, and features of pairs → scores [pair, relation]."""

    def __init__(self, head: RelationHead) -> None:
        super().__init__()
        self.relations = head

    def forward(
        self, vectors: Tensor, head: Tensor, tail: Tensor, labels: Tensor | None, context: Tensor | None,
        bucket: Tensor | None,
    ) -> Tensor:
        """vectors: [span, width]; head, tail, bucket: [pair]; labels: [span]; context: [pair, width]."""
        heads, tails = self.relations.ends(vectors, labels)
        parts = [] if context is None else [context]
        if bucket is not None and self.relations.features.distance is not None:
            parts.append(self.relations.features.distance(bucket))
        features = torch.cat(parts, dim=-1) if parts else None
        scores: Tensor = self.relations.scorer(heads, tails, torch.stack([head, tail]), features)
        return scores


def _plain_attention(model: JointModel) -> None:
    """Attention as plain products: a fused one is exported with checks for rows without words, which cost a fifth of the
    time (docs/experiments.md)."""
    transformer = find_transformer(model.embedder)
    if transformer is not None and hasattr(transformer[1].encoder, "set_attn_implementation"):
        transformer[1].encoder.set_attn_implementation("eager")


def _write_word_graph(model: JointModel, featuriser: Featuriser, path: Path) -> None:
    texts = [text.split() for text in PROBE]
    features = {name: torch.from_numpy(value) for name, value in featuriser.arrays(texts).items()}
    values = {"features": features, "lengths": torch.tensor([len(words) for words in texts])}
    free = {name: dict.fromkeys(range(value.dim()), Dim.DYNAMIC) for name, value in features.items()}
    _write(WordGraph(model), values, {"features": free, "lengths": {0: Dim.DYNAMIC}}, [*features, "lengths"],
           ["emissions", "states"], path)


def _write_pair_graph(head: RelationHead, path: Path) -> None:
    width = head.pooling.width // (2 if head.pooling.how == "first-last" else 1)
    values = {
        "vectors": torch.rand(5, head.pooling.width), "head": torch.tensor([0, 1, 2]), "tail": torch.tensor([1, 3, 4]),
        "labels": torch.zeros(5, dtype=torch.long) if head.labels is not None else None,
        "context": torch.rand(3, width) if head.features.context is not None else None,
        "bucket": torch.tensor([0, 1, 2]) if head.features.distance is not None else None,
    }
    shapes = {name: None if value is None else {0: Dim.DYNAMIC} for name, value in values.items()}
    names = [name for name, value in values.items() if value is not None]
    _write(PairGraph(head), values, shapes, names, ["scores"], path)


def _write(
    graph: nn.Module, values: Mapping[str, Any], shapes: Mapping[str, Any], inputs: Sequence[str], outputs: Sequence[str],
    path: Path,
) -> None:
    with _quiet(), torch.no_grad():
        program: Any = torch.onnx.export(
            graph.eval(), (), kwargs=dict(values), dynamo=True, dynamic_shapes=dict(shapes),
            input_names=list(inputs), output_names=list(outputs), verbose=False,
        )
        # Weights that are reshaped before a product are products' weights too, which 8 bits need to know.
        fold_constants(program.model, input_size_limit=LARGEST, output_size_limit=LARGEST)
        program.save(path, external_data=False)


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter's own notes are not for users."""
    loggers = [logging.getLogger(name) for name in ("", "torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _quantise(folder: Path) -> None:
    """Products with 8-bit weights, one scale a column; word tables and recurrent layers stay as they are."""
    for name in (WORDS, PAIRS):
        path = folder / name
        if path.is_file():
            with _quiet():
                quantize_dynamic(path, path, weight_type=QuantType.QInt8, per_channel=True, op_types_to_quantize=["MatMul"])
