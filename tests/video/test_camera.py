"""A webcam that is not there says so quietly; one that is there gives RGB, and is given back."""

from __future__ import annotations

import itertools
from typing import Any

import cv2
import numpy as np
import pytest

from evenface.errors import ConfigError, DataError
from evenface.video import Frame, open_camera
from evenface.video import camera as module

from .clips import fill


class Webcam:
    """What `cv2.VideoCapture` gives; after `pictures` pictures it is unplugged."""

    pictures = 8
    rate = 15.0
    given: list[Webcam]

    def __init__(self, number: int) -> None:
        self.number, self.count, self.open, self.converted = number, 0, True, 0
        Webcam.given.append(self)

    def isOpened(self) -> bool:
        return self.open

    def grab(self) -> bool:
        self.count += 1
        return self.open and self.count <= self.pictures

    def retrieve(self) -> tuple[bool, np.ndarray]:
        self.converted += 1
        image = np.zeros((6, 10, 3), np.uint8)
        image[..., 0], image[..., 2] = 200, self.count  # blue first
        return True, image

    def read(self) -> tuple[bool, np.ndarray | None]:
        return self.retrieve() if self.grab() else (False, None)

    def get(self, what: int) -> float:
        return self.rate if what == cv2.CAP_PROP_FPS else 0.0

    def set(self, what: int, value: float) -> bool:
        return True

    def release(self) -> None:
        self.open = False


@pytest.fixture
def webcam(monkeypatch: pytest.MonkeyPatch) -> type[Webcam]:
    Webcam.given = []
    monkeypatch.setattr(cv2, "VideoCapture", Webcam)
    clock = itertools.count(100)
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock) / 10)  # a tenth of a second from picture to picture
    return Webcam


def test_no_camera_is_one_sentence_and_no_noise(capfd: pytest.CaptureFixture[str]) -> None:
    level = cv2.utils.logging.getLogLevel()
    with pytest.raises(DataError, match="Camera 93 gives no picture"):
        open_camera(93)
    assert capfd.readouterr() == ("", "")
    assert cv2.utils.logging.getLogLevel() == level


@pytest.mark.parametrize("number", [-1, 0.5, True])
def test_a_number_that_cannot_be(number: Any) -> None:
    with pytest.raises(ConfigError):
        open_camera(number)


def test_pictures_in_rgb_with_numbers_and_times(webcam: type[Webcam]) -> None:
    with open_camera(2) as camera:
        assert (camera.source, camera.width, camera.height, camera.fps, camera.has_audio) == ("camera 2", 10, 6, 15.0, False)
        frames = list(itertools.islice(camera.frames(), 3))
        assert [frame.index for frame in frames] == [0, 1, 2]
        assert [frame.time for frame in frames] == pytest.approx([0.0, 0.1, 0.2])
        assert frames[1].image[0, 0].tolist() == [3, 0, 200]  # the first picture went into the opening
        assert frames[1].image.shape == (6, 10, 3)
    assert webcam.given[0].number == 2
    assert not webcam.given[0].open
    assert list(camera.frames()) == []


def test_pictures_that_are_left_out_are_not_converted(webcam: type[Webcam]) -> None:
    with open_camera() as camera:
        found = [(frame.index, round(frame.time, 3)) for frame in camera.frames(every=2, start=0.05, end=0.55)]
        assert found == [(1, 0.1), (3, 0.3), (5, 0.5)]
        assert webcam.given[0].converted == 1 + 3


def test_a_camera_that_is_unplugged_tells_when(webcam: type[Webcam]) -> None:
    camera = open_camera()
    seen: list[Frame] = []
    with pytest.raises(DataError, match=r"camera 0 stopped after 0\.6 s"):
        fill(seen, camera.frames())
    assert [frame.index for frame in seen] == list(range(7))


def test_a_camera_that_does_not_say_its_rate(webcam: type[Webcam], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webcam, "rate", 0.0)
    assert open_camera().fps == 30


def test_a_camera_without_a_picture_is_given_back(webcam: type[Webcam], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webcam, "pictures", 0)
    with pytest.raises(DataError, match="gives no picture"):
        open_camera()
    assert not webcam.given[0].open
