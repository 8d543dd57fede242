"""The linear head of a network, for methods that set its bias."""

from __future__ import annotations

import math

import torch
from torch import nn

from evenface.errors import ModelError


def linear_head(model: nn.Module, classes: int, why: str) -> nn.Linear:
    """The network's last linear layer with a bias and one output per class.

    Args:
        why: what the error says that it is needed for, such as "'cb' with --form sigmoid".

    Raises:
        ModelError: there is none.
    """
    heads = [m for m in model.modules() if isinstance(m, nn.Linear) and m.out_features == classes and m.bias is not None]
    if not heads:
        raise ModelError(f"{why} sets the bias of a linear head of {classes} outputs, and the model has none.")
    return heads[-1]


def start_even(head: nn.Linear) -> None:
    """The bias at -log(L - 1), so that the sigmoid of every output is about 1 / L, and left out of weight decay."""
    with torch.no_grad():
        head.bias.fill_(-math.log(head.out_features - 1))
    head.bias.no_decay = True  # type: ignore[attr-defined]
