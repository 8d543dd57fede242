"""From a found face to the square picture that a model knows, the one way for training sets and for prediction.

    alignment = Alignment("arcface", margin=0.1)
    face = align(rgb, detection, alignment, size=112)         # (112, 112, 3) uint8 RGB

The five landmarks are laid onto those of a template by the similarity transform (turn, scale, shift) of least squares (Umeyama, 1991).
A face without landmarks, or with the template `box`, is cut out as the square around its box.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from PIL import Image

from evenface.errors import ConfigError, unknown_name
from evenface.faces.detection import Detection
from evenface.results import Face


TEMPLATES: dict[str, np.ndarray | None] = {
    # The five points that ArcFace and its successors use, (x, y) in a 112 x 112 picture.
    "arcface": np.array([[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]) / 112,
    # Where our MTCNN finds them in FER2013's training faces: medians, made symmetric (docs/faces.md).
    "fer2013": np.array([[0.3135, 0.3875], [0.6865, 0.3875], [0.5, 0.603], [0.346, 0.781], [0.654, 0.781]]),
    "box": None,
}
"""Name -> where the left and right eye (as seen), the nose and the corners of the mouth come to lie, in [0, 1]; None: the box decides."""


@dataclasses.dataclass(frozen=True, slots=True)
class Alignment:
    """How a model's faces are cut out; it stands in the model's config and in the manifest of a prepared set.

    Attributes:
        template: a name of `TEMPLATES`.
        margin: what is shown around, relative to the side of the face's square: 0.1 adds a tenth on every side.
        resolution: side in pixels that faces are cut out at before they are brought to the model's size; None cuts them out at the
            model's size. A model that has learned from enlarged 48-pixel faces expects that blur.
        grey: faces are turned to grey, as those that the model has learned from.

    Raises:
        ConfigError: an unknown template, or a value out of range.
    """

    template: str = "arcface"
    margin: float = 0.0
    resolution: int | None = None
    grey: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.template, str) or self.template not in TEMPLATES:
            raise ConfigError(unknown_name("alignment template", str(self.template), TEMPLATES))
        if not isinstance(self.margin, int | float) or not -0.4 <= self.margin <= 2:
            raise ConfigError(f"--margin is between -0.4 and 2, relative to the face, not {self.margin}.")
        if self.resolution is not None and (not isinstance(self.resolution, int) or self.resolution < 8):
            raise ConfigError(f"The alignment's resolution is at least 8 pixels, not {self.resolution}.")

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any] | str | None) -> Alignment:
        """From a model's config: a table of the fields, a template's name, or None, which is the plain box.

        Raises:
            ConfigError: anything else.
        """
        if values is None:
            return cls("box")
        if isinstance(values, str):
            return cls(values)
        if not isinstance(values, Mapping):
            raise ConfigError(f"An alignment is a template's name or a table of template, margin, resolution and grey, not {values!r}.")
        unknown = sorted(set(values) - {field.name for field in dataclasses.fields(cls)})
        if unknown:
            raise ConfigError(f"The alignment has no {', '.join(unknown)}; it may have template, margin, resolution and grey.")
        return cls(**values)


def align(image: np.ndarray, face: Detection | Face, alignment: Alignment, size: int) -> np.ndarray:
    """Cuts a face out of a picture.

    Args:
        image: (H, W, 3) uint8 RGB.
        face: its box and landmarks, in pixels of `image`.
        size: side of the result.

    Returns:
        (size, size, 3) uint8 RGB; what lies outside the picture repeats its border.
    """
    side = alignment.resolution or size
    square = _sample(image, _matrix(face, alignment, side), side)
    if alignment.grey:
        square = _grey(square)
    return square if side == size else resize_square(square, size)


def resize_square(pixels: np.ndarray, size: int) -> np.ndarray:
    """(H, W, 3) uint8 -> (size, size, 3), with the filter that training faces are resized by."""
    return np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.BICUBIC))


def _grey(pixels: np.ndarray) -> np.ndarray:
    grey: np.ndarray = cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return grey


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The similarity transform (2, 3) that brings points (n, 2) closest to others in the least squares sense; it never mirrors.

    S. Umeyama, "Least-squares estimation of transformation parameters between two point patterns", PAMI 1991, in two dimensions: with
    points as complex numbers the best turn and scale is one complex factor.
    """
    s, t = (points[:, 0] + 1j * points[:, 1] for points in (source.astype(float), target.astype(float)))
    centred, spread = s - s.mean(), np.vdot(s - s.mean(), s - s.mean()).real
    factor = np.vdot(centred, t - t.mean()) / spread if spread > 0 else 1.0
    shift = t.mean() - factor * s.mean()
    return np.array([[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]])


def _matrix(face: Detection | Face, alignment: Alignment, side: int) -> np.ndarray:
    """The transform (2, 3) from the picture's continuous coordinates (0 is the border of the first pixel) to the square's."""
    template = TEMPLATES[alignment.template]
    shown = 1 + 2 * alignment.margin  # the side of what is shown, relative to the face's square
    if template is not None and face.landmarks is not None:
        target = (template - 0.5) / shown + 0.5
        return similarity(np.array(face.landmarks), target * side)
    left, top, right, bottom = face.box
    scale = side / (max(right - left, bottom - top) * shown)
    return np.array([[scale, 0, side / 2 - scale * (left + right) / 2], [0, scale, side / 2 - scale * (top + bottom) / 2]])


def _sample(image: np.ndarray, matrix: np.ndarray, side: int) -> np.ndarray:
    """The square of that side under a similarity transform; a face that is much larger is first averaged down, so that nothing aliases."""
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    corners = np.array([[0, 0], [side, 0], [0, side], [side, side]], dtype=float)
    inverse = cv2.invertAffineTransform(matrix)
    reach = corners @ inverse[:, :2].T + inverse[:, 2]
    height, width = image.shape[:2]
    pad = 2 / min(scale, 1.0)
    low, high = np.floor(reach.min(0) - pad), np.ceil(reach.max(0) + pad)
    left, top = np.clip(low, 0, [width - 1, height - 1]).astype(int)
    right, bottom = np.clip(high, [left + 1, top + 1], [width, height]).astype(int)
    part = image[top:bottom, left:right]
    matrix = matrix.copy()
    matrix[:, 2] += matrix[:, :2] @ [left, top]
    if scale < 0.75:
        h, w = (max(1, round(n * scale)) for n in part.shape[:2])
        shrink = np.array([w / part.shape[1], h / part.shape[0]])
        part = cv2.resize(part, (w, h), interpolation=cv2.INTER_AREA)
        matrix[:, :2] /= shrink
    # OpenCV counts from the centre of the first pixel: p' + 0.5 = M (p + 0.5).
    matrix[:, 2] += matrix[:, :2] @ [0.5, 0.5] - 0.5
    square: np.ndarray = cv2.warpAffine(part, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return square


def whole(image: np.ndarray, alignment: Alignment, size: int) -> np.ndarray:
    """A picture that is one cropped face, as a model's training faces were prepared: (H, W, 3) uint8 -> (size, size, 3).

    It is stretched to the square, turned to grey where the training faces were, and, when it is finer than they were, first brought down
    to their resolution.
    """
    pixels = image
    if alignment.resolution is not None and min(image.shape[:2]) > alignment.resolution:
        pixels = cv2.resize(image, (alignment.resolution, alignment.resolution), interpolation=cv2.INTER_AREA)
    return resize_square(_grey(pixels) if alignment.grey else pixels, size)
