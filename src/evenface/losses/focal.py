"""Focal loss over softmax probabilities, plain and rebalanced.

    l_f   = -(1 - p_y)^gamma log p_y             equation 4; Lin et al., ICCV 2017
    l_rbf = -B_y (1 - p_y)^gamma log p_y         equation 5
    l_rbf = -sum_l B_l |t_l - p_l|^gamma t_l log p_l      of a distribution t, such as votes; hardness as in Li et al., NeurIPS 2020

p_y is the softmax probability of the true class; the gradient also flows through (1 - p_y)^gamma. Gamma 0 is cross-entropy.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from evenface.losses._numbers import full, weights_like


def focal(logits: Tensor, labels: Tensor, gamma: float = 2.0) -> Tensor:
    """Mean focal loss, a scalar >= 0 (equation 4).

    Arguments:
        logits: (N, L).
        labels: class index (N,), int64.
        gamma: focusing, >= 0.
    """
    return _per_sample(logits, labels, gamma).mean()


def rebalanced_focal(logits: Tensor, target: Tensor, weights: Tensor | np.ndarray, gamma: float = 2.0) -> Tensor:
    """Mean rebalanced focal loss l_rbf, a scalar >= 0 (equation 5).

    The mean is over N, not over the summed weights as torch's weighted cross-entropy has it: the latter would undo the weights of a batch
    of one class, and could not be added up from parts of a batch.

    Arguments:
        logits: (N, L).
        target: class index (N,), int64, or a distribution (N, L) whose rows sum to 1.
        weights: B (L,).
        gamma: focusing, >= 0. For distributions take 0, or 1 and more: in between, the gradient near p = t has no bound.
    """
    b = weights_like(weights, logits)
    if not target.is_floating_point():
        return (b[target] * _per_sample(logits, target, gamma)).mean()
    logp = F.log_softmax(full(logits), dim=1)  # (N, L)
    t = target.to(logp.dtype)
    gap = (t - 1 - torch.expm1(logp)).abs()  # |t - p|, exact where both are near 1
    return (b * -gap.clamp_min(torch.finfo(gap.dtype).tiny).pow(gamma) * t * logp).sum(1).mean()


def _per_sample(logits: Tensor, labels: Tensor, gamma: float) -> Tensor:
    logp = F.log_softmax(full(logits), dim=1).gather(1, labels[:, None]).squeeze(1)  # (N,)
    rest = -torch.expm1(logp)  # 1 - p, exact where p is near 1
    # At p = 1 a gamma below 1 has an infinite slope there, times a log p of 0: the floor keeps that from being NaN.
    return -rest.clamp_min(torch.finfo(rest.dtype).tiny).pow(gamma) * logp
