"""From settings and a corpus to scores: one training run, folds, seeds, and what they come to."""

from __future__ import annotations

from conjoin.protocols.single import CACHE_LIMIT, Listener, chosen, count, probe_cooccurrence, train

__all__ = ["CACHE_LIMIT", "Listener", "chosen", "count", "probe_cooccurrence", "train"]
