"""Which face is taken, and how it is stored: hand-worked boxes, and pictures whose faces are known to the pixel."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from evenface.data.cutting import (
    ELSEWHERE,
    NO_FACE,
    SEVERAL_FACES,
    TOO_SMALL,
    UNREADABLE_FILE,
    Cutter,
    Cutting,
    Picture,
    Stored,
    choose,
    encode,
    usable,
)
from evenface.errors import ConfigError, DataError
from evenface.faces.alignment import Alignment
from evenface.faces.detection import Detection


BOX = Alignment("box")
LARGE = Detection((0, 0, 40, 50), 0.7)
CENTRAL = Detection((40, 40, 60, 60), 0.9)
LOW = Detection((70, 80, 100, 110), 0.8)


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def noise(side: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 256, (side, side, 3), dtype=np.uint8)


def pixels(stored: Stored | str) -> np.ndarray:
    assert isinstance(stored, Stored), stored
    with Image.open(io.BytesIO(stored.data)) as image:
        return np.asarray(image.convert("RGB"))


def test_usable_boxes() -> None:
    assert usable([1, 2, 3, 4], 10, 10) == (1, 2, 3, 4)
    assert usable([-5, -5, 3, 40], 10, 10) == (-5, -5, 3, 40)
    for broken in (
        None,
        [],
        [1, 2, 3],
        [1, 2, 1, 4],
        [3, 2, 1, 4],
        [float("nan"), 0, 1, 1],
        [None, 0, 1, 1],
        [10, 0, 12, 5],
        [-9, 0, 0, 5],
    ):
        assert usable(broken, 10, 10) is None, broken


def test_the_choice_among_several() -> None:
    faces = [CENTRAL, LARGE, LOW]
    assert choose(faces, None, "largest", 100, 120) is LARGE
    assert choose(faces, None, "centre", 100, 120) is CENTRAL
    assert choose(faces, None, "skip", 100, 120) == SEVERAL_FACES
    assert choose([LOW], None, "skip", 100, 120) is LOW
    assert choose([], None, "largest", 100, 120) == NO_FACE


@pytest.mark.parametrize("several", ["largest", "centre", "skip"])
def test_a_given_box_decides(several: str) -> None:
    faces = [LARGE, CENTRAL, LOW]
    assert choose(faces, (65, 75, 105, 115), several, 100, 120) is LOW  # 900 / 1600
    assert choose(faces, (60, 0, 100, 40), several, 100, 120) == ELSEWHERE
    assert choose([CENTRAL], (50, 50, 70, 70), several, 100, 120) == ELSEWHERE  # 100 / 700 is another face
    assert choose([CENTRAL], (44, 44, 64, 64), several, 100, 120) is CENTRAL  # 256 / 544
    assert choose([], (0, 0, 9, 9), several, 100, 120) == NO_FACE


def test_what_is_stored_is_the_face_to_the_pixel() -> None:
    face, ground = noise(60), np.zeros((100, 150, 3), np.uint8)
    ground[30:90, 70:130] = face
    points = np.array([[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]) / 112 * 60
    marks = tuple((70 + x, 30 + y) for x, y in points.tolist())

    def search(images: object) -> list[list[Detection]]:
        return [[Detection((70, 30, 130, 90), 0.75, marks)]]

    for alignment in (BOX, Alignment("arcface")):  # the landmarks lie as in the template, so both only cut
        (found,) = Cutter(search, Cutting(alignment, 60, quality=None))([Picture(png(ground))])
        assert isinstance(found, Stored)
        assert np.abs(pixels(found).astype(int) - face).max() <= (0 if alignment is BOX else 1)
        assert (found.box, found.score, found.landmarks) == ((70, 30, 130, 90), 0.75, marks)
    (wide,) = Cutter(search, Cutting(Alignment("box", 0.5), 120, quality=None))([Picture(png(ground))])
    assert np.array_equal(pixels(wide)[30:90, 30:90], face)
    assert not pixels(wide)[:29].any()  # above: the ground, and what repeats its border


def test_pictures_that_give_no_face() -> None:
    sizes = []

    def search(images: list[np.ndarray]) -> list[list[Detection]]:  # type: ignore[type-arg]
        sizes.extend(image.shape[0] for image in images)
        return [[Detection((0, 0, 30, 39.5), 0.9)] if image.shape[0] == 50 else [] for image in images]

    pictures = [Picture(b""), Picture(png(noise(39))), Picture(b"GIF89a"), Picture(png(noise(50))), Picture(png(noise(40)))]
    cutter = Cutter(search, Cutting(BOX, 32))
    assert cutter(pictures) == [UNREADABLE_FILE, TOO_SMALL, UNREADABLE_FILE, TOO_SMALL, NO_FACE]
    assert sizes == [50, 40]
    assert Cutter(search, Cutting(BOX, 32))([]) == []
    whole = Cutter(search, Cutting(BOX, 39, missing="whole", quality=None))(pictures)
    assert whole[0] == whole[2] == UNREADABLE_FILE
    assert np.array_equal(pixels(whole[1]), noise(39))
    assert whole[3] == TOO_SMALL  # there is a face, which is too small
    assert isinstance(whole[4], Stored)
    assert (whole[4].box, whole[4].score, whole[4].landmarks) == ((0, 0, 40, 40), None, None)


def test_a_file_that_cannot_be_opened_says_nothing_of_its_picture() -> None:
    with pytest.raises(DataError, match=r"no/such/file\.jpg cannot be opened .* the same call goes on"):
        Cutter("none", Cutting(BOX, 32))([Picture("no/such/file.jpg")])


def test_whole_takes_no_given_box_that_is_too_small() -> None:
    cutter = Cutter(lambda images: [[] for _ in images], Cutting(BOX, 40, min_face=40, missing="whole"))
    small, large = cutter([Picture(png(noise(120)), (10, 10, 14, 14)), Picture(png(noise(120)), (10, 10, 50, 20))])
    assert small == TOO_SMALL
    assert isinstance(large, Stored)


def test_whole_takes_the_given_box() -> None:
    picture = noise(80)
    cutter = Cutter(lambda images: [[] for _ in images], Cutting(BOX, 20, min_face=20, missing="whole", quality=None))
    given, broken = cutter([Picture(png(picture), (10, 30, 30, 50)), Picture(png(picture), (9, 9, 9, 9))])
    assert np.array_equal(pixels(given), picture[30:50, 10:30])
    assert isinstance(broken, Stored)
    assert broken.box == (0, 0, 80, 80)


def test_without_a_detector_the_picture_is_the_face() -> None:
    small = noise(20)
    (found,) = Cutter("none", Cutting(BOX, 20, quality=None))([Picture(png(small), (5, 5, 10, 10))])
    assert np.array_equal(pixels(found), small)


@pytest.mark.parametrize("quality", [95, None])
def test_grey_stays_grey(quality: int | None) -> None:
    grey = np.repeat(noise(32)[..., :1], 3, axis=2)
    with Image.open(io.BytesIO(encode(grey, quality))) as image:
        assert image.mode == "L"
        assert image.format == ("PNG" if quality is None else "JPEG")
    with Image.open(io.BytesIO(encode(noise(32), quality))) as image:
        assert image.mode == "RGB"


def test_colour_keeps_its_resolution() -> None:
    stripes = np.zeros((32, 32, 3), np.uint8)
    stripes[:, ::2] = (255, 0, 0)
    stripes[:, 1::2] = (0, 0, 255)
    with Image.open(io.BytesIO(encode(stripes, 95))) as image:
        assert np.abs(np.asarray(image).astype(int) - stripes).mean() < 6  # with halved colour it is some 80


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"size": 8}, "--size"),
        ({"size": 2000}, "--size"),
        ({"several": "smallest"}, "--several"),
        ({"missing": "hole"}, "did you mean 'whole'"),
        ({"quality": 0}, "--quality"),
        ({"quality": 101}, "--quality"),
    ],
)
def test_settings_that_cannot_be(options: dict[str, object], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        Cutting(**options)  # type: ignore[arg-type]
