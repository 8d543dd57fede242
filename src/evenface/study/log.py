"""`study.log` of a run folder: what its training says, and the lock that keeps two processes from the same run.

The log lies beside the run folder until the training has made that (`train` refuses a folder that holds something). Whoever works on a
run holds a lock on its log as long as it lives, so that a second study, or one that was started anew while a process of a killed one
still works, leaves that run alone.
"""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import IO

from evenface.locks import lock_file
from evenface.training.stillborn import is_stillborn


def log_of(folder: Path) -> Path:
    """Where a run's log lies now."""
    inside, beside = folder / "study.log", _beside(folder)
    return inside if inside.exists() or (folder.is_dir() and not beside.exists()) else beside


def open_log(folder: Path) -> IO[bytes] | None:
    """The log, locked and open for more, what a killed training left before its first state cleared away; None where another process is
    at work on the run.
    """
    path = log_of(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    log = path.open("ab")
    if not lock_file(log):
        log.close()
        return None
    if is_stillborn(folder):
        if (folder / "study.log").exists():
            (folder / "study.log").rename(_beside(folder))
        shutil.rmtree(folder)
    return log


def house_log(folder: Path) -> None:
    """Moves the log into the run folder as soon as the training has made it; a process that has it open goes on writing to it."""
    beside = _beside(folder)
    if beside.exists() and (folder / "config.yaml").is_file() and not (folder / "study.log").exists():
        with contextlib.suppress(OSError):  # some systems move no open file
            beside.rename(folder / "study.log")


def last_line(folder: Path) -> str:
    """The last line of the log that says something; empty where there is none."""
    try:
        lines = log_of(folder).read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _beside(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.log")
