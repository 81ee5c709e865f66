"""What the heads of an encoder look at in a sentence (Giorgi et al. 2019, §4.3 and Fig. 2): heat maps, interactive views.

Rows are the pieces that look, columns those that are looked at. The views are BertViz's (Vig
2019), whose pages fetch two scripts from the network when they are opened.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from conjoin.errors import DataError, ModelError, SettingError, require_extra
from conjoin.extractor import Extractor
from conjoin.modeling.embedders.bert import BertEncoder
from conjoin.modeling.embedders.transformer import find_transformer
from conjoin.storage.atomic import make_folder, whole_file, write_text
from conjoin.text.words import words

View = Literal["head", "model"]
PATTERNS = ("next", "previous", "itself", "end")
_MAP = 3.2  # inches of one heat map
_MAX_MAPS = 144


@dataclass(frozen=True, slots=True)
class Attention:
    """The attention of an encoder over one sentence: pieces, and weights [layer, head, piece, piece], whose rows sum to 1.

    `special` says which pieces stand around the sentence.
    """

    pieces: tuple[str, ...]
    special: tuple[bool, ...]
    weights: NDArray[np.float32]

    def without_special(self) -> Attention:
        """Between the sentence's own pieces; rows then sum to less than 1."""
        kept = [place for place, special in enumerate(self.special) if not special]
        return Attention(tuple(self.pieces[place] for place in kept), (False,) * len(kept),
                         self.weights[:, :, kept][:, :, :, kept])

    def patterns(self) -> NDArray[np.float32]:
        """How much of a piece's attention goes, in the mean over the sentence's own pieces, to the next piece, the previous
        one, itself and the last special piece: [layer, head, pattern], as in `PATTERNS`."""
        own = np.array([place for place, special in enumerate(self.special) if not special])
        last = len(self.pieces) - 1
        targets = (np.minimum(own + 1, last), np.maximum(own - 1, 0), own, np.full_like(own, last))
        return np.stack([self.weights[:, :, own, target].mean(-1) for target in targets], axis=-1)


def attention_of(extractor: Extractor, sentence: str) -> Attention:
    """The attention of a model's encoder over a sentence, read as one.

    Raises `ModelError` for a model without a transformer and for an export, `DataError` for a text without words or with
    more than the encoder takes at once.
    """
    transformer = find_transformer(extractor.model.embedder)
    if transformer is None:
        raise ModelError("the model has no transformer whose attention could be shown; take one that was trained with "
                         "encoder.name")
    _, embedder = transformer
    tokens = words(sentence, hyphens=extractor.pipeline.hyphens)
    if not tokens:
        raise DataError("the text has no words; give a sentence")
    features = embedder.features([[token.text for token in tokens]])
    features = {name: value.to(embedder.device) for name, value in features.items()}
    if len(features["pieces"]) > 1:
        raise DataError(f"the text has more pieces than the encoder reads at once ({embedder.featuriser.window}); give a "
                        "sentence")
    encoder: Any = embedder.encoder.eval()
    with torch.inference_mode(), _keeping_weights(encoder):
        layers = embedder.encode(features, output_attentions=True).attentions
    numbers = features["pieces"][0].tolist()
    around = embedder.featuriser.vocabulary
    inner = range(len(around.prefix), len(numbers) - len(around.suffix))
    special = [place not in inner for place in range(len(numbers))]
    weights = torch.stack([layer[0] for layer in layers]).float().cpu().numpy()
    return Attention(tuple(embedder.tokenizer.convert_ids_to_tokens(numbers)), tuple(special), weights)


@contextmanager
def _keeping_weights(encoder: Any) -> Iterator[None]:
    """Encoders of transformers compute attention at once until the end of the block; fused, it keeps no weights."""
    if isinstance(encoder, BertEncoder):
        yield
        return
    before = encoder.config._attn_implementation
    encoder.set_attn_implementation("eager")
    try:
        yield
    finally:
        encoder.set_attn_implementation(before)


def heat_maps(
    attention: Attention, path: Path, *, layers: Sequence[int] = (), heads: Sequence[int] = (), title: str = ""
) -> None:
    """Draw heads of layers, numbered from 0, all where none are named, into a PNG, SVG or PDF file: a row of maps a layer.

    Raises `SettingError` for numbers that the encoder does not have.
    """
    from matplotlib.figure import Figure

    chosen_layers = _chosen("layer", layers, attention.weights.shape[0])
    chosen_heads = _chosen("head", heads, attention.weights.shape[1])
    if len(chosen_layers) * len(chosen_heads) > _MAX_MAPS:
        raise SettingError(f"{len(chosen_layers)} layers of {len(chosen_heads)} heads are more than {_MAX_MAPS} maps; "
                           "name some with --layer and --head")
    size = max(_MAP, 0.2 * len(attention.pieces))
    figure = Figure(figsize=(size * len(chosen_heads), size * len(chosen_layers) + 0.4), layout="constrained")
    figure.suptitle(title.replace("$", r"\$"), wrap=True)  # where it is wrapped, parse_math is not heeded
    grid = figure.subplots(len(chosen_layers), len(chosen_heads), squeeze=False)
    places = range(len(attention.pieces))
    for row, layer in zip(grid, chosen_layers, strict=True):
        for axes, head in zip(row, chosen_heads, strict=True):
            axes.imshow(attention.weights[layer, head], cmap="Blues", vmin=0, vmax=1)
            axes.set_title(f"layer {layer}, head {head}", fontsize=9)
            axes.set_xticks(places, attention.pieces, rotation=90, fontsize=7, parse_math=False)
            axes.set_yticks(places, attention.pieces, fontsize=7, parse_math=False)
    with whole_file(path) as temporary:
        figure.savefig(temporary, format=path.suffix.removeprefix("."))


def _chosen(what: str, named: Sequence[int], count: int) -> list[int]:
    for number in named:
        if not 0 <= number < count:
            raise SettingError(f"there is no {what} {number}; the encoder's are 0 to {count - 1}")
    return list(named) or list(range(count))


def view(
    attention: Attention, path: Path, *, kind: View = "head", layers: Sequence[int] = (), heads: Sequence[int] = ()
) -> None:
    """Write BertViz's head view or model view as a page. Needs the extra `attention`.

    `heads` are those that a head view shows at first. Raises `SettingError` for numbers that the encoder does not have, and
    for heads of a model view, which has all.
    """
    if heads and kind == "model":
        raise SettingError("a model view shows all heads; leave --head out, or take --view head")
    try:
        from bertviz import head_view, model_view
    except ImportError as error:
        raise require_extra("attention", "bertviz") from error
    chosen = _chosen("layer", layers, attention.weights.shape[0])
    tensors = [torch.from_numpy(layer).unsqueeze(0) for layer in attention.weights]
    shown = _chosen("head", heads, attention.weights.shape[1])
    draw = partial(head_view, heads=shown) if kind == "head" else model_view
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # it leaves its own scripts open
        page = draw(tensors, list(attention.pieces), include_layers=chosen, html_action="return").data
    make_folder(path.parent)
    head = '<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>Attention</title>'
    write_text(path, f"{head}\n{page}\n</html>\n")
