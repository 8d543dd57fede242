"""What the processes of one run must agree upon."""

from __future__ import annotations

import torch
from torch import Tensor


def summed(x: Tensor) -> Tensor:
    """The sum of a tensor over all processes, without gradient; the tensor itself where there is one process. All of them must call it."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return x
    x = x.detach().clone()
    torch.distributed.all_reduce(x)
    return x
