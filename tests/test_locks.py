"""Locks hold against other processes and end with the one that holds them."""

from __future__ import annotations

import contextlib
import errno
import subprocess
import sys
from pathlib import Path

import pytest

from evenface.locks import alone_in, lock_file


fcntl = pytest.importorskip("fcntl")

HOLDER = """
import fcntl, os, sys, time
handle = os.open(sys.argv[1], os.O_RDONLY)
fcntl.flock(handle, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(60)
"""


def test_another_process_keeps_us_out_until_it_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(KeyError, match="busy"), alone_in(tmp_path, KeyError("busy")):
            pytest.fail("two are in")
        other.kill()
        with alone_in(tmp_path) as held:  # waits for the kernel to let go
            assert held
    assert list(tmp_path.iterdir()) == []


def test_of_two_in_one_process_the_second_waits_outside(tmp_path: Path) -> None:
    with alone_in(tmp_path, KeyError("first")):
        with pytest.raises(KeyError, match="second"), alone_in(tmp_path, KeyError("second")):
            pytest.fail("two are in")
        with contextlib.ExitStack() as stack:
            file = stack.enter_context((tmp_path / "log").open("wb"))
            again = stack.enter_context((tmp_path / "log").open("ab"))
            assert lock_file(file)
            assert not lock_file(again)
        with (tmp_path / "log").open("ab") as file:
            assert lock_file(file)
    with alone_in(tmp_path, KeyError("third")) as held:
        assert held


def test_a_disk_without_locks_keeps_nobody_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unknown)
    with alone_in(tmp_path, KeyError("busy")) as held:
        assert not held
    with (tmp_path / "log").open("wb") as file:
        assert lock_file(file)
