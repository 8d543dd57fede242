"""Mixing by relative uncertainty (RUL; Zhang, Wang, Deng, NeurIPS 2021).

    s_i = mean_d exp(logvar_i,d)                             uncertainty of face i
    f_i = (s_i mu_i + s_j mu_j) / (s_i + s_j)                features of face i and its partner j
    L   = 1/2 CE(z(f_i), y_i) + 1/2 CE(z(f_i), y_j)          add-up loss: both labels must be found in the mixture

The less certain face weighs more, since it needs the larger part to be recognised: so the network learns who is uncertain.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from evenface.losses._numbers import full
from evenface.losses.classification import cross_entropy


def uncertainty_share(logvar: Tensor, partner: Tensor) -> Tensor:
    """s_i / (s_i + s_j), (N, 1) in [0, 1].

    Arguments:
        logvar: logarithms of the variances (N, D).
        partner: row j of each face's partner (N,), int64.
    """
    log_s = torch.logsumexp(full(logvar), dim=1, keepdim=True) - math.log(logvar.shape[1])
    return torch.sigmoid(log_s - log_s[partner])  # the quotient by its logarithms: neither overflow nor 0 / 0


def mix_by_uncertainty(mu: Tensor, logvar: Tensor, partner: Tensor) -> Tensor:
    """Mixed features f (N, D); mu and logvar are (N, D), `partner` as in `uncertainty_share`."""
    share = uncertainty_share(logvar, partner)
    return share * full(mu) + (1 - share) * full(mu)[partner]


def add_up(logits: Tensor, target: Tensor, partner: Tensor) -> Tensor:
    """The add-up loss of mixed faces, a scalar >= 0.

    Arguments:
        logits: of the mixtures (N, L).
        target: of face i: class index (N,), int64, or a distribution (N, L).
        partner: as in `uncertainty_share`.
    """
    return 0.5 * cross_entropy(logits, target) + 0.5 * cross_entropy(logits, target[partner])


def partners_of_other_classes(labels: Tensor) -> Tensor:
    """For each face another of the batch whose label differs, drawn evenly (N,), int64; itself where all labels are the same.

    Arguments:
        labels: (N,), int64. Chance comes from torch's global generator.
    """
    differ = labels[:, None] != labels[None, :]
    chance = torch.rand(differ.shape, device=labels.device)
    picked = chance.masked_fill(~differ, -1.0).argmax(1)
    return torch.where(differ.any(1), picked, torch.arange(len(labels), device=labels.device))
