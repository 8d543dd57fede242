"""Probabilities of a face's class from judges that have not learned from it: k-fold multinomial logistic regression on features.

    p = out_of_fold(features, labels, groups, folds=5)           # (n, L) float64

All faces of a group (copies of a picture, faces of a person) are in one fold, and the classes are spread over the folds alike. The judge
of a fold learns from the others: standardised features, weight decay chosen by the first fold's likelihood, no class weights, so that the
set's own frequencies stay in. One temperature for all folds makes the probabilities as sure as they are right.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from evenface.data.order import shuffled


DECAYS = (1e-4, 1e-3, 1e-2)
STEPS = 100  # of L-BFGS
_CHUNK = 1 << 16  # faces in float32 at a time


def out_of_fold(
    features: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    folds: int = 5,
    reach: Callable[[int], None] = lambda done: None,
) -> np.ndarray:
    """Probabilities (n, L).

    Args:
        features: (n, C), any float.
        labels: (n,) int64, 0 to L - 1.
        groups: (n,) int64; equal numbers belong together.
        folds: at least 2.
        reach: told how many judges have learned; `folds + len(DECAYS) - 1` in all.
    """
    where = assign(labels, groups, folds)
    classes = int(labels.max()) + 1
    done = 0

    def judged(fold: int, decay: float) -> np.ndarray:
        nonlocal done
        judge = _Judge(features, labels, np.flatnonzero(where != fold), classes, decay)
        found = judge(np.flatnonzero(where == fold))
        done += 1
        reach(done)
        return found

    first = where == 0
    tried = [judged(0, decay) for decay in DECAYS]
    best = int(np.argmin([_nll(z, labels[first]) for z in tried]))
    logits = np.zeros((len(labels), classes))
    logits[first] = tried[best]
    for fold in range(1, folds):
        logits[where == fold] = judged(fold, DECAYS[best])
    scale = minimize_scalar(lambda s: _nll(np.exp(s) * logits, labels), bounds=(-3, 3), method="bounded").x
    found: np.ndarray = softmax(np.exp(scale) * logits, axis=1)
    return found


def assign(labels: np.ndarray, groups: np.ndarray, folds: int) -> np.ndarray:
    """The fold (n,) of each row: the groups, by the label of their first row, dealt out in a seeded order."""
    _, first, group = np.unique(groups, return_index=True, return_inverse=True)
    order = shuffled([str(row) for row in first], 0, "audit-folds")
    fold = np.zeros(len(first), np.int64)
    dealt = 0
    for label in np.unique(labels):
        here = order[labels[first[order]] == label]
        fold[here] = (np.arange(len(here)) + dealt) % folds
        dealt += len(here)
    found: np.ndarray = fold[group]
    return found


def joined(n: int, together: Sequence[Sequence[int]]) -> np.ndarray:
    """Groups (n,) such that the rows of each list are in one; a row that two lists name joins them."""
    parent = np.arange(n)

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = int(parent[row])
        return row

    for rows in together:
        for other in rows[1:]:
            a, b = sorted((root(rows[0]), root(other)))
            parent[b] = a
    return np.array([root(row) for row in range(n)], dtype=np.int64)


class _Judge:
    """Logistic regression on some rows; gives the logits of others."""

    def __init__(self, features: np.ndarray, labels: np.ndarray, rows: np.ndarray, classes: int, decay: float) -> None:
        self._features = features
        chunks = [rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK)]
        total, squares = np.zeros(features.shape[1]), np.zeros(features.shape[1])
        for chunk in chunks:
            x = features[chunk].astype(np.float64)
            total, squares = total + x.sum(0), squares + (x**2).sum(0)
        self._mean = total / len(rows)
        self._std = np.sqrt(np.maximum(squares / len(rows) - self._mean**2, 1e-8))
        self._weight = torch.zeros(features.shape[1], classes, requires_grad=True)
        self._bias = torch.zeros(classes, requires_grad=True)
        ready = [(self._x(chunk), torch.from_numpy(labels[chunk])) for chunk in chunks]
        search = torch.optim.LBFGS([self._weight, self._bias], max_iter=STEPS, line_search_fn="strong_wolfe", history_size=10)

        def loss() -> torch.Tensor:
            search.zero_grad()
            value = decay / 2 * self._weight.square().sum()
            value.backward()  # type: ignore[no-untyped-call]
            whole = value.detach()
            for x, y in ready:
                part = torch.nn.functional.cross_entropy(x @ self._weight + self._bias, y, reduction="sum") / len(rows)
                part.backward()  # type: ignore[no-untyped-call]
                whole = whole + part.detach()
            return whole

        search.step(loss)  # type: ignore[no-untyped-call]

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            parts = [self._x(rows[start : start + _CHUNK]) @ self._weight + self._bias for start in range(0, len(rows), _CHUNK)]
        found: np.ndarray = torch.cat(parts).double().numpy()
        return found

    def _x(self, rows: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(((self._features[rows] - self._mean) / self._std).astype(np.float32))


def _nll(logits: np.ndarray, labels: np.ndarray) -> float:
    return -float(log_softmax(logits, axis=1)[np.arange(len(labels)), labels].mean())
