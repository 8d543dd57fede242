"""YuNet: boxes and five landmarks from a small network that OpenCV runs.

    search = YuNet(None, min_face=40)               # the file that `evenface models download yunet` fetched
    search([rgb])[0][0].landmarks                   # rgb: (H, W, 3) uint8; in its pixels

W. Wu, H. Peng, S. Yu, "YuNet: a tiny millisecond-level face detector", Machine Intelligence Research 2023. A picture is searched at the
scale that brings a face of `min_face` to 32 pixels, and a large one once more much smaller, for the network does not see faces above some
500 pixels. At 32 pixels the landmarks lie as well as on a large face; below, faces are found but the landmarks are three to four times as
far off (scikit-image's astronaut on three grounds: 2 % of the face's side at 32 to 128 pixels, 6 % at 24, 8 % at 16; with the authors'
YuNet_n, the larger of the two networks that `evenface.zoo` knows).
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from evenface import zoo
from evenface.boxes import overlaps
from evenface.errors import ModelError
from evenface.faces.detection import MAX_SIDE, Detection


SMALLEST = 32  # pixels: longer side of the smallest face in what the network sees
LARGEST = 448  # of the largest face that is taken from the fine search; fragments of larger ones are found there
COARSE_ABOVE = 640  # longer side of what the network sees, above which a coarse search is added
COARSE = 512  # its longer side
COARSE_FROM = 320  # longer side, in the fine search, of the smallest face that is taken from the coarse one
OVERLAP = 0.6  # of the smaller of two boxes of both searches, above which they are one face
LEAST = 64  # pixels: least height and width that OpenCV is given; 4.8 answers nonsense for a wide picture of 32 rows
NMS, TOP_K = 0.3, 5000  # of OpenCV's own suppression: overlap (intersection over union) and boxes before it


class YuNet:
    """A `Search` with YuNet's ONNX file. Safe to share between threads, which then take turns.

    Args:
        path: the file; None takes the one in the cache.
        min_face: longer side of the smallest box in pixels. Larger is faster: the time goes with the square of 32 / min_face. Where that
            would enlarge a picture beyond 2048 pixels it is enlarged to these, and faces near `min_face` may be missed.
        min_score: boxes of a lower score are left out. In 192 pictures without a face YuNet_n found 1 at 0.7 and 4 at 0.6.

    Raises:
        ModelError: the file is missing or is no YuNet; says what to do.
    """

    def __init__(self, path: str | None, *, min_face: int = 40, min_score: float = 0.7) -> None:
        self._path = path
        self._min_face = min_face
        self._min_score = min_score
        self._net = _load(Path(path) if path is not None else zoo.require("yunet", "yunet:PATH"), min_score)
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Callable[[str | None], YuNet], tuple[str | None]]:
        """OpenCV's object cannot be sent to another process; the file is read again there."""
        return functools.partial(YuNet, min_face=self._min_face, min_score=self._min_score), (self._path,)

    def __call__(self, images: Sequence[np.ndarray]) -> list[list[Detection]]:
        """Pictures (H, W, 3), uint8 RGB, of any sizes -> the faces of each."""
        return [self._faces(image) for image in images]

    def _faces(self, image: np.ndarray) -> list[Detection]:
        longest = max(image.shape[:2])
        scale = min(SMALLEST / self._min_face, max(1.0, MAX_SIDE / longest))
        found = self._search(image, scale)
        if longest * scale > COARSE_ABOVE:
            fine = [face for face in found if _side(face) * scale <= LARGEST]
            coarse = [face for face in self._search(image, COARSE / longest) if _side(face) * scale >= COARSE_FROM]
            found = _merged(fine, coarse)
        return [face for face in found if _side(face) >= self._min_face]

    def _search(self, image: np.ndarray, scale: float) -> list[Detection]:
        """The faces that the network finds in the picture at that scale, in pixels of the picture."""
        height, width = image.shape[:2]
        seen_width, seen_height = max(1, round(width * scale)), max(1, round(height * scale))
        if (seen_width, seen_height) != (width, height):
            how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
            image = cv2.resize(image, (seen_width, seen_height), interpolation=how)
        image = _at_least(cv2.cvtColor(image, cv2.COLOR_RGB2BGR), LEAST)
        with self._lock:
            self._net.setInputSize((image.shape[1], image.shape[0]))
            _, rows = self._net.detect(image)
        if rows is None:
            return []
        return [_detection(row).scaled(width / seen_width, height / seen_height) for row in rows if _is_box(row)]


def _load(path: Path, min_score: float) -> Any:
    """OpenCV's detector from a file, tried on an empty picture, for another network fails only there."""
    if not path.is_file():
        raise ModelError(f"There is no file {path}; fetch one with `evenface models download yunet`, or correct yunet:PATH.")
    try:
        with _quiet():
            net = cv2.FaceDetectorYN.create(os.fspath(path), "", (LEAST, LEAST), min_score, NMS, TOP_K)
            net.detect(np.zeros((LEAST, LEAST, 3), np.uint8))
    except cv2.error as error:
        raise ModelError(
            f"{path} is not a YuNet that OpenCV {cv2.__version__} can read; name another as yunet:PATH, such as the one that "
            "`evenface models download yunet --to DIR` fetches."
        ) from error
    return net


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """OpenCV writes no messages of its own to stderr meanwhile; what matters comes as an exception."""
    logging = cv2 if hasattr(cv2, "setLogLevel") else cv2.utils.logging  # OpenCV 4, OpenCV 5
    before = logging.getLogLevel()
    logging.setLogLevel(0)  # silent
    try:
        yield
    finally:
        logging.setLogLevel(before)


def _at_least(image: np.ndarray, side: int) -> np.ndarray:
    """The picture with black to the right and below where it is smaller; OpenCV itself fills up to a multiple of 32 in this way."""
    bottom, right = max(0, side - image.shape[0]), max(0, side - image.shape[1])
    if not bottom and not right:
        return image
    filled: np.ndarray = cv2.copyMakeBorder(image, 0, bottom, 0, right, cv2.BORDER_CONSTANT, value=(0, 0, 0))
    return filled


def _is_box(row: np.ndarray) -> bool:
    return bool(np.isfinite(row).all() and row[2] > 0 and row[3] > 0)


def _detection(row: np.ndarray) -> Detection:
    """A row (15,): left, top, width, height; the person's right eye, left eye, nose, right and left corner of the mouth; score.

    Its coordinates are continuous, as ours: in a mirrored picture they lie at `width - x`, not at `width - 1 - x`.
    """
    values = [float(v) for v in row]
    left, top, width, height = values[:4]
    first, second, nose, third, fourth = zip(values[4:14:2], values[5:14:2], strict=True)
    # The person's right is left in the picture unless the face stands on its head; eyes and mouth are turned together or not at all.
    if second[0] + fourth[0] < first[0] + third[0]:
        first, second, third, fourth = second, first, fourth, third
    score = min(1.0, max(0.0, values[14]))
    return Detection((left, top, left + width, top + height), score, (first, second, nose, third, fourth))


def _side(face: Detection) -> float:
    """The longer side of the box."""
    return max(face.box[2] - face.box[0], face.box[3] - face.box[1])


def _merged(fine: list[Detection], coarse: list[Detection]) -> list[Detection]:
    """The faces of both searches; of two that overlap, one of each search, the one with the higher score.

    The overlap counts relative to the smaller box, since what the fine search finds of a large face are fragments of it.
    """
    doomed = set()
    for i, j in np.argwhere(overlaps([face.box for face in fine], [face.box for face in coarse], "smaller") > OVERLAP):
        doomed.add(id(min(fine[i], coarse[j], key=lambda face: face.score or 0.0)))
    return [face for face in (*fine, *coarse) if id(face) not in doomed]
