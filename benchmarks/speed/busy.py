"""Training beside other work on the same cores: what threads that wait cost it.

    python benchmarks/speed/busy.py

Seconds of the second epoch of conjoin-base on 200 sentences of the sample corpus, in a process of its own, beside no, one
and two processes that never rest: with the waiting that OpenMP has by itself, with that of conjoin's commands, and with one
thread. The median of some rounds. The result is busy.json beside this script.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from measuring import HERE, machine, write

from conjoin import Schema, load_config
from conjoin.__main__ import SPIN_COUNT
from conjoin.corpora.sample import sample_corpus
from conjoin.modeling.build import build_model
from conjoin.training import EpochDone, training_events

WAYS = {
    "as OpenMP waits": {}, "as conjoin's commands wait": {"GOMP_SPINCOUNT": SPIN_COUNT},
    "one thread": {"OMP_NUM_THREADS": "1"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=HERE / "busy.json")
    parser.add_argument("--epoch", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.epoch:
        print(epoch())
        return
    write({**machine(), "seconds": {str(busy): beside(busy, arguments.rounds) for busy in (0, 1, 2)}}, arguments.output)


def beside(busy: int, rounds: int) -> dict[str, float]:
    """Seconds of an epoch in each way, beside so many busy processes."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: sum(range(100000))"]) for _ in range(busy)]
    seconds: dict[str, list[float]] = {name: [] for name in WAYS}
    try:
        for _ in range(rounds):
            for name, settings in WAYS.items():
                done = subprocess.run([sys.executable, __file__, "--epoch"], env={**os.environ, **settings}, check=True,
                                      capture_output=True, text=True)
                seconds[name].append(float(done.stdout))
    finally:
        for other in others:
            other.kill()
    return {name: round(statistics.median(values), 2) for name, values in seconds.items()}


def epoch() -> float:
    """Seconds of the second of two epochs."""
    documents = list(sample_corpus().train)[:200]
    config = load_config("conjoin-base", ["training.epochs=2", "training.select=last"])
    model = build_model(config, Schema.from_documents(documents))
    ends = [time.perf_counter() for event in training_events(model, documents, settings=config.training)
            if isinstance(event, EpochDone)]
    return ends[1] - ends[0]


if __name__ == "__main__":
    main()
