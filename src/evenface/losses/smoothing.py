"""Rebalanced smooth labels (RSL) of MEK (Zhang et al., NeurIPS 2023).

The true class keeps 1 - e; the others share e in proportion to their weights B, so that a rare class is thought of more often:

    t_l = 1 - e                            l = y
    t_l = e B_l / sum_{k != y} B_k         else
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from evenface.losses._numbers import full, weights_like
from evenface.losses.classification import cross_entropy


def smooth_targets(weights: Tensor | np.ndarray, epsilon: float = 0.3) -> Tensor:
    """The target of every class as a table (L, L): row y is the distribution for label y, sums to 1.

    Arguments:
        weights: B (L,).
        epsilon: share e that leaves the true class, in [0, 1). It stays where no other class has a weight.
    """
    b = torch.as_tensor(weights)
    b = full(b) if b.is_floating_point() else b.float()
    same = torch.eye(len(b), dtype=torch.bool, device=b.device)
    others = b.repeat(len(b), 1).masked_fill(same, 0.0)  # (L, L)
    total = others.sum(1, keepdim=True)
    table = torch.where(total > 0, epsilon * others / total.clamp_min(torch.finfo(b.dtype).tiny), 0.0)
    return table + torch.diag(1.0 - table.sum(1))


def rebalanced_smooth(logits: Tensor, labels: Tensor, weights: Tensor | np.ndarray, epsilon: float = 0.3) -> Tensor:
    """Mean cross-entropy against rebalanced smooth labels, a scalar >= 0.

    Arguments:
        logits: (N, L).
        labels: class index (N,), int64.
        weights: B (L,).
        epsilon: share e that leaves the true class, in [0, 1).
    """
    return cross_entropy(logits, smooth_targets(weights_like(weights, logits), epsilon)[labels])
