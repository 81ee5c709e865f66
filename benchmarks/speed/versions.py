"""This version of conjoin beside an earlier one, in turn: extraction of each model, and a training epoch.

    python benchmarks/speed/versions.py OLD_SRC --old OLD_MODEL … --new NEW_MODEL … --data DATA/conll04/spert_json

OLD_SRC is the `src` folder of an earlier checkout. Models are given in pairs, the same one as each version saved or
exported it. Each version runs in a process of its own, which is stopped while the other has its turn; a turn is short, so
that a change of the machine's speed reaches both. The ratio of each workload, new over old, is that of the medians of the
rounds; versions.json beside this script holds them.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

HERE = Path(__file__).parent
TURNS = 20  # in which a round of extraction is done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old_source", type=Path)
    parser.add_argument("--old", nargs="+", default=[])
    parser.add_argument("--new", nargs="+", default=[])
    parser.add_argument("--train", nargs="*", default=["conjoin-base"], help="presets of which an epoch is trained")
    parser.add_argument("--data", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=HERE / "versions.json")
    arguments = parser.parse_args()
    pairs = [("extract", old, new) for old, new in zip(arguments.old, arguments.new, strict=True)]
    pairs += [("train", preset, preset) for preset in arguments.train]
    sources = (arguments.old_source, HERE.parents[1] / "src")
    result = {}
    for work, *names in pairs:
        versions = [Version(source, work, name, arguments.data) for source, name in zip(sources, names, strict=True)]
        seconds = in_turn(versions, arguments.rounds)
        old, new = map(statistics.median, seconds)
        name = f"{work} {Path(names[1]).name}"
        result[name] = {"old": round(old, 3), "new": round(new, 3), "ratio": round(new / old, 3),
                        "rounds": [round(b / a, 3) for a, b in zip(*seconds, strict=True)]}
        print(name, json.dumps(result[name]), flush=True)
    arguments.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


class Version:
    """A process that does a workload turn by turn, stopped in between."""

    def __init__(self, source: Path, work: str, name: str, data: str) -> None:
        environment = {**os.environ, "PYTHONPATH": str(source.resolve())}
        self.process = subprocess.Popen([sys.executable, __file__, "--serve", work, name, data], env=environment, text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.turns = int(self._line())
        self.process.send_signal(signal.SIGSTOP)

    def turn(self) -> float:
        """The seconds of its next turn."""
        self.process.send_signal(signal.SIGCONT)
        print("go", file=self.process.stdin, flush=True)
        seconds = float(self._line())
        self.process.send_signal(signal.SIGSTOP)
        return seconds

    def end(self) -> None:
        self.process.kill()
        self.process.wait()

    def _line(self) -> str:
        return self.process.stdout.readline() if self.process.stdout else ""


def in_turn(versions: list[Version], rounds: int) -> list[list[float]]:
    """The seconds of each round of each version, after one round to warm up."""
    seconds: list[list[float]] = [[] for _ in versions]
    for number in range(rounds + 1):
        totals = [0.0] * len(versions)
        for turn in range(versions[0].turns):
            order = range(len(versions)) if turn % 2 else reversed(range(len(versions)))
            for index in order:
                totals[index] += versions[index].turn()
        if number:
            for index, total in enumerate(totals):
                seconds[index].append(total)
    for version in versions:
        version.end()
    return seconds


def serve(work: str, name: str, data: str) -> None:
    """Say how many turns a round has, then do one for each line of standard input and say its seconds."""
    turns = {"extract": extraction, "train": training}[work](name, data)
    print(next(turns), flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        next(turns)
        print(time.perf_counter() - start, flush=True)


def extraction(model: str, data: str) -> Iterator[int]:
    from conjoin import Extractor, read_corpus

    extractor = Extractor.load(model)
    texts = [document.text for document in read_corpus(data).test]
    yield TURNS
    while True:
        for start in range(TURNS):
            list(extractor.pipe(texts[start::TURNS] * 4))
            yield 0


def training(preset: str, data: str) -> Iterator[int]:
    """A step of the optimizer after the other: a turn is a number of steps."""
    from conjoin import Schema, load_config, read_corpus

    documents = read_corpus(data).train
    config = load_config(preset, ["training.epochs=1000"])
    schema = Schema.from_documents(documents)
    steps = training_steps(config, schema, documents)
    yield 8
    while True:
        for _ in range(8):
            next(steps)
        yield 0


def training_steps(config: object, schema: object, documents: object) -> Iterator[object]:
    """Events of single steps, of whatever version this is."""
    from conjoin.training import StepDone

    events: Callable[..., Iterator[object]]
    try:
        from conjoin.modeling.build import build_model
    except ImportError:
        from conjoin.builders import build_model  # type: ignore[import-not-found, no-redef]
    try:
        from conjoin.training.loop import training_events as events
    except ImportError:
        from conjoin.training import train as events  # type: ignore[no-redef]
    model = build_model(config, schema, documents=documents)
    for event in events(model, documents, settings=config.training):  # type: ignore[attr-defined]
        if isinstance(event, StepDone):
            yield event


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(*sys.argv[2:5])
    else:
        main()
