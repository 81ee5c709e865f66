"""Whole extraction from raw text beside the bare encoder and Hugging Face's pipeline, in one run.

    python benchmarks/speed/extraction.py MODEL --data DATA/conll04/spert_json --recurrent MODEL

The texts of the test split, ten times over, go through `Extractor.pipe`: in torch in full precision and in bf16, as an
export in full precision and in 8 bits, and through the recurrent model if one is named. In turn with them, a tenth of the
work each: the bare encoder's forward alone on batches that are made beforehand from all texts by length, and Hugging
Face's token-classification pipeline over the same encoder, which only tags, at several batch sizes (its classifier is made
to find nothing, so that it has least to do). The result, with the strict micro F1 of each model on the words of the test
split, is extraction.json beside this script.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from collections.abc import Callable
from pathlib import Path

import onnxruntime
import torch
from common import HERE, BareEncoder, machine, timed, write
from transformers import AutoModelForTokenClassification, AutoTokenizer, pipeline

from conjoin import Extractor, load_config, read_corpus
from conjoin.builders import build_model
from conjoin.document import Document
from conjoin.embedders.transformer import resolve_name
from conjoin.extras.onnx import export
from conjoin.sample import sample_corpus

ROUNDS = 10
PIECES = (1024, 2048)
BATCH_SIZES = (1, 8, 32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--data")
    parser.add_argument("--recurrent", type=Path)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    corpus = read_corpus(arguments.data) if arguments.data else sample_corpus()
    documents = list(corpus.test)
    texts = [document.text for document in documents]
    with tempfile.TemporaryDirectory() as folder:
        for name in ("onnx", "onnx int8"):
            export(arguments.model, Path(folder) / name, int8=name.endswith("int8"))
        megabytes = {name: round(sum(file.stat().st_size for file in (Path(folder) / name).iterdir()) / 2**20)
                     for name in ("onnx", "onnx int8")}
        extractors = {
            "torch": Extractor.load(arguments.model, device="cpu"),
            "torch bf16": Extractor.load(arguments.model, device="cpu", precision="bf16"),
            "onnx": Extractor.load(Path(folder) / "onnx"),
            "onnx int8": Extractor.load(Path(folder) / "onnx int8"),
        }
    if arguments.recurrent:
        extractors["recurrent, frozen encoder"] = Extractor.load(arguments.recurrent, device="cpu")
    parts: dict[str, Callable[[int], object]] = {}
    for name, extractor in extractors.items():
        stream = extractor.pipe(itertools.chain.from_iterable(itertools.repeat(texts, ROUNDS + 1)))
        parts[name] = lambda _, stream=stream: [next(stream) for _ in texts]  # type: ignore[misc]
    bare = BareEncoder(build_model(load_config("conjoin-base"), extractors["torch"].schema).embedder)
    for pieces in PIECES:
        batches = bare.batches(documents * ROUNDS, pieces)
        parts[f"bare encoder, {pieces} pieces"] = (
            lambda number, batches=batches: [bare.forward(batch) for batch in batches[number::ROUNDS]]  # type: ignore[misc]
        )
    for size in BATCH_SIZES:
        tagger = plain_tagger(size)
        parts[f"Hugging Face pipeline, batches of {size}"] = lambda _, tagger=tagger: tagger(texts)  # type: ignore[misc]
    seconds = dict.fromkeys(parts, 0.0)
    for part in parts.values():  # warm up; the streams then have one round less to give
        part(0)
    for number in range(ROUNDS):
        for name, part in parts.items():
            seconds[name] += timed(lambda: part(number))  # noqa: B023
        print(number, {name: round(value, 2) for name, value in seconds.items()}, flush=True)
    bare_seconds = min(value for name, value in seconds.items() if name.startswith("bare"))
    pipeline_seconds = min(value for name, value in seconds.items() if name.startswith("Hugging"))
    count = len(texts) * ROUNDS
    result = {
        "data": {"name": "/".join(Path(arguments.data).parts[-2:]) if arguments.data else "sample", "texts": count},
        **machine(), "onnxruntime": onnxruntime.__version__,
        "strict micro F1": {name: f1(extractor, documents) for name, extractor in extractors.items()},
        "megabytes": megabytes,
        "systems": {name: {"seconds": round(value, 2), "texts_per_second": round(count / value, 1),
                           "times_the_bare_encoder": round(value / bare_seconds, 3),
                           "times_as_fast_as_torch": round(seconds["torch"] / value, 2),
                           "times_as_fast_as_pipeline": round(pipeline_seconds / value, 2)}
                    for name, value in seconds.items()},
    }
    write(result, arguments.output or HERE / ("extraction.json" if arguments.data else "extraction-sample.json"))


def f1(extractor: Extractor, documents: list[Document]) -> list[float]:
    """Of entities and relations, on given words."""
    report = extractor.evaluate(documents)
    return [round(100 * getattr(report, task)["strict"].micro.f1, 2) for task in ("entities", "relations")]


def plain_tagger(batch_size: int):  # type: ignore[no-untyped-def]
    """Hugging Face's pipeline over the same encoder, whose classifier prefers O everywhere."""
    name = resolve_name("minilm")
    model = AutoModelForTokenClassification.from_pretrained(
        name, num_labels=9, id2label={0: "O", **{i: f"{'BI'[i % 2]}-{i // 3}" for i in range(1, 9)}}
    ).eval()
    with torch.no_grad():
        model.classifier.weight.zero_()
        model.classifier.bias.zero_()[0] = 5.0
    return pipeline("token-classification", model=model, tokenizer=AutoTokenizer.from_pretrained(name),
                    aggregation_strategy="simple", batch_size=batch_size, device="cpu")


if __name__ == "__main__":
    main()
