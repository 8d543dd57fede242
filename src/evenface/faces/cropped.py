"""No detector: each picture is one face, already cropped."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evenface.faces.detection import Detection


def whole_picture(images: Sequence[np.ndarray]) -> list[list[Detection]]:
    """Pictures (H, W, 3) -> one face each, without score and landmarks."""
    return [[Detection((0.0, 0.0, float(image.shape[1]), float(image.shape[0])))] for image in images]
