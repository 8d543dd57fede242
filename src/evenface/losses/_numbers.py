"""Precision: losses are computed in float32 at least, whatever autocast made of their inputs."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def full(x: Tensor) -> Tensor:
    """Half precision -> float32; float32 and float64 as they are (float64 so that gradients can be checked)."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def exactly(x: Tensor) -> torch.autocast:
    """Within it products of float32 stay so: autocast would compute `@` in half precision."""
    return torch.autocast(x.device.type, enabled=False)


def weights_like(weights: Tensor | np.ndarray, x: Tensor) -> Tensor:
    """Class weights (L,) on the device of x, in the precision that `full(x)` has."""
    return torch.as_tensor(weights, device=x.device, dtype=full(x).dtype)
