"""The model card that is written with every saved model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from conjoin.evaluation.calibration import Calibration
from conjoin.schema import Schema

HUB_FACTS = """---
library_name: conjoin
pipeline_tag: token-classification
tags: [named-entity-recognition, relation-extraction]
---
"""


def model_card(
    config: Mapping[str, Any],
    schema: Schema,
    metrics: Mapping[str, Any],
    *,
    calibration: Calibration | None = None,
    picture: str | None = None,
) -> str:
    """A page in Markdown: what the model finds, how it was trained, how well it does and where it does not.

    `metrics` is what training recorded: `data` (split sizes), `dev`/`test` (reports as JSON), `probe`, `training`, `model`
    (size, speed), `calibration`; `picture` is a file that shows the last.
    """
    parts = [f"{HUB_FACTS}\n# A conjoin model", _purpose(schema), _use(), _data(metrics.get("data", {}))]
    parts += [_scores(split, metrics[split]) for split in ("dev", "test") if split in metrics]
    if "probe" in metrics:
        parts.append(_probe(metrics["probe"]))
    if calibration is not None:
        parts.append(_calibration(calibration, metrics.get("calibration", {}), picture))
    parts += [_size(metrics.get("model", {})), _training(config, metrics), _limits(schema), _licence(config)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _calibration(calibration: Calibration, told: Mapping[str, Any], picture: str | None) -> str:
    lines = ["## Calibration", "", "The logarithmic odds of scores are divided by a temperature, and each type has a least "
             "score; both were fitted after training, on the documents given to `conjoin calibrate`. The error is the "
             "expected calibration error in ten bins, on the same documents. The scores above are those before.", "",
             "| | temperature | error before | error after | found |", "|---|---|---|---|---|"]
    for task, row in told.items():
        ece = row["ece"]
        lines.append(f"| {task} | {row['temperature']:.2f} | {100 * ece['before']:.1f} % | {100 * ece['after']:.1f} % | "
                     f"{row['found']} |")
    lines += ["", "| least score | |", "|---|---|"]
    lines += [f"| {type} | {least:.2f} |" for types in calibration.thresholds.values() for type, least in types.items()]
    if picture is not None:
        lines += ["", f"![Share of correct against mean score]({picture})"]
    return "\n".join(lines)


def _size(model: Mapping[str, Any]) -> str:
    """What is known of its size and speed."""
    lines = []
    if "megabytes" in model:
        kind = f", an export in {model['export']}" if "export" in model else ""
        lines.append(f"- size: {model['megabytes']:,} MB{kind}")
    if "sentences_per_second" in model:
        lines.append(f"- speed: {model['sentences_per_second']:,} sentences of the scored split a second, annotated on "
                     f"{model['device']} where it was trained")
    if "export" in model:
        lines.append("- scores and speed on this page are those of the model before the export; `conjoin evaluate` tells "
                     "its own scores")
    return "\n".join(["## Size and speed", "", *lines]) if lines else ""


def _licence(config: Mapping[str, Any]) -> str:
    source = f"the encoder {config['encoder']['name']}" if config["encoder"]["name"] else "its word vectors"
    return (f"## Licence\n\nConjoin is under Apache-2.0. What may be done with this model depends on the data that it was "
            f"trained on and on {source}: see theirs, and write here what holds.")


def _purpose(schema: Schema) -> str:
    lines = ["It finds entities and the relations between them in raw text.", "",
             f"Entity types: {', '.join(schema.entity_types)}.", "", "| relation | from → to |", "|---|---|"]
    for type in schema.relation_types:
        pairs = sorted(schema.signatures.get(type, frozenset()))
        lines.append(f"| {type} | {', '.join(f'{head} → {tail}' for head, tail in pairs) or 'any → any'} |")
    return "\n".join(lines)


def _use() -> str:
    return ('```python\nfrom conjoin import Extractor\n\nextractor = Extractor.load("PATH OF THIS FOLDER")\n'
            'document = extractor("Your text.")\nprint(document.entities, document.relations)\n```')


def _data(data: Mapping[str, Any]) -> str:
    if not data:
        return ""
    lines = ["## Data", "", "| split | documents | entities | relations |", "|---|---|---|---|"]
    for split, row in data.items():
        lines.append(f"| {split} | {row['documents']} | {row['entities']} | {row['relations']} |")
    return "\n".join(lines)


def _scores(split: str, report: Mapping[str, Any]) -> str:
    lines = [f"## Scores on {split}", "",
             "Per cent, on predicted entities. Macro is the mean over types seen in gold or prediction.", "",
             "| | match | average | precision | recall | F1 |", "|---|---|---|---|---|---|"]
    for task in ("entities", "relations"):
        for match, scores in report[task].items():
            for average in ("micro", "macro"):
                row = scores[average]
                lines.append(f"| {task} | {match} | {average} | {100 * row['precision']:.1f} | "
                             f"{100 * row['recall']:.1f} | {100 * row['f1']:.1f} |")
    return "\n".join(lines)


def _probe(probe: Mapping[str, Any]) -> str:
    return "\n".join([
        "## Entities that merely co-occur",
        "",
        f"On {probe['cooccurring']} sentences that name entities without relating them, the model asserted a relation in "
        f"{100 * probe['false_share']:.0f} % of them; on {probe['related']} closely similar sentences that do state "
        f"relations it found {100 * probe['found_share']:.0f} % of those.",
    ])


def coverage_line(found: int, words: int) -> str:
    """How many distinct words of the training data have a word vector."""
    return f"vectors for {found:,} of {words:,} words of the training data ({100 * found / max(1, words):.0f} %)"


def _training(config: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    training = dict(metrics.get("training", {}))
    coverage = training.pop("word_vectors", None)
    if "epoch" in training:
        best = "dev_scores" in training or ("dev" in metrics and config["training"]["select"] == "best")
        training["epoch"] = f"{training['epoch']} ({'the best on dev' if best else 'the last'})"
    lines = ["## Training", "", f"- words are seen through: {_embedders(config)}", f"- recurrent layers: {_layers(config)}"]
    if (parameters := metrics.get("model", {}).get("parameters")) is not None:
        lines.append(f"- parameters: {parameters:,}, of which trained: {training.get('trainable', 0):,}")
    if coverage is not None:
        lines.append(f"- {coverage_line(coverage['found'], coverage['words'])}")
    lines += [f"- {name.replace('_', ' ')}: {value}" for name, value in training.items() if name != "trainable"]
    return "\n".join(lines)


def _embedders(config: Mapping[str, Any]) -> str:
    encoder, words = config["encoder"], config["words"]
    parts = []
    if encoder["name"] is not None:
        parts.append(f"{encoder['name']} ({'frozen' if encoder['frozen'] else 'fine-tuned'})")
    if config["elmo"]["options"] is not None:
        parts.append("ELMo (frozen)")
    if words["vectors"] is not None:
        parts.append(f"word vectors of {Path(words['vectors']).name} (frozen)")
    if config["characters"]["size"]:
        parts.append("their characters")
    if words["casing"]:
        parts.append("their casing")
    return ", ".join(parts)


def _layers(config: Mapping[str, Any]) -> str:
    stack = config["stack"]
    counts = {"shared": stack["shared"], "of entities alone": stack["entities"], "of relations alone": stack["relations"]}
    named = [f"{count} {what}" for what, count in counts.items() if count]
    return f"{', '.join(named)} ({stack['cell'].upper()}, {stack['size']} each way)" if named else "none"


def _limits(schema: Schema) -> str:
    lines = ["## Limits", "", "- Entities do not overlap or nest, and have no gaps.",
             "- Raw text is read sentence by sentence: relations across sentences are not found.",
             "- Scores hold for text like that of the data above; on other text, measure first."]
    if schema.symmetric:
        lines.append(f"- Relations without direction: {', '.join(sorted(schema.symmetric))}.")
    return "\n".join(lines)
