"""Frames of a video file, one after the other, in memory that does not grow with its length.

    with open_video("talk.mp4") as video:
        print(video.width, video.height, video.fps, video.duration)
        for frame in video.frames(every=5, start=10.0):     # Frame(index, time, image)
            frame.image                                     # (H, W, 3) uint8 RGB, turned upright as phones ask for

Every frame has to be decoded, since most are stored as changes of others; only those that are asked for are turned into RGB.
"""

from __future__ import annotations

import dataclasses
import math
import operator
import os
import weakref
from collections.abc import Generator, Iterator
from fractions import Fraction
from pathlib import Path
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Protocol, Self, SupportsIndex

import numpy as np

from evenface.errors import ConfigError, DataError, MissingExtra
from evenface.files import printable, require_no_address
from evenface.video.display import square_size, to_rgb, turn_of


if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

SUFFIXES = frozenset({
    ".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".ts", ".webm", ".wmv",
})  # fmt: skip
"""What a video file's name ends in; a .gif with several pictures is one too."""

_MICROSECONDS = 1_000_000  # the unit of a container's duration
_INDEXED = ("mov,", "matroska,")  # containers that can be entered anywhere, with a packet per frame
_NO_VIDEOS = ("concat", "dash", "hls", "image2", "sdp", "tty")  # lists of other files, pictures and text, which PyAV opens too
_LATE = 1.0  # seconds that a whole video may end before the length it announces


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture of a video.

    Attributes:
        index: its number in the video, from 0, counted over all frames.
        time: seconds since the first frame; it grows from frame to frame.
        image: (H, W, 3) uint8 RGB, upright.
    """

    index: int
    time: float
    image: np.ndarray


class Source(Protocol):
    """What `Video` and `Camera` have in common."""

    source: str
    width: int
    height: int
    fps: float
    has_audio: bool

    def frames(self, every: int = 1, start: float = 0.0, end: float | None = None) -> Iterator[Frame]:
        """Frames in order of their time; see `Video.frames`."""
        ...


def is_video(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a video, by its suffix; a .gif is one if it holds more than one picture."""
    path = Path(path)
    if path.suffix.lower() != ".gif":
        return path.suffix.lower() in SUFFIXES
    from PIL import Image

    try:
        with Image.open(path) as image:
            return bool(getattr(image, "is_animated", False))
    except Exception:  # a cut file makes Pillow raise whatever its bytes spell; it is read as a picture, whose first frame may be whole
        return False


def open_video(path: str | os.PathLike[str]) -> Video:
    """Opens a video file and decodes its first frame, so that a file that cannot be read says so here.

    Raises:
        ConfigError: an address; nothing is fetched.
        DataError: a file that is missing, empty, broken, no video, or sound only.
        MissingExtra: PyAV is not installed.
    """
    return Video(path)


class Video:
    """A video file; see `open_video`. As a context manager it ends all reading when it is left.

    Attributes:
        path: of the file.
        source: the path as text, as results name it.
        width, height: of the upright picture with square pixels.
        fps: frames per second; the mean where the rate varies.
        duration: seconds of the picture; None where the file does not say.
        n_frames: how many frames the file says it has; None where it does not say.
        has_audio: whether it has sound.
        origin: seconds on the file's own clock at which the first frame is shown; `Frame.time` counts from there.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        require_no_address(path)
        self.path = Path(path)
        self.source = printable(path)
        self._readers: weakref.WeakSet[Generator[Frame]] = weakref.WeakSet()
        container, stream = _open(self.path)
        with container:
            first = next((frame for frame in _decoded(container, stream) if frame is not None), None)
            if first is None:
                raise DataError(f"{self.path} has no picture that can be decoded; check whether a video player shows it.")
            rate = stream.average_rate or stream.guessed_rate or Fraction(25)
            self._tick = stream.time_base or 1 / rate  # seconds of a time stamp's unit
            self._start = first.pts or 0
            self._turn = turn_of(first)
            self._size = square_size(first.width, first.height, stream.sample_aspect_ratio)
            self.width, self.height = self._turn.size(*self._size)
            self.fps = float(rate)
            self.origin = float(self._start * self._tick)
            self.n_frames = stream.frames or None
            if container.format.name == "avi" and self.n_frames:  # of a cut file PyAV gives the duration that is left
                self._announced: float | None = self.n_frames / self.fps
            else:
                self._announced = float(stream.duration * self._tick) if stream.duration else _tagged_duration(stream)
            self.duration = self._announced or (container.duration / _MICROSECONDS if container.duration else None)
            self.has_audio = bool(container.streams.audio)
            self._jumps = container.format.name.startswith(_INDEXED) and stream.codec_context.name != "vp8"  # has unseen packets

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Ends all reading: the iterators that `frames` has given end."""
        for reader in list(self._readers):
            reader.close()

    def frames(self, every: int = 1, start: float = 0.0, end: float | None = None) -> Iterator[Frame]:
        """Reads the frames in order of their time; each call begins anew.

        Args:
            every: takes the first frame and each `every`-th after it.
            start: seconds; frames that are shown earlier are left out.
            end: seconds; frames that are shown then or later are left out; None reads to the end.

        Raises:
            ConfigError: a value out of range.
            DataError: after all frames that can be read, where the file is damaged or ends too early; it names the time.
        """
        every = check_range(every, start, end)
        reader = self._read(every, start, math.inf if end is None else end)
        self._readers.add(reader)
        return reader

    def _read(self, every: int, start: float, end: float) -> Generator[Frame]:
        from av.video.reformatter import VideoReformatter

        reformatter = VideoReformatter()
        container, stream = _open(self.path)
        with container:
            jumped = self._jumps and start > 0
            index = self._jump(container, stream, start) if jumped else 0
            taken, time, reached, damaged = 0, -math.inf, 0.0, None
            for frame in _decoded(container, stream):
                if frame is None:
                    # What cannot be decoded before any picture is the rest of a recording that was cut.
                    damaged = reached if damaged is None and time >= 0 else damaged
                    continue
                time = self._time(frame, time)
                reached = time + (float(frame.duration * self._tick) if frame.duration else 1 / self.fps)
                if time >= end:
                    return
                if time >= start:
                    if taken % every == 0:
                        yield Frame(index, time, to_rgb(frame, self._size, self._turn, reformatter))
                    taken += 1
                if time >= start or not jumped:
                    index += 1
            self._check_end(start, taken, reached, damaged)

    def _time(self, frame: VideoFrame, last: float) -> float:
        """Seconds since the first frame; where the file's clock stands still, jumps back or is missing, a frame's length after the last."""
        step = max(0.0, last + 1 / self.fps)
        if frame.pts is None:
            return step
        time = float((frame.pts - self._start) * self._tick)
        return time if time > last and time >= 0 else step

    def _jump(self, container: InputContainer, stream: VideoStream, start: float) -> int:
        """Enters the file shortly before `start`, without decoding what comes before.

        Returns:
            The index of the first frame that is shown at `start` or later.
        """
        target = self._start + math.ceil(start / self._tick)
        before = 0
        for packet in container.demux(stream):
            if packet.dts is not None and packet.dts >= target:  # nothing after it is shown before
                break
            before += packet.pts is not None and self._start <= packet.pts < target and not packet.is_discard
        margin = max(1.0, 20 / self.fps)  # key frames are found by when they are decoded, which is some frames before they are shown
        container.seek(max(0, target - round(margin / self._tick)), stream=stream)
        return before

    def _check_end(self, start: float, taken: int, reached: float, damaged: float | None) -> None:
        """Raises DataError where a reading that came to the file's end did not come to the video's."""
        if damaged is not None:
            raise DataError(f"{self.path} is damaged at {damaged:.2f} s; the frames that can be read were given.")
        if self._announced and reached < 0.98 * self._announced - _LATE:
            raise DataError(f"{self.path} ends at {reached:.2f} s of {self._announced:.2f} s: the rest of the file is missing.")
        if not taken:
            raise DataError(f"{self.path} ends at {reached:.2f} s, before the start at {start:g} s; give an earlier one.")


def check_range(every: SupportsIndex, start: float = 0.0, end: float | None = None) -> int:
    """`every` as an int, such as one of NumPy's. Raises ConfigError for a choice of frames that cannot be."""
    try:
        step = operator.index(every)
    except TypeError:
        step = 0
    if step < 1 or isinstance(every, bool):
        raise ConfigError(f"Of the frames each N-th is taken, with N a whole number of at least 1, not {every}.")
    if not 0 <= start < math.inf:
        raise ConfigError(f"The start is a time of at least 0 seconds, not {start}.")
    if end is not None and not end > start:
        raise ConfigError(f"The end at {end:g} s is not after the start at {start:g} s.")
    return step


def load_av() -> ModuleType:
    """PyAV.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise MissingExtra("Reading and writing video files", "video") from error
    return av


def open_container(path: Path) -> InputContainer:
    """The file as PyAV has it. Raises OSError, or PyAV's FFmpegError."""
    # The scheme keeps a colon in the name from being read as one; the list keeps a playlist in disguise from reaching elsewhere.
    limits = {"protocol_whitelist": "file"}
    container: InputContainer = load_av().open(f"file:{path}", "r", metadata_errors="ignore", container_options=limits)
    return container


def _open(path: Path) -> tuple[InputContainer, VideoStream]:
    """The file and its picture."""
    av = load_av()
    if not path.exists():
        raise DataError(f"{path} does not exist; check the path.")
    if not path.is_file():
        raise DataError(f"{path} is no file; give the path of a video file.")
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty; fetch or record it again.")
    try:
        container = open_container(path)
    except PermissionError as error:
        raise DataError(f"{path} may not be read; give access to it.") from error
    except (OSError, av.error.FFmpegError) as error:
        raise DataError(f"{path} is no video that can be read; it is broken or another kind of file.") from error
    kind = container.format.name
    pictures = [stream for stream in container.streams.video if not stream.disposition & av.stream.Disposition.attached_pic]
    if not pictures or kind in _NO_VIDEOS or kind.endswith("_pipe"):
        what = "holds sound only" if container.streams.audio else "is no video"
        container.close()
        raise DataError(f"{path} {what}; give a video file, such as an MP4.")
    stream = pictures[0]
    if getattr(stream, "codec_context", None) is None:
        container.close()
        raise DataError(f"{path} is stored in a way that this PyAV cannot decode; convert it to H.264.")
    stream.thread_type = "AUTO"
    return container, stream


def _decoded(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame | None]:
    """All frames in order of their time, and None where something could not be decoded."""
    error = load_av().error.FFmpegError
    packets = container.demux(stream)
    whole = "mp4" in container.format.name  # a recording of a broadcast begins in the middle of something; these do not
    while True:
        try:
            packet = next(packets, None)
        except error:  # the container is broken from here on; the decoder still holds some frames
            yield None
            packet = None
        try:
            yield from stream.decode(packet)
        except EOFError:
            return
        except error:
            yield None
        if packet is None:
            return
        if whole and packet.is_corrupt:  # the file was cut within it
            yield None


def _tagged_duration(stream: VideoStream) -> float | None:
    """Seconds of a stream in Matroska and WebM, where they stand as text, "00:00:10.000000000"."""
    parts = stream.metadata.get("DURATION", "").split(":")
    try:
        hours, minutes, seconds = (float(part) for part in parts)
    except ValueError:
        return None
    return 3600 * hours + 60 * minutes + seconds
