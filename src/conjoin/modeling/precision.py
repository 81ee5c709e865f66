"""Mixed precision: which kind this machine can compute."""

from __future__ import annotations

from typing import Any, Literal

import torch

from conjoin.config.options import Precision
from conjoin.errors import SettingError


def usable_precision(wanted: Precision) -> Literal["no", "bf16", "fp16"]:
    """What `auto` means here: bf16 where the hardware computes it, else no. Raises `SettingError` for fp16 on a CPU."""
    if wanted == "fp16" and not torch.cuda.is_available():
        raise SettingError("training.precision = 'fp16' needs a GPU; choose bf16, auto or no")
    if wanted != "auto":
        return wanted
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported() else "no"
    return "bf16" if _cpu_computes_bf16() else "no"


def _cpu_computes_bf16() -> bool:
    """Whether the CPU has instructions for bf16 products; False on versions of torch that cannot tell."""
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") or capabilities.get("bf16"))
