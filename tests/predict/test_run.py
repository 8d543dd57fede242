"""Everything that `evenface predict` does with its inputs, without the command line."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evenface import Recognizer
from evenface.errors import ConfigError, DataError, MissingExtra
from evenface.predict.inputs import find_inputs
from evenface.predict.pictures import BATCH, predict_pictures
from evenface.predict.run import Summary, predict_inputs, require_apart
from evenface.predict.writers import open_writer
from evenface.video.reading import Frame, open_video
from evenface.video.writing import VideoWriter

from .conftest import with_faces
from .test_recognizer import clip as clip


class Heard:
    def __init__(self) -> None:
        self.parts: list[tuple[str, float | None]] = []
        self.reached: list[float] = []

    def begin(self, what: str, total: float | None) -> None:
        self.parts.append((what, total))

    def reach(self, done: float) -> None:
        self.reached.append(done)


def run(recognizer: Recognizer, words: list[str], out: Path, **options: object) -> tuple[Summary, list[dict[str, str]]]:
    with open_writer(out, "csv", recognizer.class_names) as writer:
        done = predict_inputs(recognizer, find_inputs(words), writer, **options)  # type: ignore[arg-type]
    with out.open(newline="") as file:
        return done, list(csv.DictReader(file))


def test_many_pictures_come_in_order_and_broken_ones_are_named(recognizer: Recognizer, photo: Callable[..., Path], tmp_path: Path) -> None:
    paths = [photo(f"in/{i:03d}.png", ((10, 10),) * (i % 3 > 0), seed=i) for i in range(2 * BATCH + 5)]
    paths[7].write_bytes(b"broken")
    heard = Heard()
    done, rows = run(recognizer, [str(tmp_path / "in")], tmp_path / "out.csv", listener=heard)
    assert [row["source"] for row in rows] == [str(p) for i, p in enumerate(paths) if i != 7]
    with_face = sum(row["face"] == "0" for row in rows)
    assert (done.pictures, done.faces, done.empty) == (len(paths) - 1, with_face, len(rows) - with_face)
    assert [(path, "no picture" in reason) for path, reason in done.failed] == [(paths[7], True)]
    assert heard.parts == [("pictures", len(paths))]
    assert heard.reached[-1] == len(paths)


def test_a_broken_file_at_the_end_is_named_too(recognizer: Recognizer, photo: Callable[..., Path], tmp_path: Path) -> None:
    photo("in/a.png")
    (tmp_path / "in" / "z.jpg").write_bytes(b"x")
    done, rows = run(recognizer, [str(tmp_path / "in")], tmp_path / "out.csv")
    assert len(rows) == len(done.failed) == 1


def test_pictures_are_read_only_a_little_ahead(recognizer: Recognizer, photo: Callable[..., Path]) -> None:
    paths = [photo(f"{i:03d}.png") for i in range(BATCH + 4)] + [Path("missing.png")] * 3
    failed: list[tuple[Path, str]] = []
    stream = predict_pictures(recognizer, paths, failed=failed, workers=1)
    next(stream)
    assert failed == []
    assert len(list(stream)) == BATCH + 3
    assert len(failed) == 3


def test_copies_and_crops(recognizer: Recognizer, photo: Callable[..., Path], tmp_path: Path) -> None:
    photo("in/a.png", ((10, 10), (60, 40)))
    photo("in/sub/b.png", ())
    _, rows = run(recognizer, [str(tmp_path / "in")], tmp_path / "out.csv", draw=tmp_path / "copies", faces=tmp_path / "crops")
    copies = sorted(p.relative_to(tmp_path / "copies").as_posix() for p in (tmp_path / "copies").rglob("*.*"))
    assert copies == ["a.jpg", "sub/b.jpg"]
    with Image.open(tmp_path / "copies" / "a.jpg") as copy:
        assert copy.size == (128, 96)
    crops = sorted((tmp_path / "crops").iterdir())
    assert [p.name for p in crops] == [f"a-face{row['face']}-{row['label']}.png" for row in rows if row["face"]]
    pixels = np.asarray(Image.open(crops[0]))
    original = np.asarray(Image.open(tmp_path / "in" / "a.png"))
    assert (pixels == recognizer.crops(original, recognizer.predict(original).faces)[0]).all()


def test_a_film_and_its_copy(recognizer: Recognizer, clip: Callable[..., Path], tmp_path: Path) -> None:
    path = clip("clip.mkv")
    heard = Heard()
    folders = {"draw": tmp_path / "copies", "faces": tmp_path / "crops"}
    done, rows = run(recognizer, [str(path)], tmp_path / "out.csv", **folders, every=4, listener=heard)
    assert [(row["frame"], row["face"]) for row in rows] == [("0", "0"), ("4", "0"), ("8", "0"), ("8", "1")]
    assert (done.frames, done.faces, done.pictures) == (3, 4, 0)
    assert heard.parts == [("clip.mkv", pytest.approx(1.2, abs=0.11))]
    with open_video(tmp_path / "copies" / "clip.mp4") as copy:
        frames = list(copy.frames())
    assert len(frames) == 12
    assert frames[0].image.shape == (96, 128, 3)
    assert len(list((tmp_path / "crops").glob("clip-frame000008-face*-*.png"))) == 2


def test_each_line_of_a_film_has_its_time(
    recognizer: Recognizer, clip: Callable[..., Path], photo: Callable[..., Path], tmp_path: Path
) -> None:
    film, picture = clip("clip.mkv"), photo("a.png")
    with open_writer(tmp_path / "out.txt", "text", recognizer.class_names) as writer:
        predict_inputs(recognizer, find_inputs([str(film), str(picture)]), writer, every=5)
    places = [line.partition(": ")[0] for line in (tmp_path / "out.txt").read_text().splitlines()]
    assert places == [f"{picture}", f"{film} 0.00 s", f"{film} 0.50 s", f"{film} 1.00 s", f"{film} 1.00 s"]


def test_a_film_that_cannot_be_read_is_named_and_the_rest_goes_on(
    recognizer: Recognizer, photo: Callable[..., Path], tmp_path: Path
) -> None:
    pytest.importorskip("av", reason="needs PyAV")
    photo("in/a.png")
    (tmp_path / "in" / "b.mp4").write_bytes(b"no film")
    (tmp_path / "in" / "c.mp4").touch()
    done, rows = run(recognizer, [str(tmp_path / "in")], tmp_path / "out.csv", draw=tmp_path / "copies")
    assert len(rows) == 1
    assert [path.name for path, _ in done.failed] == ["b.mp4", "c.mp4"]
    assert [p.name for p in (tmp_path / "copies").iterdir()] == ["a.jpg"]


def test_a_film_that_breaks_half_way_keeps_what_came_before(recognizer: Recognizer, clip: Callable[..., Path], tmp_path: Path) -> None:
    whole = clip("whole.mkv", frames=40)
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    done, rows = run(recognizer, [str(cut)], tmp_path / "out.csv", draw=tmp_path / "copies")
    assert 5 < len({row["frame"] for row in rows}) < 40
    assert done.frames == len({row["frame"] for row in rows})
    assert [path for path, _ in done.failed] == [cut]
    with open_video(tmp_path / "copies" / "cut.mp4") as copy:
        assert len(list(copy.frames())) == done.frames


class FakeCamera:
    """Three frames, then Ctrl-C."""

    source, width, height, fps, has_audio = "camera 0", 128, 96, 10.0, False

    def __enter__(self) -> FakeCamera:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def frames(self, every: int = 1, start: float = 0.0, end: float | None = None) -> Iterator[Frame]:
        for number in range(0, 3, every):
            yield Frame(number, number / 10, with_faces(8, [(10 + number, 10)]))
        raise KeyboardInterrupt


def test_ctrl_c_is_the_usual_end_of_a_camera(recognizer: Recognizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("av", reason="needs PyAV")
    monkeypatch.setattr("evenface.predict.run.open_camera", lambda number: FakeCamera())
    done, rows = run(recognizer, ["webcam"], tmp_path / "out.csv", draw=tmp_path / "copies", faces=tmp_path / "crops")
    assert (done.frames, [row["source"] for row in rows]) == (3, ["camera 0"] * 3)
    with open_video(tmp_path / "copies" / "camera0.mp4") as copy:
        assert len(list(copy.frames())) == 3
    assert len(list((tmp_path / "crops").iterdir())) == 3


def test_copies_never_take_the_place_of_what_is_looked_at(recognizer: Recognizer, photo: Callable[..., Path], tmp_path: Path) -> None:
    path = photo("in/a.jpg")
    photo("in/sub/b.png")
    photo("in/sub/a.png")  # whose copy below `in` would be in/a.jpg
    before = path.read_bytes()
    inside, sub = str(tmp_path / "in"), str(tmp_path / "in" / "sub")
    for words, folder in (([str(path)], path.parent), ([inside], tmp_path / "in"), ([str(path), sub], tmp_path / "in")):
        with pytest.raises(ConfigError, match="would lie among what is looked at; give --draw another folder"):
            run(recognizer, words, tmp_path / "out.csv", draw=folder)
    with pytest.raises(ConfigError, match="is looked at; give -o/--output another name"):
        require_apart(find_inputs([str(path)]), None, path)
    assert path.read_bytes() == before
    for name in ("a/x.png", "q/a/x.jpg"):  # the copy of the first would replace the second, which is a link
        (tmp_path / "links" / name).parent.mkdir(parents=True)
        (tmp_path / "links" / name).symlink_to(path)
    with pytest.raises(ConfigError, match="would lie among what is looked at"):
        require_apart(find_inputs([str(tmp_path / "links")]), tmp_path / "links" / "q")
    with pytest.raises(ConfigError, match=r"The faces of .* would lie among what is looked at; give --faces another folder"):
        run(recognizer, [inside], tmp_path / "out.csv", faces=tmp_path / "in")
    done, _ = run(recognizer, [str(tmp_path / "in")], tmp_path / "out.csv", draw=tmp_path / "in" / "drawn")
    assert done.pictures == 3


def test_a_picture_that_no_jpeg_can_hold_keeps_its_row_and_the_rest_goes_on(recognizer: Recognizer, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.new("RGB", (66_000, 4)).save(tmp_path / "in" / "a.png")  # a JPEG has 65,535 pixels a side at most
    Image.new("RGB", (40, 40)).save(tmp_path / "in" / "b.png")
    done, rows = run(recognizer, [str(tmp_path / "in")], tmp_path / "out.csv", draw=tmp_path / "drawn")
    assert [Path(row["source"]).name for row in rows] == ["a.png", "b.png"]
    assert [(path.name, reason.partition(" has ")[2]) for path, reason in done.failed] == [
        ("a.png", "no annotated copy: 66000 x 4 pixels do not fit into a JPEG.")
    ]
    assert [path.name for path in (tmp_path / "drawn").iterdir()] == ["b.jpg"]


LONG = "x" * 251  # with a suffix of four characters it has 255 bytes, as many as a name may have


def test_a_name_that_grows_too_long_keeps_its_row_and_the_rest_goes_on(
    recognizer: Recognizer, photo: Callable[..., Path], tmp_path: Path
) -> None:
    for name in ("b.png", f"{LONG}.png"):
        photo(f"in/{name}")
    out = {"draw": tmp_path / "drawn", "faces": tmp_path / "crops"}
    done, rows = run(recognizer, [str(tmp_path / "in")], tmp_path / "out.csv", **out)
    assert [Path(row["source"]).name for row in rows] == ["b.png", f"{LONG}.png"]
    assert {path.name for path in out["draw"].iterdir()} == {"b.jpg", f"{LONG}.jpg"}  # 255 bytes
    assert [path.name[:8] for path in out["faces"].iterdir()] == ["b-face0-"]  # the other one has some 20 more
    assert [(path.name, "its name is too long; choose a shorter one" in reason) for path, reason in done.failed] == [(f"{LONG}.png", True)]


def test_films_that_no_mp4_can_be_made_of_keep_their_rows_and_the_rest_goes_on(
    recognizer: Recognizer, clip: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    clip("in/a.mkv", frames=3, size=(17_000, 64))  # H.264 has 16,384 pixels a side at most
    clip(f"in/{LONG}.mkv", frames=3)
    clip(f"in/{LONG}.mp4", frames=3)  # so that the copies of the two have one more suffix
    clip("in/y.mkv", frames=3)
    done, rows = run(recognizer, [str(tmp_path / "in")], tmp_path / "out.csv", draw=tmp_path / "drawn", every=2)
    names = ["a.mkv", f"{LONG}.mkv", f"{LONG}.mp4", "y.mkv"]
    assert [(Path(row["source"]).name, row["frame"]) for row in rows if row["face"] in ("", "0")] == [
        (name, frame) for name in names for frame in ("0", "2")
    ]
    assert [path.name for path, _ in done.failed] == names[:3]
    assert f"{tmp_path / 'in' / 'a.mkv'}: no MP4 can be made of it" in done.failed[0][1]
    assert all("its name is too long" in reason for _, reason in done.failed[1:])
    assert [path.name for path in (tmp_path / "drawn").iterdir()] == ["y.mp4"]


def test_a_copy_that_fails_half_way_takes_no_row_along(
    recognizer: Recognizer, clip: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = VideoWriter.write

    def write(self: VideoWriter, image: np.ndarray, time: float) -> None:
        if time > 0.45:
            raise DataError("the encoder gave up")
        whole(self, image, time)

    monkeypatch.setattr(VideoWriter, "write", write)
    path = clip(frames=12)
    done, rows = run(recognizer, [str(path)], tmp_path / "out.csv", draw=tmp_path / "drawn", every=3)
    assert sorted({int(row["frame"]) for row in rows}) == [0, 3, 6, 9]
    assert done.failed == [(path, "the encoder gave up")]
    assert list((tmp_path / "drawn").iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="other systems want file names in UTF-8")
def test_a_name_that_is_no_utf_8(recognizer: Recognizer, photo: Callable[..., Path], tmp_path: Path) -> None:
    path = photo("in/a.png", ((10, 10),))
    path.rename(os.fsdecode(os.fsencode(path.parent) + b"/caf\xe9.png"))
    for kind in ("csv", "json", "jsonl", "parquet", "text"):
        with open_writer(tmp_path / f"out.{kind}", kind, recognizer.class_names) as writer:
            assert predict_inputs(recognizer, find_inputs([str(tmp_path / "in")]), writer).failed == []
    assert "caf\\xe9.png,0" in (tmp_path / "out.csv").read_text()


def test_a_missing_video_extra_is_told_before_the_pictures(
    recognizer: Recognizer, photo: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo("in/a.png")
    (tmp_path / "in" / "b.mov").touch()
    monkeypatch.setitem(sys.modules, "av", None)
    done = Summary()
    with pytest.raises(MissingExtra, match="video"):
        run(recognizer, [str(tmp_path / "in")], tmp_path / "out.csv", summary=done)
    assert done.pictures == 0
