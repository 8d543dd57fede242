"""A pass that is stopped goes on behind its last whole part."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from evenface.audit.parts import Arrays, in_parts


class Look:
    """Squares of the rows; notes the ranges, and is interrupted at one."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.seen: list[range] = []
        self.stop_at = stop_at

    def __call__(self, part: range) -> Arrays:
        if part.start == self.stop_at:
            raise KeyboardInterrupt
        self.seen.append(part)
        return {"square": np.array(part) ** 2, "name": np.array([f"row {i}" for i in part])}


def quiet(done: int) -> None:
    pass


def test_parts_are_joined(tmp_path: Path) -> None:
    told: list[int] = []
    found = in_parts(tmp_path, "x-0a", 10, Look(), told.append, rows=4)
    assert found["square"].tolist() == [i * i for i in range(10)]
    assert found["name"].tolist() == [f"row {i}" for i in range(10)]
    assert told == [4, 8, 10]


def test_a_stopped_pass_goes_on(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        in_parts(tmp_path, "x-0a", 10, Look(stop_at=8), quiet, rows=4)
    again = Look()
    found = in_parts(tmp_path, "x-0a", 10, again, quiet, rows=4)
    assert again.seen == [range(8, 10)]
    assert found["square"].tolist() == [i * i for i in range(10)]


@pytest.mark.parametrize("damage", ["cut", "empty", "other"])
def test_a_damaged_part_is_made_again(tmp_path: Path, damage: str) -> None:
    in_parts(tmp_path, "x-0a", 10, Look(), quiet, rows=4)
    part = tmp_path / "x-0a" / "000000004.npz"
    whole = part.read_bytes()
    part.write_bytes({"cut": whole[: len(whole) // 2], "empty": b"", "other": b"no archive"}[damage])
    again = Look()
    found = in_parts(tmp_path, "x-0a", 10, again, quiet, rows=4)
    assert again.seen == [range(4, 8)]
    assert found["square"].tolist() == [i * i for i in range(10)]


def test_another_key_takes_the_place_of_the_pass_and_of_no_other(tmp_path: Path) -> None:
    for name in ("x-0a", "xy-0a", "y-0a"):
        in_parts(tmp_path, name, 3, Look(), quiet)
    (tmp_path / "x-mine").mkdir()
    in_parts(tmp_path, "x-0b", 3, Look(), quiet)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x-0b", "x-mine", "xy-0a", "y-0a"]
