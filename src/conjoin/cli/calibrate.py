"""Calibrate scores, with a threshold for each type.

Fits a temperature for each task, so that of all results with score 0.8 about 80 % are right, and for each type the
threshold with the best F1. Uses dev by default; give documents that the model was not trained on. Writes the result into
the model's folder, with its card and a picture, and from then on extract, evaluate, bulk and serve use it. Run again, it
starts from the model's own scores; remove calibration.json to undo it.

Examples:
  conjoin calibrate run --data corpus/
  conjoin calibrate run --data held-out.jsonl
"""

from __future__ import annotations

import json
from typing import Any

import typer

from conjoin.cli.corpus import AnnotatedData
from conjoin.cli.messages import message
from conjoin.cli.options import Json, Model
from conjoin.evaluation.metrics import Report


def calibrate(model: Model, data: AnnotatedData, as_json: Json = False) -> None:
    split, documents = data.read(default="dev")

    from conjoin.artifacts.model_folder import model_folder, write_contents
    from conjoin.extractor import Extractor

    folder = model_folder(model)
    extractor = Extractor.load(model)
    if split == "train" or (split == "dev" and extractor.record.training.dev_scores is not None):
        message(f"the model was trained on {split}, where its scores are too high, and so is what is fitted on them; give "
                "documents that it has not seen")
    report = extractor.calibrate(documents)
    calibration = extractor.calibration
    after = extractor.evaluate(documents)
    write_contents(extractor.contents(folder))
    extractor.forget_calibration()
    f1 = _f1(extractor.evaluate(documents), after)
    if as_json and calibration is not None:
        typer.echo(json.dumps({**calibration.to_json(), "report": report, "f1": f1}, indent=1))
        return
    for task, figures in f1.items():
        row = report[task]
        same = ", which leaves scores as they are" if row["temperature"] == 1 else ""
        typer.echo(f"{task}: temperature {row['temperature']:.2f}{same}, error of calibration {_percent(row['ece'])}, "
                   f"strict micro F1 on these {len(documents)} documents {_percent(figures)}")
    message(f"wrote {folder / 'calibration.json'}, the card and its picture")


def _f1(before: Report, after: Report) -> dict[str, dict[str, float]]:
    return {
        task: {"before": getattr(before, task)["strict"].micro.f1, "after": getattr(after, task)["strict"].micro.f1}
        for task in ("entities", "relations")
    }


def _percent(figures: dict[str, Any]) -> str:
    return f"{100 * figures['before']:.1f} → {100 * figures['after']:.1f} %"
