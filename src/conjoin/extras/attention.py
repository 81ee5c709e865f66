"""Attention of an encoder over a sentence (Giorgi et al. 2019, §4.3 and Fig. 2): heat maps and interactive views.

In a heat map each row shows where one piece attends. The views are those of BertViz (Vig 2019), whose pages load two
scripts from the network.
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
from conjoin.modeling.embedders.transformer import find_transformer
from conjoin.storage.atomic import atomic_file, make_folder, write_text
from conjoin.text.words import words

View = Literal["head", "model"]
PATTERNS = ("next", "previous", "itself", "end")
_MAP_INCHES = 3.2
_MAX_MAPS = 144


@dataclass(frozen=True, slots=True)
class Attention:
    """The attention of an encoder over one sentence: `weights` [layer, head, piece, piece], whose rows sum to 1.

    `special` is True for the special pieces around the sentence.
    """

    pieces: tuple[str, ...]
    special: tuple[bool, ...]
    weights: NDArray[np.float32]

    def without_special(self) -> Attention:
        """The attention between the other pieces; rows then sum to less than 1."""
        inner = np.flatnonzero(~np.array(self.special))
        return Attention(tuple(self.pieces[index] for index in inner), (False,) * len(inner),
                         self.weights[:, :, inner][:, :, :, inner])

    def patterns(self) -> NDArray[np.float32]:
        """The mean attention of a piece to the next one, the previous one, itself and the end of the sentence.

        Returns [layer, head, pattern], in the order of `PATTERNS`; special pieces do not count, except as the end.
        """
        inner = np.flatnonzero(~np.array(self.special))
        last = len(self.pieces) - 1
        targets = (np.minimum(inner + 1, last), np.maximum(inner - 1, 0), inner, np.full_like(inner, last))
        return np.stack([self.weights[:, :, inner, target].mean(-1) for target in targets], axis=-1)


def attention_of(extractor: Extractor, sentence: str) -> Attention:
    """The attention of a model's encoder over a sentence of raw text, which is not split.

    Raises `ModelError` for an export and a model without a transformer, and `DataError` for a text without words or with
    more pieces than the encoder reads at once.
    """
    _, embedder = find_transformer(extractor.model.embedder) or ("", None)
    if embedder is None:
        raise ModelError("the model has no transformer whose attention could be shown; give one trained with encoder.name")
    tokens = words(sentence, hyphens=extractor.pipeline.hyphens)
    if not tokens:
        raise DataError("the text has no words; give a sentence")
    features = embedder.features([[token.text for token in tokens]])
    features = {name: value.to(embedder.device) for name, value in features.items()}
    if len(features["pieces"]) > 1:
        raise DataError(f"the text has more pieces than the encoder reads at once ({embedder.featuriser.window}); give a "
                        "sentence")
    encoder: Any = embedder.encoder.eval()
    with torch.inference_mode(), _eager_attention(encoder):
        layers = embedder.encode(features, output_attentions=True).attentions
    ids = features["pieces"][0].tolist()
    vocabulary = embedder.featuriser.vocabulary
    inner = range(len(vocabulary.prefix), len(ids) - len(vocabulary.suffix))
    special = tuple(index not in inner for index in range(len(ids)))
    weights = torch.stack([layer[0] for layer in layers]).float().cpu().numpy()
    return Attention(tuple(embedder.tokenizer.convert_ids_to_tokens(ids)), special, weights)


@contextmanager
def _eager_attention(encoder: Any) -> Iterator[None]:
    """Compute attention unfused in the block, if the encoder is one of transformers: fused kernels return no weights."""
    if not hasattr(encoder, "set_attn_implementation"):
        yield
        return
    implementation = encoder.config._attn_implementation
    encoder.set_attn_implementation("eager")
    try:
        yield
    finally:
        encoder.set_attn_implementation(implementation)


def heat_maps(
    attention: Attention, path: Path, *, layers: Sequence[int] = (), heads: Sequence[int] = (), title: str = ""
) -> None:
    """Draw heat maps, one row of maps per layer, into a PNG, SVG or PDF file.

    Layers and heads are counted from 0; all are drawn if the list is empty. Raises `SettingError` if the encoder does not
    have one of them, or the maps are too many.
    """
    from matplotlib.figure import Figure

    layers = _check_numbers("layer", layers, attention.weights.shape[0])
    heads = _check_numbers("head", heads, attention.weights.shape[1])
    if len(layers) * len(heads) > _MAX_MAPS:
        raise SettingError(f"{len(layers)} layers of {len(heads)} heads are more than {_MAX_MAPS} maps; select some with "
                           "--layer and --head")
    size = max(_MAP_INCHES, 0.2 * len(attention.pieces))
    figure = Figure(figsize=(size * len(heads), size * len(layers) + 0.4), layout="constrained")
    figure.suptitle(title.replace("$", r"\$"), wrap=True)  # parse_math is ignored where text wraps
    grid = figure.subplots(len(layers), len(heads), squeeze=False)
    ticks = range(len(attention.pieces))
    for row, layer in zip(grid, layers, strict=True):
        for axes, head in zip(row, heads, strict=True):
            axes.imshow(attention.weights[layer, head], cmap="Blues", vmin=0, vmax=1)
            axes.set_title(f"layer {layer}, head {head}", fontsize=9)
            axes.set_xticks(ticks, attention.pieces, rotation=90, fontsize=7, parse_math=False)
            axes.set_yticks(ticks, attention.pieces, fontsize=7, parse_math=False)
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format=path.suffix.removeprefix("."))


def _check_numbers(name: str, numbers: Sequence[int], count: int) -> Sequence[int]:
    """The numbers of layers or heads, or all of them for an empty list."""
    for number in numbers:
        if not 0 <= number < count:
            raise SettingError(f"there is no {name} {number}; give numbers from 0 to {count - 1}")
    return numbers or range(count)


def view(
    attention: Attention, path: Path, *, kind: View = "head", layers: Sequence[int] = (), heads: Sequence[int] = ()
) -> None:
    """Write BertViz's head view, or model view of all heads at once, as an HTML page.

    Layers and heads are counted from 0; all are shown if the list is empty. A head view shows `heads` first. Raises
    `SettingError` for a layer or head that the encoder does not have and for heads of a model view, and `MissingExtraError`
    without BertViz.
    """
    if heads and kind == "model":
        raise SettingError("a model view shows all heads; leave out --head, or give --view head")
    try:
        from bertviz import head_view, model_view
    except ImportError as error:
        raise require_extra("attention", "bertviz") from error
    layers = _check_numbers("layer", layers, attention.weights.shape[0])
    heads = _check_numbers("head", heads, attention.weights.shape[1])
    tensors = [torch.from_numpy(layer).unsqueeze(0) for layer in attention.weights]
    draw = partial(head_view, heads=list(heads)) if kind == "head" else model_view
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # BertViz leaves its script files open
        page = draw(tensors, list(attention.pieces), include_layers=list(layers), html_action="return").data
    make_folder(path.parent)
    head = '<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>Attention</title>'
    write_text(path, f"{head}\n{page}\n</html>\n")
