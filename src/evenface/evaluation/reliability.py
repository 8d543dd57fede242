"""Whether scores mean what they say: how often the chosen class is right among faces of about the same score.

    found = reliability(confidence, right)          # per bin: faces, mean score, share right with an interval
    calibration_errors(probabilities, true)         # ECE with an interval, over seeds, and that of each class's own score

The bins and the error are those of `evenface.calibration` (Guo et al. 2017, equation 3): 15 bins of equal width, ((m - 1) / 15, m / 15].

**The interval of the error.** A calibration error is an average of absolute values: chance alone makes it larger, in the faces at hand and
once more in every resample. So the bootstrap's range is mirrored (`reflected_interval`), and its low end is 0 where a model whose scores
are true would show as much on as many faces: labels are drawn from the scores themselves, and what 95 % of such draws stay below is
`chance`. On 150 simulated test sets each of 500 and of 3,000 faces (`benchmarks/coverage_calibration.py`) the interval holds the truth in
89 to 95 % where scores are off (errors of 0.07 and 0.16) and in 93 to 94 % where they are true; the percentile range of the resamples in
75 to 94 %, and in none where they are true.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from evenface.calibration import BINS
from evenface.errors import DataError
from evenface.evaluation.intervals import wilson
from evenface.evaluation.resample import RESAMPLES, Weights, mean_over_seeds, reflected_interval, resampled


Numbers = NDArray[np.float64]

_DRAWS = 200  # of the labels from the scores


@dataclasses.dataclass(frozen=True, eq=False)
class Reliability:
    """Bins of the score, (M,); means over the trainings.

    Attributes:
        low_edge, high_edge: a score belongs to a bin if it is above the one and not above the other.
        n: faces in the bin (a mean over trainings may be fractional).
        score: mean score of its faces; NaN for an empty bin, as the others.
        right: share of its faces that are right.
        ci95: (M, 2), Wilson's of that share among n.
    """

    low_edge: Numbers
    high_edge: Numbers
    n: Numbers
    score: Numbers
    right: Numbers
    ci95: Numbers


@dataclasses.dataclass(frozen=True, eq=False)
class CalibrationErrors:
    """Means over the trainings, 0 to 1, each with (low, high).

    Attributes:
        overall, overall_ci95: of the score of the chosen class.
        per_class, per_class_ci95: (L,) and (L, 2), of each class's own score against how often it is that class.
        chance, class_chance: what a model whose scores are true stays below in 95 % of cases, on as many faces; () and (L,).
    """

    overall: float
    overall_ci95: tuple[float, float]
    per_class: Numbers
    per_class_ci95: Numbers
    chance: float
    class_chance: Numbers


def reliability(confidence: Numbers, right: NDArray[np.bool_], bins: int = BINS) -> Reliability:
    """Of the score of the chosen class and whether it is right, (n,), or (S, n) for S trainings.

    Raises:
        DataError: no face, or shapes that differ.
    """
    p, hits = np.atleast_2d(confidence).astype(np.float64), np.atleast_2d(right)
    if p.shape != hits.shape or not p.size:
        raise DataError(f"A reliability diagram needs a score and a yes or no per face; got {p.shape} and {hits.shape}.")
    place = _bins(p, bins).ravel()
    n, total, k = (np.bincount(place, weights=w, minlength=bins) / len(p) for w in (np.ones(p.size), p.ravel(), hits.ravel().astype(float)))
    filled = np.where(n > 0, n, np.nan)
    edges = np.linspace(0, 1, bins + 1)
    return Reliability(edges[:-1], edges[1:], n, total / filled, k / filled, np.stack(wilson(np.minimum(k, n), n), axis=1))


def calibration_errors(
    probabilities: NDArray[np.floating], true: NDArray[np.int64], *, resamples: int = RESAMPLES, seed: int = 0, bins: int = BINS
) -> CalibrationErrors:
    """Of probabilities (S, n, L) of S trainings, and the right classes (n,); images and trainings are drawn anew for the intervals."""
    p = np.asarray(probabilities, dtype=np.float64)
    seeds, n, classes = p.shape
    scored = np.concatenate([p.max(axis=2, keepdims=True), p], axis=2)  # (S, n, L + 1): of the chosen class, then of each class
    place = np.arange(seeds * (classes + 1)).reshape(seeds, 1, -1) * bins + _bins(scored, bins)
    gaps = _hits(p, true) - scored
    table = np.zeros((n, seeds * (classes + 1) * bins), dtype=np.float32)  # a product with weights (r, n) sums the gaps of each bin
    for s in range(seeds):
        table[np.arange(n)[:, None], place[s]] = gaps[s]

    def statistic(weights: Weights) -> Numbers:
        summed = (weights @ table).astype(np.float64).reshape(len(weights), seeds, classes + 1, bins)
        return np.asarray(np.abs(summed).sum(axis=3) / n)

    seen = statistic(np.ones((1, n), np.float32))[0]  # (S, L + 1)
    drawn = mean_over_seeds(resampled(true, statistic, resamples=resamples, seed=seed), seen, seed=seed)
    value, chance = seen.mean(axis=0), _by_chance(p, scored, place, bins, seed)
    ends = np.array([reflected_interval(drawn[:, i], float(value[i])) for i in range(classes + 1)])
    ends[value <= chance, 0] = 0.0
    return CalibrationErrors(float(value[0]), (float(ends[0, 0]), float(ends[0, 1])), value[1:], ends[1:], float(chance[0]), chance[1:])


def _hits(p: Numbers, true: NDArray[np.int64]) -> Numbers:
    """(S, n, L + 1): the chosen class is right; the face is of each class."""
    one_hot = np.broadcast_to(true[:, None] == np.arange(p.shape[2]), p.shape)
    return np.concatenate([(p.argmax(axis=2) == true)[..., None], one_hot], axis=2).astype(np.float64)


def _by_chance(p: Numbers, scored: Numbers, place: NDArray[np.int64], bins: int, seed: int) -> Numbers:
    """The 95 % quantile (L + 1,) of the mean error over trainings whose scores (S, n, L) are true; each face's luck is the same in all."""
    seeds, n, classes = p.shape
    rng, ladder = np.random.default_rng(seed), p.cumsum(axis=2)
    ladder[..., -1] = 1.0
    found = np.empty((_DRAWS, classes + 1))
    for draw in found:
        luck = rng.random((n, 1))
        hits = np.stack([_hits(p[s : s + 1], (ladder[s] > luck).argmax(axis=1))[0] for s in range(seeds)])
        summed = np.bincount(place.ravel(), weights=(hits - scored).ravel(), minlength=seeds * (classes + 1) * bins)
        draw[:] = np.abs(summed.reshape(seeds, classes + 1, bins)).sum(axis=2).mean(axis=0) / n
    return np.asarray(np.quantile(found, 0.95, axis=0))


def _bins(score: Numbers, bins: int) -> NDArray[np.int64]:
    found: NDArray[np.int64] = np.clip(np.ceil(score * bins).astype(np.int64) - 1, 0, bins - 1)
    return found
