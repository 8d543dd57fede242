"""Is B better than A? The paired bootstrap on the mean recall, McNemar's exact test on the overall, Holm's correction.

    paired_bootstrap(true, predicted_a, predicted_b, 7)["mean_recall"]     # difference B - A, its interval, p
    mcnemar_exact(predicted_a == true, predicted_b == true)                # b, c, p

Both tests are paired: the two models saw the same images, and what they share (an image that everybody gets right or wrong)
cancels. Two separate intervals that overlap can therefore still be a clear difference.

**Paired stratified bootstrap**: images are drawn anew within each true class (as in `evenface.evaluation.intervals`), the same
images for A and B. With D the differences B - A of R resamples,

    p = min(1, 2 min(1 + #{D <= 0}, 1 + #{D >= 0}) / (R + 1)),

the smallest level at which the percentile interval leaves out 0, with the observed test set counted as one more resample, so
that p is never 0. Ties at 0 count on both sides: two models with equal predictions get p = 1.

**Several seeds**: each resample also draws trainings (`over_seeds`), paired by seed where both methods have the same seeds, else for
each method apart. With one training of each, the result speaks of these two sets of weights, not of the methods. With one of a single
method, its spread is not in the interval, which is too narrow, and p is too small. With three, the spread over trainings is itself known
badly; read p near 0.05 with care and add seeds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from evenface.errors import ConfigError, DataError
from evenface.evaluation.intervals import as_columns, over_seeds, percentile_interval, resample_confusions, seed_weights
from evenface.evaluation.metrics import AGGREGATES, confusion_matrix, scores


@dataclasses.dataclass(frozen=True)
class Difference:
    """B - A of one score, in [-1, 1].

    Attributes:
        value: observed difference (mean over the trainings where there are several).
        ci95: (low, high), percentile interval of the resamples.
        p_value: two-sided, see the module's formula.
    """

    value: float
    ci95: tuple[float, float]
    p_value: float


@dataclasses.dataclass(frozen=True)
class McNemar:
    """The images on which exactly one of two models is right.

    Attributes:
        b: only A is right.
        c: only B is right.
        p_value: exact, two-sided.
    """

    b: int
    c: int
    p_value: float


def paired_bootstrap(
    true: ArrayLike,
    predicted_a: ArrayLike,
    predicted_b: ArrayLike,
    n_classes: int,
    *,
    resamples: int = 10_000,
    seed: int = 0,
    pair_seeds: bool = True,
    confidence: float = 0.95,
) -> dict[str, Difference]:
    """Differences B - A of overall, mean recall and macro F1, each with interval and p-value.

    Arguments:
        true: (n,) class indices.
        predicted_a: (n,) class indices of the baseline, or (n, S) for S trainings of it.
        predicted_b: (n,) or (n, S') of the other method.
        n_classes: L.
        resamples: R; the smallest p that can come out is 2 / (R + 1).
        seed: of the drawing.
        pair_seeds: column s of A and column s of B are one seed and drawn together; needs S = S'.

    Returns:
        {"overall": Difference, "mean_recall": Difference, "macro_f1": Difference}

    Raises:
        DataError, LabelError: rows of different lengths, or indices outside [0, L).
        ConfigError: `pair_seeds` with different numbers of trainings.
    """
    a, b = as_columns(predicted_a), as_columns(predicted_b)
    if len(a) != len(b):
        raise DataError(f"The two models predicted {len(a)} and {len(b)} images; a paired test needs the same images.")
    seeds_a, seeds_b = a.shape[1], b.shape[1]
    if pair_seeds and seeds_a != seeds_b:
        raise ConfigError(f"Seeds cannot be paired: {seeds_a} trainings against {seeds_b}; pass pair_seeds=False.")
    both = np.concatenate([a, b], axis=1)
    rng = np.random.default_rng(seed)
    drawn = scores(resample_confusions(true, both, n_classes, resamples, rng))
    weights_a = seed_weights(seeds_a, resamples, rng)
    weights_b = weights_a if pair_seeds else seed_weights(seeds_b, resamples, rng)
    seen = scores(np.stack([confusion_matrix(true, column, n_classes) for column in both.T]))
    out = {}
    for name in AGGREGATES:
        values, observed = getattr(drawn, name), getattr(seen, name)
        resampled_a = over_seeds(values[:, :seeds_a], observed[:seeds_a], weights_a)
        resampled_b = over_seeds(values[:, seeds_a:], observed[seeds_a:], weights_b)
        moved = resampled_b - resampled_a
        difference = float(observed[seeds_a:].mean() - observed[:seeds_a].mean())
        out[name] = Difference(difference, percentile_interval(moved.clip(-1, 1), confidence), bootstrap_p_value(moved))
    return out


def bootstrap_p_value(differences: ArrayLike) -> float:
    """The two-sided p of resampled differences (R,): min(1, 2 min(1 + #{D <= 0}, 1 + #{D >= 0}) / (R + 1))."""
    values = np.asarray(differences, dtype=np.float64)
    slack = 1e-12  # means over classes differ in the last bit where they are equal on paper
    below, above = int((values <= slack).sum()), int((values >= -slack).sum())
    return min(1.0, 2.0 * (1 + min(below, above)) / (values.size + 1))


def mcnemar_exact(correct_a: ArrayLike, correct_b: ArrayLike) -> McNemar:
    """McNemar's exact test: of the b + c images on which one model alone is right, is the split a fair coin's?

    p = P(|X - m/2| >= |b - m/2|) for X ~ Binomial(m, 1/2), m = b + c; p = 1 where m = 0.

    Arguments:
        correct_a: (n,) bool, image by image.
        correct_b: (n,) bool, the same images in the same order.

    Raises:
        DataError: rows of different lengths or not boolean.
    """
    a, b = np.asarray(correct_a), np.asarray(correct_b)
    if a.ndim != 1 or a.shape != b.shape or a.dtype != np.bool_ or b.dtype != np.bool_:
        raise DataError("McNemar's test needs two rows of true and false, one value per image, over the same images.")
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    split = only_a + only_b
    p_value = float(stats.binomtest(only_a, split, 0.5).pvalue) if split else 1.0
    return McNemar(only_a, only_b, p_value)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction: in rising order, p_(i) times (m - i + 1), never falling, at most 1.

    The chance that one or more of m true null hypotheses is rejected stays below the level, whatever their dependence.

    Raises:
        DataError: a value outside [0, 1].
    """
    p = np.asarray(p_values, dtype=np.float64)
    if not ((p >= 0) & (p <= 1)).all():
        raise DataError(f"A p-value lies between 0 and 1; got {list(p_values)}.")
    order = np.argsort(p, kind="stable")
    stepped = np.minimum(1.0, np.maximum.accumulate(p[order] * (p.size - np.arange(p.size))))
    adjusted = np.empty_like(p)
    adjusted[order] = stepped
    return [float(value) for value in adjusted]
