"""Whole commands: how long the first answer takes, and what a second worker gives.

    python benchmarks/speed/processes.py MODEL --data DATA/conll04/spert_json

Cold start: seconds from the call of `conjoin extract MODEL --text …` to its end, for the model and for its export in 8
bits, of `conjoin --help`, and of the two imports that torch's answer cannot do without; the best of some calls. Workers:
`conjoin extract` of the texts of the test split ten times over, by one worker pinned to one core and by two workers on two
cores, in turn; the start of the processes, measured by the same command on ten texts, is taken off. The result is
processes.json beside this script.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from measuring import HERE, machine, timed, write

from conjoin import read_corpus
from conjoin.corpora.sample import sample_corpus
from conjoin.extras.onnx import export

TEXT = "Maria Ortiz leads the Halden Steel of Leeds."
IMPORTS = "import torch; from transformers import BertModel"
REPEATS = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--data")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    corpus = read_corpus(arguments.data) if arguments.data else sample_corpus()
    texts = [document.text for document in corpus.test]
    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder) / "small"
        export(arguments.model, small, int8=True)
        result = {
            "data": {"name": "/".join(Path(arguments.data).parts[-2:]) if arguments.data else "sample",
                     "texts": len(texts) * REPEATS},
            **machine(),
            "cold start, seconds": {
                "conjoin --help": best_of(arguments.rounds, "--help"),
                "torch and the encoder's class, imported alone": round(min(
                    timed(lambda: subprocess.run([sys.executable, "-c", IMPORTS], check=True))
                    for _ in range(arguments.rounds)), 2),
                "extract, torch": best_of(arguments.rounds, "extract", arguments.model, "--text", TEXT),
                "extract, export in 8 bits": best_of(arguments.rounds, "extract", small, "--text", TEXT),
            },
            "workers": {name: workers(model, texts, Path(folder), arguments.rounds)
                        for name, model in (("torch", arguments.model), ("export in 8 bits", small))},
        }
    write(result, arguments.output or HERE / ("processes.json" if arguments.data else "processes-sample.json"))


def command(*arguments: object, cores: set[int] | None = None) -> float:
    """Seconds of a command; its output is thrown away."""
    call = [sys.executable, "-m", "conjoin", *map(str, arguments)]

    def pin() -> None:
        os.sched_setaffinity(0, cores or os.sched_getaffinity(0))

    return timed(lambda: subprocess.run(call, check=True, stdout=subprocess.DEVNULL, preexec_fn=pin))


def best_of(rounds: int, *arguments: object) -> float:
    return round(min(command(*arguments) for _ in range(rounds)), 2)


def workers(model: Path, texts: list[str], folder: Path, rounds: int) -> dict[str, float]:
    """Seconds of one worker on one core and of two on two, the start taken off, and their ratio."""
    many, few = folder / "many.jsonl", folder / "few.jsonl"
    many.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts * REPEATS), encoding="utf-8")
    few.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts[:10]), encoding="utf-8")
    core = {min(os.sched_getaffinity(0))}
    ways: dict[str, tuple[int, set[int] | None]] = {"one on one core": (1, core), "two on two cores": (2, None)}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, (count, cores) in ways.items():
            start = command("extract", model, few, "--workers", count, cores=cores)
            seconds[name].append(command("extract", model, many, "--workers", count, cores=cores) - start)
            print(name, [round(value, 1) for value in seconds[name]], flush=True)
    one, two = (round(min(values), 2) for values in seconds.values())
    return {"one worker on one core, seconds": one, "two workers on two cores, seconds": two,
            "times as fast": round(one / two, 2)}


if __name__ == "__main__":
    main()
