"""The words that settings may choose among, for those who read settings and those who build by them."""

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

OUTSIDE_PRIOR = 3.0  # the first bias of O: an untrained tagger proposes few entities, so few useless pairs are scored
DISTANCES = (1, 2, 3, 4, 5, 7, 9, 12, 16, 24, 40)  # upper edges of the buckets, in words between two entities
PAIRS_AT_ONCE = 8192  # scored together: bounds memory when a text holds very many entities
