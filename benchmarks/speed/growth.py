"""How time and memory grow: with the length of a sentence, its entities, and the number of documents.

    python benchmarks/speed/growth.py MODEL

Each point is a process of its own, which loads the model, works, and says its seconds and its peak memory. Sentences are
made of words of the sample corpus. `length`: one sentence of so many words, annotated; beside it the bare encoder.
`entities`: relations among so many given entities of one sentence of 256 words, less the same sentence with none, which
is the cost of scoring and decoding pairs; beside it the bare encoder on that sentence. `documents`: so many short texts
through `Extractor.pipe`, as a stream that nobody holds. An
exponent is the slope of log(seconds) over log(size) from the size named. The result is growth.json beside this script.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from measuring import HERE, BareEncoder, machine, peak_memory_mb, write

from conjoin import Extractor, load_config
from conjoin.corpora.sample import sample_corpus
from conjoin.document import Document, Entity
from conjoin.modeling.build import build_model

SIZES = {
    "length": (16, 32, 64, 128, 256, 512, 1024, 2048),
    "entities": (2, 4, 8, 16, 32, 64),
    "documents": (1_000, 10_000, 100_000),
}
FROM = {"length": 128, "entities": 8, "documents": 1_000}  # what is fixed outweighs what grows below
SENTENCE = 256  # words of the sentence that holds entities


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--kinds", nargs="+", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--output", type=Path, default=HERE / "growth.json")
    parser.add_argument("--one", nargs=2, metavar=("KIND", "SIZE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        kind, size = arguments.one
        print(json.dumps(MEASURES[kind](Extractor.load(arguments.model), int(size))))
        return
    result = json.loads(arguments.output.read_text()) if arguments.output.is_file() else {}
    result |= machine()
    for kind in arguments.kinds:
        rows = [{"size": size, **in_own_process(arguments.model, kind, size)} for size in SIZES[kind]]
        grown = [row for row in rows if row["size"] >= FROM[kind]]
        result[kind] = {"rows": rows, "exponent": slope(grown), "exponent_from": FROM[kind]}
        print(kind, json.dumps(result[kind]), flush=True)
    write(result, arguments.output)


def in_own_process(model: Path, kind: str, size: int) -> dict[str, float]:
    command = [sys.executable, __file__, str(model), "--one", kind, str(size)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def slope(rows: list[dict[str, float]]) -> float:
    """Of the straight line through the logarithms."""
    points = [(math.log(row["size"]), math.log(row["seconds"])) for row in rows]
    x, y = (sum(values) / len(points) for values in zip(*points, strict=True))
    return round(sum((a - x) * (b - y) for a, b in points) / sum((a - x) ** 2 for a, _ in points), 2)


def sentence(words: int, seed: int = 0) -> list[str]:
    known = [word for document in sample_corpus().train for word in document.words]
    return random.Random(seed).choices(known, k=words)


def best(action, rounds: int = 9) -> float:  # type: ignore[no-untyped-def]
    """Seconds of the fastest of some rounds."""
    return min(_timed(action) for _ in range(rounds))


def _timed(action) -> float:  # type: ignore[no-untyped-def]
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def bare(extractor: Extractor, document: Document) -> float:
    encoder = BareEncoder(build_model(load_config("conjoin-base"), extractor.schema).embedder)
    (batch,) = encoder.batches([document], 1)
    return round(best(lambda: encoder.forward(batch)), 5)


def length(extractor: Extractor, size: int) -> dict[str, float]:
    document = Document.from_words(sentence(size))
    extractor.annotate([document])
    seconds = best(lambda: extractor.annotate([document]))
    memory = peak_memory_mb()
    return {"seconds": round(seconds, 5), "peak_memory_mb": memory, "encoder_seconds": bare(extractor, document)}


def entities(extractor: Extractor, size: int) -> dict[str, float]:
    step = SENTENCE // size
    types = itertools.cycle(extractor.schema.entity_types)
    given = [Entity(next(types), number * step, number * step + 1) for number in range(size)]
    plain = Document.from_words(sentence(SENTENCE))
    full = plain.annotated(given, ())
    extractor.annotate([full], gold_entities=True)
    rounds = [(_timed(lambda: extractor.annotate([full], gold_entities=True)),
               _timed(lambda: extractor.annotate([plain], gold_entities=True))) for _ in range(15)]
    seconds = min(with_ for with_, _ in rounds) - min(without for _, without in rounds)
    memory = peak_memory_mb()
    return {"seconds": round(max(seconds, 1e-5), 5), "peak_memory_mb": memory, "encoder_seconds": bare(extractor, plain)}


def documents(extractor: Extractor, size: int) -> dict[str, float]:
    texts = [document.text for document in sample_corpus().train]

    def stream() -> Iterator[str]:
        for number in range(size):
            yield texts[number % len(texts)]

    start = time.perf_counter()
    found = sum(len(document.entities) for document in extractor.pipe(stream()))
    seconds = time.perf_counter() - start
    return {"seconds": round(seconds, 2), "peak_memory_mb": peak_memory_mb(), "entities": found}


MEASURES = {"length": length, "entities": entities, "documents": documents}


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
