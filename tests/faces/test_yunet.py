"""YuNet: what is asked of OpenCV and what becomes of its answers, with a stand-in; what it finds, with the real file where it is."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from evenface.errors import ModelError
from evenface.faces.detectors import create_detector
from evenface.faces.yunet import YuNet


# Marked by hand on scikit-image's astronaut (512 x 512): the eye that is left in the picture, the right one, the nose, the mouth's corners.
MARKS = np.array([(203, 101.5), (246.5, 103.5), (224, 127), (202.5, 140.5), (246, 140.5)])
FACE = (182, 66, 269, 178)  # between the ears, from the hair to the chin


class Stand:
    """In the place of OpenCV's detector: answers the rows that `answer` gives for a (width, height), and keeps what it was shown."""

    def __init__(self, answer: Callable[[tuple[int, int]], Any]) -> None:
        self.answer = answer
        self.size = (0, 0)
        self.seen: list[np.ndarray] = []

    def setInputSize(self, size: tuple[int, int]) -> None:
        self.size = size

    def detect(self, image: np.ndarray) -> tuple[int, Any]:
        height, width = image.shape[:2]
        if self.size != (0, 0):  # the trial at loading comes before any size
            assert self.size == (width, height)
            self.seen.append(image)
        rows = self.answer((width, height))
        return 1, None if not rows else np.array(rows, dtype=np.float32)


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., tuple[YuNet, Stand]]:
    """`stand(answer, min_face=40)`: YuNet over a stand-in, and the stand-in."""
    file = tmp_path / "any.onnx"
    file.write_bytes(b"x")

    def make(answer: Callable[[tuple[int, int]], Any], **settings: Any) -> tuple[YuNet, Stand]:
        net = Stand(answer)
        monkeypatch.setattr(cv2.FaceDetectorYN, "create", lambda *_: net)
        return YuNet(str(file), **settings), net

    return make


def row(left: float, top: float, width: float, height: float, score: float, marks: Any = None) -> list[float]:
    points = [(left + width * x, top + height * y) for x, y in ((0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8))]
    return [left, top, width, height, *np.ravel(points if marks is None else marks), score]


def black(width: int, height: int) -> np.ndarray:
    return np.zeros((height, width, 3), np.uint8)


# With the stand-in


def test_box_and_landmarks_come_back_in_pixels_of_the_picture(stand: Any) -> None:
    """At 40 pixels the picture is searched at 32 / 40; 500 x 333 becomes 400 x 266, whose factors differ a little."""
    marks = [(20, 30), (60, 32), (40, 50), (24, 70), (58, 71)]
    search, net = stand(lambda size: [row(10, 20, 60, 80, 0.875, marks)])
    ((face,),) = search([black(500, 333)])
    assert [image.shape for image in net.seen] == [(266, 400, 3)]
    x, y = 500 / 400, 333 / 266
    assert face.box == pytest.approx((10 * x, 20 * y, 70 * x, 100 * y))
    assert face.score == 0.875
    assert np.allclose(face.landmarks, [(px * x, py * y) for px, py in marks])


def test_landmarks_are_ordered_by_their_place_in_the_picture(stand: Any) -> None:
    """A face on its head: OpenCV's first eye, the person's right one, is right in the picture."""
    marks = [(60, 70), (20, 72), (40, 50), (58, 31), (24, 30)]
    search, _ = stand(lambda size: [row(10, 20, 60, 80, 0.9, marks)], min_face=32)
    ((face,),) = search([black(100, 100)])
    assert face.landmarks == ((20, 72), (60, 70), (40, 50), (24, 30), (58, 31))


def test_opencv_is_given_bgr(stand: Any) -> None:
    search, net = stand(lambda size: [], min_face=32)
    picture = black(5, 4)  # filled up to 64 x 64 with black
    picture[2, 3] = (10, 20, 30)
    assert search([picture]) == [[]]
    assert net.seen[0].shape == (64, 64, 3)
    assert net.seen[0].sum() == 60
    assert net.seen[0][2, 3].tolist() == [30, 20, 10]
    assert picture[2, 3].tolist() == [10, 20, 30]


@pytest.mark.parametrize(
    ("min_face", "size", "seen"),
    [
        (40, (640, 480), [(512, 384)]),
        (64, (640, 480), [(320, 240)]),
        (320, (640, 480), [(64, 64)]),  # 64 x 48, filled up
        (16, (300, 200), [(600, 400)]),
        (32, (1000, 500), [(1000, 500), (512, 256)]),  # a coarse search besides
        (16, (1500, 750), [(2048, 1024), (512, 256)]),  # not enlarged beyond 2048
        (16, (2048, 100), [(2048, 100), (512, 64)]),
        (320, (3, 7), [(64, 64)]),
    ],
)
def test_the_smallest_face_sets_the_scale(min_face: int, size: tuple[int, int], seen: list[tuple[int, int]], stand: Any) -> None:
    search, net = stand(lambda size: [], min_face=min_face)
    search([black(*size)])
    assert [(image.shape[1], image.shape[0]) for image in net.seen] == seen


def test_pictures_of_many_sizes_at_once(stand: Any) -> None:
    search, _ = stand(lambda size: [row(0, 0, *size, 0.9)] if size != (65, 64) else [], min_face=32)
    found = search([black(64, 96), black(65, 31), black(70, 80)])
    assert [[face.box for face in faces] for faces in found] == [[(0, 0, 64, 96)], [], [(0, 0, 70, 80)]]
    assert search([]) == []


def test_smaller_faces_and_boxes_that_are_none_are_left_out(stand: Any) -> None:
    rows = [row(0, 0, 20, 32, 0.9), row(50, 0, 31, 31, 0.9), row(0, 50, 0, 40, 0.9), row(math.nan, 0, 40, 40, 0.9)]
    search, _ = stand(lambda size: rows, min_face=32)
    ((face,),) = search([black(200, 100)])
    assert face.box == (0, 0, 20, 32)


def test_a_large_picture_is_searched_twice(stand: Any) -> None:
    """1024 px wide at 32 / 32, then at 512, where the same face is half as large."""
    fine = [
        row(100, 100, 100, 100, 0.8),  # small: only here
        row(500, 0, 500, 500, 0.75),  # larger than what this search does well
        row(600, 100, 300, 300, 0.72),  # a fragment of the large face
        row(100, 600, 360, 350, 0.95),  # found by both, better here
    ]
    coarse = [
        row(50, 50, 50, 50, 0.9),  # the small one again: the fine search has it
        row(240, 0, 260, 260, 0.9),  # the large one
        row(52, 300, 180, 180, 0.85),
    ]
    search, _ = stand(lambda size: fine if size == (1024, 1024) else coarse, min_face=32)
    (found,) = search([black(1024, 1024)])
    assert sorted((face.box, round(face.score, 2)) for face in found) == [
        ((100, 100, 200, 200), 0.8),
        ((100, 600, 460, 950), 0.95),
        ((480, 0, 1000, 520), 0.9),
    ]


def test_neighbours_are_two_faces(stand: Any) -> None:
    """A small face before a large one, less than 60 % of it inside."""
    search, _ = stand(lambda size: [row(350, 100, 100, 100, 0.8)] if size[0] == 1024 else [row(200, 0, 200, 250, 0.9)], min_face=32)
    (found,) = search([black(1024, 1024)])
    assert len(found) == 2  # 400 to 450 of 350 to 450: half
    search, _ = stand(lambda size: [row(370, 100, 100, 100, 0.8)] if size[0] == 1024 else [row(180, 0, 200, 250, 0.9)], min_face=32)
    (found,) = search([black(1024, 1024)])
    assert [face.score for face in found] == [pytest.approx(0.9)]  # 370 to 470 lies in 360 to 760


def test_the_settings_reach_opencv(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[Any] = []

    def create(*words: Any) -> Stand:
        asked.append(words)
        return Stand(lambda size: [])

    monkeypatch.setattr(cv2.FaceDetectorYN, "create", create)
    (tmp_path / "y.onnx").write_bytes(b"x")
    create_detector(f"yunet:{tmp_path / 'y.onnx'}", min_score=0.55)
    create_detector(f"yunet:{tmp_path / 'y.onnx'}")
    assert [(words[0], words[3]) for words in asked] == [(str(tmp_path / "y.onnx"), score) for score in (0.55, 0.7)]


# What is wrong with the file


def test_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENFACE_HOME", str(tmp_path))
    with pytest.raises(ModelError, match=r"not on this machine yet; fetch it with `evenface models download yunet`, or .* yunet:PATH\.$"):
        create_detector("yunet")
    with pytest.raises(ModelError, match=r"^There is no file .*gone\.onnx; fetch one with `evenface models download yunet`"):
        create_detector(f"yunet:{tmp_path / 'gone.onnx'}")
    with pytest.raises(ModelError, match=r"^There is no file"):
        create_detector(f"yunet:{tmp_path}")


@pytest.mark.parametrize(
    "content", [b"", b"not a network", b"version https://git-lfs.github.com/spec/v1\noid sha256:8f\n", bytes(range(256))]
)
def test_a_broken_file_is_told_in_one_line(content: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    level = cv2.getLogLevel if hasattr(cv2, "getLogLevel") else cv2.utils.logging.getLogLevel  # OpenCV 4, OpenCV 5
    before = level()
    (tmp_path / "broken.onnx").write_bytes(content)
    words = r"broken\.onnx is not a YuNet that OpenCV [\d.]+ can read; .*`evenface models download yunet --to DIR`"
    with pytest.raises(ModelError, match=words):
        YuNet(str(tmp_path / "broken.onnx"))
    assert capfd.readouterr() == ("", "")
    assert level() == before


def test_another_file_in_the_cache_is_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENFACE_HOME", str(tmp_path))
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "yunet.onnx").write_bytes(b"half of it")
    with pytest.raises(ModelError, match=r"yunet\.onnx is not the file that was published as yunet; fetch it"):
        YuNet(None)


# With the real file


@pytest.fixture(scope="module", params=["dynamic", "640"])
def file(shared: Path, request: pytest.FixtureRequest) -> Path:
    path = shared / "weights" / f"face_detection_yunet_{request.param}.onnx"
    if not path.is_file():
        pytest.skip(f"{path.name} is not in ../shared/weights")
    if request.param == "dynamic" and cv2.__version__.startswith("4."):
        pytest.skip("OpenCV 4 does not read an export of any input size")
    return path


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    data = pytest.importorskip("skimage.data")
    picture: np.ndarray = data.astronaut()
    return picture


def pasted(picture: np.ndarray, side: float, width: int, height: int) -> tuple[np.ndarray, np.ndarray, float]:
    """The head on grey so that the face is `side` pixels high; with the hand-marked points there and the factor."""
    factor = side / (FACE[3] - FACE[1])
    head = picture[20:240, 120:330]
    small = cv2.resize(head, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)
    canvas = np.full((height, width, 3), 120, np.uint8)
    left, top = (width - small.shape[1]) // 3, (height - small.shape[0]) // 2
    canvas[top : top + small.shape[0], left : left + small.shape[1]] = small
    scale = np.array([small.shape[1] / head.shape[1], small.shape[0] / head.shape[0]])
    return canvas, (MARKS - (120, 20)) * scale + (left, top), factor


@pytest.mark.parametrize(
    ("side", "width", "height", "min_face"),
    [(44, 320, 240, 40), (60, 501, 333, 40), (112, 640, 480, 40), (230, 500, 500, 200), (26, 211, 173, 20), (600, 1300, 1250, 40)],
)
def test_the_astronaut_at_many_sizes(side: float, width: int, height: int, min_face: int, file: Path, astronaut: np.ndarray) -> None:
    picture, marks, factor = pasted(astronaut, side, width, height)
    (found,) = YuNet(str(file), min_face=min_face)([picture])
    assert len(found) == 1
    off = np.linalg.norm(np.array(found[0].landmarks) - marks, axis=1) / factor
    assert off.max() < 12, off  # pixels of the astronaut's own picture, whose eyes are 43 apart
    assert off.mean() < 7
    centre = np.array([(FACE[0] + FACE[2]) / 2, (FACE[1] + FACE[3]) / 2])
    expected = (centre - MARKS[2]) * factor + marks[2]
    box = found[0].box
    assert np.linalg.norm(np.array([box[0] + box[2], box[1] + box[3]]) / 2 - expected) / factor < 10
    assert 0.8 < (box[3] - box[1]) / side < 1.25
    assert 0.7 < (found[0].score or 0) <= 1


def test_the_mirrored_astronaut_has_the_same_face_mirrored(file: Path, astronaut: np.ndarray) -> None:
    picture, _, factor = pasted(astronaut, 112, 512, 384)
    search = YuNet(str(file))
    ((face,), (mirrored,)) = search([picture, np.ascontiguousarray(picture[:, ::-1])])
    swapped = np.array(mirrored.landmarks)[[1, 0, 2, 4, 3]]
    assert np.abs(512 - swapped[:, 0] - np.array(face.landmarks)[:, 0]).max() / factor < 6
    assert (face.landmarks or ())[0][0] < (face.landmarks or ())[1][0]
    assert (mirrored.landmarks or ())[0][0] < (mirrored.landmarks or ())[1][0]


def test_a_face_below_min_face_is_left_out(file: Path, astronaut: np.ndarray) -> None:
    picture, _, _ = pasted(astronaut, 60, 320, 240)
    assert [len(YuNet(str(file), min_face=n)([picture])[0]) for n in (40, 90)] == [1, 0]


def test_any_size_works(file: Path) -> None:
    sizes = [(1, 1), (3, 700), (700, 3), (17, 31), (33, 65), (640, 640), (2048, 40)]
    noise = np.random.default_rng(0)
    pictures = [noise.integers(0, 256, (height, width, 3), dtype=np.uint8) for width, height in sizes]
    assert create_detector(f"yunet:{file}", min_face=30).detect(pictures) == [[]] * len(sizes)


def test_a_copy_in_another_process_finds_the_same(file: Path, astronaut: np.ndarray) -> None:
    search = YuNet(str(file), min_face=50, min_score=0.6)
    again = pickle.loads(pickle.dumps(search))
    assert again([astronaut]) == search([astronaut])
    assert len(again([astronaut])[0]) == 1


def test_it_is_quiet(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    YuNet(str(file))([black(100, 50)])
    assert capfd.readouterr() == ("", "")


def test_another_network_is_refused(file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The file cut short, as by a broken download."""
    (tmp_path / "short.onnx").write_bytes(file.read_bytes()[:100_000])
    with pytest.raises(ModelError, match="is not a YuNet that OpenCV"):
        YuNet(str(tmp_path / "short.onnx"))
    assert capfd.readouterr().err == ""
