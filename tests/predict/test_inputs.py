"""Words of the command line to files: folders, patterns, films, cameras, and what is refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from evenface.errors import ConfigError, DataError
from evenface.predict.inputs import find_inputs


@pytest.fixture
def tree(tmp_path: Path, photo: Callable[..., Path]) -> Path:
    for name in ("a.png", "b/c.jpg", "b/.hidden.png", ".cache/x.png", "b/d.JPG"):
        photo(name)
    (tmp_path / "b" / "clip.mp4").write_bytes(b"x")
    (tmp_path / "b" / "notes.txt").write_text("x")
    return tmp_path


def names(paths: tuple[Path, ...], root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in paths]


def test_a_folder_is_searched_in_order_without_hidden_files(tree: Path) -> None:
    found = find_inputs([str(tree)])
    assert names(found.pictures, tree) == ["a.png", "b/c.jpg", "b/d.JPG"]
    assert names(found.films, tree) == ["b/clip.mp4"]
    assert not found.single


def test_a_pattern_that_the_shell_left_alone(tree: Path) -> None:
    assert names(find_inputs([str(tree / "**" / "*.[jJ]*")]).pictures, tree) == ["b/c.jpg", "b/d.JPG"]
    assert names(find_inputs([str(tree / "b*")]).films, tree) == ["b/clip.mp4"]


def test_a_file_named_twice_is_looked_at_once(tree: Path) -> None:
    assert len(find_inputs([str(tree / "a.png"), str(tree)]).pictures) == 3


def test_one_picture_by_itself(tree: Path) -> None:
    assert find_inputs([str(tree / "a.png")]).single
    assert not find_inputs([str(tree / "b" / "clip.mp4")]).single
    assert not find_inputs([str(tree / "a.*")]).single


def test_cameras(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree)
    assert find_inputs(["webcam", "2", "0"]).cameras == (0, 2)
    (tree / "7").mkdir()
    with pytest.raises(DataError, match="holds no picture"):  # a folder of that name comes first
        find_inputs(["7"])


def test_copies_keep_the_folders_and_never_meet(tree: Path, photo: Callable[..., Path]) -> None:
    photo("b/c.png")
    found = find_inputs([str(tree)])
    copies = [found.place(path, Path("out"), ".jpg").as_posix() for path in found.pictures]
    assert copies == ["out/a.jpg", "out/b/c.jpg.jpg", "out/b/c.png.jpg", "out/b/d.jpg"]


@pytest.mark.parametrize(
    ("word", "error", "message"),
    [
        ("nothing.jpg", ConfigError, "There is no file or folder"),
        ("https://example.org/a.jpg?x=1", ConfigError, r"^https://example\.org/a\.jpg\?x=1 is an address, .*download it first"),
        ("empty", DataError, "holds no picture or film"),
        ("*.tif", DataError, "No picture or film matches"),
        ("b/notes.txt", DataError, "is no picture or film"),
    ],
)
def test_what_is_not_there_is_told(tree: Path, monkeypatch: pytest.MonkeyPatch, word: str, error: type[Exception], message: str) -> None:
    monkeypatch.chdir(tree)
    (tree / "empty").mkdir()
    with pytest.raises(error, match=message):
        find_inputs([word])
    with pytest.raises(ConfigError, match="Say what to look at"):
        find_inputs([])


def test_links_keep_their_names_and_each_file_is_looked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in" / "sub").mkdir(parents=True)
    (tmp_path / "real").mkdir()
    for name in ("in/a.jpg", "in/sub/b.jpg", "real/c.jpg"):
        (tmp_path / name).touch()
    links = {"x1.jpg": "a.jpg", "x2.jpg": "a.jpg", "linked": "../real", "loop": ".", "self.jpg": "self.jpg"}
    for name, target in links.items():
        (tmp_path / "in" / name).symlink_to(target)
    monkeypatch.chdir(tmp_path)
    names = ["in/a.jpg", "in/self.jpg", "in/x1.jpg", "in/x2.jpg", "in/linked/c.jpg", "in/sub/b.jpg"]
    found = find_inputs(["in"])
    assert [str(path) for path in found.pictures] == names
    copies = [str(found.place(path, Path("out"), ".png")) for path in found.pictures]
    assert copies == [name.replace("in/", "out/").replace(".jpg", ".png") for name in names]
    assert find_inputs(["in", "in/a.jpg", str(tmp_path / "in" / "a.jpg")]).pictures == found.pictures
    assert len(find_inputs(["in/**/*.jpg"]).pictures) == len(names)  # through the loop it would be 40 times as many
    real = tmp_path / "years"
    (real / "2024" / "deep").mkdir(parents=True)
    for name in ("2024/a.jpg", "2024/deep/b.jpg"):
        (real / name).touch()
    for name, target in (("a-link", "2024"), ("deep-link", "2024/deep"), ("up", "..")):
        (real / name).symlink_to(target)
    found = [str(path.relative_to(real)) for path in find_inputs([str(real)]).pictures]
    assert found[:2] == ["2024/a.jpg", "2024/deep/b.jpg"]  # under their own names, and once
    assert all(name.startswith("up/") for name in found[2:])
    assert not any("years" in name for name in found)
    (tmp_path / "in" / "a.png").touch()  # the twin of a file that was named in another way
    twins = find_inputs(["in/a.jpg", str(tmp_path / "in" / "a.png")])
    assert [twins.place(path, Path("out"), ".jpg").name for path in twins.pictures] == ["a.jpg.jpg", "a.png.jpg"]


def test_words_that_are_odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("~x.jpg").touch()
    assert find_inputs(["~x.jpg"]).pictures == (Path("~x.jpg"),)
    with pytest.raises(ConfigError, match=r"no file or folder ~nobody-of-that-name/x\.jpg"):
        find_inputs(["~nobody-of-that-name/x.jpg"])
    with pytest.raises(ConfigError, match="no file or folder 20240101120000"):
        find_inputs(["20240101120000"])
    assert find_inputs(["11"]).cameras == (11,)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the root user may read everything")
def test_a_subfolder_that_may_not_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    (tmp_path / "closed").mkdir(mode=0)
    found = find_inputs([str(tmp_path)])
    assert [(path.name, reason) for path, reason in found.unreadable] == [("closed", "Permission denied")]


def test_what_an_earlier_run_made_is_left_out(tree: Path, photo: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    photo("drawn/a.jpg")
    photo("b/crops/c-face0-fear.png")
    results = [tree / "drawn", tree / "b" / "crops", tree / "not there", None]
    found = find_inputs([str(tree)], results)
    assert names(found.pictures, tree) == ["a.png", "b/c.jpg", "b/d.JPG"]
    assert names(found.left_out, tree) == ["b/crops", "drawn"]
    assert find_inputs([str(tree)]).left_out == ()
    monkeypatch.chdir(tree)
    for pattern in ("**/*.*g", "./**/*.[pj][pn]g"):
        found = find_inputs([pattern], results)
        assert sorted(path.as_posix() for path in found.pictures) == ["a.png", "b/c.jpg"], pattern
    assert names(find_inputs(["drawn"], results).pictures, Path()) == ["drawn/a.jpg"]  # what is named itself is meant
    assert names(find_inputs(["drawn/*"], results).pictures, Path()) == ["drawn/a.jpg"]
    assert names(find_inputs(["drawn/a.jpg"], results).pictures, Path()) == ["drawn/a.jpg"]


def test_a_picture_that_is_called_as_a_frame_has_a_place_of_its_own(tmp_path: Path) -> None:
    names = ["a.mp4", "a-frame000000.png", "b-frame000000.png", "a-frame1.png"]
    for name in names:
        (tmp_path / name).touch()
    inputs = find_inputs([str(tmp_path)])
    places = {name: inputs.place(tmp_path / name, Path("out"), "").name for name in names}
    assert places == {
        "a.mp4": "a",
        "a-frame000000.png": "a-frame000000.png",
        "b-frame000000.png": "b-frame000000",
        "a-frame1.png": "a-frame1",
    }


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes of POSIX")
def test_a_pipe_in_a_folder_is_no_picture(tmp_path: Path, photo: Callable[..., Path]) -> None:
    photo("in/a.png")
    os.mkfifo(tmp_path / "in" / "b.jpg")
    found = find_inputs([str(tmp_path / "in")])
    assert names(found.pictures, tmp_path / "in") == ["a.png"]
    assert found.unreadable == ((tmp_path / "in" / "b.jpg", "it is no file"),)


@pytest.mark.parametrize("turned", [False, True])
def test_no_two_inputs_have_one_place(tmp_path: Path, turned: bool) -> None:
    """Neither by their suffixes nor by the names that others have got; the same for the same inputs in another order."""
    names = ["a.jpg", "a.png", "a.jpg.jpg", "a.jpg.jpg.jpg", "b.png", "c.png", "c", "sub/a.png", "camera0.mkv", "camera1.mkv"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    words = [str(tmp_path / name) for name in names] + ["webcam"]
    inputs = find_inputs(words[::-1] if turned else words)
    assert inputs.root == tmp_path
    places = {name: inputs.place(tmp_path / name, Path("out"), ".x").as_posix() for name in [*names, "camera0"]}
    assert places == {
        "a.jpg": "out/a.jpg.x", "a.png": "out/a.png.x", "a.jpg.jpg": "out/a.jpg.jpg.x", "a.jpg.jpg.jpg": "out/a.jpg.jpg.jpg.x",
        "b.png": "out/b.x", "c.png": "out/c.png.x", "c": "out/c.x", "sub/a.png": "out/sub/a.x",
        "camera0.mkv": "out/camera0.mkv.x", "camera0": "out/camera0.x", "camera1.mkv": "out/camera1.x",
    }  # fmt: skip
    assert len(set(places.values())) == len(places)
