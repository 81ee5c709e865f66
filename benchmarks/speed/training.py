"""What training costs beside its bare encoder: a ratio within one run, and peak memory.

    python benchmarks/speed/training.py --data DATA/conll04/spert_json

The second epoch of conjoin-base on train+dev (collating, losses, clipping, optimizer and averaging included) against
forward and backward of the plain encoder with all its parameters, batch by batch in turn, at the same precision. Peak
memory is that of a process of its own that only trains, for three epochs. The result is training.json beside this script;
without --data the sample corpus is used, and it is training-sample.json.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import torch
from measuring import machine, peak_memory_mb, timed, write
from transformers import AutoModel

from conjoin import Extractor, Schema, load_config, read_corpus
from conjoin.corpora.sample import sample_corpus
from conjoin.document import Corpus
from conjoin.modeling.build import build_model
from conjoin.modeling.embedders.pretrained import resolve_name
from conjoin.modeling.precision import usable_precision
from conjoin.parallel.batching import shuffled_batches
from conjoin.training import DevSet, EpochDone, StepDone, training_events


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--memory", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    corpus = read_corpus(arguments.data) if arguments.data else sample_corpus()
    if arguments.memory:
        train_only(corpus)
        print(peak_memory_mb())
        return
    result = {"data": described(arguments.data, corpus), **machine(), "training": training_ratio(corpus),
              "peak_memory_mb": in_own_process(arguments.data)}
    write(result, arguments.output or default_output(arguments.data))


def default_output(data: str | None) -> Path:
    """Figures of the sample corpus never take the place of those of a real one."""
    return Path(__file__).with_name("training.json" if data else "training-sample.json")


def described(data: str | None, corpus: Corpus) -> dict[str, object]:
    """The name of the data, without the folders of this machine, and the documents of each split."""
    name = "/".join(Path(data).parts[-2:]) if data else "sample"
    return {"name": name, **{split: len(documents) for split, documents in corpus.splits.items()}}


def training_ratio(corpus: Corpus) -> dict[str, object]:
    documents = (*corpus.train, *corpus.dev)
    config = load_config("conjoin-base", ["training.epochs=2", "training.select=last"])
    settings = config.training
    model = build_model(config, Schema.from_documents(documents))
    plain = AutoModel.from_pretrained(resolve_name("minilm"), dtype=torch.float32).train()
    batches = shuffled_batches(model.sizes(documents), documents=settings.batch_size, pieces=settings.batch_pieces,
                               bucket_batches=settings.bucket_batches, seed=settings.seed, epoch=1)
    from accelerate import Accelerator

    precision = Accelerator(mixed_precision=usable_precision(settings.precision))

    def bare(members: list[int]) -> None:
        features = model.embedder.features([documents[index].words for index in members])
        with precision.autocast():
            states = plain(input_ids=features["pieces"], attention_mask=features["mask"]).last_hidden_state
        states.float().sum().backward()
        plain.zero_grad(set_to_none=True)

    ours = alone = 0.0
    step = 0
    last = time.perf_counter()
    for event in training_events(model, documents, settings=settings):
        if isinstance(event, StepDone) and event.epoch == 2:
            if step:  # the first step of the epoch holds the end of the one before
                ours += time.perf_counter() - last
                alone += timed(lambda: bare(batches[step]))  # noqa: B023
            step += 1
        if isinstance(event, EpochDone):
            print(f"epoch {event.epoch}", flush=True)
        last = time.perf_counter()
    return {"precision": settings.precision, "documents": len(documents), "conjoin_seconds": round(ours, 2),
            "encoder_seconds": round(alone, 2), "ratio": round(ours / alone, 3)}


def in_own_process(data: str | None) -> int:
    command = [sys.executable, __file__, "--memory", *(["--data", data] if data else [])]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def train_only(corpus: Corpus) -> None:
    config = load_config("conjoin-base", ["training.epochs=3"])
    documents = (*corpus.train, *corpus.dev)
    network = build_model(config, Schema.from_documents(documents))
    dev = DevSet(corpus.test, Extractor.from_model(network, config).annotate)
    for _ in training_events(network, documents, settings=config.training, dev=dev):
        pass


if __name__ == "__main__":
    main()
