"""Where a detector finds the face in each picture.

    faces = search_rows(rows, scan, folder, key, detector="mtcnn", workers=2, reach=print)
    faces.scores[0], faces.points[0]              # 0.998, (5, 2) in [0, 1] of the picture's width and height

Faces that are cut out tightly are not found as they are: a picture is brought to 96 pixels and put into a frame of 160. A detector misses
some real faces at first (turned heads, hands before the mouth), so a picture without a sure face is shown to it again: with its border
repeated, turned both ways, and smaller. Of 400 random FERPlus training faces without a vote against, 9 % had no face of score 0.7 at the
first look and 2 % after the last; of the 150 pictures with five votes and more for "not a face" 76 % and 59 %.
A picture that is larger than the frame is searched once more as it is: it may be a photo with a small face.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from evenface.audit.parts import Arrays, in_parts
from evenface.audit.rows import Rows
from evenface.data.cutting import one_thread
from evenface.data.decode import UNREADABLE, decode
from evenface.faces.detection import Detection
from evenface.faces.detectors import Detector, create_detector


SHOWN, FRAME = 96, 160  # pixels: longer side of the picture, and side of what the detector sees
SMALLEST = 40  # pixels: side of the smallest face that is looked for
LOWEST = 0.05  # score
SURE = 0.7  # score that needs no further look
VIEWS = ((0, 1.0, False), (0, 1.0, True), (30, 1.0, False), (-30, 1.0, False), (0, 0.7, False))  # degrees, size, border repeated
_BATCH = 32
VERSION = 1


@dataclasses.dataclass(frozen=True, eq=False)
class Searched:
    """What was found.

    Attributes:
        scores: (n,) float32, of the best face; 0 where there is none.
        points: (n, 5, 2) float32, its landmarks in [0, 1] of width and height; NaN where there are none.
    """

    scores: np.ndarray
    points: np.ndarray


def search_rows(rows: Rows, folder: Path, key: str, *, detector: str = "mtcnn", workers: int = 1, reach: Callable[[int], None]) -> Searched:
    """Searches all rows, in threads; see `evenface.audit.parts` for `folder` and `reach`, `key` names pictures and detector.

    Raises:
        ConfigError, ModelError: as `create_detector`.
    """
    search = create_detector(detector, min_face=SMALLEST, min_score=LOWEST)
    whole = create_detector(detector, min_face=SMALLEST)
    with one_thread(), ThreadPoolExecutor(workers) as pool:

        def look(part: range) -> Arrays:
            found = [each for some in pool.map(lambda some: _look(rows, some, search, whole), _batches(part)) for each in some]
            return {
                "scores": np.array([score for score, _ in found], np.float32),
                "points": np.array([points for _, points in found], np.float32).reshape(-1, 5, 2),
            }

        return Searched(**in_parts(folder, f"faces{VERSION}-{key}", len(rows), look, reach))


_Found = tuple[float, np.ndarray]
_NOTHING: _Found = (0.0, np.full((5, 2), np.nan, np.float32))


def _batches(part: range) -> Iterator[range]:
    yield from (part[start : start + _BATCH] for start in range(0, len(part), _BATCH))


def _look(rows: Rows, some: range, search: Detector, whole: Detector) -> list[_Found]:
    """The best face of each of these rows."""
    pictures: dict[int, np.ndarray] = {}
    for row in some:
        try:
            pictures[row] = decode(rows.image_bytes(row))
        except UNREADABLE:
            continue
    best = dict.fromkeys(pictures, _NOTHING)
    for view in VIEWS:
        left = [row for row in pictures if best[row][0] < SURE]
        seen = [framed(pictures[row], *view) for row in left]
        for row, faces, (_, matrix) in zip(left, search.detect([image for image, _ in seen]) if seen else [], seen, strict=True):
            best[row] = max(best[row], _best(faces, matrix), key=lambda found: found[0])
    for row in [row for row, picture in pictures.items() if best[row][0] < SURE and max(picture.shape[:2]) > FRAME]:
        height, width = pictures[row].shape[:2]
        scale = np.array([[width, 0, 0], [0, height, 0]], dtype=float)
        best[row] = max(best[row], _best(whole.detect([pictures[row]])[0], scale), key=lambda found: found[0])
    return [best.get(row, _NOTHING) for row in some]


def framed(picture: np.ndarray, degrees: float, size: float, repeated: bool) -> tuple[np.ndarray, np.ndarray]:
    """A picture in its frame, (160, 160, 3) uint8, and the matrix (2, 3) that takes [0, 1] of width and height there."""
    height, width = picture.shape[:2]
    scale = SHOWN / max(height, width)
    side = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(picture, side, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    left, top = (FRAME - side[0]) // 2, (FRAME - side[1]) // 2
    kind = cv2.BORDER_REPLICATE if repeated else cv2.BORDER_CONSTANT
    frame = cv2.copyMakeBorder(small, top, FRAME - side[1] - top, left, FRAME - side[0] - left, kind)
    matrix = np.array([[side[0], 0, left], [0, side[1], top]], dtype=float)
    if degrees or size != 1:
        turn = cv2.getRotationMatrix2D((FRAME / 2 - 0.5, FRAME / 2 - 0.5), degrees, size)
        frame = cv2.warpAffine(frame, turn, (FRAME, FRAME), borderMode=kind)
        about = turn.copy()
        about[:, 2] += 0.5 - turn[:, :2] @ [0.5, 0.5]  # OpenCV counts from the middle of the first pixel
        matrix = np.hstack([about[:, :2] @ matrix[:, :2], (about[:, :2] @ matrix[:, 2] + about[:, 2])[:, None]])
    return np.ascontiguousarray(frame), matrix


def _best(faces: Sequence[Detection], matrix: np.ndarray) -> _Found:
    if not faces:
        return _NOTHING
    face = max(faces, key=lambda each: each.score or 0.0)
    score = face.score or 0.0
    if face.landmarks is None:
        return score, _NOTHING[1]
    back = np.linalg.inv(matrix[:, :2])
    return score, ((np.array(face.landmarks) - matrix[:, 2]) @ back.T).astype(np.float32)
