"""Whether a module is being made into a graph, where some operations must be spelt in another way."""

from __future__ import annotations

import torch

# torch 2.6 cannot tell; exporting needs a newer one anyway
exporting = getattr(torch.compiler, "is_exporting", lambda: False)
