"""What the model of Crone 2020 costs beside its bare recurrent layers, and the CRF beside pytorch-crf: ratios in one run.

    python benchmarks/speed/recurrent_ratio.py --data DATA/conll04/spert_json

Training: an epoch of crone2020-conll04-minilm at batch 16 over train+dev with cached features (reading them, collating,
losses, clipping and optimizer included) against forward and backward of the four plain bidirectional GRU layers over the
same padded batches, batch by batch in turn. The share of CRF and pair scorer is that of their forward and backward alone
in the same step. CRF: loss with its gradient, and decoding, at 32 x 60 words x 9 tags, the median of runs in turn.
The result is recurrent_ratio.json beside this script.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torchcrf import CRF

from conjoin import Schema, load_config, read_corpus
from conjoin.corpora.sample import sample_corpus
from conjoin.decoding.tags import Transitions, viterbi
from conjoin.modeling.build import build_model
from conjoin.modeling.embedders.feature_cache import FeatureCache
from conjoin.modeling.heads.relations import PairInputs
from conjoin.modeling.joint import JointModel
from conjoin.modeling.nn.crf import ChainCRF
from conjoin.parallel.batching import shuffled_batches
from conjoin.training.optimizer import build_optimizer

BATCH = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    corpus = read_corpus(arguments.data) if arguments.data else sample_corpus()
    documents = [*corpus.train, *corpus.dev]
    with tempfile.TemporaryDirectory() as folder:
        result = {
            "data": {"corpus": Path(arguments.data).name if arguments.data else "sample", "documents": len(documents)},
            "machine": platform.machine(), "threads": torch.get_num_threads(), "torch": torch.__version__,
            "training": training(documents, FeatureCache(Path(folder), limit=10**10)),
            "crf": crf(),
        }
    name = "recurrent_ratio.json" if arguments.data else "recurrent_ratio-sample.json"
    output = arguments.output or Path(__file__).with_name(name)
    output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


class BareStack(nn.Module):
    """The recurrent layers of the preset and nothing else: one shared, one of entities, two of relations."""

    def __init__(self, width: int, size: int) -> None:
        super().__init__()

        def layer(before: int) -> nn.GRU:
            return nn.GRU(before, size, batch_first=True, bidirectional=True)

        self.shared, self.entities = layer(width), layer(2 * size)
        self.relations = nn.ModuleList([layer(2 * size), layer(2 * size)])

    def forward(self, states: Tensor) -> Tensor:
        shared = self.shared(states)[0]
        related = shared
        for layer in self.relations:
            related = layer(related)[0]
        return self.entities(shared)[0].sum() + related.sum()


def training(documents: list, cache: FeatureCache) -> dict[str, float]:
    config = load_config("crone2020-conll04-minilm", [f"training.batch_size={BATCH}"])
    torch.manual_seed(0)
    model = build_model(config, Schema.from_documents(documents), documents=documents, cache=cache).train()
    for start in range(0, len(documents), 64):  # fills the cache
        model.collate(documents[start : start + 64])
    settings = config.training
    rest = {"head_learning_rate": None, "layer_decay": 1.0, "weight_decay": 0.0}
    optimizer = build_optimizer(model, settings.model_copy(update=rest))
    bare = BareStack(model.embedder.width, config.stack.size)
    batches = shuffled_batches(
        model.sizes(documents), documents=BATCH, pieces=10**6, bucket_batches=16, seed=0, epoch=0
    )
    ours = plain = scorers = 0.0
    for number, members in enumerate([batches[0], *batches]):
        chosen = [documents[index] for index in members]

        def step(chosen: list = chosen) -> None:
            terms = model.loss(model.collate(chosen))
            (terms["entities"] + settings.relation_weight * terms["relations"]).backward()
            nn.utils.clip_grad_norm_(model.parameters(), settings.max_gradient_norm)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

        states = torch.randn(len(chosen), max(len(document.tokens) for document in chosen), model.embedder.width)
        times = seconds(step), seconds(lambda states=states: bare(states).backward()), scorer_seconds(model, chosen)
        bare.zero_grad(set_to_none=True)
        if number:  # the first warms up
            ours, plain, scorers = ours + times[0], plain + times[1], scorers + times[2]
    return {"epoch_seconds": round(ours, 2), "bare_stack_seconds": round(plain, 2), "ratio": round(ours / plain, 3),
            "crf_and_scorer_share": round(scorers / ours, 3)}


def scorer_seconds(model: JointModel, documents: list) -> float:
    """Forward and backward of CRF and relation head on states that are given."""
    batch = model.collate(documents)
    assert batch.targets is not None and model.relations is not None  # noqa: S101
    words = int(batch.lengths.max())
    emissions = torch.randn(len(documents), words, len(model.decoder.entities.tags), requires_grad=True)
    states = torch.randn(len(documents), words, model.relation_stack.width, requires_grad=True)  # type: ignore[union-attr]
    decoder = model.decoder.relations
    entities = [document.entities for document in documents]
    gold = [document.relations for document in documents]

    def both() -> None:
        spans, pairs = decoder.candidates(entities)
        scores = model.relations(states, PairInputs.of(spans, pairs, states.device))
        targets = torch.from_numpy(decoder.targets(spans, pairs, entities, gold))
        loss = model.relations.loss(scores, targets).mean
        (loss + model.entities.loss(emissions, batch.targets).mean).backward()

    taken = seconds(both)
    model.zero_grad(set_to_none=True)
    return taken


def crf() -> dict[str, float]:
    torch.manual_seed(0)
    size, words, tags = 32, 60, 9
    emissions = torch.randn(size, words, tags, requires_grad=True)
    lengths = torch.randint(20, words + 1, (size,))
    lengths[0] = words
    gold = torch.randint(0, tags, (size, words))
    mask = torch.arange(words) < lengths.unsqueeze(1)
    ours = ChainCRF(torch.ones(tags), torch.ones(tags, tags), torch.ones(tags))
    theirs = CRF(tags, batch_first=True)
    transitions = Transitions(*(weight.detach().numpy() for weight in ours.weights()))
    runs: dict[str, Callable[[], object]] = {
        "loss": lambda: ours.log_likelihood(emissions, gold, lengths).mean().backward(),
        "pytorch-crf loss": lambda: theirs(emissions, gold, mask=mask, reduction="mean").backward(),
        "viterbi": lambda: viterbi(emissions.detach().numpy(), lengths.numpy(), transitions).tolist(),
        "pytorch-crf viterbi": lambda: theirs.decode(emissions.detach(), mask=mask),
    }
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(40):
        for name, run in runs.items():
            times[name].append(seconds(run))
    medians = {name: statistics.median(values) for name, values in times.items()}
    return {f"{name} ms": round(1000 * value, 3) for name, value in medians.items()} | {
        f"{name} ratio": round(medians[name] / medians[f"pytorch-crf {name}"], 3) for name in ("loss", "viterbi")
    }


def seconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
