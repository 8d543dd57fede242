"""Soft label smoothing (SLS) of a teacher's prediction, and the divergence from it (Lukov et al., ECCV 2022).

H = {l : p_l > tau}                                     the classes that the teacher finds likely
t_l = (1 - e) p_l / sum_{k in H} p_k      l in H        they keep their proportions
t_l = e / (L - |H|)                       else          the others share e evenly

>>> soft_label_smoothing(torch.tensor([[0.6, 0.3, 0.06, 0.04]]), epsilon=0.3)
tensor([[0.4667, 0.2333, 0.1500, 0.1500]])
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from evenface.losses._numbers import full


def soft_label_smoothing(probabilities: Tensor, epsilon: float = 0.35, threshold: float | None = None) -> Tensor:
    """Smoothed distributions (N, L), whose rows sum to 1.

    Arguments:
        probabilities: p (N, L), rows sum to 1.
        epsilon: share e of the unlikely classes, in [0, 1). Where all classes are likely it stays with them; where none is, the row
            is even.
        threshold: tau, above which a class is likely; None is 1 / L.
    """
    p = full(probabilities)
    likely = p > (1 / p.shape[1] if threshold is None else threshold)
    unlikely = (~likely).sum(1, keepdim=True)  # (N, 1)
    kept = p * likely
    share = torch.full_like(p[:, :1], epsilon).masked_fill(unlikely == 0, 0.0).masked_fill(unlikely == p.shape[1], 1.0)
    kept = kept / kept.sum(1, keepdim=True).clamp_min(torch.finfo(p.dtype).tiny)
    return (1 - share) * kept + share * ~likely / unlikely.clamp_min(1)


def divergence(logits: Tensor, target: Tensor) -> Tensor:
    """Mean over N of KL(target || softmax(logits)), a scalar >= 0; no gradient reaches the target.

    Arguments:
        logits: (N, L).
        target: distributions (N, L), rows sum to 1.
    """
    z = full(logits)
    return F.kl_div(z.log_softmax(1), target.detach().to(z.dtype), reduction="batchmean")
