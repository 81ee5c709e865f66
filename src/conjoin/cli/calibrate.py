"""`conjoin calibrate`: make scores mean what they say, with a least score for each type."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from conjoin.cli.data import mention_problems, parse_options
from conjoin.cli.evaluate import chosen_split
from conjoin.cli.messages import messages
from conjoin.cli.options import FormatName, FormatOptions, Lenient
from conjoin.evaluation.metrics import Report
from conjoin.readers import read_corpus


def calibrate(
    run: Annotated[Path, typer.Argument(help="Folder of a training run, of a model or of an export.")],
    data: Annotated[Path, typer.Option(help="Annotated file or folder.")],
    split: Annotated[str | None, typer.Option(help="Which split of a folder; dev when absent.")] = None,
    format: FormatName = None,
    option: FormatOptions = None,
    lenient: Lenient = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON in place of a table.")] = False,
) -> None:
    """Make scores mean what they say, with a least score for each type.

    Fits a temperature for each task and the least score of each type with the best F1, on documents that the model was not
    trained on, and writes them into the model's folder, with its card and a picture. From then on extract, evaluate, bulk
    and serve use them. Run again, it starts from the model's own scores; to be rid of it remove calibration.json; the
    card keeps the last fit's figures until the model is saved anew.

    Examples:

      conjoin calibrate run --data corpus/

      conjoin calibrate run --data held-out.jsonl
    """
    corpus = read_corpus(data, format, lenient=lenient, options=parse_options(option or []))
    chosen = chosen_split(corpus.splits, split, data, default="dev")
    documents = corpus.splits[chosen]
    mention_problems(corpus)

    from conjoin.artifacts.model_folder import model_folder, write_contents
    from conjoin.extractor import Extractor

    folder = model_folder(run)
    extractor = Extractor.load(run)
    if "dev_scores" in extractor.metrics.get("training", {}) and chosen == "dev":
        messages().print("the model was trained on dev too (--retrain-on-dev): what is fitted on it will be too sure of "
                         "itself; better give documents that it has not seen", markup=False, soft_wrap=True)
    if chosen == "train":
        messages().print("these are called train: of what it was trained on a model is too sure, and so is what is fitted "
                         "there; better give documents that it has not seen", markup=False, soft_wrap=True)
    told = extractor.calibrate(documents)
    fitted = extractor.calibration
    after = extractor.evaluate(documents)
    write_contents(extractor.contents(folder))
    extractor.forget_calibration()
    before = extractor.evaluate(documents)
    if as_json and fitted is not None:
        typer.echo(json.dumps({**fitted.to_json(), "report": told, "f1": _f1(before, after)}, indent=1))
        return
    for task, figures in _f1(before, after).items():
        row = told[task]
        kept = ", which leaves scores as they are" if row["temperature"] == 1 else ""
        typer.echo(f"{task}: temperature {row['temperature']:.2f}{kept}, error of calibration {_percent(row['ece'])}, "
                   f"strict micro F1 on these {len(documents)} documents {_percent(figures)}")
    messages().print(f"wrote {folder / 'calibration.json'}, the card and its picture", markup=False, soft_wrap=True)


def _f1(before: Report, after: Report) -> dict[str, dict[str, float]]:
    return {
        task: {"before": getattr(before, task)["strict"].micro.f1, "after": getattr(after, task)["strict"].micro.f1}
        for task in ("entities", "relations")
    }


def _percent(figures: dict[str, Any]) -> str:
    return f"{100 * figures['before']:.1f} → {100 * figures['after']:.1f} %"
