"""Pictures of a webcam, as they come.

with open_camera(0) as camera:
    for frame in camera.frames():           # Frame(index, time, image); endless
        frame.image                         # (H, W, 3) uint8 RGB
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from evenface.errors import ConfigError, DataError
from evenface.video.reading import Frame, check_range


_USUAL_RATE = 30.0  # frames per second of a webcam that does not say


def open_camera(number: int = 0) -> Camera:
    """Opens the webcam of that number, the first is 0, and takes a picture, so that a camera that does not work says so here.

    Raises:
        ConfigError: a number below 0.
        DataError: there is no such camera, or another program holds it.
    """
    return Camera(number)


class Camera:
    """A webcam; see `open_camera`. It is released by `close`, or when the context is left.

    Attributes:
        source: "camera 0", as results name it.
        width, height: of the picture.
        fps: frames per second that the camera promises; in the dark most give fewer.
        has_audio: False; a camera's microphone is another device.
    """

    has_audio = False

    def __init__(self, number: int = 0) -> None:
        if not isinstance(number, int) or isinstance(number, bool) or number < 0:
            raise ConfigError(f"A camera's number is 0 or higher, not {number}.")
        import cv2

        self.source = f"camera {number}"
        with _silence():
            self._device = cv2.VideoCapture(number)
            picture = self._device.read()[1] if self._device.isOpened() else None
        if picture is None:
            self._device.release()
            raise DataError(f"Camera {number} gives no picture; connect it, close other programs that use it, or give another number.")
        self._device.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # a slow reader sees what is, not what was
        height, width = picture.shape[:2]
        self.width, self.height = int(width), int(height)
        rate = float(self._device.get(cv2.CAP_PROP_FPS))
        self.fps = rate if math.isfinite(rate) and rate >= 1 else _USUAL_RATE

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Gives the camera back; the iterators of `frames` end."""
        self._device.release()

    def frames(self, every: int = 1, start: float = 0.0, end: float | None = None) -> Iterator[Frame]:
        """Pictures until `end`, or until the camera is closed.

        Args:
            every: takes the first picture and each `every`-th after it; the others are not converted.
            start, end: seconds since the first picture that this call has taken.

        Raises:
            ConfigError: a value out of range.
            DataError: the camera stopped, such as when it was unplugged; it names the time.
        """
        every = check_range(every, start, end)
        return self._read(every, start, math.inf if end is None else end)

    def _read(self, every: int, start: float, end: float) -> Iterator[Frame]:
        import cv2

        index, taken, began, passed = 0, 0, None, 0.0
        while self._device.isOpened():
            if not self._device.grab():
                raise DataError(f"The {self.source} stopped after {passed:.1f} s; see whether it is still connected.")
            now = time.monotonic()
            began = now if began is None else began
            passed = now - began
            if passed >= end:
                return
            if passed >= start:
                if taken % every == 0:
                    good, picture = self._device.retrieve()
                    if good:  # a picture that was damaged on its way is left out
                        yield Frame(index, passed, cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
                taken += 1
            index += 1


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keeps OpenCV from printing warnings of its own about a camera that is not there."""
    import cv2

    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)
