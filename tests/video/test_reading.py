"""Frames come in order, by number, upright and on time, and a file that is broken says so once, after what could be read."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from evenface.errors import ConfigError, DataError, MissingExtra
from evenface.video import Frame, is_video, open_video
from evenface.video.display import square_size, turn_of

from .clips import fill, make_clip, number_in, picture, sine


av = pytest.importorskip("av")

KINDS = [
    ("clip.mp4", "libx264", "aac"), ("clip.mov", "libx264", "pcm_s16le"), ("clip.mkv", "libx264", "flac"), ("clip.ts", "libx264", "aac"),
    ("clip.webm", "libvpx", "libopus"), ("clip.flv", "libx264", "aac"), ("clip.mpg", "mpeg2video", "mp2"),
    ("clip.avi", "mjpeg", "pcm_s16le"),
    ("clip.gif", "gif", None), ("clip.mp4", "mpeg4", None),
]  # fmt: skip


def numbers(frames: Any) -> list[int]:
    return [number_in(frame.image) for frame in frames]


@pytest.mark.parametrize(("name", "codec", "sound"), KINDS)
def test_each_kind_of_file_gives_all_its_frames(tmp_path: Path, name: str, codec: str, sound: str | None) -> None:
    path = make_clip(tmp_path / name, 40, codec=codec, sound=sound)
    assert is_video(path)
    with open_video(path) as video:
        assert (video.width, video.height, video.has_audio, video.source) == (128, 96, sound is not None, str(path))
        assert video.fps == pytest.approx(25)
        frames = list(video.frames())
        assert numbers(frames) == [frame.index for frame in frames] == list(range(40))
        assert [frame.time for frame in frames] == pytest.approx([i / 25 for i in range(40)])
        chosen = list(video.frames(every=3, start=0.5, end=1.3))  # frame 13 is the first from 0.5 s on, frame 33 is shown at 1.32 s
        assert numbers(chosen) == [frame.index for frame in chosen] == [13, 16, 19, 22, 25, 28, 31]


def test_what_the_file_says(tmp_path: Path) -> None:
    video = open_video(make_clip(tmp_path / "clip.mp4", 45, Fraction(30000, 1001)))
    assert video.fps == pytest.approx(30000 / 1001)
    assert video.n_frames == 45
    assert video.duration == pytest.approx(45 * 1001 / 30000, abs=1e-4)


def test_the_pixels_are_those_that_went_in(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.avi", 3, codec="mjpeg", options={"qmin": "1", "qmax": "1"})
    image = next(iter(open_video(path).frames())).image
    assert image.dtype == np.uint8
    assert image.shape == (96, 128, 3)
    assert image.flags.c_contiguous
    want = picture(0).astype(int)
    inside = (slice(42, 54), slice(2, 14))  # of the red square, away from the half-resolution colours at its border
    assert np.abs(image[inside].astype(int) - want[inside]).max() <= 6
    assert np.abs(image[60:].astype(int) - 90).max() <= 2


def test_a_large_picture_that_does_not_say_its_colours_is_taken_as_bt709(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mkv", 1, size=(1280, 720))  # stored by the numbers of BT.601, as PyAV does unasked
    image = next(iter(open_video(path).frames())).image.astype(float)
    r, g, b = 220, 30, 40  # of the square
    luma = 0.299 * r + 0.587 * g + 0.114 * b
    blue, red = (b - luma) / 1.772, (r - luma) / 1.402
    want = [luma + 1.5748 * red, luma - 0.1873 * blue - 0.4681 * red, luma + 1.8556 * blue]  # by BT.709
    assert image[44:52, 4:12].mean((0, 1)) == pytest.approx(np.clip(want, 0, 255), abs=4)


def test_a_varying_rate_gives_the_times_of_the_file(tmp_path: Path) -> None:
    times = [0, 30, 100, 250, 260, 300, 1000, 1040]
    frames = list(open_video(make_clip(tmp_path / "clip.mp4", len(times), times=times)).frames())
    assert [frame.time for frame in frames] == pytest.approx([t / 1000 for t in times], abs=1e-3)
    assert numbers(open_video(tmp_path / "clip.mp4").frames(start=0.255)) == [4, 5, 6, 7]


def matrix_of(turn: int, mirror: bool) -> list[int]:
    """A display matrix that turns by so many quarters clockwise, after it mirrored left and right; rows (a b u), (c d v), (x y w)."""
    step = np.array([[0, 1], [-1, 0]])  # (p, q) @ step: right becomes down, down becomes left
    part = np.diag([-1, 1]) if mirror else np.eye(2, dtype=int)
    for _ in range(turn):
        part = part @ step
    one = 1 << 16
    return [*(part[0] * one).tolist(), 0, *(part[1] * one).tolist(), 0, 0, 0, 1 << 30]


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("turn", [0, 1, 2, 3])
def test_a_phone_s_video_is_turned_upright(tmp_path: Path, turn: int, mirror: bool) -> None:
    path = make_clip(tmp_path / "clip.mp4", 3)
    stored = [frame.image for frame in open_video(path).frames()]
    data = bytearray(path.read_bytes())
    # The track header holds the matrix: 4 bytes of size, "tkhd", version and flags, 20 bytes of times, 16 of layer and volume.
    at = data.index(b"tkhd") + 4 + 4 + 20 + 16
    assert np.frombuffer(data[at : at + 36], ">i4").tolist() == matrix_of(0, False)
    data[at : at + 36] = np.array(matrix_of(turn, mirror), ">i4").tobytes()
    path.write_bytes(data)
    video = open_video(path)
    for frame, image in zip(video.frames(), stored, strict=True):
        want = np.rot90(image[:, ::-1] if mirror else image, -turn)
        assert np.array_equal(frame.image, want)
        assert frame.image.shape == (video.height, video.width, 3)


@pytest.mark.parametrize("angle", [0, 90, 180, -90])
def test_a_frame_with_notes_that_pyav_does_not_know_is_turned_all_the_same(tmp_path: Path, angle: int) -> None:
    class Odd:
        rotation = angle

        @property
        def side_data(self) -> Any:
            raise ValueError("99 is not a valid Type")

    quarters = -angle // 90 % 4  # `rotation` counts against the clock
    rows = matrix_of(quarters, False)
    note = type("Note", (bytes,), {"type": SimpleNamespace(name="DISPLAYMATRIX")})(np.array(rows, np.int32).tobytes())
    assert turn_of(Odd()) == turn_of(SimpleNamespace(side_data=[note]))  # type: ignore[arg-type]


def test_pixels_that_are_not_square_are_made_so(tmp_path: Path) -> None:
    def tall(stream: Any) -> None:
        stream.codec_context.sample_aspect_ratio = Fraction(3, 2)

    path = make_clip(tmp_path / "clip.mp4", 3, prepare=tall)
    video = open_video(path)
    assert (video.width, video.height) == (192, 96)
    assert next(iter(video.frames())).image.shape == (96, 192, 3)
    assert [square_size(720, 576, ratio) for ratio in (None, Fraction(0), Fraction(16, 15), Fraction(1, 90))] == [
        (720, 576), (720, 576), (768, 576), (720, 576),
    ]  # fmt: skip


def test_reading_twice_at_once_and_leaving_early(tmp_path: Path) -> None:
    with open_video(make_clip(tmp_path / "clip.mp4")) as video:
        one, two = video.frames(), video.frames(every=2)
        assert [next(one).index, next(two).index, next(one).index, next(two).index] == [0, 0, 1, 2]
    assert list(one) == []
    assert list(two) == []


@pytest.mark.parametrize(("name", "options"), [
    ("clip.mp4", {"bf": "3", "g": "30"}), ("clip.mkv", {"bf": "3", "g": "30"}), ("clip.mp4", {"bf": "0", "g": "30"}),
    ("clip.mp4", {"g": "20", "x264-params": "open-gop=1:bframes=4:b-pyramid=normal"}),
])  # fmt: skip
def test_a_start_in_the_middle_gives_the_same_as_reading_from_the_beginning(tmp_path: Path, name: str, options: dict[str, str]) -> None:
    video = open_video(make_clip(tmp_path / name, 120, options=options))
    every = list(video.frames())
    for start in (0.01, 1.16, 1.2, 2.399, 3.3, 4.76):
        want = [frame for frame in every if frame.time >= start]
        found = list(video.frames(start=start))
        assert [(f.index, f.time) for f in found] == [(f.index, f.time) for f in want]
        assert all(np.array_equal(f.image, w.image) for f, w in zip(found, want, strict=True))


def cut(path: Path, share: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


@pytest.mark.parametrize(
    ("name", "codec"), [("clip.mp4", "libx264"), ("clip.mkv", "libx264"), ("clip.webm", "libvpx"), ("clip.avi", "mjpeg")]
)
def test_a_file_that_was_cut_gives_its_frames_and_then_says_when_it_ends(tmp_path: Path, name: str, codec: str) -> None:
    path = cut(make_clip(tmp_path / name, 150, codec=codec, container={"movflags": "+faststart"} if name.endswith("mp4") else None), 0.5)
    seen: list[Frame] = []
    with pytest.raises(DataError, match=r"clip\.\w+ (ends|is damaged) at \d\.\d\d s") as caught:
        fill(seen, open_video(path).frames())
    assert 40 < len(seen) < 120
    assert numbers(seen)[:40] == list(range(40))
    assert float(str(caught.value).split(" at ")[1].split(" s")[0]) == pytest.approx(seen[-1].time, abs=0.1)
    assert list(open_video(path).frames(end=0.5))  # what lies before the damage is no matter


def test_a_cut_file_of_fragments_is_told_though_it_does_not_say_how_long_it_was(tmp_path: Path) -> None:
    whole = make_clip(tmp_path / "whole.mp4", 150, container={"movflags": "frag_keyframe+empty_moov"})
    assert len(list(open_video(whole).frames())) == 150
    path = tmp_path / "cut.mp4"
    path.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * 0.6)])
    seen: list[Frame] = []
    with pytest.raises(DataError, match=r"cut\.mp4 is damaged at \d\.\d\d s"):
        fill(seen, open_video(path).frames())
    assert 40 < len(seen) < 140
    assert numbers(seen)[:40] == list(range(40))


def test_a_damaged_spot_is_told_after_the_rest_was_read(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mp4", 100, codec="mpeg4")
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][50]
    data[packet.pos : packet.pos + packet.size] = bytes(packet.size)
    path.write_bytes(data)
    seen: list[Frame] = []
    with pytest.raises(DataError, match=r"is damaged at 2\.\d\d s"):
        fill(seen, open_video(path).frames())
    assert len(seen) >= 98
    assert number_in(seen[-1].image) == 99


def test_what_is_no_video_says_so_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("hello world\n" * 1000)
    (tmp_path / "words.txt").write_text("hello world\n" * 1000)
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "noise.mkv").write_bytes(np.random.default_rng(0).bytes(50_000))
    Image.fromarray(picture(1)).save(tmp_path / "photo.jpg")
    make_clip(tmp_path / "clip.mp4", 5)
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile 'clip.mp4'\n")
    (tmp_path / "moov.mp4").write_bytes((tmp_path / "clip.mp4").read_bytes())
    cut(tmp_path / "moov.mp4", 0.4)
    with av.open(str(tmp_path / "sound.mp4"), "w") as out:
        stream = out.add_stream("aac", rate=48000, layout="mono")
        frame = av.AudioFrame.from_ndarray(sine(1, 48000)[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 48000, 0
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    for name, words in [
        ("text.mp4", "no video"), ("words.txt", "no video"), ("empty.mp4", "is empty"), ("noise.mkv", "no video"),
        ("photo.jpg", "no video"),
        ("list.mp4", "no video"), ("moov.mp4", "broken"), ("sound.mp4", "sound only"), ("missing.mp4", "does not exist"), (".", "no file"),
    ]:  # fmt: skip
        with pytest.raises(DataError, match=words) as caught:
            open_video(tmp_path / name)
        assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match=r"^rtsp://host/live is an address, .*download it first"):
        open_video("rtsp://host/live")


def test_a_colon_in_the_name(tmp_path: Path) -> None:
    make_clip(tmp_path / "clip.mp4", 3).rename(tmp_path / "http: %d.mp4")
    assert len(list(open_video(tmp_path / "http: %d.mp4").frames())) == 3


def test_a_gif_is_a_video_only_if_it_moves(tmp_path: Path) -> None:
    Image.fromarray(picture(1)).save(tmp_path / "still.gif")
    Image.fromarray(picture(1)).save(tmp_path / "moves.gif", save_all=True, append_images=[Image.fromarray(picture(2))])
    moves = (tmp_path / "moves.gif").read_bytes()
    for end in range(0, len(moves), 7):  # cut anywhere
        (tmp_path / "cut.gif").write_bytes(moves[:end])
        assert is_video(tmp_path / "cut.gif") in (False, True)
    assert [is_video(tmp_path / name) for name in ("still.gif", "moves.gif", "missing.gif", "a.MP4", "a.jpg")] == [
        False, True, False, True, False,
    ]  # fmt: skip


@pytest.mark.parametrize("wrong", [{"every": 0}, {"every": 1.5}, {"start": -1}, {"start": 2, "end": 1}, {"start": float("nan")}])
def test_a_choice_that_cannot_be(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        open_video(make_clip(tmp_path / "clip.mp4", 3)).frames(**wrong)


def test_a_whole_number_of_numpy_is_one(tmp_path: Path) -> None:
    video = open_video(make_clip(tmp_path / "clip.mp4", 7))
    assert [frame.index for frame in video.frames(every=np.int64(3))] == [0, 3, 6]  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["clip.mp4", "clip.ts"])
def test_a_start_after_the_end(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=r"ends at 1\.20 s, before the start at 7 s"):
        list(open_video(make_clip(tmp_path / name, 30)).frames(start=7))


def test_without_pyav_the_command_that_brings_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtra, match=r"evenface\[video\]"):
        open_video(tmp_path / "clip.mp4")


def test_nothing_heavy_is_imported() -> None:
    code = "import sys, evenface.video; print([m for m in ('av', 'cv2', 'torch', 'scipy', 'PIL') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


LONG = """
import resource, sys
from evenface.video import open_video
sys.path.insert(0, {tests!r})
from clips import number_in

peaks = []
for frame in open_video({path!r}).frames(every={every}):
    assert number_in(frame.image) == frame.index == {every} * len(peaks)
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
print(len(peaks), peaks[len(peaks) // 10], peaks[-1])
"""


@pytest.mark.slow
@pytest.mark.parametrize("every", [1, 5])
def test_memory_does_not_grow_with_the_length(tmp_path: Path, every: int) -> None:
    path = make_clip(tmp_path / "long.mp4", 3000, size=(640, 480), options={"preset": "ultrafast"})
    code = LONG.format(tests=str(Path(__file__).parent), path=str(path), every=every)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    n, early, late = (float(word) for word in done.stdout.split())
    assert n == 3000 / every
    assert late - early < 5  # MB; 2,700 frames as RGB are 2,500 MB
