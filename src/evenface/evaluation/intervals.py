"""Confidence intervals: Wilson's for one proportion, a stratified bootstrap for the numbers over all classes.

    wilson(61, 74)                              # fear: 61 of 74 -> (0.722, 0.894)
    bootstrap_scores(true, predicted, 7)        # {"overall": (lo, hi), "mean_recall": ..., "macro_f1": ...}

**Wilson** (1927), for a recall of k out of n with z the normal quantile:
`(k + z^2/2 -+ z sqrt(k (n - k) / n + z^2/4)) / (n + z^2)`. It keeps its coverage at n = 18 and at 0 or n hits, where the
textbook interval `p -+ z sqrt(p (1 - p) / n)` collapses to a point.

**Stratified bootstrap**: images are drawn anew, with replacement, within each true class, so that every class keeps its n. A
rare class can then never vanish from a resample, and the mean recall is always a mean over the same classes. The price: all
intervals, that of `overall` too, hold for a test set with *this* class mix; they do not count the chance in how many images of
each class came in. Drawing n_l images of a class anew is the same as one multinomial draw over its distinct predictions, so a
resample costs as much as a confusion matrix, however many images there are.

The interval is the 2.5 % to 97.5 % **percentile** range of the resamples. Not BCa: its bias correction is read off the share of
resamples below the estimate, and on the lattice of small classes (18 images move in steps of 5.6 points) that share is mostly
ties; it is undefined where no resample differs. The percentile range needs no such number and is what a reader expects.
Measured on 1,000 simulated test sets each (`benchmarks/coverage.py`), the mean recall's interval holds the truth in 93 and 94 % with the
class counts of FERPlus and RAF-DB, and in 92 % where classes have 6 to 60 images. Known limit: a class at 0 or n hits never varies in a
resample and adds nothing to the width; its own Wilson interval shows what is not known.

**Several seeds** (S trainings of one method, `over_seeds`): a resample is the mean over the trainings on the drawn images, all on the
same ones, plus the mean of S trainings drawn anew, as a deviation of their observed scores from the observed mean. The scatter
between trainings holds some of the images' noise again, so the interval is a little wide where trainings differ by little else. Measured
with three trainings and FERPlus's counts, the mean recall's interval holds the truth in 94 to 95 %, that of the overall in 96 %, but only
in 86 % where the recalls of a class scatter by 5 points from training to training: three values do not tell their own spread. Drawing
both at once from the same table would count that noise three times over.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from evenface.errors import ConfigError, DataError
from evenface.evaluation.metrics import AGGREGATES, check_labels, confusion_matrix, scores


_CELLS_AT_ONCE = 4_000_000  # numbers drawn in one go: 32 MB, whatever the size of the test set


def wilson(k: ArrayLike, n: ArrayLike, confidence: float = 0.95) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Wilson's score interval of k hits among n.

    Arguments:
        k: hits, any shape; 0 <= k <= n (a mean over seeds may be fractional).
        n: trials, same shape (or one that broadcasts).

    Returns:
        (low, high), float64, NaN where n is 0.

    Raises:
        DataError: k outside [0, n].
        ConfigError: a confidence outside (0, 1).
    """
    z = float(stats.norm.ppf(0.5 + _check_confidence(confidence) / 2))
    hits, trials = np.broadcast_arrays(np.asarray(k, dtype=np.float64), np.asarray(n, dtype=np.float64))
    if (hits < 0).any() or (hits > trials).any():
        raise DataError("Wilson's interval needs 0 <= k <= n: hits among trials.")
    safe = np.where(trials > 0, trials, 1.0)
    centre = hits + z * z / 2
    half = z * np.sqrt(hits * (trials - hits) / safe + z * z / 4)
    low = np.where(hits == 0, 0.0, (centre - half) / (trials + z * z))  # exactly 0 and 1 at the ends, not 1e-17 off
    high = np.where(hits == trials, 1.0, (centre + half) / (trials + z * z))
    empty = trials == 0
    return np.where(empty, np.nan, low), np.where(empty, np.nan, high)


def bootstrap_scores(
    true: ArrayLike, predicted: ArrayLike, n_classes: int, resamples: int = 2000, seed: int = 0, confidence: float = 0.95
) -> dict[str, tuple[float, float]]:
    """Percentile intervals of overall, mean recall and macro F1 by the stratified bootstrap.

    Arguments:
        true: (n,) class indices.
        predicted: (n,) class indices, or (n, S) for S trainings of one method: the interval of their mean, with images and
            trainings drawn anew.
        n_classes: L.
        resamples: how often the test set is drawn anew.
        seed: of the drawing; the same seed gives the same interval, in whatever order the images stand.

    Returns:
        {"overall": (low, high), "mean_recall": (low, high), "macro_f1": (low, high)}
    """
    rng = np.random.default_rng(seed)
    drawn = scores(resample_confusions(true, predicted, n_classes, resamples, rng))
    columns = as_columns(predicted)
    seen = scores(np.stack([confusion_matrix(true, column, n_classes) for column in columns.T]))
    weights = seed_weights(columns.shape[1], resamples, rng)
    # stretched weights can carry a mean beyond 0 or 1, where no score lies
    means = {name: over_seeds(getattr(drawn, name), getattr(seen, name), weights).clip(0, 1) for name in AGGREGATES}
    return {name: percentile_interval(values, confidence) for name, values in means.items()}


def resample_confusions(
    true: ArrayLike, predicted: ArrayLike, n_classes: int, resamples: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Confusion matrices of test sets drawn anew within each class; all K columns of predictions see the same drawn images.

    Arguments:
        true: (n,) class indices.
        predicted: (n,) or (n, K) class indices; a column per model.

    Returns:
        (R, K, L, L) int64, rows = true; each row sums to the class's own n.

    Raises:
        DataError, LabelError: as `confusion_matrix`.
        ConfigError: resamples below 1.
    """
    if resamples < 1:
        raise ConfigError(f"A bootstrap needs at least one resample, not {resamples}.")
    rows = check_labels(true, n_classes, "true labels")
    columns = as_columns(predicted)
    if columns.ndim != 2 or len(columns) != len(rows):
        raise DataError(f"There are {len(rows)} true labels and predictions of the shape {np.shape(predicted)}; one per image is needed.")
    check_labels(columns.ravel(), n_classes, "predictions")
    out = np.zeros((resamples, columns.shape[1], n_classes, n_classes), dtype=np.int64)
    for label in range(n_classes):
        members = columns[rows == label]  # (n_l, K)
        if len(members) == 0:
            continue
        # sorted distinct rows: the draw does not depend on the order of the images
        patterns, counts = np.unique(members, axis=0, return_counts=True)  # (P, K), (P,)
        calls = (patterns[:, :, None] == np.arange(n_classes)).astype(np.float64).reshape(len(patterns), -1)  # (P, K * L)
        step = max(1, _CELLS_AT_ONCE // len(patterns))
        for start in range(0, resamples, step):
            size = min(step, resamples - start)
            drawn = rng.multinomial(len(members), counts / len(members), size=size)  # (size, P)
            # whole numbers below 2^53 are exact in float64, and float64 products are fast
            out[start : start + size, :, label] = (drawn.astype(np.float64) @ calls).reshape(size, -1, n_classes)
    return out


def seed_weights(seeds: int, resamples: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Weights (R, S) of the trainings in each resample, each row summing to 1; all ones for a single training.

    S trainings drawn anew from S vary too little, by (S - 1) / S in variance (a third, at three seeds). The deviations from
    1 / S are stretched by sqrt(S / (S - 1)) to make up for that, so a weight can be a little below zero.
    """
    if seeds == 1:
        return np.ones((resamples, 1))
    drawn = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples) / seeds
    return np.asarray(1 / seeds + math.sqrt(seeds / (seeds - 1)) * (drawn - 1 / seeds))


def over_seeds(drawn: NDArray[np.float64], seen: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Resamples of the mean over S trainings: mean_s drawn[r, s] + sum_s weights[r, s] (seen[s] - mean(seen)).

    Arguments:
        drawn: (R, S) scores on the drawn images.
        seen: (S,) scores on the test set itself.
        weights: (R, S) of `seed_weights`.

    Returns:
        (R,)
    """
    return np.asarray(drawn.mean(axis=1) + weights @ (seen - seen.mean()))


def as_columns(predicted: ArrayLike) -> NDArray[np.int64]:
    """(n,) -> (n, 1); (n, S) stays: a column per training."""
    array = np.asarray(predicted)
    return array[:, None] if array.ndim == 1 else array


def percentile_interval(values: ArrayLike, confidence: float = 0.95) -> tuple[float, float]:
    """The central share `confidence` of the values (R,), as (low, high)."""
    tail = (1 - _check_confidence(confidence)) / 2
    low, high = np.quantile(np.asarray(values, dtype=np.float64), [tail, 1 - tail])
    return float(low), float(high)


def _check_confidence(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise ConfigError(f"A confidence lies between 0 and 1, such as 0.95; got {confidence}.")
    return confidence
