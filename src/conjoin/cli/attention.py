"""`conjoin attention`: draw what the heads of a model's encoder look at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from conjoin.cli.messages import messages
from conjoin.errors import SettingError, unknown_name

if TYPE_CHECKING:
    from conjoin.extras.attention import Attention

PICTURES, PAGES = (".png", ".svg", ".pdf"), (".html", ".htm")
VIEWS = ("head", "model")


def attention(
    run: Annotated[Path, typer.Argument(help="Folder of a training run or of a model.")],
    text: Annotated[str, typer.Option(help="A sentence.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Heat maps as .png, .svg or .pdf, a view as .html.")],
    layer: Annotated[list[int] | None, typer.Option(help="Layer, from 0; several times; all when absent.")] = None,
    head: Annotated[list[int] | None, typer.Option(help="Head, from 0; several times; all when absent.")] = None,
    special: Annotated[bool, typer.Option("--special", help="With the pieces around the sentence ([CLS], [SEP]).")] = False,
    kind: Annotated[str, typer.Option("--view", help="View of a page: head or model.")] = "head",
) -> None:
    """Draw what the heads of a model's encoder look at.

    Prints the heads that look most at the next piece, at the previous one, at themselves and at the end of the sentence. A
    page is BertViz's, and fetches two scripts from the network when it is opened. Needs the extra attention.

    Examples:

      conjoin attention run --text "Maria Ortiz leads Halden Steel." --output maps.png --layer 0 --layer 5

      conjoin attention run --text "Maria Ortiz leads Halden Steel." --output view.html
    """
    suffix = output.suffix.lower()
    if suffix not in PICTURES + PAGES:
        raise SettingError(f"{output}: give a name that ends in {', '.join((*PICTURES, PAGES[0]))}")
    if kind not in VIEWS:
        raise SettingError(unknown_name("view", kind, VIEWS))

    from conjoin.extractor import Extractor
    from conjoin.extras.attention import attention_of, heat_maps, view

    found = attention_of(Extractor.load(run, device="cpu"), text)
    drawn = found if special else found.without_special()
    if suffix in PAGES:
        view(drawn, output, kind="head" if kind == "head" else "model", layers=layer or (),
             heads=head or ())
    else:
        heat_maps(drawn, output, layers=layer or (), heads=head or (), title=text)
    typer.echo(_patterns(found))
    messages().print(f"wrote {output}", markup=False, soft_wrap=True)


def _patterns(found: Attention) -> str:
    """For each pattern the three heads that show it most."""
    from conjoin.extras.attention import PATTERNS

    shares = found.patterns()
    lines = []
    for number, name in enumerate(PATTERNS):
        order = shares[:, :, number].argsort(axis=None)[::-1][:3]
        places = [divmod(int(place), shares.shape[1]) for place in order]
        told = ", ".join(f"layer {layer} head {head} ({100 * shares[layer, head, number]:.0f} %)" for layer, head in places)
        lines.append(f"{name}: {told}")
    return "\n".join(lines)
