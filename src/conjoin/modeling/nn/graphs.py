"""Detects the export of a module to a graph, where some operations must be written differently."""

from __future__ import annotations

import torch

# torch 2.6 cannot tell; exports need a newer one anyway
exporting = getattr(torch.compiler, "is_exporting", lambda: False)
