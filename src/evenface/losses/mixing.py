"""Targets of faces that are mixed from two: mixup and CutMix, and Remix, whose labels lean to the rarer class.

target = lambda y_i + (1 - lambda) y_j                            mixup, CutMix
lambda_y = 0        where n_i >= kappa n_j and lambda < tau        Remix: all of the label goes to j, the rarer
           1        where n_j >= kappa n_i and 1 - lambda < tau    all to i
           lambda   elsewhere
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def mix_targets(first: Tensor, second: Tensor, lam: Tensor, classes: int) -> Tensor:
    """lambda y_i + (1 - lambda) y_j, (N, L), rows sum to 1, in the dtype of `lam`.

    Arguments:
        first, second: what the two faces show: class index (N,), int64, or distributions (N, L).
        lam: share of the first face (N,), in [0, 1].
        classes: L.
    """
    share = lam[:, None]
    return share * _distribution(first, classes, lam) + (1 - share) * _distribution(second, classes, lam)


def remix_lambda(lam: Tensor, first: Tensor, second: Tensor, counts: Tensor, kappa: float = 3.0, tau: float = 0.5) -> Tensor:
    """lambda_y of Remix (N,): the share of the first face's label, in [0, 1].

    Arguments:
        lam: share of the first face's pixels (N,).
        first, second: class index of the two faces (N,), int64.
        counts: training faces per class (L,).
        kappa: how many times as many faces a class must have to count as the majority of the two, >= 1.
        tau: the share of pixels below which the majority loses its label, in [0, 1].
    """
    n_first, n_second = counts[first], counts[second]
    to_second = (n_first >= kappa * n_second) & (lam < tau)
    to_first = (n_second >= kappa * n_first) & (1 - lam < tau)
    return torch.where(to_second, torch.zeros_like(lam), torch.where(to_first, torch.ones_like(lam), lam))


def _distribution(target: Tensor, classes: int, like: Tensor) -> Tensor:
    return (target if target.is_floating_point() else F.one_hot(target, classes)).to(like.dtype)
