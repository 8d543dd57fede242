"""From the cells of a map to the pixels of the face.

    upsample(cells, 112)               # (h, w) -> (112, 112)

A cell stands for its share of the square, cell (0, 0) for the upper left one; what the network saw for a cell reaches far beyond it.
"""

from __future__ import annotations

import cv2
import numpy as np


def upsample(cells: np.ndarray, size: int) -> np.ndarray:
    """A map (h, w) over the face, (size, size) float32: bilinear between the middles of the cells, level beyond the outer ones."""
    found: np.ndarray = cv2.resize(np.asarray(cells, dtype=np.float32), (size, size), interpolation=cv2.INTER_LINEAR)
    return found
