"""Training and annotation on a GPU beside the bare encoder on the same batches, in one run.

    python benchmarks/speed/gpu.py --data DATA/conll04/spert_json

Prints, for conjoin-base and for the frozen recurrent family: seconds of a training epoch and of annotating test ten times,
those of the plain encoder (forward and backward, or tokenisation and forward) on the same batches at the same precision,
their ratios, sentences a second, and the peak of the GPU's memory. Then, from raw text: sentences a second of
`Extractor.pipe` in full precision and in bf16, of workers that share the GPU (once a tenth is done), and of Hugging
Face's token-classification pipeline over the same encoder, which only tags. The result is gpu.json beside this script.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
import transformers
from transformers import AutoModel, AutoModelForTokenClassification, AutoTokenizer, pipeline

from conjoin import Extractor, Schema, load_config, read_corpus
from conjoin.corpora.sample import sample_corpus
from conjoin.document import Document
from conjoin.extractor import ExtractorLoader
from conjoin.modeling.backend import GPU_PIECES
from conjoin.modeling.build import build_model
from conjoin.modeling.embedders.pretrained import resolve_name
from conjoin.parallel.batching import fill_batches, shuffled_batches
from conjoin.parallel.streaming import pipe_in_processes
from conjoin.training import EpochDone, StepDone, training_events

REPEATS = 10
RAW_REPEATS = 200  # for workers
WORKERS = (1, 4, 12)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("gpu.json"))
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("no GPU is to be seen; this benchmark needs one")
    corpus = read_corpus(arguments.data) if arguments.data else sample_corpus()
    documents = [*corpus.train, *corpus.dev]
    result = {
        "gpu": torch.cuda.get_device_name(), "torch": torch.__version__, "transformers": transformers.__version__,
        "cores": len(os.sched_getaffinity(0)),
        "train": len(documents), "test": len(corpus.test), "repeats": REPEATS, "raw_repeats": RAW_REPEATS,
        "models": {preset: measured(preset, documents, list(corpus.test))
                   for preset in ("conjoin-base", "crone2020-conll04-minilm")},
        "pipeline_sentences_per_second": {size: tagging_alone(list(corpus.test), size) for size in (32, 128)},
    }
    arguments.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


def measured(preset: str, documents: list[Document], test: list[Document]) -> dict[str, object]:
    torch.cuda.reset_peak_memory_stats()
    config = load_config(preset, ["training.epochs=2", "training.select=last"])
    model = build_model(config, Schema.from_documents(documents))
    settings = config.training
    batches = shuffled_batches(model.sizes(documents), documents=settings.batch_size, pieces=settings.batch_pieces,
                               bucket_batches=settings.bucket_batches, seed=settings.seed, epoch=1)
    ours, started = 0.0, 0.0
    for event in training_events(model, documents, settings=settings):
        if isinstance(event, EpochDone):
            torch.cuda.synchronize()
            ours, started = time.perf_counter() - started, time.perf_counter()
        elif isinstance(event, StepDone) and not started:
            started = time.perf_counter()
    extractor = Extractor.from_model(model, config)
    tokenizer_side = plain_features(documents)
    alone = training_alone(tokenizer_side, batches, bf16=settings.precision == "auto")
    extractor.annotate(test)
    seconds = timed(lambda: extractor.annotate(test * REPEATS))
    bare = annotating_alone(plain_features(test * REPEATS))
    return {
        "training_seconds": round(ours, 2), "encoder_training_seconds": round(alone, 2),
        "training_ratio": round(ours / alone, 2), "training_sentences_per_second": round(len(documents) / ours),
        "annotation_seconds": round(seconds, 2), "encoder_seconds": round(bare, 2),
        "annotation_ratio": round(seconds / bare, 2),
        "annotated_sentences_per_second": round(len(test) * REPEATS / seconds),
        "peak_memory_mb": torch.cuda.max_memory_allocated() // 2**20,
        "raw_text_sentences_per_second": from_raw_text(extractor, test, WORKERS if preset == "conjoin-base" else ()),
    }


def from_raw_text(extractor: Extractor, test: list[Document], several: tuple[int, ...]) -> dict[str, int]:
    """Sentences a second, from text to entities and relations with offsets, in this process and in workers."""
    texts = [document.text for document in test]
    rates = {}
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / "model"
        extractor.save(saved)
        for precision in ("no", "bf16"):
            loaded = Extractor.load(saved, precision=precision)
            for _ in loaded.pipe(texts):
                pass
            seconds = timed(lambda loaded=loaded: sum(1 for _ in loaded.pipe(texts * REPEATS)))
            rates[f"one process, {precision}"] = round(len(texts) * REPEATS / seconds)
        for workers in several:
            rates[f"workers: {workers}, bf16"] = rate_of_workers(saved, texts * RAW_REPEATS, workers)
            print(rates, flush=True)
    return rates


def rate_of_workers(model: Path, texts: list[str], workers: int) -> int:
    """Texts a second of processes that share the GPU, once a tenth is done, so that their start does not count."""
    first = len(texts) // 10
    load = ExtractorLoader(str(model), precision="bf16")
    for number, _ in enumerate(pipe_in_processes(load, (("", text) for text in texts), workers=workers)):
        if number == first:
            start = time.perf_counter()
    return round((len(texts) - first - 1) / (time.perf_counter() - start))


def tagging_alone(test: list[Document], batch_size: int) -> int:
    """Sentences a second of Hugging Face's pipeline, whose classifier prefers O everywhere so that it has least to do."""
    name = resolve_name("minilm")
    model = AutoModelForTokenClassification.from_pretrained(name, num_labels=9, dtype=torch.float32).eval()
    with torch.no_grad():
        model.classifier.weight.zero_()
        model.classifier.bias.zero_()[0] = 5.0
    model.config.id2label[0] = "O"
    tagger = pipeline("token-classification", model=model, tokenizer=AutoTokenizer.from_pretrained(name),
                      aggregation_strategy="simple", batch_size=batch_size, device=0)
    texts = [document.text for document in test]
    tagger(texts)
    return round(len(texts) * REPEATS / timed(lambda: tagger(texts * REPEATS)))


def timed(action: Callable[[], object]) -> float:
    torch.cuda.synchronize()
    start = time.perf_counter()
    action()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def plain_features(documents: list[Document]):  # type: ignore[no-untyped-def]
    """The words of documents and what makes tensors of them: the embedder of conjoin-base, used for its tokenizer alone."""
    embedder = build_model(load_config("conjoin-base"), Schema.from_documents(documents)).embedder
    words = [document.words for document in documents]
    return embedder, words


def training_alone(features, batches: list[list[int]], *, bf16: bool) -> float:  # type: ignore[no-untyped-def]
    embedder, words = features
    plain = AutoModel.from_pretrained(resolve_name("minilm"), dtype=torch.float32).train().cuda()

    def epoch() -> None:
        for members in batches:
            made = embedder.features([words[index] for index in members])
            with torch.autocast("cuda", dtype=torch.bfloat16, enabled=bf16):
                states = plain(input_ids=made["pieces"].cuda(), attention_mask=made["mask"].cuda()).last_hidden_state
            states.float().sum().backward()
            plain.zero_grad(set_to_none=True)

    epoch()
    return timed(epoch)


def annotating_alone(features) -> float:  # type: ignore[no-untyped-def]
    embedder, words = features
    plain = AutoModel.from_pretrained(resolve_name("minilm"), dtype=torch.float32).eval().cuda()
    sizes = embedder.sizes(words)
    order = sorted(range(len(words)), key=lambda index: -sizes[index])

    @torch.inference_mode()
    def forward() -> None:
        for members in fill_batches(order, sizes, documents=1024, pieces=GPU_PIECES):
            made = embedder.features([words[index] for index in members])
            plain(input_ids=made["pieces"].cuda(), attention_mask=made["mask"].cuda()).last_hidden_state[0, 0, 0].item()

    forward()
    return timed(forward)


if __name__ == "__main__":
    main()
