"""How the stored pictures of a video are shown: turned upright, with square pixels, in the right colours.

A phone stores what its sensor sees and adds a matrix that says how to turn it; old cameras store pictures whose pixels are not square.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np


if TYPE_CHECKING:
    from fractions import Fraction

    from av.video.frame import VideoFrame
    from av.video.reformatter import VideoReformatter

_BT709, _UNTAGGED, _BT601 = 1, 2, 5  # as PyAV counts colour spaces
_HD_LINES = 720  # a picture that does not say its colours is BT.709 from so many lines on, as players take it; a smaller one BT.601


@dataclasses.dataclass(frozen=True, slots=True)
class Turn:
    """One of the eight ways to show a picture: first its axes are swapped, then left and right, then top and bottom."""

    transpose: bool = False
    mirror: bool = False
    flip: bool = False

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of the shown picture."""
        return (height, width) if self.transpose else (width, height)

    def apply(self, image: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 -> the shown picture, contiguous."""
        if not (self.transpose or self.mirror or self.flip):
            return image
        import cv2

        if self.transpose:
            image = cv2.transpose(image)
        if self.mirror or self.flip:
            image = cv2.flip(image, -1 if self.mirror and self.flip else int(self.mirror))
        return image


def turn_of(frame: VideoFrame) -> Turn:
    """What the frame's display matrix asks for, to the nearest quarter turn; nothing where it has none.

    The matrix is that of ISO/IEC 14496-12, 8.2.2: nine whole numbers a b u c d v x y w of 32 bits, by which a stored point (p, q), with q
    growing downwards, is shown at (a p + c q + x, b p + d q + y).
    """
    try:
        notes: Any = frame.side_data  # called a mapping, it gives the notes themselves
        found = [bytes(data) for data in notes if data.type.name == "DISPLAYMATRIX"]
    except ValueError:  # PyAV gives up where one of the frame's notes is of a kind that it has no name for
        angle = math.radians(frame.rotation)  # counter-clockwise
        a, b, c, d = math.cos(angle), -math.sin(angle), math.sin(angle), math.cos(angle)
    else:
        a, b, _, c, d = (float(v) for v in np.frombuffer(found[0], dtype=np.int32)[:5]) if found else (1.0, 0.0, 0.0, 0.0, 1.0)
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return Turn(False, a < 0, d < 0)
    return Turn(True, c < 0, b < 0)


def square_size(width: int, height: int, aspect: Fraction | None) -> tuple[int, int]:
    """Width and height of a stored picture after its pixels were made square.

    Args:
        aspect: a stored pixel's width by its height; None, 0 and what is no sensible camera's count as 1.
    """
    ratio = float(aspect or 1)
    return (round(width * ratio) if 0.25 <= ratio <= 4 else width), height


def to_rgb(frame: VideoFrame, size: tuple[int, int], turn: Turn, reformatter: VideoReformatter) -> np.ndarray:
    """The shown picture (H, W, 3), uint8 RGB.

    Args:
        size: width and height before the turn; a frame of another size is brought to it.
        reformatter: kept from frame to frame, since setting one up takes as long as using it.
    """
    space = _BT709 if frame.colorspace == _UNTAGGED and frame.height >= _HD_LINES and frame.format.name.startswith("yuv") else None
    # RGB has no such space, but before version 17 PyAV heeds the one of the source only where another is asked for.
    shown = reformatter.reformat(frame, width=size[0], height=size[1], format="rgb24", src_colorspace=space, dst_colorspace=_BT601)
    return turn.apply(shown.to_ndarray())
