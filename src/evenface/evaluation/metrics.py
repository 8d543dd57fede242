"""Scores from one confusion matrix C (rows = true, columns = predicted); everything else derives from it.

    recall_l    = C_ll / sum_j C_lj          overall     = trace(C) / sum(C)
    precision_l = C_ll / sum_i C_il          mean recall = mean of recall_l over the classes that have images
    F1_l        = 2 C_ll / (row_l + col_l)   macro F1    = mean of F1_l over the same classes

    scores(confusion_matrix(true, predicted, 7)).mean_recall

The mean recall is what the papers call "mean" or "average accuracy" (scikit-learn: `balanced_accuracy_score`). A class without
a single test image has no recall: it is NaN there and stays out of both means. A class that is never predicted has
precision 0, as with scikit-learn's `zero_division=0`; macro F1 equals
`f1_score(..., labels=<the classes that have images>, average="macro", zero_division=0)`.

The functions work on stacks (..., L, L) too, so that thousands of bootstrap resamples are scored at once.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evenface.errors import DataError, LabelError


AGGREGATES = ("overall", "mean_recall", "macro_f1")
"""The numbers over all classes that metrics.json, the intervals and the tables carry."""


@dataclasses.dataclass(frozen=True, eq=False)
class Scores:
    """Rates in [0, 1]; each array has the leading shape (...) of the stack it came from, () for a single matrix.

    Attributes:
        overall: (...) right images / images.
        mean_recall: (...) over the classes that have images.
        macro_f1: (...) over the classes that have images.
        g_mean: (...) geometric mean of the recalls of the classes that have images; 0 as soon as one class is never found.
        recall, precision, f1: (..., L); recall and F1 are NaN where n is 0.
        n: (..., L) int64, images per true class.
    """

    overall: NDArray[np.float64]
    mean_recall: NDArray[np.float64]
    macro_f1: NDArray[np.float64]
    g_mean: NDArray[np.float64]
    recall: NDArray[np.float64]
    precision: NDArray[np.float64]
    f1: NDArray[np.float64]
    n: NDArray[np.int64]


def check_labels(values: ArrayLike, n_classes: int, what: str) -> NDArray[np.int64]:
    """The values as int64 (n,), each a class index in [0, n_classes).

    Raises:
        DataError: not a row of integers, or no value at all.
        LabelError: an index outside the range.
    """
    array = np.asarray(values)
    if array.ndim != 1 or array.size == 0:
        raise DataError(f"The {what} must be a row with one class index per image, at least one; got the shape {array.shape}.")
    if not np.issubdtype(array.dtype, np.integer):
        raise DataError(f"The {what} must be whole class indices; got {array.dtype}.")
    low, high = int(array.min()), int(array.max())
    if low < 0 or high >= n_classes:
        raise LabelError(f"The {what} hold class indices from {low} to {high}; {n_classes} classes allow 0 to {n_classes - 1}.")
    return array.astype(np.int64)


def confusion_matrix(true: ArrayLike, predicted: ArrayLike, n_classes: int) -> NDArray[np.int64]:
    """Counts of (true, predicted) pairs.

    Arguments:
        true: (n,) class indices.
        predicted: (n,) class indices.
        n_classes: L.

    Returns:
        (L, L) int64, rows = true.

    Raises:
        DataError: no image, or rows of different lengths.
        LabelError: an index outside [0, L).
    """
    rows = check_labels(true, n_classes, "true labels")
    columns = check_labels(predicted, n_classes, "predictions")
    if rows.shape != columns.shape:
        raise DataError(f"There are {rows.size} true labels and {columns.size} predictions; each image needs one of both.")
    counts = np.bincount(rows * n_classes + columns, minlength=n_classes**2)
    matrix: NDArray[np.int64] = counts.reshape(n_classes, n_classes).astype(np.int64)
    return matrix


def scores(confusion: ArrayLike) -> Scores:
    """All scores of a confusion matrix, or of each one in a stack.

    Arguments:
        confusion: (..., L, L) counts, rows = true.

    Raises:
        DataError: not a square matrix of counts, or one without any image.
    """
    matrix = np.asarray(confusion)
    if matrix.ndim < 2 or matrix.shape[-1] != matrix.shape[-2]:
        raise DataError(f"A confusion matrix is square, (L, L); got the shape {matrix.shape}.")
    hits = np.diagonal(matrix, axis1=-2, axis2=-1).astype(np.float64)  # (..., L)
    n = matrix.sum(axis=-1)  # (..., L)
    called = matrix.sum(axis=-2)  # (..., L) how often each class was predicted
    total = n.sum(axis=-1)  # (...)
    if (matrix < 0).any() or (total == 0).any():
        raise DataError("A confusion matrix needs at least one image and no negative count.")
    present = n > 0
    recall = _ratio(hits, n, empty=np.nan)
    f1 = np.where(present, _ratio(2 * hits, n + called, empty=0.0), np.nan)
    found = np.where(present, recall, 1.0)  # a class without images must not pull the product down
    return Scores(
        overall=hits.sum(axis=-1) / total,
        mean_recall=_mean_present(recall, present),
        macro_f1=_mean_present(f1, present),
        g_mean=np.prod(found, axis=-1) ** (1.0 / present.sum(axis=-1)),
        recall=recall,
        precision=_ratio(hits, called, empty=0.0),
        f1=f1,
        n=n.astype(np.int64),
    )


def _ratio(top: NDArray[np.float64], bottom: NDArray[np.int64], empty: float) -> NDArray[np.float64]:
    """top / bottom, and `empty` where bottom is 0."""
    out = np.full(top.shape, empty)
    np.divide(top, bottom, out=out, where=bottom > 0)
    return out


def _mean_present(values: NDArray[np.float64], present: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The mean over the last axis of the values whose class has images."""
    return np.asarray(np.where(present, values, 0.0).sum(axis=-1) / present.sum(axis=-1))
