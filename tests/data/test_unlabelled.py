"""A folder of faces without labels."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from evenface.data.unlabelled import read_unlabelled
from evenface.errors import DataError


def test_every_image_at_any_depth_in_order(tmp_path: Path) -> None:
    for name in ("b.png", "deep/er/a.jpg", ".hidden/c.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    (tmp_path / "notes.txt").touch()
    found = read_unlabelled(tmp_path, ("anger", "fear"))
    assert found.ids() == ["b.png", "deep/er/a.jpg"]
    assert found.splits == ("train",)
    assert found.class_names == ("anger", "fear")


@pytest.mark.parametrize("make", [False, True])
def test_nothing_there_is_one_clear_error(tmp_path: Path, make: bool) -> None:
    folder = tmp_path / "faces"
    if make:
        folder.mkdir()
        (folder / "notes.txt").touch()
    with pytest.raises(DataError, match="unlabelled faces"):
        read_unlabelled(folder, ("anger", "fear"))
