"""The model card: a page in Markdown that is written with every saved model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from conjoin.artifacts.run_record import AnnotationCounts, ModelRecord, ProbeRecord, RunRecord
from conjoin.config.settings import Config
from conjoin.evaluation.calibration import Calibration
from conjoin.evaluation.metrics import Report
from conjoin.schema import Schema

HUB_FACTS = """---
library_name: conjoin
pipeline_tag: token-classification
tags: [named-entity-recognition, relation-extraction]
---
"""


def model_card(
    config: Config, schema: Schema, record: RunRecord, *, calibration: Calibration | None = None, picture: str | None = None
) -> str:
    """Write the card: what the model extracts, how it was trained, how well it does and where it does not.

    Whatever the record does not know is left out. `picture` names the file that plots the calibration.
    """
    parts = [f"{HUB_FACTS}\n# A conjoin model", _purpose(schema), _use(), _data(record.data)]
    reports = (("dev", record.dev), ("test", record.test))
    parts += [_scores(split, report) for split, report in reports if report is not None]
    if record.probe is not None:
        parts.append(_probe(record.probe))
    if calibration is not None:
        parts.append(_calibration(calibration, record, picture))
    parts += [_size(record.model), _training(config, record), _limits(schema), _licence(config)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _calibration(calibration: Calibration, record: RunRecord, picture: str | None) -> str:
    lines = ["## Calibration", "", "The log-odds of scores are divided by a temperature, and each type has a minimum "
             "score. Both were fitted after training, with `conjoin calibrate`. The error is the expected calibration "
             "error in ten bins, on the documents of the fit. The scores above are from before the calibration.", "",
             "| | temperature | error before | error after | found |", "|---|---|---|---|---|"]
    for task, row in (record.calibration or {}).items():
        before, after = (100 * row["ece"][when] for when in ("before", "after"))
        lines.append(f"| {task} | {row['temperature']:.2f} | {before:.1f} % | {after:.1f} % | {row['found']} |")
    lines += ["", "| minimum score | |", "|---|---|"]
    lines += [f"| {type} | {minimum:.2f} |" for types in calibration.thresholds.values() for type, minimum in types.items()]
    if picture is not None:
        lines += ["", f"![Share of correct against mean score]({picture})"]
    return "\n".join(lines)


def _size(model: ModelRecord) -> str:
    lines = []
    if model.megabytes is not None:
        export = f", an export in {model.export}" if model.export is not None else ""
        lines.append(f"- size: {model.megabytes:,} MB{export}")
    if model.sentences_per_second is not None:
        lines.append(f"- speed: {model.sentences_per_second:,} sentences a second on {model.device}, "
                     "measured after training")
    if model.export is not None:
        lines.append("- scores and speed on this page are those of the model before the export; `conjoin evaluate` "
                     "scores the export itself")
    return "\n".join(["## Size and speed", "", *lines]) if lines else ""


def _licence(config: Config) -> str:
    source = f"the encoder {config.encoder.name}" if config.encoder.name else "its word vectors"
    return (f"## Licence\n\nConjoin is under Apache-2.0. The terms of this model depend on the licences of its training "
            f"data and of {source}: write them here.")


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


def _data(data: Mapping[str, AnnotationCounts]) -> str:
    if not data:
        return ""
    lines = ["## Data", "", "| split | documents | entities | relations |", "|---|---|---|---|"]
    lines += [f"| {split} | {row.documents} | {row.entities} | {row.relations} |" for split, row in data.items()]
    return "\n".join(lines)


def _scores(split: str, report: Report) -> str:
    lines = [f"## Scores on {split}", "",
             "Per cent, on predicted entities. Macro is the mean over types seen in gold or prediction.", "",
             "| | match | average | precision | recall | F1 |", "|---|---|---|---|---|---|"]
    for task, matches in (("entities", report.entities), ("relations", report.relations)):
        for match, scores in matches.items():
            for average, score in (("micro", scores.micro), ("macro", scores.macro)):
                lines.append(f"| {task} | {match} | {average} | {100 * score.precision:.1f} | "
                             f"{100 * score.recall:.1f} | {100 * score.f1:.1f} |")
    return "\n".join(lines)


def _probe(probe: ProbeRecord) -> str:
    return "\n".join([
        "## Entities that merely co-occur", "",
        f"On {probe.cooccurring} sentences that name entities without relating them, the model asserted a relation in "
        f"{100 * probe.false_share:.0f} % of them; on {probe.related} closely similar sentences that do state "
        f"relations it found {100 * probe.found_share:.0f} % of those.",
    ])


def _training(config: Config, record: RunRecord) -> str:
    training = record.training
    lines = ["## Training", "", f"- embeddings: {_embeddings(config)}", f"- recurrent layers: {_layers(config)}"]
    if record.model.parameters is not None:
        lines.append(f"- parameters: {record.model.parameters:,}, of which trained: {training.trainable or 0:,}")
    if training.word_vectors is not None:
        lines.append(f"- {training.word_vectors}")
    epoch = None
    if training.epoch is not None:
        on_dev = training.dev_scores is not None or (record.dev is not None and config.training.select == "best")
        epoch = f"{training.epoch} ({'the best on dev' if on_dev else 'the last'})"
    facts = {"seed": training.seed, "epoch": epoch, "documents": training.documents, "dev scores": training.dev_scores}
    return "\n".join([*lines, *(f"- {name}: {fact}" for name, fact in facts.items() if fact is not None)])


def _embeddings(config: Config) -> str:
    encoder, words = config.encoder, config.words
    parts = []
    if encoder.name is not None:
        parts.append(f"{encoder.name} ({'frozen' if encoder.frozen else 'fine-tuned'})")
    if config.elmo.options is not None:
        parts.append("ELMo (frozen)")
    if words.vectors is not None:
        parts.append(f"word vectors of {Path(words.vectors).name} (frozen)")
    if config.characters.size:
        parts.append("characters")
    if words.casing:
        parts.append("casing")
    return ", ".join(parts)


def _layers(config: Config) -> str:
    stack = config.stack
    counts = {"shared": stack.shared, "of entities alone": stack.entities, "of relations alone": stack.relations}
    named = [f"{count} {name}" for name, count in counts.items() if count]
    return f"{', '.join(named)} ({stack.cell.upper()}, {stack.size} each way)" if named else "none"


def _limits(schema: Schema) -> str:
    lines = ["## Limits", "", "- Entities do not overlap or nest, and have no gaps.",
             "- Raw text is read sentence by sentence: relations across sentences are not found.",
             "- Scores hold for text like that of the data above; on other text, measure first."]
    if schema.symmetric:
        lines.append(f"- Relations without direction: {', '.join(sorted(schema.symmetric))}.")
    return "\n".join(lines)
