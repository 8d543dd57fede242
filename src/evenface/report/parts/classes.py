"""Precision and F1 of each class with intervals, means over the trainings of a method."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evenface.evaluation.intervals import resample_confusions
from evenface.evaluation.metrics import scores as scores_of
from evenface.evaluation.resample import mean_over_seeds
from evenface.report.gather import Scores
from evenface.report.parts.part import confusions


Numbers = NDArray[np.float64]

RESAMPLES = 2000


@dataclasses.dataclass(frozen=True, eq=False)
class ClassScores:
    """(L,) each, and (L, 2) intervals; F1 is NaN for a class without images.

    Attributes:
        precision, precision_ci95: right ones among the faces that get this answer; 0 where none does.
        f1, f1_ci95: of precision and recall.
        called: faces that get this answer; a mean over trainings may be fractional.
    """

    precision: Numbers
    precision_ci95: Numbers
    f1: Numbers
    f1_ci95: Numbers
    called: Numbers


def class_scores(scores: Scores, places: Sequence[int]) -> ClassScores:
    """Of the trainings at these places; images (within each true class) and trainings are drawn anew for the intervals."""
    matrices = confusions(scores, places)
    seen = scores_of(matrices)
    rng = np.random.default_rng(0)
    drawn = scores_of(resample_confusions(scores.true, scores.predicted[list(places)].T, len(scores.class_names), RESAMPLES, rng))
    ends = []
    for key in ("precision", "f1"):
        moved = mean_over_seeds(getattr(drawn, key), getattr(seen, key))
        ends.append(np.clip(np.quantile(moved, [0.025, 0.975], axis=0).T, 0, 1))
    called = matrices.sum(axis=1).mean(axis=0)
    return ClassScores(seen.precision.mean(axis=0), ends[0], seen.f1.mean(axis=0), ends[1], called)
