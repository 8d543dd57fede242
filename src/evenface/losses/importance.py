"""Rank regularisation of SCN (Wang et al., CVPR 2020): the more important share of a batch must lead the rest by a margin.

    L_RR = max(0, margin - (mean of a over the high group - mean of a over the low group))

The high group are the int(beta N) faces of highest importance a, the low group the others, and at least one.
"""

from __future__ import annotations

import torch
from torch import Tensor

from evenface.losses._numbers import full


def _high(n: int, beta: float) -> int:
    """How many of n faces are in the high group."""
    return max(0, min(int(beta * n + 1e-9), n - 1))  # 0.7 * 90 is a little below 63


def low_importance(importance: Tensor, beta: float = 0.7) -> Tensor:
    """Which faces are in the low group, (N,) bool: all but the int(beta N) of highest importance; of equals, the later ones.

    Arguments:
        importance: a (N,).
        beta: share of the high group, in [0, 1).
    """
    low = torch.ones(len(importance), dtype=torch.bool, device=importance.device)
    low[torch.argsort(importance, descending=True, stable=True)[: _high(len(importance), beta)]] = False
    return low


def rank_regularisation(importance: Tensor, beta: float = 0.7, margin: float = 0.15) -> Tensor:
    """L_RR, a scalar >= 0; 0 where the batch is too small for a high group.

    Arguments:
        importance: a (N,), in (0, 1).
        beta: share of the high group, in [0, 1).
        margin: how far its mean shall lead.
    """
    a, low = full(importance), low_importance(importance, beta)
    if _high(len(a), beta) == 0:
        return 0 * a.sum()
    lead = a[~low].mean() - a[low].mean()
    return (margin - lead).clamp_min(0)
