"""What stands around every search: huge pictures, limits, order, names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from evenface.errors import ConfigError
from evenface.faces.alignment import Alignment, align
from evenface.faces.detection import Detection
from evenface.faces.detectors import Detector, create_detector
from evenface.results import Box


class Bright:
    """A search that finds the bright rectangle of a picture, and remembers what it was given."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, images: Sequence[np.ndarray]) -> list[list[Detection]]:
        found = []
        for image in images:
            self.shapes.append(image.shape)
            rows, columns = np.nonzero(image[..., 0] > 127)
            box = (float(columns.min()), float(rows.min()), float(columns.max() + 1), float(rows.max() + 1))
            found.append([Detection(box, 0.9, tuple((box[0] + i, box[1] + i) for i in range(5)))])
        return found


def picture(height: int, width: int, top: int, left: int, side: int) -> np.ndarray:
    image = np.zeros((height, width, 3), dtype=np.uint8)
    image[top : top + side, left : left + side] = 255
    return image


def test_boxes_of_a_huge_picture_are_in_its_own_pixels() -> None:
    search = Bright()
    image = picture(4000, 6000, 1000, 3000, 800)
    (face,) = Detector("bright", search, max_side=1500).detect([image])[0]
    assert search.shapes == [(1000, 1500, 3)]
    assert face.box == pytest.approx((3000, 1000, 3800, 1800), abs=4)
    assert face.landmarks is not None
    assert face.landmarks[1] == pytest.approx((3004, 1004), abs=4)  # one pixel of the small picture is four


def test_a_narrow_picture_keeps_both_scales() -> None:
    image = picture(3, 5000, 0, 1000, 400)
    (face,) = Detector("bright", Bright(), max_side=500).detect([image])[0]
    assert face.box == pytest.approx((1000, 0, 1400, 3), abs=10)


def test_pictures_within_the_limit_are_searched_as_they_are() -> None:
    search = Bright()
    Detector("bright", search).detect([picture(50, 60, 5, 5, 20), picture(2048, 30, 5, 5, 20)])
    assert search.shapes == [(50, 60, 3), (2048, 30, 3)]


def test_the_largest_faces_come_first_and_stay() -> None:
    boxes = [Detection((0, 0, s, s), 0.5) for s in (3.0, 9.0, 5.0)]
    detector = Detector("fixed", lambda images: [list(boxes) for _ in images], max_faces=2)
    assert [face.box[2] for face in detector.detect([picture(10, 10, 0, 0, 2)])[0]] == [9, 5]
    assert detector.detect([]) == []


def test_a_box_without_an_area_is_no_face() -> None:
    """Nothing can be cut out by it."""
    boxes: list[Box] = [(3, 3, 3, 3), (2, 5, 6, 5), (5, 2, 5, 6), (6, 6, 2, 2), (1, 2, 5, 6)]
    detector = Detector("fixed", lambda images: [[Detection(box) for box in boxes] for _ in images], max_faces=3)
    image = np.arange(300, dtype=np.uint8).reshape(10, 10, 3)
    (face,) = detector.detect([image])[0]
    assert (align(image, face, Alignment("box"), 4) == image[2:6, 1:5]).all()


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 1), (4, 0, 3), (0, 4, 3)])
def test_arrays_that_are_no_pictures_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="uint8"):
        create_detector("none").detect([np.zeros(shape, dtype=np.uint8)])
    with pytest.raises(ConfigError, match="float64"):
        create_detector("none").detect([np.zeros((4, 4, 3))])


def test_none_takes_the_whole_picture() -> None:
    (face,) = create_detector("none").detect([np.zeros((30, 20, 3), dtype=np.uint8)])[0]
    assert face == Detection((0, 0, 20, 30), None, None)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("mtcn", {}, "mtcnn"),
        ("mtcnn:weights.pt", {}, "yunet only"),
        ("yunet:", {}, "yunet only"),
        ("none", {"min_face": 5}, "--min-face"),
        ("none", {"min_score": 1.5}, "--min-score"),
        ("none", {"max_faces": 0}, "--max-faces"),
        ("none", {"max_side": 8}, "longest side"),
    ],
)
def test_settings_that_cannot_work_are_refused(name: str, options: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        create_detector(name, **options)  # type: ignore[arg-type]
