"""Folders whose names are no UTF-8: data may lie there, a run may not."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from evenface.data.manifest import Manifest
from evenface.errors import ConfigError, DataError
from evenface.training.config import TrainConfig
from evenface.training.run import resume, train


ODD = os.fsdecode(b"faces\xe9")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems want file names in UTF-8")


@pytest.mark.parametrize("store", ["memory", "memmap"])
def test_data_in_an_odd_place(settings: Callable[..., TrainConfig], tiny_set: Path, tmp_path: Path, store: str) -> None:
    whole = Manifest.load(tiny_set)
    for row, (split, label) in enumerate(zip(*(whole.table[name].to_pylist() for name in ("split", "label")), strict=True)):
        place = tmp_path / ODD / split / label / f"{row}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(whole.image_bytes(row))
    config = settings(dataset="folder", data_dir=str(tmp_path / ODD), store=store)
    train(config, command=["evenface", "train", "--data-dir", "x", "--exclude", str(tmp_path / ODD)])
    card = (config.folder / "best" / "README.md").read_text(encoding="utf-8")
    assert r"faces\xe9" in card
    resume(config.folder)  # it has ended, and its config can be read


def test_tables_in_an_odd_place_are_refused(settings: Callable[..., TrainConfig], tiny_set: Path, tmp_path: Path) -> None:
    (tmp_path / ODD).mkdir()
    moved = shutil.copy(tiny_set, tmp_path / ODD / "tiny.parquet")
    with pytest.raises(DataError, match=r"Tables cannot be read from .*faces\\xe9/tiny\.parquet, for that name is no UTF-8"):
        train(settings(data_dir=str(moved)))


def test_a_run_in_an_odd_place_is_refused(settings: Callable[..., TrainConfig], tmp_path: Path) -> None:
    config = settings(output=str(tmp_path / ODD))
    with pytest.raises(ConfigError, match=r"The place of the run, .*faces\\xe9, is no UTF-8; choose another -o/--output"):
        train(config)
    assert not config.folder.exists()
