"""Export a trained model for ONNX Runtime.

extract, evaluate and serve take an export like any model; it needs no torch. To see what 8 bits cost
in F1, evaluate the model and its export.

Examples:
  conjoin export run --output small --int8
  conjoin evaluate small --data corpus/
  conjoin extract small --text "Maria Ortiz leads Halden Steel in Leeds."
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from conjoin.artifacts.model_folder import EXPORTED
from conjoin.cli.messages import message
from conjoin.cli.options import Overwrite, TrainedModel, choice
from conjoin.errors import ModelError

FORMATS = ("onnx",)


def export(
    model: TrainedModel,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the export.")],
    format: Annotated[str, choice("export format", FORMATS, help="Format of the export.")] = "onnx",
    overwrite: Overwrite = False,
    int8: Annotated[bool, typer.Option("--int8", help="8-bit weights: smaller, faster, slightly less exact.")] = False,
) -> None:
    if not overwrite and (output / EXPORTED).is_file():
        raise ModelError(f"{output}: there is an export already; give --overwrite to replace it, or another --output")

    from conjoin.extras.onnx import export as write

    write(model, output, int8=int8)
    megabytes = sum(path.stat().st_size for path in output.iterdir()) / 2**20
    message(f"wrote {output} ({megabytes:.0f} MB)")
