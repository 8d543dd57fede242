"""From a raw picture to the stored face: read, find, choose, cut out, encode.

    cutter = Cutter("mtcnn", Cutting(size=224))
    cutter([Picture("photo.jpg")])          # [Stored(data=b"...", box=(31.0, ...), score=0.998, landmarks=...)] or ["no face"]

What is given for a picture decides alone: nothing is kept between two calls, so any number of processes stores the same bytes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image

from evenface.boxes import overlaps
from evenface.data.decode import UNREADABLE, decode, is_grey
from evenface.errors import ConfigError, DataError, unknown_name
from evenface.faces.alignment import Alignment, align
from evenface.faces.detection import Detection, Search
from evenface.faces.detectors import Detector, create_detector
from evenface.results import Box, Points


SEVERAL = ("largest", "centre", "skip")
MISSING = ("skip", "whole")

NO_FACE = "no face"
ELSEWHERE = "no face at the given box"
SEVERAL_FACES = "several faces"
TOO_SMALL = "too small"
UNREADABLE_FILE = "unreadable"

MIN_OVERLAP = 0.2  # intersection over union: below it, a found face is another one than the given. Detectors' boxes differ by some 0.5
SIZES = (16, 1024)


@dataclasses.dataclass(frozen=True)
class Cutting:
    """How a face is chosen, cut out and stored.

    Attributes:
        alignment: how it is cut out.
        size: side in pixels of the stored face.
        min_face: a face whose longer side has fewer pixels is dropped; also the smallest that is searched for.
        min_score: faces of a lower detection score are not seen; None takes the detector's own limit.
        several: which of several faces, `largest`, `centre` (nearest to the picture's centre) or `skip` (none). Where the set gives a box,
            it is always the face that overlaps it most.
        missing: a picture without a face is dropped (`skip`), or its given box or else all of it is taken (`whole`).
        quality: of the JPEG, 1 to 100, colour at full resolution; None stores PNG, without any loss.

    Raises:
        ConfigError: a value out of range.
    """

    alignment: Alignment = dataclasses.field(default_factory=Alignment)
    size: int = 224
    min_face: int = 40
    min_score: float | None = None
    several: str = "largest"
    missing: str = "skip"
    quality: int | None = 95

    def __post_init__(self) -> None:
        if not SIZES[0] <= self.size <= SIZES[1]:
            raise ConfigError(f"--size is {SIZES[0]} to {SIZES[1]} pixels, not {self.size}.")
        if self.several not in SEVERAL:
            raise ConfigError(unknown_name("choice for --several", self.several, SEVERAL))
        if self.missing not in MISSING:
            raise ConfigError(unknown_name("choice for --missing", self.missing, MISSING))
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise ConfigError(f"--quality is 1 to 100 (JPEG), or lossless, not {self.quality}.")

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True, slots=True)
class Picture:
    """What a raw picture is known by: its file or its encoded bytes, and the box (xyxy, pixels) that the set gives for the face."""

    source: str | bytes
    box: Box | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Stored:
    """A face as it is stored: the encoded square, and where it was found, in pixels of the upright picture."""

    data: bytes
    box: Box
    score: float | None
    landmarks: Points | None


class Cutter:
    """Cuts faces out of pictures.

    Args:
        detector: a detector's name, or a search of one's own: pictures (H, W, 3) uint8 RGB -> the faces of each.

    Raises:
        ConfigError: an unknown detector or a value out of range.
        ModelError: the detector's weights are missing.
    """

    def __init__(self, detector: str | Search, cutting: Cutting) -> None:
        self.cutting = cutting
        self._searches = detector != "none"
        if isinstance(detector, str):
            self._detector = create_detector(detector, min_face=cutting.min_face, min_score=cutting.min_score)
        else:
            self._detector = Detector("own", detector)

    def __call__(self, pictures: Sequence[Picture]) -> list[Stored | str]:
        """The stored face of each picture, or why it has none: one of this module's reasons."""
        with one_thread():
            images = [read(picture.source) for picture in pictures]
            large = [i for i, image in enumerate(images) if image is not None and not self._too_small(image)]
            found = dict(zip(large, self._detector.detect([im for i in large if (im := images[i]) is not None]), strict=True))
            return [
                UNREADABLE_FILE if image is None else self._stored(image, found.get(i), picture.box)
                for i, (picture, image) in enumerate(zip(pictures, images, strict=True))
            ]

    def _too_small(self, image: np.ndarray) -> bool:
        """No face of the wanted size has room in it, so it is not searched."""
        return self._searches and max(image.shape[:2]) < self.cutting.min_face

    def _stored(self, image: np.ndarray, faces: list[Detection] | None, box: Box | None) -> Stored | str:
        c = self.cutting
        height, width = image.shape[:2]
        given = usable(box, width, height) if self._searches else None
        chosen = TOO_SMALL if faces is None else choose(faces, given, c.several, width, height)
        if chosen in (NO_FACE, ELSEWHERE, TOO_SMALL) and c.missing == "whole":
            small = given is not None and _side(given) < c.min_face
            chosen = TOO_SMALL if small else Detection(given or (0.0, 0.0, float(width), float(height)))
        elif isinstance(chosen, Detection) and self._searches and _side(chosen.box) < c.min_face:
            chosen = TOO_SMALL
        if isinstance(chosen, str):
            return chosen
        return Stored(encode(align(image, chosen, c.alignment, c.size), c.quality), chosen.box, chosen.score, chosen.landmarks)


def read(source: str | bytes) -> np.ndarray | None:
    """The picture, (H, W, 3) uint8 RGB, upright; None where it cannot be decoded.

    Raises:
        DataError: the file cannot be opened, such as on a disk that has gone: that says nothing of the picture.
    """
    try:
        data = source if isinstance(source, bytes) else Path(source).read_bytes()
    except OSError as error:
        why = error.strerror or error
        raise DataError(f"{source!s} cannot be opened ({why}); what is finished stays, and the same call goes on.") from None
    try:
        return decode(data)
    except UNREADABLE:
        return None


def choose(faces: Sequence[Detection], given: Box | None, several: str, width: int, height: int) -> Detection | str:
    """The face of a picture of that size in pixels, or why there is none."""
    if not faces:
        return NO_FACE
    if given is not None:
        shares = overlaps([face.box for face in faces], [given])[:, 0]
        return faces[int(shares.argmax())] if shares.max() >= MIN_OVERLAP else ELSEWHERE
    if len(faces) == 1 or several == "largest":
        return max(faces, key=lambda face: face.area)
    if several == "skip":
        return SEVERAL_FACES
    return min(faces, key=lambda face: math.dist(_centre(face.box), (width / 2, height / 2)))


def usable(box: Sequence[float] | None, width: int, height: int) -> Box | None:
    """The given box, if it is one and lies in the picture at least in part: lists have empty and broken ones."""
    if box is None or len(box) != 4 or any(v is None or not math.isfinite(v) for v in box):
        return None
    left, top, right, bottom = (float(v) for v in box)
    seen = left < right and top < bottom and left < width and top < height and right > 0 and bottom > 0
    return (left, top, right, bottom) if seen else None


def encode(face: np.ndarray, quality: int | None) -> bytes:
    """A face (S, S, 3) uint8 RGB as JPEG, or as PNG where `quality` is None; a grey one has one channel, so it stays grey to the bit."""
    image = Image.fromarray(np.ascontiguousarray(face[..., 0]) if is_grey(face) else face)
    buffer = io.BytesIO()
    if quality is None:
        image.save(buffer, "PNG", compress_level=1)  # at 224 px 7 % larger than with the default, and three times as fast
    else:
        image.save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Torch and OpenCV compute on one thread: the processes share the cores out, and sums come out the same with any number of them."""
    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])


def _side(box: Box) -> float:
    return max(box[2] - box[0], box[3] - box[1])


def _centre(box: Box) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
