"""Files are written whole or not at all."""

from __future__ import annotations

import os
import secrets
import time
from pathlib import Path
from typing import IO

import pytest
import torch

from evenface.errors import DataError, StorageError
from evenface.files import clear_aside, write_aside, write_text
from evenface.training.checkpoint import save_state


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
@pytest.mark.parametrize("numbers", [3, 1_000_000])
def test_a_full_disk(tmp_path: Path, numbers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file that is written aside is led to /dev/full, which has no space ever."""
    path = tmp_path / "last.ckpt"
    save_state(path, {"epoch": 1})
    before = path.read_bytes()
    monkeypatch.setattr(secrets, "token_hex", lambda count: "0" * 2 * count)
    (tmp_path / ".last.ckpt.00000000.part").symlink_to("/dev/full")
    with pytest.raises(StorageError, match=r"The disk is full: .*last.ckpt could not be saved"):
        save_state(path, {"weights": torch.zeros(numbers)})
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["last.ckpt"]


def test_a_folder_is_made_and_one_that_cannot_be_is_named(tmp_path: Path) -> None:
    write_text(tmp_path / "new" / "log.csv", "grün")
    assert (tmp_path / "new" / "log.csv").read_bytes() == "grün".encode()
    with pytest.raises(StorageError, match=r"x.csv cannot be written"):
        write_text(tmp_path / "new" / "log.csv" / "x.csv", "x")
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["log.csv"]


def test_a_write_that_fails_half_way_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "before")

    def half(file: IO[bytes]) -> None:
        file.write(b"aft")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_aside(path, half)
    assert path.read_text() == "before"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_what_is_no_matter_of_the_disk_is_not_called_so(tmp_path: Path) -> None:
    with pytest.raises(AttributeError):
        save_state(tmp_path / "x", {"value": lambda: None})
    assert not list(tmp_path.iterdir())


def test_a_second_writer_of_the_same_file_mixes_nothing(tmp_path: Path) -> None:
    """It begins and ends while the first is half-way; each leaves its own text, whole."""
    path = tmp_path / "metrics.json"
    between: list[str] = []

    def slow(file: IO[bytes]) -> None:
        file.write(b"first, ")
        file.flush()
        write_text(path, "second")
        between.append(path.read_text())
        file.write(b"to the end")

    write_aside(path, slow)
    assert between == ["second"]
    assert path.read_text() == "first, to the end"
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.json"]


def test_what_killed_processes_left_is_removed_after_a_day(tmp_path: Path) -> None:
    left = {".a.txt.0123abcd.part": 2 * 86400, ".b.npz.89abcdef.part": 2 * 86400, ".a.txt.deadbeef.part": 3600}
    others = {"a.txt.0123abcd.part": 2 * 86400, ".notes.part": 2 * 86400, ".a.txt.holidays.part": 2 * 86400}
    for name, age in (left | others).items():
        (tmp_path / name).write_bytes(b"half")
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    write_text(tmp_path / "a.txt", "whole")
    assert {p.name for p in tmp_path.iterdir()} == {"a.txt", ".a.txt.deadbeef.part", *others}
    assert (tmp_path / "a.txt").read_text() == "whole"


def test_a_long_name_is_written_by_way_of_a_short_one(tmp_path: Path) -> None:
    """A name has 255 bytes at most; what a killed process left of such a file is removed like any other."""
    path = tmp_path / ("ü" * 125 + ".json")  # 255 bytes
    left = []
    write_aside(path, lambda file: left.extend(tmp_path.iterdir()))
    assert path.is_file()
    left[0].touch()
    clear_aside(tmp_path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_name_that_is_too_long_is_no_fault_of_the_disk(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="its name is too long; choose a shorter one"):
        write_text(tmp_path / ("x" * 256), "text")
    assert list(tmp_path.iterdir()) == []
