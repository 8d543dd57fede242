"""`evenface.data.load_dataset`: names, options, and where each set is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from evenface.data import DATASETS, WITHOUT_FOLDER, load_dataset
from evenface.data.layout import require_every_class
from evenface.data.manifest import Manifest
from evenface.errors import ConfigError, DataError


Picture = Callable[..., Path]


def test_the_names() -> None:
    assert sorted(DATASETS) == ["affectnet", "ferplus", "folder", "manifest", "rafdb", "synthetic"]


def test_an_unknown_name_has_its_nearest() -> None:
    with pytest.raises(ConfigError, match="Unknown dataset 'ferpluss'; did you mean 'ferplus'"):
        load_dataset("ferpluss", "x")


@pytest.mark.parametrize("name", sorted(set(DATASETS) - WITHOUT_FOLDER))
def test_a_folder_is_needed_and_said_when_missing(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"'{name}' needs its folder; give it with --data-dir"):
        load_dataset(name, None)
    for folder, reason in (("none", "does not exist"), (".", "(is empty|no layout)")):
        with pytest.raises(DataError, match=reason) as caught:
            load_dataset(name, tmp_path / folder)
        first, *tree = str(caught.value).splitlines()
        assert first.endswith("Expected under it:")
        assert tree


@pytest.mark.parametrize("name", ["rafdb", "affectnet", "folder", "manifest", "synthetic"])
def test_an_option_that_a_set_lacks(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"'{name}' has no votes"):
        load_dataset(name, tmp_path, labels="max")


def test_seven_or_eight(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="7 or 8 classes here, not 6"):
        load_dataset("ferplus", tmp_path, classes=6)


def test_strings_and_paths_are_folders(tmp_path: Path, picture: Picture) -> None:
    picture(tmp_path / "train" / "fear" / "a.jpg")
    assert load_dataset("folder", str(tmp_path)).ids() == load_dataset("folder", tmp_path).ids() == ["train/fear/a.jpg"]


def test_every_class_needs_a_train_face(make: Callable[..., Manifest]) -> None:
    good = make({"train": {"fear": 1, "anger": 1}})
    assert require_every_class(good) is good
    with pytest.raises(DataError, match="No train image of fear in 'made'"):
        require_every_class(make({"train": {"fear": 0, "anger": 1}}))


def test_originals_are_for_sets_that_have_both(tmp_path: Path, picture: Picture) -> None:
    (tmp_path / "list_patition_label.txt").write_text("".join(f"{split}_{i}.jpg {i}\n" for split in ("train", "test") for i in range(1, 8)))
    for split in ("train", "test"):
        for i in range(1, 8):
            for place in ("Image/original/{}.jpg", "Image/aligned/{}_aligned.jpg"):
                picture(tmp_path / place.format(f"{split}_{i}"))
    for original, place in ((True, "original"), (False, "aligned")):
        found = load_dataset("rafdb", tmp_path, original=original)
        assert all(place in image["path"] for image in found.table["image"].to_pylist())
    picture(tmp_path / "faces/train/fear/1.png")
    assert len(load_dataset("folder", tmp_path / "faces", original=True)) == 1
