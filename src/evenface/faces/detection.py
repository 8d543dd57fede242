"""A face that was found, and what a search for faces is; detectors by name are in `evenface.faces.detectors`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from evenface.results import Box, Points


MAX_SIDE = 2048  # pixels; a larger picture is shrunk to it before the search


@dataclasses.dataclass(frozen=True, slots=True)
class Detection:
    """A face that was found: `box` (left, top, right, bottom) and five `landmarks` in pixels, as in `evenface.results.Face`."""

    box: Box
    score: float | None = None
    landmarks: Points | None = None

    @property
    def area(self) -> float:
        return (self.box[2] - self.box[0]) * (self.box[3] - self.box[1])

    def scaled(self, x: float, y: float) -> Detection:
        """The same face in a picture that is `x` times as wide and `y` times as high."""
        left, top, right, bottom = self.box
        marks = None if self.landmarks is None else tuple((px * x, py * y) for px, py in self.landmarks)
        return Detection((left * x, top * y, right * x, bottom * y), self.score, marks)


class Search(Protocol):
    """What `mtcnn`, `yunet` and `cropped` implement: the faces of pictures that are neither huge nor tiny, in any order."""

    def __call__(self, images: Sequence[np.ndarray]) -> list[list[Detection]]:
        """Pictures (H, W, 3), uint8 RGB, of any sizes -> the faces of each."""
        ...
