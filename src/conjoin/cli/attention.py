"""Draw the attention heads of a model's encoder.

Prints the heads that attend most to the next piece, to the previous one, to the same one and to the end of the sentence.
An HTML view is BertViz's and loads two scripts from the network when it is opened. Needs the extra attention.

Examples:
  conjoin attention run --text "Maria Ortiz leads Halden Steel." --output maps.png --layer 0 --layer 5
  conjoin attention run --text "Maria Ortiz leads Halden Steel." --output view.html
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from conjoin.cli.messages import message
from conjoin.cli.options import TrainedModel, choice
from conjoin.errors import SettingError

if TYPE_CHECKING:
    from conjoin.extras.attention import Attention

View = Annotated[Literal["head", "model"], choice(
    "view", ("head", "model"), "--view", help="View in HTML: of one layer (head) or of all layers and heads (model).")]
IMAGE_SUFFIXES, HTML_SUFFIXES = (".png", ".svg", ".pdf"), (".html", ".htm")


def attention(
    model: TrainedModel,
    text: Annotated[str, typer.Option(help="A sentence.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Heat maps (.png, .svg, .pdf) or a view (.html).")],
    layer: Annotated[list[int] | None, typer.Option(help="Layer, from 0; repeatable; all by default.")] = None,
    head: Annotated[list[int] | None, typer.Option(help="Head, from 0; repeatable; all by default.")] = None,
    special: Annotated[bool, typer.Option("--special", help="Include the special pieces, as [CLS] and [SEP].")] = False,
    kind: View = "head",
) -> None:
    suffix = output.suffix.lower()
    if suffix not in IMAGE_SUFFIXES + HTML_SUFFIXES:
        raise SettingError(f"{output}: give a name that ends in {', '.join((*IMAGE_SUFFIXES, HTML_SUFFIXES[0]))}")

    from conjoin.extractor import Extractor
    from conjoin.extras.attention import attention_of, heat_maps, view

    weights = attention_of(Extractor.load(model, device="cpu"), text)
    shown = weights if special else weights.without_special()
    if suffix in HTML_SUFFIXES:
        view(shown, output, kind=kind, layers=layer or (), heads=head or ())
    else:
        heat_maps(shown, output, layers=layer or (), heads=head or (), title=text)
    typer.echo(_patterns(weights))
    message(f"wrote {output}")


def _patterns(weights: Attention) -> str:
    """For each pattern the three heads that show it most."""
    from conjoin.extras.attention import PATTERNS

    shares = weights.patterns()
    lines = []
    for number, name in enumerate(PATTERNS):
        order = shares[:, :, number].argsort(axis=None)[::-1][:3]
        places = [divmod(int(place), shares.shape[1]) for place in order]
        heads = ", ".join(f"layer {layer} head {head} ({100 * shares[layer, head, number]:.0f} %)"
                          for layer, head in places)
        lines.append(f"{name}: {heads}")
    return "\n".join(lines)
