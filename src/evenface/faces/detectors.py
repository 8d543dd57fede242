"""Detectors by name, and what every one of them does alike: huge pictures, limits, order.

    detector = create_detector("mtcnn", min_face=40)
    for found in detector.detect([rgb])[0]:             # rgb: (H, W, 3) uint8
        found.box, found.score, found.landmarks         # in pixels of `rgb`, the largest face first

| name | finds | needs |
|---|---|---|
| `mtcnn` | boxes and five landmarks, with the paper's cascade | torch; its weights are in the package |
| `yunet` | the same, several times faster | `evenface models download yunet`, or `yunet:PATH` to the ONNX file |
| `none` | the whole picture as one face, for faces that are already cropped | nothing |
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np

from evenface.errors import ConfigError, unknown_name
from evenface.faces.detection import MAX_SIDE, Detection, Search


if TYPE_CHECKING:
    import torch


class Detector:
    """Searches pictures of any size with a `Search`, and keeps what was asked for.

    Args:
        name: what it was created by.
        search: the search itself.
        max_faces: at most so many faces a picture, the largest; None keeps all.
        max_side: a picture whose longer side has more pixels is shrunk to it for the search; boxes are in pixels of the original.
    """

    def __init__(self, name: str, search: Search, *, max_faces: int | None = None, max_side: int = MAX_SIDE) -> None:
        self.name = name
        self._search = search
        self._max_faces = max_faces
        self._max_side = max_side

    def detect(self, images: Sequence[np.ndarray]) -> list[list[Detection]]:
        """The faces of each picture (H, W, 3), uint8 RGB, the largest first; a box without an area is none.

        Raises:
            ConfigError: an array of another kind.
        """
        for image in images:
            if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
                raise ConfigError(f"A picture is an array (H, W, 3) of uint8, RGB, not {image.dtype} {image.shape}.")
        found = []
        for image, faces in zip(images, self._search([self._shrunk(image) for image in images]), strict=True):
            height, width = image.shape[:2]
            factor = self._factor(image)
            x, y = width / max(1, round(width * factor)), height / max(1, round(height * factor))
            faces = [face if factor == 1 else face.scaled(x, y) for face in faces]
            faces = [face for face in faces if face.box[0] < face.box[2] and face.box[1] < face.box[3]]
            found.append(sorted(faces, key=lambda face: -face.area)[: self._max_faces])
        return found

    def _factor(self, image: np.ndarray) -> float:
        return min(1.0, self._max_side / int(max(image.shape[:2])))

    def _shrunk(self, image: np.ndarray) -> np.ndarray:
        factor = self._factor(image)
        if factor == 1:
            return image
        height, width = image.shape[:2]
        side = (max(1, round(width * factor)), max(1, round(height * factor)))
        small: np.ndarray = cv2.resize(image, side, interpolation=cv2.INTER_AREA)
        return small


def _mtcnn(path: str | None, min_face: int, min_score: float | None, device: torch.device | str) -> Search:
    try:
        from evenface.faces.mtcnn import Mtcnn
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ConfigError("The detector mtcnn needs torch, which is not installed here; choose --detector yunet or none.") from error

    return Mtcnn(min_face=min_face, device=device, **({} if min_score is None else {"min_score": min_score}))


def _yunet(path: str | None, min_face: int, min_score: float | None, device: torch.device | str) -> Search:
    from evenface.faces.yunet import YuNet

    return YuNet(path, min_face=min_face, **({} if min_score is None else {"min_score": min_score}))


def _none(path: str | None, min_face: int, min_score: float | None, device: torch.device | str) -> Search:
    from evenface.faces.cropped import whole_picture

    return whole_picture


Maker = Callable[[str | None, int, float | None, "torch.device | str"], Search]
DETECTORS: dict[str, Maker] = {"mtcnn": _mtcnn, "none": _none, "yunet": _yunet}
"""Name -> what makes the search, from a path (yunet's model), the smallest face, the lowest score and the device."""


def create_detector(
    name: str = "mtcnn",
    *,
    min_face: int = 40,
    min_score: float | None = None,
    max_faces: int | None = None,
    max_side: int = MAX_SIDE,
    device: torch.device | str = "cpu",
) -> Detector:
    """The detector of that name.

    Args:
        name: `mtcnn`, `yunet`, `yunet:PATH` or `none`.
        min_face: smallest face in pixels of the picture that is searched (after it was shrunk to `max_side`); larger is faster.
        min_score: faces of a lower detection score are left out; None takes the detector's own limit.
        max_faces: at most so many faces a picture, the largest; None keeps all.
        max_side: a larger picture is shrunk to this many pixels for the search.
        device: where `mtcnn` computes.

    Raises:
        ConfigError: an unknown name, a value out of range, or `mtcnn` without torch.
        ModelError: the detector's weights are missing or broken.
    """
    kind, colon, path = name.partition(":")
    if kind not in DETECTORS:
        raise ConfigError(unknown_name("detector", name, DETECTORS))
    if colon and (kind != "yunet" or not path):
        raise ConfigError(f"'{name}': a path goes with yunet only, as in yunet:face_detection_yunet.onnx.")
    if min_face < 12:
        raise ConfigError(f"--min-face is at least 12 pixels, not {min_face}.")
    if min_score is not None and not 0 <= min_score <= 1:
        raise ConfigError(f"--min-score is between 0 and 1, not {min_score:g}.")
    if max_faces is not None and max_faces < 1:
        raise ConfigError(f"--max-faces is at least 1, not {max_faces}.")
    if max_side < 64:
        raise ConfigError(f"The longest side for the search is at least 64 pixels, not {max_side}.")
    search = DETECTORS[kind](path or None, min_face, min_score, device)
    return Detector(kind, search, max_faces=max_faces, max_side=max_side)
