"""What the processes of one run must agree upon."""

from __future__ import annotations

import torch
from torch import Tensor


def several() -> bool:
    """Whether the run has a group of processes, be it of one."""
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def processes() -> int:
    """How many there are."""
    return torch.distributed.get_world_size() if several() else 1


def summed(x: Tensor) -> Tensor:
    """The sum of a tensor over all processes, without gradient; the tensor itself where there is one process. All of them must call it."""
    if not several():
        return x
    x = x.detach().clone()
    torch.distributed.all_reduce(x)
    return x
