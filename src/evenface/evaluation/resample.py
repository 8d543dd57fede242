"""A stratified bootstrap of any statistic that takes a weight per image: how often each image was drawn.

    drawn = resampled(true, lambda weights: weights @ hits / len(true))      # (R, ...) for a statistic of (r, n) weights
    percentile_interval(drawn), reflected_interval(drawn, observed)

As in `evenface.evaluation.intervals`, images are drawn anew within each true class. What a confusion matrix holds is resampled there, and
faster; this is for what depends on the scores of single images, such as an average precision or a calibration error.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evenface.errors import ConfigError
from evenface.evaluation.intervals import over_seeds, percentile_interval, seed_weights


RESAMPLES = 1000
_CELLS_AT_ONCE = 4_000_000  # weights held at a time: 16 MB, whatever the size of the split

Weights = NDArray[np.float32]


def resampled(
    true: ArrayLike, statistic: Callable[[Weights], NDArray[np.float64]], *, resamples: int = RESAMPLES, seed: int = 0
) -> NDArray[np.float64]:
    """The statistic on `resamples` test sets drawn anew, (R, ...).

    Arguments:
        true: (n,) class indices, the strata.
        statistic: takes weights (r, n) float32, whole numbers that sum to each class's n within it; gives (r, ...).

    Raises:
        ConfigError: resamples below 1.
    """
    if resamples < 1:
        raise ConfigError(f"A bootstrap needs at least one resample, not {resamples}.")
    labels, rng = np.asarray(true), np.random.default_rng(seed)
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    step = max(1, _CELLS_AT_ONCE // max(1, labels.size))
    parts = []
    for start in range(0, resamples, step):
        weights = np.zeros((min(step, resamples - start), labels.size), dtype=np.float32)
        for rows in members:
            picks = rng.integers(0, len(rows), (len(weights), len(rows)))
            for each, chosen in zip(weights, picks, strict=True):
                each[rows] = np.bincount(chosen, minlength=len(rows))
        parts.append(statistic(weights))
    return np.concatenate(parts)


def mean_over_seeds(drawn: NDArray[np.float64], seen: NDArray[np.float64], *, seed: int = 0) -> NDArray[np.float64]:
    """Resamples (R, ...) of the mean over S trainings, from those of each one, (R, S, ...), and the observed values (S, ...).

    Images and, where there are several, trainings are drawn anew, as `evenface.evaluation.intervals` describes.
    """
    weights = seed_weights(drawn.shape[1], len(drawn), np.random.default_rng(seed))
    flat, values = drawn.reshape(*drawn.shape[:2], -1), seen.reshape(len(seen), -1)
    columns = [over_seeds(flat[..., i], values[:, i], weights) for i in range(flat.shape[2])]
    return np.stack(columns, axis=1).reshape(len(drawn), *drawn.shape[2:])


def reflected_interval(values: ArrayLike, observed: float, confidence: float = 0.95) -> tuple[float, float]:
    """The central range of the resamples, mirrored at the observed value, (2 observed - high, 2 observed - low); cut at 0, and never
    without the observed value.

    For a statistic that cannot fall below 0 and that drawing anew only makes larger, such as a calibration error: the percentile range lies
    above what it should hold by as much as the resamples lie above the observed value, and the mirror takes that back twice over.
    """
    low, high = percentile_interval(values, confidence)
    return max(0.0, min(observed, 2 * observed - high)), max(observed, 2 * observed - low)
