"""`conjoin export`: a trained model as graphs that run without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from conjoin.artifacts.model_folder import EXPORTED
from conjoin.cli.messages import messages
from conjoin.errors import ModelError, SettingError, unknown_name

FORMATS = ("onnx",)


def export(
    run: Annotated[Path, typer.Argument(help="Folder of a training run or of a model.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the export.")],
    format: Annotated[str, typer.Option(help="What to export to: onnx.")] = "onnx",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an export that is there.")] = False,
    int8: Annotated[bool, typer.Option("--int8", help="8-bit weights: smaller and faster, a little less exact.")] = False,
) -> None:
    """Export a trained model for ONNX Runtime.

    An export is taken by extract and evaluate like any model; it needs the extra onnx and no torch. What 8 bits cost in
    F1 is what evaluate prints of the model and of its export.

    Examples:

      conjoin export run --output small --int8

      conjoin evaluate small --data corpus/

      conjoin extract small --text "Maria Ortiz leads Halden Steel in Leeds."
    """
    if format not in FORMATS:
        raise SettingError(unknown_name("export format", format, FORMATS))

    if not overwrite and (output / EXPORTED).is_file():
        raise ModelError(f"{output}: there is an export already; give --overwrite to replace it, or another --output")

    from conjoin.extras.onnx import export as write

    write(run, output, int8=int8)
    megabytes = sum(path.stat().st_size for path in output.iterdir()) / 2**20
    messages().print(f"wrote {output} ({megabytes:.0f} MB)", markup=False, soft_wrap=True)
