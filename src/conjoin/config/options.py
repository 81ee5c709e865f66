"""The values of settings that name a choice."""

from __future__ import annotations

from typing import Literal

Activation = Literal["relu", "gelu", "tanh"]
Cell = Literal["gru", "lstm"]
Decision = Literal["softmax", "sigmoid"]
Decoding = Literal["argmax", "legal"]
LabelEmbedding = Literal["none", "tag", "type"]
LabelSource = Literal["own", "predicted"]
Optimizer = Literal["adamw", "nadam"]
Output = Literal["softmax", "crf"]
Precision = Literal["auto", "no", "bf16", "fp16"]
Proposals = Literal["gold", "predicted", "both", "mixture"]
Reduction = Literal["words", "sentences"]
Schedule = Literal["constant", "linear", "cosine"]
Scorer = Literal["biaffine", "feedforward", "biaffine+feedforward", "distmult", "cosine", "distmult+cosine"]
WordPooling = Literal["first", "mean", "max"]

OUTSIDE_PRIOR = 3.0  # initial bias of O: an untrained tagger then proposes few entities, so few pairs are scored
