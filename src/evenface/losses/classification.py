"""Cross-entropy, and the class-balanced losses of Cui et al. (CVPR 2019).

    cross_entropy   -sum_l t_l log p_l
    cb_softmax      -B_y log p_y                                       p = softmax(z)
    cb_sigmoid      -B_y sum_l log s_l                                 s_l = sigmoid(z_l) for l = y, sigmoid(-z_l) for the others
    cb_focal        -B_y sum_l (1 - s_l)^gamma log s_l

All are plain means over N. (Each face has one positive, so the CB authors' division by the number of positives is the same.)
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from evenface.losses._numbers import full, weights_like


def cross_entropy(logits: Tensor, target: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy, a scalar >= 0 (equation 1, one view).

    Arguments:
        logits: (N, L).
        target: class index (N,), int64, or a distribution (N, L) whose rows sum to 1.
        label_smoothing: share e of the target that is spread evenly over all L classes, in [0, 1).
    """
    if target.is_floating_point():
        target = target.to(full(logits).dtype)
    return F.cross_entropy(full(logits), target, label_smoothing=label_smoothing)


def cb_softmax(logits: Tensor, labels: Tensor, weights: Tensor | np.ndarray) -> Tensor:
    """Class-balanced softmax cross-entropy, a scalar >= 0.

    Arguments:
        logits: (N, L).
        labels: class index (N,), int64.
        weights: B (L,).
    """
    each = F.cross_entropy(full(logits), labels, reduction="none")
    return (weights_like(weights, logits)[labels] * each).mean()


def cb_sigmoid(logits: Tensor, labels: Tensor, weights: Tensor | np.ndarray) -> Tensor:
    """Class-balanced binary cross-entropy over L one-against-rest outputs, a scalar >= 0; arguments as `cb_softmax`."""
    return cb_focal(logits, labels, weights, gamma=0.0)


def cb_focal(logits: Tensor, labels: Tensor, weights: Tensor | np.ndarray, gamma: float = 1.0) -> Tensor:
    """Class-balanced focal loss over L one-against-rest outputs, a scalar >= 0; arguments as `cb_softmax`, gamma >= 0."""
    sign = 2.0 * F.one_hot(labels, logits.shape[1]) - 1.0  # +1 for the true class, -1 for the others
    margin = sign.to(full(logits).dtype) * full(logits)
    each = -F.logsigmoid(margin)
    if gamma:
        each = torch.exp(gamma * F.logsigmoid(-margin)) * each  # (1 - s)^gamma by its log: no overflow
    return (weights_like(weights, logits)[labels] * each.sum(1)).mean()
