"""How well a class's score ranks its faces above all others: precision, recall and average precision of one class against the rest.

    average_precision(p_fear, is_fear)                       # 0 to 1; scikit-learn's `average_precision_score`
    precision_at(p_fear, is_fear, [0.25, 0.5, 0.75])         # precision where so much of the class is found
    class_rankings(probabilities, true)                      # every class, the mean over seeds, with intervals

    AP = sum_k (R_k - R_(k-1)) P_k           over the distinct scores, from the highest; faces of equal score come in together

Nothing is interpolated. A ranking at random has the class's share of the faces as its expected AP.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evenface.errors import DataError
from evenface.evaluation.intervals import percentile_interval
from evenface.evaluation.resample import RESAMPLES, Weights, mean_over_seeds, resampled


Numbers = NDArray[np.float64]

LEVELS = np.linspace(0.01, 1, 100)
"""Of recall, at which `class_rankings` gives the precision."""


@dataclasses.dataclass(frozen=True, eq=False)
class Rankings:
    """Every class against the rest, (L, ...); NaN for a class without a face.

    Attributes:
        average_precision: (L,) mean over the S trainings.
        ci95: (L, 2), images and trainings drawn anew.
        per_seed: (S, L).
        precision: (L, 100) at each of `LEVELS` of recall, mean over the trainings.
        n: (L,) faces of the class.
    """

    average_precision: Numbers
    ci95: Numbers
    per_seed: Numbers
    precision: Numbers
    n: NDArray[np.int64]


def average_precision(score: ArrayLike, positive: ArrayLike) -> float:
    """Of scores (n,) and whether each face is of the class (n,), bool; NaN without a face of it.

    Raises:
        DataError: rows of different lengths.
    """
    ranked = _ranked(score, positive)
    return float(_weighted(np.ones((len(ranked[0]), 1), np.float32), *ranked)[0])


def precision_at(score: ArrayLike, positive: ArrayLike, levels: ArrayLike) -> Numbers:
    """The precision at the highest threshold that finds at least such a share of the class, for each level in (0, 1]."""
    _, ends, hits = _ranked(score, positive)
    if not hits.any():
        return np.full(np.shape(levels), np.nan)
    found = np.cumsum(hits)[ends]
    at = np.searchsorted(found, np.asarray(levels, dtype=np.float64) * hits.sum() - 1e-9)
    precision: Numbers = found[at] / (ends[at] + 1)
    return precision


def class_rankings(probabilities: NDArray[np.float32], true: NDArray[np.int64], *, resamples: int = RESAMPLES, seed: int = 0) -> Rankings:
    """All classes of the S trainings of one method, with bootstrap intervals.

    Arguments:
        probabilities: (S, n, L).
        true: (n,) positions of the right classes.
    """
    classes = probabilities.shape[2]
    n = np.bincount(true, minlength=classes)
    ranked = [[_ranked(p[:, c], true == c) for c in range(classes)] for p in probabilities]

    def statistic(weights: Weights) -> Numbers:
        columns = np.ascontiguousarray(weights.T)
        return np.stack([np.stack([_weighted(columns, *each) for each in row], axis=1) for row in ranked], axis=1)

    seen = statistic(np.ones((1, len(true)), np.float32))[0]  # (S, L)
    drawn = mean_over_seeds(resampled(true, statistic, resamples=resamples, seed=seed), seen, seed=seed)  # (R, L)
    ends = [percentile_interval(drawn[:, c]) if n[c] else (np.nan, np.nan) for c in range(classes)]
    at = [[precision_at(p[:, c], true == c, LEVELS) for c in range(classes)] for p in probabilities]
    return Rankings(seen.mean(axis=0), np.clip(np.array(ends), 0, 1), seen, np.array(at).mean(axis=0), n)


def _ranked(score: ArrayLike, positive: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """The order from the highest score, the last place of each group of equal scores, and the hits in that order."""
    s, hits = np.asarray(score), np.asarray(positive, dtype=bool)
    if s.ndim != 1 or s.shape != hits.shape or not s.size:
        raise DataError(f"An average precision needs a score and a yes or no per face; got {s.shape} and {hits.shape}.")
    order = np.argsort(-s, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(s[order])), s.size - 1)
    return order, ends, hits[order]


def _weighted(weights: Weights, order: NDArray[np.int64], ends: NDArray[np.int64], hits: NDArray[np.bool_]) -> Numbers:
    """The average precision (r,) of faces that count `weights` (n, r) times; float32 holds whole numbers up to 16 million exactly."""
    places = np.flatnonzero(hits)  # of the class's faces in the order
    if not places.size:
        return np.full(weights.shape[1], np.nan)
    last = ends[np.searchsorted(ends, places)]  # of those with the same score
    gained = weights[order[places]]
    found = np.cumsum(gained, axis=0)[np.searchsorted(places, last, side="right") - 1]
    called = np.cumsum(weights[order], axis=0)[last]
    total = gained.sum(axis=0, dtype=np.float64)
    return np.asarray((gained * (found / np.maximum(called, 1))).sum(axis=0, dtype=np.float64) / total)
