"""Annotate less: scores on test against annotated sentences, chosen by `conjoin suggest` or by chance.

    python benchmarks/quality/suggesting.py --data DATA/conll04/spert_json

Train and dev are the pool. Both ways begin with the same sentences, drawn by chance. In each round a model is trained on
the sentences annotated so far and scored on test, and more sentences are chosen: by the uncertainty of that model and by
diversity, or by chance. The pool's own annotations stand in for a person's. The settings are those of the preset with fewer
epochs, the same in all rounds; the last epoch counts, and nothing is chosen on test. Rounds in the result file are not
trained again. The result is conll04-suggest.json beside this script.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path
from typing import Any

import torch

from conjoin import load_config, read_corpus, score
from conjoin.document import Corpus, Document
from conjoin.experiments.active_learning import suggest
from conjoin.experiments.train import train
from conjoin.storage.atomic import write_text

HERE = Path(__file__).parent
WAYS = ("chance", "suggest", "doubt alone")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--preset", default="conjoin-base")
    parser.add_argument("--set", nargs="*", default=["training.epochs=12"], dest="settings")
    parser.add_argument("--first", type=int, default=100)
    parser.add_argument("--more", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--ways", nargs="+", default=list(WAYS[:2]), choices=WAYS)
    parser.add_argument("--output", type=Path, default=HERE / "conll04-suggest.json")
    arguments = parser.parse_args()
    corpus = read_corpus(arguments.data)
    pool = (*corpus.train, *corpus.dev)
    settings = {name: getattr(arguments, name) for name in ("preset", "settings", "first", "more")}
    settings |= {"data": "/".join(Path(arguments.data).parts[-2:]), "pool": len(pool)}
    result = json.loads(arguments.output.read_text()) if arguments.output.is_file() else {}
    if {name: result.get(name) for name in settings} != settings:
        result = {**settings, "rows": []}
    for seed in arguments.seeds:
        for way in arguments.ways:
            curve(way, seed, pool, corpus.test, arguments, result)


def curve(
    way: str, seed: int, pool: tuple[Document, ...], test: tuple[Document, ...], arguments: Any, result: dict[str, Any]
) -> None:
    """Train and choose, round by round; the result file has the score and the places of the next sentences of each."""
    drawn = list(range(len(pool)))
    random.Random(seed).shuffle(drawn)
    annotated = drawn[: arguments.first]
    known = [row for row in result["rows"] if row["way"] == way and row["seed"] == seed]
    for number in range(arguments.rounds):
        if number < len(known):
            annotated = known[number]["next"]
            continue
        config = load_config(arguments.preset, [*arguments.settings, f"training.seed={seed}", "training.select=last"])
        extractor = train(config, Corpus({"train": tuple(pool[place] for place in annotated)}), progress=False)
        predicted = extractor.annotate([document.bare() for document in test])
        report = score(test, predicted, symmetric=extractor.schema.symmetric)
        row: dict[str, Any] = {
            "way": way, "seed": seed, "sentences": len(annotated),
            "words": sum(len(pool[place].tokens) for place in annotated),
            "entities": round(100 * report.entities["strict"].micro.f1, 2),
            "relations": round(100 * report.relations["strict"].micro.f1, 2),
        }
        print(row, flush=True)
        free = [place for place in drawn if place not in set(annotated)]
        if way == "chance":
            more = free[: arguments.more]
        else:
            bare = [pool[place].bare() for place in free]
            diversity = 0.0 if way == "doubt alone" else 0.5
            more = [free[one.place] for one in suggest(extractor, bare, arguments.more, diversity=diversity)]
        annotated = [*annotated, *more]
        result["rows"].append({**row, "next": annotated})
        write_text(arguments.output, json.dumps({**result, "torch": torch.__version__}) + "\n")


if __name__ == "__main__":
    main()
