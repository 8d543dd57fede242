"""The new file has every frame at its time, and the sound where it was; or it is not there at all."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evenface.errors import ConfigError, DataError, StorageError
from evenface.video import Frame, VideoWriter, open_video, writing

from .clips import make_clip, number_in, picture


av = pytest.importorskip("av")


def copy(source: Path, target: Path, **chosen: Any) -> str:
    with open_video(source) as video, VideoWriter(target, video) as writer:
        for frame in video.frames(**chosen):
            writer.write(frame.image, frame.time)
        return writer.sound


def wave(path: Path) -> tuple[float, np.ndarray, int]:
    """When the sound begins against the picture, in seconds; its samples (n,), -1 to 1; samples per second."""
    with av.open(str(path)) as container:
        video = float(next(container.decode(video=0)).time)
    with av.open(str(path)) as container:
        resampler = av.AudioResampler(format="flt", layout="mono")
        pieces, first = [], None
        for frame in container.decode(audio=0):
            first = frame.time if first is None else first
            pieces += [part.to_ndarray()[0] for part in resampler.resample(frame)]
            rate = frame.sample_rate
    return first - video, np.concatenate(pieces), rate


def test_frames_times_sound_and_beginning(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", 100, sound="aac")
    assert copy(source, tmp_path / "out.mp4") == "copied"
    assert {path.name for path in tmp_path.iterdir()} == {"in.mp4", "out.mp4"}
    with av.open(str(source)) as before, av.open(str(tmp_path / "out.mp4")) as after:
        old, new = before.streams.video[0], after.streams.video[0]
        assert new.codec_context.name == "h264"
        assert new.codec_context.pix_fmt == "yuv420p"
        assert new.frames == old.frames == 100
        assert new.start_time == 0
        assert abs(new.duration * new.time_base - old.duration * old.time_base) < Fraction(1, 25)
        old, new = before.streams.audio[0], after.streams.audio[0]
        assert new.duration * new.time_base == old.duration * old.time_base == 4
        packets = [[bytes(p) for p in c.demux(audio=0) if p.size] for c in (before, after)]
        assert packets[0] == packets[1]  # not encoded again
    frames = list(open_video(tmp_path / "out.mp4").frames())
    assert [number_in(frame.image) for frame in frames] == list(range(100))
    assert [frame.time for frame in frames] == pytest.approx([i / 25 for i in range(100)], abs=1e-4)
    data = (tmp_path / "out.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # so that it plays while it loads


@pytest.mark.parametrize(("name", "codec", "sound", "how"), [
    ("in.mp4", "libx264", "aac", "copied"), ("in.ts", "libx264", "aac", "copied"), ("in.webm", "libvpx-vp9", "libopus", "copied"),
    ("in.mpg", "mpeg2video", "mp2", "encoded"), ("in.mov", "libx264", "pcm_s16le", "encoded"), ("in.mkv", "libx264", "flac", "encoded"),
])  # fmt: skip
def test_sound_and_picture_stay_in_step(tmp_path: Path, name: str, codec: str, sound: str, how: str) -> None:
    """The sound is silent but for a tone from 1.0 s to 1.5 s; it is found at the same time in the copy."""
    source = make_clip(tmp_path / name, 75, codec=codec, sound=sound, tone=(1.0, 1.5))
    assert copy(source, tmp_path / "out.mp4") == how
    found = []
    for path in (source, tmp_path / "out.mp4"):
        start, samples, rate = wave(path)
        loud = np.flatnonzero(np.abs(samples) > 0.2) / rate + start
        found.append((loud[0], loud[-1], start + len(samples) / rate))
    assert found[0] == pytest.approx((1.0, 1.5, 3.0), abs=0.035)  # a frame of AAC at most
    assert found[1] == pytest.approx(found[0], abs=0.025)


@pytest.mark.parametrize(("name", "codec", "sound", "rate", "layout", "how"), [
    ("in.avi", "mpeg4", "pcm_s16le", 48000, "stereo", "encoded"), ("in.avi", "mpeg4", "pcm_s16le", 48000, "mono", "encoded"),
    ("in.mkv", "libx264", "pcm_s16le", 44100, "stereo", "encoded"), ("in.avi", "mpeg4", "libmp3lame", 8000, "mono", "encoded"),
    ("in.avi", "mpeg4", "libmp3lame", 16000, "stereo", "copied"),
])  # fmt: skip
def test_sound_that_an_mp4_does_not_take(tmp_path: Path, name: str, codec: str, sound: str, rate: int, layout: str, how: str) -> None:
    """PCM that names no more than how many channels it has, and MP3 of fewer than 16,000 samples a second."""
    source = make_clip(tmp_path / name, 50, codec=codec, sound=sound, rate=rate, layout=layout)
    assert copy(source, tmp_path / "out.mp4") == how
    with av.open(str(tmp_path / "out.mp4")) as container:
        frames = list(container.decode(audio=0))
        samples = np.concatenate([frame.to_ndarray() for frame in frames], axis=1)  # (channels, n)
    assert (frames[0].layout.name, frames[0].sample_rate) == (layout, rate)
    assert samples.shape[1] / rate == pytest.approx(2, abs=0.2)  # a packet of slow MP3 is 0.07 s
    middle = samples[:, samples.shape[1] // 4 : -samples.shape[1] // 4]
    assert np.sqrt(np.mean(middle**2, axis=1)) == pytest.approx(0.4 / np.sqrt(2), rel=0.1)  # the sine of `make_clip`


def test_a_part_has_the_sound_of_that_part(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", 100, sound="aac", tone=(2.0, 2.5))
    copy(source, tmp_path / "out.mp4", start=1.6, end=3.2)
    frames = list(open_video(tmp_path / "out.mp4").frames())
    assert [number_in(frame.image) for frame in frames] == list(range(40, 80))
    start, samples, rate = wave(tmp_path / "out.mp4")
    loud = np.flatnonzero(np.abs(samples) > 0.2) / rate + start
    assert (loud[0], loud[-1]) == pytest.approx((0.4, 0.9), abs=0.03)
    assert start + len(samples) / rate == pytest.approx(1.6, abs=0.03)


def test_a_varying_rate_is_kept(tmp_path: Path) -> None:
    times = [0, 30, 100, 250, 260, 300, 1000, 1040]
    copy(make_clip(tmp_path / "in.mp4", len(times), times=times), tmp_path / "out.mp4")
    assert [frame.time for frame in open_video(tmp_path / "out.mp4").frames()] == pytest.approx([t / 1000 for t in times], abs=1e-3)


def test_the_rate_of_television_is_kept_exactly(tmp_path: Path) -> None:
    copy(make_clip(tmp_path / "in.mp4", 60, Fraction(24000, 1001)), tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.video[0].average_rate == Fraction(24000, 1001)


@pytest.mark.parametrize("size", [(33, 31), (64, 31), (33, 48), (1, 1)])
def test_an_odd_side_gets_one_more_pixel_at_the_end(tmp_path: Path, size: tuple[int, int]) -> None:
    width, height = size
    image = np.full((height, width, 3), (200, 60, 40), dtype=np.uint8)
    video = open_video(make_clip(tmp_path / "in.mp4", 3))
    with VideoWriter(tmp_path / "out.mp4", video, size=size, fps=10) as writer:
        for i in range(3):
            writer.write(image, i / 10)
    found = open_video(tmp_path / "out.mp4")
    assert (found.width, found.height, found.fps) == (width + width % 2, height + height % 2, pytest.approx(10))
    shown = next(iter(found.frames())).image.astype(int)
    assert np.abs(shown - (200, 60, 40)).max() <= 6


@pytest.mark.parametrize("size", [(320, 240), (1280, 720)])
def test_colours_come_back_whatever_the_size(tmp_path: Path, size: tuple[int, int]) -> None:
    colours = [(220, 30, 40), (30, 180, 60), (40, 60, 200), (230, 230, 230), (20, 20, 20)]
    wide = size[0] // len(colours)
    image = np.zeros((size[1], size[0], 3), dtype=np.uint8)
    for i, colour in enumerate(colours):
        image[:, i * wide : (i + 1) * wide] = colour
    video = open_video(make_clip(tmp_path / "in.mp4", 2))
    with VideoWriter(tmp_path / "out.mp4", video, size=size) as writer:
        writer.write(image, 0.0)
    shown = next(iter(open_video(tmp_path / "out.mp4").frames())).image
    for i, colour in enumerate(colours):
        assert shown[20:-20, i * wide + 8 : (i + 1) * wide - 8].mean((0, 1)) == pytest.approx(colour, abs=4)


def test_without_x264_there_is_still_a_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "CODECS", ("an encoder that is not built in", "mpeg4"))
    source = make_clip(tmp_path / "in.mp4", 50, sound="aac")
    copy(source, tmp_path / "out.mp4")
    frames = list(open_video(tmp_path / "out.mp4").frames())
    assert [number_in(frame.image) for frame in frames] == list(range(50))
    assert [frame.time for frame in frames] == pytest.approx([i / 25 for i in range(50)], abs=1e-4)
    image, want = frames[25].image[60:].astype(int), picture(25)[60:].astype(int)
    assert np.abs(image - want).mean() < 3


def test_an_error_leaves_nothing_under_the_name(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", 30, sound="aac")
    (tmp_path / "out.mp4").write_text("what stood there")

    def fail() -> None:
        with open_video(source) as video, VideoWriter(tmp_path / "out.mp4", video) as writer:
            for frame in video.frames():
                writer.write(frame.image, frame.time)
                if frame.index == 20:
                    raise KeyError("a mistake")

    with pytest.raises(KeyError):
        fail()
    assert (tmp_path / "out.mp4").read_text() == "what stood there"
    assert {path.name for path in tmp_path.iterdir()} == {"in.mp4", "out.mp4"}


class Stopped:
    """A container at whose work Ctrl-C comes, once."""

    def __init__(self, whole: Any) -> None:
        self.whole, self.close, self.raised = whole, whole.close, False

    def mux(self, packets: list[Any]) -> None:
        self.whole.mux(packets)
        if not self.raised:
            self.raised = True
            raise KeyboardInterrupt


def test_ctrl_c_within_the_encoder_keeps_the_film_that_is_closed(tmp_path: Path) -> None:
    video = open_video(make_clip(tmp_path / "in.mp4", 30))

    def write(writer: VideoWriter) -> None:
        for frame in video.frames():
            if frame.index == 20:
                writer._out = Stopped(writer._out)
            writer.write(frame.image, frame.time)

    with VideoWriter(tmp_path / "out.mp4", video) as writer, contextlib.suppress(KeyboardInterrupt):
        write(writer)
    assert [number_in(frame.image) for frame in open_video(tmp_path / "out.mp4").frames()] == list(range(21))
    with pytest.raises(KeyboardInterrupt), VideoWriter(tmp_path / "other.mp4", video) as writer:
        write(writer)
    assert {path.name for path in tmp_path.iterdir()} == {"in.mp4", "out.mp4"}


def test_nothing_stands_under_the_name_before_the_end(tmp_path: Path) -> None:
    video = open_video(make_clip(tmp_path / "in.mp4", 30))
    writer = VideoWriter(tmp_path / "deep" / "out.mp4", video)
    for frame in video.frames():
        writer.write(frame.image, frame.time)
    assert not (tmp_path / "deep" / "out.mp4").exists()
    writer.close()
    writer.close()
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["out.mp4"]


def test_a_source_that_breaks_half_way_leaves_what_was_reached(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", 150, sound="aac", container={"movflags": "+faststart"})
    source.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    seen: list[Frame] = []
    with open_video(source) as video, VideoWriter(tmp_path / "out.mp4", video) as writer, contextlib.suppress(DataError):
        for frame in video.frames():
            writer.write(frame.image, frame.time)
            seen.append(frame)
    found = list(open_video(tmp_path / "out.mp4").frames())
    assert 20 < len(found) == len(seen) < 120
    assert found[-1].time == pytest.approx(seen[-1].time, abs=1e-3)


def test_no_frames_no_file(tmp_path: Path) -> None:
    video = open_video(make_clip(tmp_path / "in.mp4", 3))
    with pytest.raises(DataError, match="No frame"), VideoWriter(tmp_path / "out.mp4", video):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_what_cannot_be_written(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", 3)
    video = open_video(source)
    for path, chosen in [("out.avi", {}), ("in.mp4", {}), ("out.mp4", {"size": (0, 4)}), ("out.mp4", {"fps": 0})]:
        with pytest.raises(ConfigError):
            VideoWriter(tmp_path / path, video, **chosen)  # type: ignore[arg-type]
    before = source.read_bytes()
    writer = VideoWriter(tmp_path / "out.mp4", video)
    image = picture(0)
    writer.write(image, 1.0)
    for wrong in (image[1:], image[..., 0], image.astype(np.float32)):
        with pytest.raises(ConfigError, match="is an array"):
            writer.write(wrong, 2.0)
    for time in (1.0, 0.5, float("nan")):
        with pytest.raises(ConfigError, match="order of time"):
            writer.write(image, time)
    writer.abort()
    with pytest.raises(StorageError, match="cannot be written"):
        VideoWriter(source / "out.mp4", video)
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(StorageError, match="cannot be written"), VideoWriter(tmp_path / "folder.mp4", video) as writer:
        writer.write(image, 0.0)
    assert source.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"in.mp4", "folder.mp4"}


def test_what_no_mp4_can_be_made_of_is_no_fault_of_the_disk(tmp_path: Path) -> None:
    video = open_video(make_clip(tmp_path / "in.mp4", 3))
    with (
        pytest.raises(DataError, match=r"in.mp4: no MP4 can be made of it"),
        VideoWriter(tmp_path / "a.mp4", video, size=(17_000, 16)) as writer,
    ):
        writer.write(np.zeros((16, 17_000, 3), np.uint8), 0.0)
    with pytest.raises(DataError, match="its name is too long"):
        VideoWriter(tmp_path / ("x" * 252 + ".mp4"), video)
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_a_faster_rate_than_an_mp4_names_keeps_the_times(tmp_path: Path) -> None:
    video = open_video(make_clip(tmp_path / "in.mp4", 3))
    with VideoWriter(tmp_path / "out.mp4", video, fps=2000) as writer:
        for i in range(4):
            writer.write(picture(i), i / 2000)
    frames = list(open_video(tmp_path / "out.mp4").frames())
    assert [number_in(frame.image) for frame in frames] == [0, 1, 2, 3]
    assert [frame.time for frame in frames] == pytest.approx([0, 0.0005, 0.001, 0.0015], abs=1e-4)


FULL = """
import resource, sys
import numpy as np
from evenface.errors import StorageError
from evenface.video import VideoWriter, open_video
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
rng = np.random.default_rng(0)
try:
    with open_video({source!r}) as video, VideoWriter({target!r}, video) as writer:
        for frame in video.frames():
            writer.write(rng.integers(0, 256, frame.image.shape, dtype=np.uint8), frame.time)
except StorageError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="files have no size limit there that could play a full disk")
def test_a_disk_that_takes_no_more(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", 60, sound="aac")
    code = FULL.format(source=str(source), target=str(tmp_path / "out.mp4"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "out.mp4 cannot be written (File too large)" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]
