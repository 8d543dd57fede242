"""Margins that grow as a class gets rarer (LDAM: Cao et al., NeurIPS 2019).

    m_l = largest (n_min / n_l)^(1/4)                      so that the rarest class has the largest margin
    loss = -B_y log softmax(z - s m_y e_y)_y               e_y: the one-hot vector of the label

The margin is meant for bounded logits: z = s cos(w_l, f), where s is the scale of a cosine head and m is counted on the cosine.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch.nn.functional as F
from torch import Tensor

from evenface.losses._numbers import full, weights_like


def ldam_margins(counts: Sequence[int] | npt.NDArray[np.integer], largest: float = 0.5) -> npt.NDArray[np.float64]:
    """The margin of each class (L,), float64, in [0, largest].

    Arguments:
        counts: training faces per class (L,). A class without faces gets the largest margin, though no face will ask for it.
        largest: margin of the rarest class that has faces, >= 0.
    """
    n = np.asarray(counts, dtype=np.float64)
    rarest = n[n > 0].min(initial=n.max(initial=1.0))
    margins: npt.NDArray[np.float64] = largest * (rarest / np.maximum(n, rarest)) ** 0.25
    return margins


def margin_cross_entropy(
    logits: Tensor, labels: Tensor, margins: Tensor | np.ndarray, scale: float = 30.0, weights: Tensor | np.ndarray | None = None
) -> Tensor:
    """Mean cross-entropy after the true logit was lowered by `scale` times its class's margin, a scalar >= 0.

    The mean is plain, over N: the authors' code divides by the sum of the batch's weights instead.

    Arguments:
        logits: (N, L), already scaled (s cos).
        labels: class index (N,), int64.
        margins: m (L,), in units of the cosine.
        scale: s.
        weights: B (L,), or None for 1.
    """
    z = full(logits)
    lowered = z - scale * weights_like(margins, z)[labels][:, None] * F.one_hot(labels, z.shape[1])
    each = F.cross_entropy(lowered, labels, reduction="none")
    if weights is not None:
        each = weights_like(weights, z)[labels] * each
    return each.mean()
