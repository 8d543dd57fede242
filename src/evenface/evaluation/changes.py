"""What changes from one method to another, cell by cell of the confusion matrix; the diagonal holds the recalls.

    found = confusion_changes(true, baseline, method, 7)
    found.value[3, 3], found.ci95[3, 3]             # the change of a recall, and its interval

The bootstrap is the paired one of `evenface.evaluation.paired`: the same images for both, drawn anew within each true class, and trainings
drawn anew, paired by seed where they can be.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evenface.evaluation.intervals import as_columns, over_seeds, resample_confusions, seed_weights
from evenface.evaluation.metrics import confusion_matrix


Numbers = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False)
class Changes:
    """Differences method - baseline of the row rates, in [-1, 1]; NaN in the row of a class without images.

    Attributes:
        value: (L, L), rows = true; means over the trainings.
        ci95: (L, L, 2).
    """

    value: Numbers
    ci95: Numbers

    @property
    def clear(self) -> NDArray[np.bool_]:
        """(L, L): the interval leaves out 0."""
        return np.asarray((self.ci95[..., 0] > 0) | (self.ci95[..., 1] < 0))


def confusion_changes(
    true: ArrayLike,
    baseline: ArrayLike,
    method: ArrayLike,
    n_classes: int,
    *,
    pair_seeds: bool = True,
    resamples: int = 2000,
    seed: int = 0,
) -> Changes:
    """Of predictions (n,) or (n, S) of the baseline and (n,) or (n, S') of a method; `pair_seeds` needs S = S'."""
    a, b = as_columns(baseline), as_columns(method)
    both = np.concatenate([a, b], axis=1)
    rng = np.random.default_rng(seed)
    drawn = resample_confusions(true, both, n_classes, resamples, rng).astype(np.float64)  # (R, S + S', L, L)
    seen = np.stack([confusion_matrix(true, column, n_classes) for column in both.T]).astype(np.float64)
    n = seen[0].sum(axis=1)
    rows = np.where(n > 0, n, np.nan)[:, None]
    weights_a = seed_weights(a.shape[1], resamples, rng)
    weights_b = weights_a if pair_seeds else seed_weights(b.shape[1], resamples, rng)
    moved = np.empty((resamples, n_classes, n_classes))
    split = a.shape[1]
    for i in range(n_classes):
        for j in range(n_classes):
            before = over_seeds(drawn[:, :split, i, j], seen[:split, i, j], weights_a)
            moved[:, i, j] = over_seeds(drawn[:, split:, i, j], seen[split:, i, j], weights_b) - before
    ends = np.quantile(moved, [0.025, 0.975], axis=0) / rows
    return Changes((seen[split:].mean(axis=0) - seen[:split].mean(axis=0)) / rows, np.moveaxis(ends, 0, 2))
