"""How far boxes (left, top, right, bottom) cover each other: once for detectors, tracks, prepared sets and drawings.

overlaps(boxes, others)                       # (n, m): intersection over union of each pair, 0 to 1
overlaps(boxes, others, over="smaller")       # over the smaller of the two
shared_areas(boxes, others)                   # (n, m): the common area
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from evenface.results import Box


Boxes = Sequence[Box] | np.ndarray
Over = Literal["union", "smaller"]


def shared_areas(boxes: Boxes, others: Boxes) -> np.ndarray:
    """The common area of each of n boxes with each of m, (n, m), float64; 0 where they do not meet."""
    a, b = _rows(boxes), _rows(others)
    low, high = np.maximum(a[:, None, :2], b[:, :2]), np.minimum(a[:, None, 2:], b[:, 2:])
    shared: np.ndarray = np.maximum(high - low, 0).prod(2)
    return shared


def overlaps(boxes: Boxes, others: Boxes, over: Over = "union") -> np.ndarray:
    """The common area of each of n boxes with each of m, (n, m), over that of both or of the smaller one, 0 to 1."""
    shared = shared_areas(boxes, others)
    first, second = ((rows[:, 2:] - rows[:, :2]).prod(1) for rows in (_rows(boxes), _rows(others)))
    whole = np.minimum(first[:, None], second) if over == "smaller" else first[:, None] + second - shared
    shares: np.ndarray = shared / whole
    return shares


def _rows(boxes: Boxes) -> np.ndarray:
    return np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
