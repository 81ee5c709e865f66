"""What conjoin costs beside its bare encoder: ratios within one run, and peak memory.

    python benchmarks/speed/encoder_ratio.py --data DATA/conll04/spert_json

Training: the second epoch of conjoin-base on train+dev (collating, losses, clipping, optimizer and averaging included)
against forward and backward of the plain encoder with all its parameters, batch by batch in turn, at the same precision.
Extraction: annotating test against tokenisation and forward of the plain encoder, batch by batch in turn; and from raw
text, sentence splitting and merging included. Peak memory is that of processes of their own that only train or extract.
The result is encoder_ratio.json beside this script; without --data the sample corpus is used, and it is
encoder_ratio-sample.json.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
import transformers
from transformers import AutoModel

from conjoin import Extractor, Schema, load_config, read_corpus
from conjoin.batching import fill_batches, shuffled_batches
from conjoin.builders import build_model
from conjoin.document import Corpus
from conjoin.embedders.transformer import resolve_name
from conjoin.sample import sample_corpus
from conjoin.training import EpochDone, StepDone, train
from conjoin.training.precision import usable_precision


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--memory", choices=["train", "extract"], help=argparse.SUPPRESS)
    parser.add_argument("--model", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    corpus = read_corpus(arguments.data) if arguments.data else sample_corpus()
    if arguments.memory:
        print(measure_memory(arguments.memory, corpus, arguments.model))
        return
    result: dict[str, object] = {"data": described(arguments.data, corpus), "machine": platform.machine(),
                                 "threads": torch.get_num_threads(), "torch": torch.__version__,
                                 "transformers": transformers.__version__}
    with tempfile.TemporaryDirectory() as folder:
        extractor, result["training"] = training_ratio(corpus, arguments)
        extractor.save(Path(folder) / "model")
        result["extraction"] = extraction_ratio(corpus, extractor)
        result["peak_memory_mb"] = {what: in_own_process(what, arguments, Path(folder) / "model")
                                    for what in ("train", "extract")}
    output = arguments.output or default_output(arguments.data)
    output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


def default_output(data: str | None) -> Path:
    """Figures of the sample corpus never take the place of those of a real one."""
    return Path(__file__).with_name("encoder_ratio.json" if data else "encoder_ratio-sample.json")


def described(data: str | None, corpus: Corpus) -> dict[str, object]:
    """The name of the data, without the folders of this machine, and the documents of each split."""
    name = "/".join(Path(data).parts[-2:]) if data else "sample"
    return {"name": name, **{split: len(documents) for split, documents in corpus.splits.items()}}


def timed(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def training_ratio(corpus: Corpus, arguments: argparse.Namespace) -> tuple[Extractor, dict[str, object]]:
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
    for event in train(model, documents, settings=settings):
        if isinstance(event, StepDone) and event.epoch == 2:
            if step:  # the first step of the epoch holds the end of the one before
                ours += time.perf_counter() - last
                alone += timed(lambda: bare(batches[step]))  # noqa: B023
            step += 1
        if isinstance(event, EpochDone):
            print(f"epoch {event.epoch}", flush=True)
        last = time.perf_counter()
    row = {"precision": settings.precision, "documents": len(documents), "conjoin_seconds": round(ours, 2),
           "encoder_seconds": round(alone, 2), "ratio": round(ours / alone, 3)}
    return Extractor(model, config), row


def extraction_ratio(corpus: Corpus, extractor: Extractor) -> dict[str, object]:
    documents = corpus.test
    model = extractor.model
    plain = AutoModel.from_pretrained(resolve_name("minilm"), dtype=torch.float32).eval()
    sizes = model.sizes(documents)
    order = sorted(range(len(documents)), key=lambda index: -sizes[index])
    batches = list(fill_batches(order, sizes, documents=128, pieces=1024))

    @torch.inference_mode()
    def bare(members: list[int]) -> None:
        features = model.embedder.features([documents[index].words for index in members])
        plain(input_ids=features["pieces"], attention_mask=features["mask"])

    ours = alone = raw = 0.0
    for _ in range(5):
        for members in batches:
            batch = [documents[index] for index in members]
            ours += timed(lambda: extractor.annotate(batch))  # noqa: B023
            alone += timed(lambda: bare(members))  # noqa: B023
            raw += timed(lambda: list(extractor.pipe(document.text for document in batch)))  # noqa: B023
    return {"documents": 5 * len(documents), "conjoin_seconds": round(ours, 2), "raw_text_seconds": round(raw, 2),
            "encoder_seconds": round(alone, 2), "ratio": round(ours / alone, 3),
            "raw_text_ratio": round(raw / alone, 3), "documents_per_second": round(5 * len(documents) / ours, 1)}


def in_own_process(what: str, arguments: argparse.Namespace, model: Path) -> int:
    command = [sys.executable, __file__, "--memory", what, "--model", str(model)]
    if arguments.data:
        command += ["--data", arguments.data]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def measure_memory(what: str, corpus: Corpus, model: str) -> int:
    """Peak resident memory in MB of training for three epochs, or of extracting from the test texts ten times over."""
    if what == "extract":
        extractor = Extractor.load(model)
        for _ in extractor.pipe(document.text for _ in range(10) for document in corpus.test):
            pass
    else:
        config = load_config("conjoin-base", ["training.epochs=3"])
        documents = (*corpus.train, *corpus.dev)
        network = build_model(config, Schema.from_documents(documents))
        for _ in train(network, documents, dev=corpus.test, settings=config.training):
            pass
    status = Path("/proc/self/status").read_text(encoding="utf-8")  # getrusage would count the parent's memory too
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


if __name__ == "__main__":
    main()
