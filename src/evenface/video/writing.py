"""A new MP4 from frames, with the sound of the video that they came from.

    with open_video("talk.mp4") as video, VideoWriter("out.mp4", video) as writer:
        for frame in video.frames():
            writer.write(frame.image, frame.time)

H.264, which browsers and phones play; MPEG-4 Part 2 where PyAV was built without x264. The file appears under its name when it is whole:
an error or a kill before leaves what stood there.
"""

from __future__ import annotations

import contextlib
import math
import os
import secrets
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from evenface.errors import ConfigError, DataError
from evenface.files import aside_of, cannot_write, clear_abandoned
from evenface.video.reading import Source, Video, load_av
from evenface.video.sound import Sound


CODECS = ("libx264", "mpeg4")
"""Encoders, the best first."""

_QUALITY = {"crf": "20", "preset": "veryfast"}  # x264: hard to tell from the source, 140 frames/s of 854 x 480 per core
_BITS_PER_PIXEL = 0.25  # of mpeg4, which takes a bit rate
_FASTEST = 1000.0  # frames per second; of a file that says more the times count, as of every other
_TICKS = 10_000  # a second has at least so many time stamps
_BT709, _LIMITED = 1, 1  # AVCOL_SPC_BT709 (and its primaries and curve), AVCOL_RANGE_MPEG


class VideoWriter:
    """Writes frames into an MP4; nothing stands under `path` before `close`.

    Args:
        path: of the new file, ending in .mp4; missing folders are made.
        like: where the frames come from; gives the size, the rate and, if it is a `Video`, the sound.
        size: width and height of the frames, where they differ from those of `like`.
        fps: frames per second, where it differs; it only says how long the last frame is shown, as the times of `write` count.
        sound: False leaves the sound out.

    Raises:
        ConfigError: another suffix, the file that `like` is read from, or a value out of range.
        DataError: no MP4 can be made of such frames or such sound, or the name is too long.
        MissingExtra: PyAV is not installed.
        StorageError: the file cannot be written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        like: Source,
        *,
        size: tuple[int, int] | None = None,
        fps: float | None = None,
        sound: bool = True,
    ) -> None:
        self.path = Path(path)
        self.width, self.height = size or (like.width, like.height)
        self.fps = min(like.fps if fps is None else fps, _FASTEST)
        self._check(like)
        self._av = load_av()
        self._aside = aside_of(self.path, secrets.token_hex(4))
        self._source = like.source
        self._sound: Sound | None = None
        self._start: float | None = None
        self._last = -math.inf
        self._stamp = -1
        self._length = like.duration if isinstance(like, Video) else None
        self._open = True
        with self._told():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            clear_abandoned(self.path.parent.absolute())
            with contextlib.suppress(FileNotFoundError):
                self.path.lstat()  # a name that is too long is told here, not at the end
            self._out = self._av.open(f"file:{self._aside}", "w", format="mp4", options={"movflags": "+faststart"})
            self._stream = self._video_stream()
            if sound and isinstance(like, Video) and like.has_audio:
                self._sound = Sound(like, self._out)
        self._reformatter = self._av.video.reformatter.VideoReformatter()

    @property
    def sound(self) -> str:
        """What became of the sound: "copied", "encoded" or "none"."""
        return "none" if self._sound is None else self._sound.how

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None:
            self.close()
        else:
            self.abort()

    def write(self, image: np.ndarray, time: float) -> None:
        """Adds a frame.

        Args:
            image: (H, W, 3) uint8 RGB.
            time: seconds at which it is shown, as in `Frame.time`; the first frame's becomes the beginning of the new file.

        Raises:
            ConfigError: another size or kind of array, or a time that is not after the last one.
            DataError: no MP4 can be made of such frames.
            StorageError: the file cannot be written, such as on a full disk.
            KeyboardInterrupt: what came before stays, for `close` or `abort`.
        """
        if image.shape != (self.height, self.width, 3) or image.dtype != np.uint8:
            wanted = f"({self.height}, {self.width}, 3) of uint8"
            raise ConfigError(f"Each frame of {self.path} is an array {wanted}, RGB, not {image.shape} of {image.dtype}.")
        if not self._last < time < math.inf:
            raise ConfigError(f"Frames are written in order of time; {time:g} s came after {self._last:g} s.")
        self._start = time if self._start is None else self._start
        self._last = time
        frame = self._av.VideoFrame.from_ndarray(_even(image), format="rgb24")
        frame = self._reformatter.reformat(frame, format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
        self._stamp = max(self._stamp + 1, round((time - self._start) / self._tick))
        frame.pts, frame.time_base = self._stamp, self._tick
        with self._told(KeyboardInterrupt):  # the usual end of a camera, whose film is wanted
            self._out.mux(self._stream.encode(frame))
            if self._sound is not None:
                self._sound.write(self._start, time)

    def close(self) -> None:
        """Writes what is left, and gives the file its name.

        Raises:
            DataError: there was no frame, or no MP4 can be made of them.
            StorageError: the file cannot be written.
        """
        if not self._open:
            return
        if self._start is None:
            self.abort()
            raise DataError(f"No frame was written to {self.path}, so there is no such file.")
        with self._told():
            self._out.mux(self._stream.encode(None))
            if self._sound is not None:
                end = self._last + 1 / self.fps
                whole = self._length is not None and end > self._length - 1 / self.fps
                self._sound.write(self._start, math.inf if whole else end)
                self._sound.close()
            self._out.close()
            with open(self._aside, "rb+") as file:
                os.fsync(file.fileno())
            os.replace(self._aside, self.path)
        self._open = False

    def abort(self) -> None:
        """Drops all that was written."""
        if not self._open:
            return
        self._open = False
        with contextlib.suppress(Exception):  # whatever fails here is of a file that nobody wants
            if self._sound is not None:
                self._sound.abort()
            self._out.close()
        with contextlib.suppress(OSError):
            self._aside.unlink(missing_ok=True)

    def _check(self, like: Source) -> None:
        if self.path.suffix.lower() != ".mp4":
            raise ConfigError(f"A video is written as MP4; end {self.path} in .mp4.")
        if self.width < 1 or self.height < 1:
            raise ConfigError(f"A video has at least one pixel, not {self.width} x {self.height}.")
        if not self.fps > 0:
            raise ConfigError(f"A video has more than 0 frames per second, not {self.fps:g}.")
        if isinstance(like, Video) and os.path.exists(self.path) and self.path.samefile(like.path):
            raise ConfigError(f"{self.path} is the video that is read; write to another file.")

    def _video_stream(self) -> Any:
        name = next(name for name in CODECS if name in self._av.codecs_available)
        rate = max(Fraction(self.fps).limit_denominator(1001), Fraction(1, 1001))  # slides may stand for hours
        self._tick = Fraction(1, rate.numerator * math.ceil(_TICKS / rate.numerator))  # a whole number of them is a frame's length
        width, height = (side + side % 2 for side in (self.width, self.height))
        stream = self._out.add_stream(name, rate=rate, options=_QUALITY if name == "libx264" else {})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        context = stream.codec_context
        context.time_base = self._tick
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _LIMITED
        if name != "libx264":
            context.bit_rate = round(width * height * self.fps * _BITS_PER_PIXEL)
        return stream

    @contextlib.contextmanager
    def _told(self, *keep: type[BaseException]) -> Iterator[None]:
        """Drops the unfinished file at any error but `keep`, and turns those of the system and of the encoder into ours."""
        try:
            yield
        except keep:
            raise
        except BaseException as error:
            self.abort()
            if not isinstance(error, (OSError, self._av.error.FFmpegError)):
                raise
            number, reason = getattr(error, "errno", None), getattr(error, "strerror", None) or str(error)
            if isinstance(error, OSError):  # PyAV's own are, where the disk is at fault
                raise cannot_write(self.path, OSError(number, reason)) from error
            raise DataError(f"{self._source}: no MP4 can be made of it ({reason}); convert it by another program first.") from error


def _even(image: np.ndarray) -> np.ndarray:
    """With its last column and row doubled where their number is odd, since H.264 stores colours for two by two pixels."""
    height, width = image.shape[:2]
    if height % 2 or width % 2:
        image = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return np.ascontiguousarray(image)
