"""An invented ELMo model in the published format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

OPTIONS: dict[str, Any] = {
    "lstm": {"cell_clip": 0.8, "use_skip_connections": True, "n_layers": 2, "proj_clip": 0.5, "projection_dim": 4,
             "dim": 6},
    "char_cnn": {"embedding": {"dim": 3}, "filters": [[1, 2], [3, 3]], "n_highway": 2, "n_characters": 262,
                 "max_characters_per_token": 12, "activation": "relu"},
}


def write_weights(path: Path, *, leave_out: str = "", **shapes: tuple[int, ...]) -> None:
    """Random weights in the published layout; a shape given by name is written in place of the right one."""
    generator = np.random.default_rng(0)
    sizes: dict[str, tuple[int, ...]] = {
        "char_embed": (261, 3), "CNN/W_cnn_0": (1, 1, 3, 2), "CNN/b_cnn_0": (2,), "CNN/W_cnn_1": (1, 3, 3, 3),
        "CNN/b_cnn_1": (3,), "CNN_proj/W_proj": (5, 4), "CNN_proj/b_proj": (4,),
    }
    for k in range(2):
        for kind in ("carry", "transform"):
            sizes |= {f"CNN_high_{k}/W_{kind}": (5, 5), f"CNN_high_{k}/b_{kind}": (5,)}
    for way in range(2):
        for layer in range(2):
            cell = f"RNN_{way}/RNN/MultiRNNCell/Cell{layer}/LSTMCell"
            sizes |= {f"{cell}/W_0": (8, 24), f"{cell}/B": (24,), f"{cell}/W_P_0": (6, 4)}
    with h5py.File(path, "w") as file:
        for name, size in (sizes | shapes).items():
            if name != leave_out:
                file[name] = generator.normal(size=size).astype(np.float32)
