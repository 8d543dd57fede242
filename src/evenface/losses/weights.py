"""Class weights B from the number of training faces per class.

    effective      B_l = (1 - beta) / (1 - beta^n_l)      equation 6 of the paper; Cui et al., CVPR 2019
    inverse        B_l = 1 / n_l                          the limit of `effective` for beta -> 1
    inverse_mek    B_l = 0.1 N / n_l                      what MEK's released code holds as literals; never rescaled
    none           B_l = 1

Raw effective weights are near 1e-3 and make every term that they scale vanish, so by default they are scaled to sum to the number of
classes (as the CB authors do). Where every class has many more than 1 / (1 - beta) faces they are all alike, whatever the scale: see
`uniform_warning`.

    >>> class_weights([1290, 281, 717, 4772, 1982, 705, 2524]).round(4)      # RAF-DB
    array([0.7637, 2.2589, 1.0814, 0.5583, 0.642 , 1.0939, 0.6018])
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from evenface.errors import ConfigError, DataError, unknown_name


Scheme = Literal["effective", "inverse", "inverse_mek", "none"]
Normalize = Literal["sum_to_C", "mean_sample_1", "none"]
Weights = npt.NDArray[np.float64]

UNIFORM_BELOW = 1.1  # max / min under which rebalancing does nothing that could be measured


def class_weights(
    counts: Sequence[int] | npt.NDArray[np.integer], scheme: Scheme = "effective", beta: float = 0.999, normalize: Normalize = "sum_to_C"
) -> Weights:
    """One weight per class (L,), float64, >= 0.

    Arguments:
        counts: training faces per class (L,), over the whole training split.
        scheme: formula, see the module.
        beta: of `effective`, in [0, 1); 0 gives equal weights, towards 1 the inverse frequency.
        normalize: `sum_to_C` scales to sum L; `mean_sample_1` so that the mean over the training *faces* is 1; `none` leaves them.
            `inverse_mek` and `none` have a scale of their own and are left alone.

    A class without faces gets weight 0 (1 under `none`), for 1 / 0 is no weight.

    Raises:
        ConfigError: unknown scheme or normalisation, beta outside [0, 1).
        DataError: a negative count or no face at all.
    """
    if scheme not in get_args(Scheme):
        raise ConfigError(unknown_name("class weight scheme", scheme, get_args(Scheme)))
    if normalize not in get_args(Normalize):
        raise ConfigError(unknown_name("weight normalisation", normalize, get_args(Normalize)))
    n = np.asarray(counts, dtype=np.float64)
    if n.ndim != 1 or not np.isfinite(n).all() or (n < 0).any():
        raise DataError(f"Class weights need one count >= 0 per class, not {list(counts)}.")
    if not n.any():
        raise DataError("Class weights need training faces, and every class has none.")
    if scheme == "none":
        return np.ones_like(n)

    seen = n > 0
    weights = np.zeros_like(n)
    if scheme == "effective":
        weights[seen] = _effective(n[seen], beta)
    elif scheme == "inverse":
        weights[seen] = 1 / n[seen]
    else:
        weights[seen] = 0.1 * n.sum() / n[seen]
        return weights
    if normalize == "sum_to_C":
        weights *= len(n) / weights.sum()
    elif normalize == "mean_sample_1":
        weights *= n.sum() / (n @ weights)
    return weights


def _effective(n: Weights, beta: float) -> Weights:
    if beta == 1:
        raise ConfigError("beta = 1 makes the class weights 0 / 0; use --weights inverse for the limit, or a beta below 1 such as 0.9999.")
    if not 0 <= beta < 1:
        raise ConfigError(f"beta must be at least 0 and below 1, not {beta}; the paper's value is 0.999.")
    with np.errstate(divide="ignore"):  # beta = 0: log is -inf and the weight 1, as it should be
        weights: Weights = (1 - beta) / -np.expm1(n * np.log(beta))  # expm1: 1 - beta^n without cancellation for beta near 1
    return weights


def weight_ratio(weights: npt.ArrayLike) -> float:
    """Largest over smallest weight (L,) of the classes that have one."""
    w = np.asarray(weights, dtype=np.float64)
    w = w[w > 0]
    return float(w.max() / w.min()) if len(w) else 1.0


ADVICE = "raise beta towards 1 or use --weights inverse"


def uniform_warning(weights: npt.ArrayLike, counts: npt.ArrayLike | None = None, advice: str = ADVICE) -> str | None:
    """The sentence to log when max(B) / min(B) is below 1.1, else None; with advice, unless the counts (L,) themselves are alike."""
    ratio = weight_ratio(weights)
    if ratio >= UNIFORM_BELOW:
        return None
    text = f"The class weights are nearly uniform (max/min {ratio:.3f} < {UNIFORM_BELOW}), so rebalancing does nothing here"
    if counts is not None and weight_ratio(counts) < UNIFORM_BELOW:
        return f"{text}: the classes have nearly as many faces each."
    return f"{text}; {advice}."


def weight_notes(weights: npt.ArrayLike, class_names: Sequence[str], counts: Sequence[int], advice: str = ADVICE) -> list[str]:
    """What a log should say of weights (L,): B per class with max/min, the warning when they are alike, the classes without faces.

    Args:
        advice: what to do about weights that are alike.
    """
    w = np.asarray(weights, dtype=np.float64)
    listed = ", ".join(f"{name} {value:.4g}" for name, value in zip(class_names, w, strict=True))
    notes = [f"Class weights B: {listed}; max/min {weight_ratio(w):.2f}."]
    warning = uniform_warning(w, counts, advice)
    if warning:
        notes.append(warning)
    empty = [f"'{name}'" for name, n in zip(class_names, counts, strict=True) if n == 0]
    if empty:
        notes.append(f"No training face of {', '.join(empty)}: the model cannot learn this; drop the class or add faces.")
    return notes
