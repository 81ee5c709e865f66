"""What an export gains and costs: F1 and speed of a saved model, in torch and in ONNX Runtime, in one run.

    python benchmarks/speed/exports.py MODEL --data DATA/conll04/spert_json

Whole annotation of the test split, batch by batch in turn: torch in full precision and in bf16, the export in full
precision and in 8 bits, and the bare encoder in torch. Seconds are sums over batches of the best of --rounds. The
result is exports.json beside this script.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import onnxruntime
import torch
from gpu import plain_features

from conjoin import Extractor, read_corpus
from conjoin.batching import fill_batches
from conjoin.extras.onnx import export

PIECES = 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("exports.json"))
    arguments = parser.parse_args()
    documents = list(read_corpus(arguments.data).test)
    with tempfile.TemporaryDirectory() as folder:
        for name in ("onnx", "onnx int8"):
            export(arguments.model, Path(folder) / name, int8=name.endswith("int8"))
        extractors = {
            "torch": Extractor.load(arguments.model, device="cpu"),
            "torch bf16": Extractor.load(arguments.model, device="cpu", precision="bf16"),
            "onnx": Extractor.load(Path(folder) / "onnx"),
            "onnx int8": Extractor.load(Path(folder) / "onnx int8"),
        }
        megabytes = {name: round(sum(file.stat().st_size for file in (Path(folder) / name).iterdir()) / 2**20)
                     for name in ("onnx", "onnx int8")}
    sizes = extractors["torch"].model.sizes(documents)
    order = sorted(range(len(documents)), key=lambda index: -sizes[index])
    batches = [[documents[index] for index in members]
               for members in fill_batches(order, sizes, documents=128, pieces=PIECES)]
    best = {name: [float("inf")] * len(batches) for name in (*extractors, "bare encoder, torch")}
    embedder, _ = plain_features(documents)
    for _ in range(arguments.rounds):
        for number, batch in enumerate(batches):
            for name, extractor in extractors.items():
                best[name][number] = min(best[name][number], timed(lambda: extractor.annotate(batch)))  # noqa: B023
            name = "bare encoder, torch"
            best[name][number] = min(best[name][number], timed(lambda: bare(embedder, batch)))  # noqa: B023
    seconds = {name: round(sum(values), 3) for name, values in best.items()}
    result = {
        "model": "conjoin-base, CoNLL04 train and dev, seed 0", "test": len(documents), "pieces_a_batch": PIECES,
        "threads": torch.get_num_threads(), "torch": torch.__version__, "onnxruntime": onnxruntime.__version__,
        "strict micro F1": {name: scores(extractor, documents) for name, extractor in extractors.items()},
        "seconds": seconds,
        "times as fast as torch": {name: round(seconds["torch"] / value, 2) for name, value in seconds.items()},
        "megabytes": megabytes,
    }
    arguments.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


@torch.inference_mode()
def bare(embedder, batch) -> None:  # type: ignore[no-untyped-def]
    features = embedder.features([document.words for document in batch])
    embedder.encoder(input_ids=features["pieces"], attention_mask=features["mask"])


def timed(action) -> float:  # type: ignore[no-untyped-def]
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def scores(extractor: Extractor, documents) -> list[float]:  # type: ignore[no-untyped-def]
    report = extractor.evaluate(documents)
    return [round(100 * getattr(report, task)["strict"].micro.f1, 2) for task in ("entities", "relations")]


if __name__ == "__main__":
    main()
