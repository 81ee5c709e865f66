"""Whole extraction from raw text beside the bare encoder and Hugging Face's pipeline, in one run.

    python benchmarks/speed/extraction.py MODEL --data DATA/conll04/spert_json --recurrent MODEL

The texts of the test split, ten times over, go through `Extractor.pipe`: in torch in full precision and in bf16, as an
export in full precision and in 8 bits, and through the recurrent model and its exports if one is named. In turn with
them: the bare encoder's forward alone on batches that are made beforehand from all texts by length, and Hugging Face's
token-classification pipeline over the same encoder, which only tags, at several batch sizes (its classifier is made to
find nothing, so that it has least to do). Each is a process of its own that is stopped while another has its turn. A turn
is short, a fortieth of the work, so that when the machine's speed changes it does for all; of some rounds the median
counts. The result, with the strict micro F1 of each model on the words of the test split
and the peak memory of each process, is extraction.json beside this script.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import signal
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import onnxruntime
import torch
from measuring import HERE, BareEncoder, machine, peak_memory_mb, timed, write
from transformers import AutoModelForTokenClassification, AutoTokenizer, pipeline

from conjoin import Extractor, Schema, load_config, read_corpus
from conjoin.corpora.sample import sample_corpus
from conjoin.document import Document
from conjoin.extras.onnx import export
from conjoin.modeling.build import build_model
from conjoin.modeling.embedders.pretrained import resolve_name

REPEATS = 10
SLICES = 40  # turns in which a system does all of its work
BARE = "bare encoder, {} pieces"
PIPELINE = "Hugging Face pipeline, batches of {}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--data")
    parser.add_argument("--recurrent", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    count = len(test_split(arguments.data)) * REPEATS
    with tempfile.TemporaryDirectory() as folder:
        systems: dict[str, tuple[Any, ...]] = {
            "torch": (extraction, arguments.model), "torch bf16": (extraction, arguments.model, "bf16"),
        }
        if arguments.recurrent:
            systems["recurrent, frozen encoder"] = (extraction, arguments.recurrent)
            systems["recurrent, bf16"] = (extraction, arguments.recurrent, "bf16")
        exports = {}
        for model, name in ((arguments.model, "export"), (arguments.recurrent, "recurrent, export")):
            for int8 in (False, True) if model else ():
                own = f"{name} of 8 bits" if int8 else name
                exports[own] = Path(folder) / own
                export(model, exports[own], int8=int8)
        systems |= {name: (extraction, path) for name, path in exports.items()}
        systems |= {BARE.format(pieces): (bare_encoder, pieces) for pieces in (1024, 2048)}
        systems |= {PIPELINE.format(size): (plain_tagger, size) for size in (8, 32)}
        told = in_turn(systems, arguments.data, arguments.rounds)
        megabytes = {name: round(sum(file.stat().st_size for file in path.iterdir()) / 2**20)
                     for name, path in exports.items()}
    bare = min(row["seconds"] for name, row in told.items() if name.startswith("bare"))
    peer = min(row["seconds"] for name, row in told.items() if name.startswith("Hugging"))
    for row in told.values():
        row |= {"texts_per_second": round(count / row["seconds"], 1),
                "times_the_bare_encoder": round(row["seconds"] / bare, 3),
                "times_as_fast_as_torch": round(told["torch"]["seconds"] / row["seconds"], 2),
                "times_as_fast_as_pipeline": round(peer / row["seconds"], 2)}
    data = "/".join(Path(arguments.data).parts[-2:]) if arguments.data else "sample"
    result = {"data": {"name": data, "texts": count}, **machine(), "onnxruntime": onnxruntime.__version__,
              "megabytes": megabytes, "systems": told}
    write(result, arguments.output or HERE / ("extraction.json" if arguments.data else "extraction-sample.json"))


def in_turn(systems: dict[str, tuple[Any, ...]], data: str | None, rounds: int) -> dict[str, dict[str, Any]]:
    """Each system in a process of its own; its seconds, the median of some rounds, and what it says of itself."""
    context = multiprocessing.get_context("spawn")
    running: dict[str, Running] = {}
    for name, (prepare, *given) in systems.items():
        connection, theirs = context.Pipe()
        process = context.Process(target=serve, args=(theirs, prepare, given, data), daemon=True)
        process.start()
        running[name] = Running(process, connection, slice=connection.recv() * REPEATS / SLICES)
    seconds: dict[str, list[float]] = {name: [] for name in systems}
    for number in range(rounds):
        for name, spent in side_by_side(running).items():
            seconds[name].append(spent)
        print(number, {name: round(values[-1], 2) for name, values in seconds.items()}, flush=True)
    rows = {}
    for name, system in running.items():
        system.connection.send(None)
        rows[name] = {"seconds": round(statistics.median(seconds[name]), 2), **system.connection.recv()}
    return rows


@dataclass
class Running:
    """A system's process, which is stopped while others have their turn."""

    process: BaseProcess
    connection: Connection
    slice: float  # seconds of a turn


def side_by_side(running: dict[str, Running]) -> dict[str, float]:
    """Have each system do all of its work, and count the seconds it had. Turns are so short that a machine which slows
    down does so for all, and as long as the work is, so that all come to an end together."""
    spent = dict.fromkeys(running, 0.0)
    waiting = dict(running)
    try:
        for system in running.values():
            os.kill(system.process.pid, signal.SIGSTOP)
            system.connection.send("go")
        while waiting:
            for name, system in list(waiting.items()):
                begun = time.perf_counter()
                os.kill(system.process.pid, signal.SIGCONT)
                done = system.connection.poll(system.slice)
                if done:
                    system.connection.recv()
                    del waiting[name]
                else:
                    os.kill(system.process.pid, signal.SIGSTOP)
                spent[name] += time.perf_counter() - begun
    finally:
        for system in waiting.values():  # a stopped process cannot be ended
            os.kill(system.process.pid, signal.SIGCONT)
    return spent


def serve(connection: Connection, prepare: Callable[..., Any], given: list[Any], data: str | None) -> None:
    """Prepare, warm up, then do all of the work whenever asked."""
    work, about = prepare(test_split(data), *given)
    work(1)
    connection.send(timed(lambda: work(1)))
    while connection.recv() is not None:
        work(REPEATS)
        connection.send("done")
    connection.send({"peak_memory_mb": peak_memory_mb(), **about()})


def test_split(data: str | None) -> list[Document]:
    return list((read_corpus(data) if data else sample_corpus()).test)


def extraction(documents: list[Document], model: Path, precision: str = "no"):  # type: ignore[no-untyped-def]
    extractor = Extractor.load(model, precision=precision)  # type: ignore[arg-type]
    texts = [document.text for document in documents]

    def work(repeats: int) -> None:
        for _ in extractor.pipe(itertools.chain.from_iterable(itertools.repeat(texts, repeats))):
            pass

    def about() -> dict[str, list[float]]:
        report = extractor.evaluate(documents)
        scores = (getattr(report, task)["strict"].micro.f1 for task in ("entities", "relations"))
        return {"strict_micro_f1": [round(100 * score, 2) for score in scores]}

    return work, about


def bare_encoder(documents: list[Document], pieces: int):  # type: ignore[no-untyped-def]
    embedder = build_model(load_config("conjoin-base"), Schema.from_documents(documents)).embedder
    encoder = BareEncoder(embedder)
    batches = encoder.batches(documents * REPEATS, pieces)
    return lambda repeats: [encoder.forward(batch) for batch in batches[: len(batches) * repeats // REPEATS]], dict


def plain_tagger(documents: list[Document], batch_size: int):  # type: ignore[no-untyped-def]
    """Hugging Face's pipeline over the same encoder, whose classifier prefers O everywhere."""
    name = resolve_name("minilm")
    model = AutoModelForTokenClassification.from_pretrained(
        name, num_labels=9, id2label={0: "O", **{i: f"{'BI'[i % 2]}-{i // 3}" for i in range(1, 9)}}
    ).eval()
    with torch.no_grad():
        model.classifier.weight.zero_()
        model.classifier.bias.zero_()[0] = 5.0
    tagger = pipeline("token-classification", model=model, tokenizer=AutoTokenizer.from_pretrained(name),
                      aggregation_strategy="simple", batch_size=batch_size, device="cpu")
    texts = [document.text for document in documents]
    return lambda repeats: tagger(texts * repeats), dict


if __name__ == "__main__":
    main()
