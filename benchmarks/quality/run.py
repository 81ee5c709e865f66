"""Train with several seeds on one split, score on test, write a result file.

    python benchmarks/quality/run.py conjoin-base --data DATA/conll04/spert_json --merge-dev --seeds 0 1 2 \
        --output benchmarks/quality/conll04-conjoin-base.json

With --merge-dev the model is trained on train and dev for the preset's number of epochs and the last epoch is scored.
conjoin-base has 16 epochs: its trial on dev had 14, the last of which was the best; 16 were not tried on dev.
--cut 0.1 makes a test split of a corpus without one, always with the same sentences.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import time
from dataclasses import replace
from pathlib import Path

import accelerate
import torch
import transformers

from conjoin import Report, __version__, load_config, read_corpus
from conjoin.document import Corpus, Document
from conjoin.evaluation.metrics import mean_and_deviation
from conjoin.experiments.train import train
from conjoin.experiments.training_data import draw_documents
from conjoin.training import EpochDone, Event
from conjoin.training.progress import epoch_line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("preset")
    parser.add_argument("--data", required=True)
    parser.add_argument("--lenient", action="store_true")
    parser.add_argument("--merge-dev", action="store_true")
    parser.add_argument("--cut", type=float, default=0.0)
    parser.add_argument("--relation-free", help="file whose sentences without a relation join the training data")
    parser.add_argument("--relation-free-count", type=int, help="at most so many of them, drawn by seed 0")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--set", nargs="*", default=[], dest="settings")
    parser.add_argument("--save", help="folder for the model of the first seed")
    parser.add_argument("--output", required=True)
    arguments = parser.parse_args()
    corpus = prepare(read_corpus(arguments.data, lenient=arguments.lenient), arguments.merge_dev, arguments.cut)
    for seed in arguments.seeds:
        result = summary(arguments, corpus, [run(arguments, corpus, seed)])
        Path(arguments.output).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        print(json.dumps(result["mean"], indent=1), flush=True)


def earlier(arguments: argparse.Namespace, data: dict[str, int], seeds: set[object]) -> list[dict[str, object]]:
    """Runs of other seeds that the result file holds from the same preset, settings and sizes of splits: seeds may run one
    by one."""
    path = Path(arguments.output)
    if not path.is_file():
        return []
    value = json.loads(path.read_text(encoding="utf-8"))
    extra = arguments.relation_free_count if arguments.relation_free else 0
    known = value["preset"], value["settings"], value.get("relation_free", 0), value["data"]
    same = known == (arguments.preset, arguments.settings, extra, data)
    return [run for run in value["runs"] if same and run["seed"] not in seeds]


def prepare(corpus: Corpus, merge_dev: bool, cut: float) -> Corpus:
    if cut:
        documents = list(corpus.documents)
        random.Random(0).shuffle(documents)
        size = round(cut * len(documents))
        return Corpus({"train": tuple(documents[size:]), "test": tuple(documents[:size])})
    if merge_dev:
        return replace(corpus, splits={"train": (*corpus.train, *corpus.dev), "test": corpus.test})
    return corpus


def run(arguments: argparse.Namespace, corpus: Corpus, seed: int) -> dict[str, object]:
    settings = [*arguments.settings, f"training.seed={seed}"]
    if not corpus.dev:
        settings.append("training.select=last")
    config = load_config(arguments.preset, settings)

    def listen(event: Event) -> None:
        if isinstance(event, EpochDone):
            print(f"seed {seed} {epoch_line(event)}", flush=True)

    wall, cpu = time.perf_counter(), time.process_time()
    extractor = train(
        config, corpus, lenient=arguments.lenient, relation_free=relation_free(arguments), progress=False, listen=listen
    )
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    if arguments.save and seed == arguments.seeds[0]:
        extractor.save(arguments.save)
    raw = extractor.evaluate(corpus.test, raw_text=True)
    gold = extractor.evaluate(corpus.test, gold_entities=True)
    report = extractor.record.test
    print(f"seed {seed}, {cpu:.0f} CPU s\n{report}", flush=True)
    return {
        "seed": seed, "cpu_seconds": round(cpu), "wall_seconds": round(wall), "test": report.to_json(),
        "raw_text": strict(raw), "gold_entities": strict(gold), "probe": extractor.record.to_json().get("probe"),
    }


def relation_free(arguments: argparse.Namespace) -> list[Document]:
    """Sentences with entities and without relations, the same for every seed."""
    if arguments.relation_free is None:
        return []
    read = read_corpus(arguments.relation_free, lenient=arguments.lenient)
    plain = [document for document in read if document.entities and not document.relations]
    return draw_documents(plain, arguments.relation_free_count, seed=0)


def strict(report: Report) -> dict[str, float]:
    return {
        f"{task} {average}": round(100 * getattr(scores["strict"], average).f1, 2)
        for task, scores in (("entities", report.entities), ("relations", report.relations))
        for average in ("micro", "macro")
    }


def summary(arguments: argparse.Namespace, corpus: Corpus, runs: list[dict[str, object]]) -> dict[str, object]:
    data = {split: len(documents) for split, documents in corpus.splits.items()}
    runs = sorted(earlier(arguments, data, {run["seed"] for run in runs}) + runs, key=lambda run: run["seed"])
    rows = [strict(Report.from_json(run["test"])) for run in runs]
    mean = {key: mean_and_deviation([row[key] for row in rows]) for key in rows[0]}
    return {
        "preset": arguments.preset,
        "settings": arguments.settings,
        "relation_free": arguments.relation_free_count if arguments.relation_free else 0,
        "data": data,
        "match": "strict, per cent",
        "mean": {key: {"mean": round(value, 2), "deviation": round(spread, 2)} for key, (value, spread) in mean.items()},
        "cpu_seconds": round(sum(run["cpu_seconds"] for run in runs) / len(runs)),
        "versions": {"conjoin": __version__, "torch": torch.__version__, "transformers": transformers.__version__,
                     "accelerate": accelerate.__version__, "python": platform.python_version(),
                     "threads": torch.get_num_threads()},
        "runs": runs,
    }


if __name__ == "__main__":
    main()
