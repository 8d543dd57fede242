"""A canvas with coordinates in face units, and the few shapes that a face needs.

    canvas = Canvas(64, Pose())
    patch = canvas.patch(-0.5, -0.5, 0.5, 0.5)
    patch.fill(ellipse(patch.x, patch.y, 0, 0, 0.4, 0.3), (200, 120, 90))

A shape is a signed distance to its edge in face units (positive inside). The share of a pixel that it covers is
`clip(1/2 + distance * pixels_per_unit, 0, 1)`, so that every edge is anti-aliased at any size, without supersampling.
Everything is float32 and uses only + - * / sqrt, min and max, which IEEE 754 defines to the last bit: the same pixels on
every machine. Never use sin, exp, `**`, matmul or sums here, nor numpy scalars (they would turn arrays into float64).

Units: x to the right, y down, the origin between the eyes and the mouth, the half-width of a head about 0.9; the image
spans +-EXTENT at scale 1. `canvas.rgb` is float32 (3, S, S), RGB, 0 to 255.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np


EXTENT = 1.27
Colour = tuple[float, float, float]
Space = Literal["face", "head", "image"]
_Grid = tuple[np.ndarray, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Pose:
    """Where the head is: `yaw` and `pitch` in [-1, 1] shift and squeeze the features, `tilt` is the tangent of half the angle."""

    yaw: float = 0.0
    pitch: float = 0.0
    tilt: float = 0.0
    scale: float = 1.0
    dx: float = 0.0
    dy: float = 0.0


@dataclasses.dataclass(frozen=True, eq=False)
class Patch:
    """A box of the canvas: its pixels `rgb` (3, h, w), a view, and their coordinates `x` and `y` (h, w)."""

    rgb: np.ndarray
    x: np.ndarray
    y: np.ndarray
    ppu: float

    def cover(self, distance: np.ndarray, soft: float = 0.0) -> np.ndarray:
        """Coverage in [0, 1]; `soft` widens the edge to that many units, with a smooth fall."""
        if soft == 0.0:
            return clamp(distance * self.ppu + 0.5, 0.0, 1.0)
        ramp = clamp(distance * (1.0 / max(soft, 1.0 / self.ppu)) + 0.5, 0.0, 1.0)
        smooth: np.ndarray = ramp * ramp * (3.0 - 2.0 * ramp)
        return smooth

    def paint(self, coverage: np.ndarray, colour: Colour) -> None:
        """Blends a colour in by coverage (h, w)."""
        assert coverage.dtype == np.float32, "a float64 scalar leaked into the geometry"
        change = np.array(colour, dtype=np.float32)[:, None, None] - self.rgb
        change *= coverage
        np.add(self.rgb, change, out=self.rgb)

    def fill(self, distance: np.ndarray, colour: Colour, alpha: float = 1.0, soft: float = 0.0) -> None:
        self.paint(self.cover(distance, soft) * alpha, colour)

    def line(self, offset: np.ndarray, half_width: np.ndarray | float, colour: Colour, alpha: float = 1.0) -> None:
        """A line where `offset` (the distance from its middle) is 0; thinner than a pixel it gets faint instead of jagged."""
        width = np.asarray(half_width, dtype=np.float32)
        inside = clamp((width - np.abs(offset)) * self.ppu + 0.5, 0.0, 1.0)
        limit = clamp(width * (2.0 * self.ppu), 0.0, 1.0)
        self.paint(np.minimum(inside, limit) * alpha, colour)


class Canvas:
    """An S x S image in the making, with the coordinates of each pixel in the `head` and in the `face` (features on it)."""

    def __init__(self, size: int, pose: Pose) -> None:
        self.size = size
        self.pose = pose
        self.rgb = np.zeros((3, size, size), dtype=np.float32)
        axis = ((np.arange(size) + 0.5) * (2 * EXTENT / size) - EXTENT).astype(np.float32)
        self._image: _Grid = (axis[None, :] + np.zeros((size, 1), np.float32), axis[:, None] + np.zeros((1, size), np.float32))
        square = pose.tilt * pose.tilt
        self._cos, self._sin = (1 - square) / (1 + square), 2 * pose.tilt / (1 + square)
        px, py = self._image[0] - pose.dx, self._image[1] - pose.dy
        c, s = self._cos / pose.scale, self._sin / pose.scale
        self._head: _Grid = (px * c + py * s, py * c - px * s)
        self._shift, self._squeeze, self._nod = 0.10 * pose.yaw, 0.10 * pose.yaw, 0.06 * pose.pitch
        turned = self._head[0] - self._shift
        self._face: _Grid = (turned + turned * turned * self._squeeze, self._head[1] - self._nod)

    def patch(self, x0: float, y0: float, x1: float, y1: float, space: Space = "face") -> Patch:
        """The pixels whose coordinates may lie in a box of that space (a little more, never less)."""
        per_unit = self.size / (2 * EXTENT)
        if space == "image":
            corners, (x, y), ppu = [(x0, y0), (x1, y1)], self._image, per_unit
        else:
            x, y = self._face if space == "face" else self._head
            ppu = per_unit * self.pose.scale
            corners = [self._to_image(u, v, space) for u in (x0, x1) for v in (y0, y1)]
        margin = 2.0 if space == "image" else 2.0 + 0.03 * ppu  # the squeeze is inverted to first order only
        columns = [(u + EXTENT) * per_unit for u, _ in corners]
        rows = [(v + EXTENT) * per_unit for _, v in corners]
        box = (
            slice(max(0, int(min(rows) - margin)), max(0, int(max(rows) + margin))),
            slice(max(0, int(min(columns) - margin)), max(0, int(max(columns) + margin))),
        )
        return Patch(self.rgb[:, box[0], box[1]], x[box], y[box], ppu)

    def all(self, space: Space = "head") -> Patch:
        x, y = {"face": self._face, "head": self._head, "image": self._image}[space]
        scale = 1.0 if space == "image" else self.pose.scale
        return Patch(self.rgb, x, y, self.size / (2 * EXTENT) * scale)

    def _to_image(self, u: float, v: float, space: Space) -> tuple[float, float]:
        if space == "face":
            u, v = u - self._squeeze * u * u + self._shift, v + self._nod
        u, v = u * self.pose.scale, v * self.pose.scale
        return self._cos * u - self._sin * v + self.pose.dx, self._sin * u + self._cos * v + self.pose.dy


def ellipse(x: np.ndarray, y: np.ndarray, cx: float, cy: float, rx: float, ry: float) -> np.ndarray:
    """Approximate signed distance to an ellipse, exact for circles."""
    u, v = (x - cx) * (1.0 / rx), (y - cy) * (1.0 / ry)
    distance: np.ndarray = (1.0 - np.sqrt(u * u + v * v)) * min(rx, ry)
    return distance


def rounded(x: np.ndarray, y: np.ndarray, cx: float, cy: float, rx: float, ry: float, corner: float) -> np.ndarray:
    """Signed distance to a box with half-sides rx, ry and rounded corners."""
    u, v = np.abs(x - cx) - (rx - corner), np.abs(y - cy) - (ry - corner)
    outside = np.sqrt(np.square(np.maximum(u, 0.0)) + np.square(np.maximum(v, 0.0)))
    distance: np.ndarray = corner - outside - np.minimum(np.maximum(u, v), 0.0)
    return distance


def capsule(x: np.ndarray, y: np.ndarray, a: tuple[float, float], b: tuple[float, float], radius: float) -> np.ndarray:
    """Signed distance to a thick segment with round ends."""
    dx, dy = b[0] - a[0], b[1] - a[1]
    px, py = x - a[0], y - a[1]
    along = clamp((px * dx + py * dy) * (1.0 / (dx * dx + dy * dy)), 0.0, 1.0)
    distance: np.ndarray = radius - np.sqrt(np.square(px - along * dx) + np.square(py - along * dy))
    return distance


def clamp(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Like `np.clip`, at half its cost on small arrays."""
    clamped: np.ndarray = np.minimum(np.maximum(values, low), high)
    return clamped


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """Colour a with that share of colour b."""
    return (a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share, a[2] + (b[2] - a[2]) * share)
