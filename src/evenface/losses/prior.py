"""Cross-entropy under another prior of the classes (logit adjustment: Menon et al., ICLR 2021; balanced softmax: Ren et al., NeurIPS 2020).

    -sum_l t_l log softmax(z + d)_l          d: a shift per class, such as tau log pi with pi_l = n_l / N

Trained so, z itself predicts as if all classes were equally frequent.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from torch import Tensor

from evenface.losses._numbers import full, weights_like
from evenface.losses.classification import cross_entropy


def log_prior(counts: Sequence[int] | npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """log pi (L,), float64, <= 0: the logarithm of each class's share of the training faces.

    Arguments:
        counts: training faces per class (L,). A class without faces counts as one of a single face, since log 0 is no shift.
    """
    n = np.maximum(np.asarray(counts, dtype=np.float64), 1.0)
    logs: npt.NDArray[np.float64] = np.log(n / n.sum())
    return logs


def shifted_cross_entropy(logits: Tensor, target: Tensor, shift: Tensor | np.ndarray) -> Tensor:
    """Mean cross-entropy of shifted logits, a scalar >= 0.

    Arguments:
        logits: (N, L).
        target: class index (N,), int64, or a distribution (N, L) whose rows sum to 1.
        shift: d (L,); a constant added to all of it changes nothing.
    """
    return cross_entropy(full(logits) + weights_like(shift, logits), target)
