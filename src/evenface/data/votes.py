"""How ten votes for a face become a label: the rules of FERPlus, as arrays.

majority(np.array([[9, 1, 0, 0, 0, 0, 0, 0, 0, 0]]))           # [0], neutral
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evenface.labels import ORDERS


NAMED = ORDERS["ferplus"]  # the first eight of the ten columns
VOTES = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF")
UNDECIDED = -1


def majority(votes: np.ndarray) -> np.ndarray:
    """The winning column (n,) of votes (n, 10), or -1 where no expression has more than half of the votes (see `evenface.data.ferplus`)."""
    kept = without_slips(votes)
    best = kept.argmax(axis=1)
    wins = (2 * kept.max(axis=1) > kept.sum(axis=1)) & (best < len(NAMED))
    return np.where(wins, best, UNDECIDED)


def maximum(votes: np.ndarray) -> np.ndarray:
    """The column (n,) with the most raw votes, first of equals; -1 where that is unknown or NF."""
    best = votes.argmax(axis=1)
    return np.where(best < len(NAMED), best, UNDECIDED)


def distribution(votes: np.ndarray, class_names: Sequence[str]) -> np.ndarray:
    """Shares (n, L) of the votes for `class_names`, in their order, float32; a row is 0 where another column has as many as the best."""
    kept = without_slips(votes)
    columns = [NAMED.index(name) for name in class_names]
    inside = kept[:, columns].astype(np.float32)
    outside = np.delete(kept, columns, axis=1).max(axis=1)
    inside[inside.max(axis=1) <= outside] = 0
    shares: np.ndarray = inside / np.maximum(inside.sum(axis=1, keepdims=True), 1)
    return shares


def without_slips(votes: np.ndarray) -> np.ndarray:
    """Votes (n, 10), int64, with each count of one set to 0."""
    return np.where(votes <= 1, 0, votes.astype(np.int64))
