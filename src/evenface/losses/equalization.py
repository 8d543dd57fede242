"""One-against-rest losses that are balanced by the gradients which each class has received (EQL v2 and the equalized focal loss).

Every class is a yes-or-no question. A rare class is pushed down by the faces of all others far more often than it is pulled up by its own;
how far, tells its ratio of gradients g_l = sum |dL/dz_l| over its positives / the same over its negatives, since the training began.

    equalization          q_l = 1 + alpha (1 - r_l),  r_l = 1 / (1 + exp(-gamma (g_l - mu)))
                          L = -sum_l w_l log p_l,     w_l = q_l for l = y, r_l else             Tan et al., CVPR 2021
    equalized_focal       c_l = gamma_b + s (1 - g_l),  g_l clipped to [0, 1]
                          L = -sum_l a_l c_l / gamma_b (1 - p_l)^c_l log p_l                    Li et al., CVPR 2022

with p_l = sigmoid(z_l) for l = y, sigmoid(-z_l) else, and a_l = a for l = y, 1 - a else. Both give the mean over N, and the gradients of
the batch, to be added to those before: (2, L), of positives and negatives, summed over N and not divided by it. They are the gradients of
the weighted loss.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from evenface.losses._numbers import full, weights_like


def equalization(
    logits: Tensor, labels: Tensor, ratio: Tensor, gamma: float = 12.0, mu: float = 0.8, alpha: float = 4.0
) -> tuple[Tensor, Tensor]:
    """The equalization loss v2, a scalar >= 0, and the batch's gradients (2, L), >= 0 and without graph.

    Arguments:
        logits: (N, L).
        labels: class index (N,), int64.
        ratio: g (L,), >= 0.
        gamma, mu: steepness and middle of the sigmoid that maps the ratio to r.
        alpha: how much more the positives of a starved class count.
    """
    positive, margin = _questions(logits, labels)
    r = torch.sigmoid(gamma * (weights_like(ratio, logits) - mu))
    weight = torch.where(positive, 1 + alpha * (1 - r), r)  # (N, L)
    value = -(weight * F.logsigmoid(margin)).sum(1).mean()
    return value, _summed((weight * torch.sigmoid(-margin)).detach(), positive)


def equalized_focal(
    logits: Tensor, labels: Tensor, ratio: Tensor, gamma: float = 2.0, scale: float = 8.0, balance: float = 0.25
) -> tuple[Tensor, Tensor]:
    """The equalized focal loss, a scalar >= 0, and the batch's gradients (2, L), >= 0 and without graph.

    Arguments:
        logits: (N, L).
        labels: class index (N,), int64.
        ratio: g (L,), >= 0.
        gamma: gamma_b, the focusing of a class whose gradients are balanced, > 0.
        scale: s, what is added to it for a class without positive gradients.
        balance: a, weight of the positives; the negatives have 1 - a.
    """
    positive, margin = _questions(logits, labels)
    focusing = gamma + scale * (1 - weights_like(ratio, logits).clamp(0, 1))  # (L,)
    weight = torch.where(positive, balance * focusing, (1 - balance) * focusing) / gamma  # (N, L)
    log_p = F.logsigmoid(margin)
    hard = torch.exp(focusing * F.logsigmoid(-margin))  # (1 - p)^c by its log: no overflow
    value = -(weight * hard * log_p).sum(1).mean()
    slope = weight * hard * (torch.sigmoid(-margin) - focusing * torch.exp(log_p) * log_p)  # |d/dz|
    return value, _summed(slope.detach(), positive)


def _questions(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Which answers are yes (N, L), and the logits of the right answers (N, L)."""
    positive = F.one_hot(labels, logits.shape[1]).bool()
    z = full(logits)
    return positive, torch.where(positive, z, -z)


def _summed(slopes: Tensor, positive: Tensor) -> Tensor:
    return torch.stack([(slopes * positive).sum(0), (slopes * ~positive).sum(0)])
