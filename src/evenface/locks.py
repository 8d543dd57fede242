"""Locks that end with the process that holds them, however that ends.

with alone_in(folder, TrainingError("Another process ...")):       # raises it at once; without an error it waits
    ...

On a shared disk that knows `flock`, as NFS 4 does, locks on files hold between machines too; those on folders hold on one machine only.
Windows, and disks that know none, keep nobody out.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO


@contextlib.contextmanager
def alone_in(folder: Path, busy: Exception | None = None) -> Iterator[bool]:
    """Keeps others out of a folder that exists; nothing is written into it for that. Gives whether it could.

    Args:
        busy: raised where another process, or another part of this one, is in it; None waits.
    """
    if os.name != "posix":
        yield False
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        held = _lock(handle, wait=busy is None)
        if held is False and busy is not None:
            raise busy
        yield held is True
    finally:
        os.close(handle)


def lock_file(file: IO[bytes]) -> bool:
    """Locks an open file for all who hold it open, such as the processes that have it as their output; False where others hold it."""
    return _lock(file.fileno(), wait=False) is not False


def _lock(handle: int, wait: bool) -> bool | None:
    """Whether it is locked now; None where nobody can be kept out."""
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError:  # a disk that knows no locks
        return None
    return True
