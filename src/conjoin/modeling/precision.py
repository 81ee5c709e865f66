"""The mixed precision that this machine supports."""

from __future__ import annotations

from typing import Any, Literal

import torch

from conjoin.config.options import Precision
from conjoin.errors import SettingError


def usable_precision(precision: Precision) -> Literal["no", "bf16", "fp16"]:
    """`auto` becomes bf16 where the hardware supports it, else no. Raises `SettingError` for fp16 on a CPU."""
    if precision == "fp16" and not torch.cuda.is_available():
        raise SettingError("training.precision = 'fp16' needs a GPU; choose bf16, auto or no")
    if precision != "auto":
        return precision
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported() else "no"
    return "bf16" if _cpu_supports_bf16() else "no"


def _cpu_supports_bf16() -> bool:
    """False also where the version of torch cannot tell."""
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") or capabilities.get("bf16"))
