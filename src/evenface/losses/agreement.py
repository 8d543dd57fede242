"""Losses that two pictures of a face, or two networks on it, should agree.

softmax_mse     mean_nl (softmax(z)_l - softmax(z')_l)^2                 Mean Teacher (Tarvainen, Valpola, NeurIPS 2017)
symmetric_kl    mean_n KL(p_n || q_n) + KL(q_n || p_n)                   in nats
nt_xent         -mean_i log(exp(s_ij) / sum_{k != i} exp(s_ik))          s = cos / temperature, j the other picture of i's face
                                                                         SimCLR (Chen et al., ICML 2020)
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from evenface.losses._numbers import exactly, full


def softmax_mse(logits: Tensor, others: Tensor) -> Tensor:
    """Mean squared difference of two predictions, over faces and classes, a scalar in [0, 2 / L].

    Arguments:
        logits: (N, L).
        others: (N, L), of another picture or network; detach them where they are the teacher's.
    """
    return F.mse_loss(full(logits).softmax(1), full(others).softmax(1))


def symmetric_kl(logits: Tensor, others: Tensor) -> Tensor:
    """KL(p || q) + KL(q || p) of two predictions, in nats, mean over the faces, a scalar >= 0; arguments as `softmax_mse`."""
    p, q = full(logits).log_softmax(1), full(others).log_softmax(1)
    return ((p.exp() - q.exp()) * (p - q)).sum(1).mean()


def nt_xent(features: Tensor, others: Tensor, temperature: float = 0.07) -> Tensor:
    """Contrastive loss of two pictures of each face, mean over all 2N pictures, a scalar >= 0; 0 where there is no face.

    Arguments:
        features: (N, C) of the first pictures; their length does not matter.
        others: (N, C) of the second.
        temperature: > 0.
    """
    n = len(features)
    z = F.normalize(torch.cat([full(features), full(others)]), dim=1)  # (2N, C)
    if n == 0:
        return z.sum()  # zero, and still part of the graph
    with exactly(z):
        near = z @ z.T / temperature
    near = near.masked_fill(torch.eye(2 * n, dtype=torch.bool, device=z.device), -torch.inf)
    return F.cross_entropy(near, torch.arange(2 * n, device=z.device).roll(n))
