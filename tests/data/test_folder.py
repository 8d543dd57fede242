from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from evenface.data.folder import read_folder
from evenface.data.unlabelled import read_unlabelled
from evenface.errors import DataError, LabelError


Picture = Callable[..., Path]


@pytest.mark.parametrize(
    ("val", "expected"), [("val", "validation"), ("valid", "validation"), ("Validation", "validation"), ("dev", "validation")]
)
def test_splits_classes_and_order(tmp_path: Path, picture: Picture, val: str, expected: str) -> None:
    for file in (
        "train/Happy/b.jpg",
        "train/Happy/a.png",
        "train/angry/1.JPG",
        "train/contempt/x.webp",
        f"{val}/happiness/c.jpg",
        "test/anger/d.bmp",
    ):
        picture(tmp_path / file)
    m = read_folder(tmp_path)
    assert m.class_names == ("happiness", "anger", "contempt")
    assert m.splits == ("train", expected, "test")
    assert m.split("train").ids() == ["train/Happy/a.png", "train/Happy/b.jpg", "train/angry/1.JPG", "train/contempt/x.webp"]
    assert m.split("train").table["label"].to_pylist() == ["happiness", "happiness", "anger", "contempt"]
    assert m.name == tmp_path.name
    assert all(m.image_bytes(row) for row in range(len(m)))


@pytest.mark.skipif(os.name == "nt", reason="links of POSIX")
def test_linked_folders_are_read_and_loops_end(tmp_path: Path, picture: Picture) -> None:
    root, other = tmp_path / "set", tmp_path / "elsewhere"
    for file in (root / "train" / "fear" / "a.jpg", other / "x" / "b.jpg", other / "c.jpg"):
        picture(file)
    (root / "train" / "fear" / "more").symlink_to(other)
    (other / "again").symlink_to(root / "train" / "fear")  # a loop
    (root / "train" / "fear" / "gone.jpg").symlink_to(tmp_path / "gone.jpg")  # to nowhere
    assert read_folder(root).ids() == ["train/fear/a.jpg", "train/fear/more/c.jpg", "train/fear/more/x/b.jpg"]
    assert read_unlabelled(root, ("fear",)).ids() == ["train/fear/a.jpg", "train/fear/more/c.jpg", "train/fear/more/x/b.jpg"]


def test_hidden_files_and_files_that_are_no_images_are_passed_over(tmp_path: Path, picture: Picture) -> None:
    picture(tmp_path / "train" / "fear" / "sub" / "a.jpg")
    picture(tmp_path / "train" / "fear" / "._a.jpg")
    picture(tmp_path / "train" / "fear" / ".cache" / "a.jpg")
    picture(tmp_path / "train" / ".ipynb_checkpoints" / "a.jpg")
    picture(tmp_path / ".git" / "a.jpg")
    picture(tmp_path / "other" / "a.jpg")
    for name in ("train/fear/Thumbs.db", "train/readme.txt", "train/fear/.DS_Store"):
        (tmp_path / name).touch()
    assert read_folder(tmp_path).ids() == ["train/fear/sub/a.jpg"]


def test_an_unknown_class_folder_names_the_nearest(tmp_path: Path, picture: Picture) -> None:
    picture(tmp_path / "train" / "hapiness" / "a.jpg")
    with pytest.raises(LabelError, match=r"'hapiness'; did you mean 'happiness'\? \(class folder .*train.hapiness\)"):
        read_folder(tmp_path)


@pytest.mark.parametrize("empty", ["train", "test"])
def test_a_class_without_a_train_image(tmp_path: Path, picture: Picture, empty: str) -> None:
    picture(tmp_path / "train" / "fear" / "a.jpg")
    (tmp_path / empty / "anger").mkdir(parents=True)  # an empty folder in train, or a class that only test has
    with pytest.raises(DataError, match="No train image of anger"):
        read_folder(tmp_path)


def test_a_set_for_tests_only_needs_no_train(tmp_path: Path, picture: Picture) -> None:
    picture(tmp_path / "test" / "fear" / "a.jpg")
    assert read_folder(tmp_path).splits == ("test",)


def test_a_name_that_is_not_utf_8_is_told(tmp_path: Path, picture: Picture) -> None:
    bytes_of = os.fsencode(picture(tmp_path / "train" / "fear" / "a.jpg"))
    try:
        os.rename(bytes_of, bytes_of.replace(b"a.jpg", b"caf\xe9.jpg"))
    except OSError:
        pytest.skip("this file system takes names in UTF-8 only")
    for read in (read_folder, lambda root: read_unlabelled(root, ("fear",))):
        with pytest.raises(DataError, match=r"train/fear/caf\\xe9\.jpg is not UTF-8; rename it"):
            read(tmp_path)


def test_misuse(tmp_path: Path, picture: Picture) -> None:
    with pytest.raises(DataError, match=r"does not exist\. Expected under it:\n  train/happiness"):
        read_folder(tmp_path / "none")
    with pytest.raises(DataError, match="is empty"):
        read_folder(tmp_path)
    picture(tmp_path / "happiness" / "a.jpg")
    with pytest.raises(DataError, match="no layout that the reader knows"):
        read_folder(tmp_path)
    (tmp_path / "train").mkdir()
    with pytest.raises(DataError, match="not one image"):
        read_folder(tmp_path)
    (tmp_path / "val").mkdir()
    (tmp_path / "valid").mkdir()
    with pytest.raises(DataError, match="both the validation split"):
        read_folder(tmp_path)
