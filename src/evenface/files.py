"""Writing files so that a kill or a full disk at any moment leaves the old one or the whole new one, never a part under its name."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO

from evenface.errors import StorageError


def write_aside(path: str | os.PathLike[str], write: Callable[[IO[bytes]], object]) -> None:
    """Calls `write` with a file beside `path`, flushes it to the disk, then renames it. Missing folders are made.

    Raises:
        StorageError: it cannot be written, such as on a full disk; what stood under `path` before is untouched.
    """
    path = Path(path)
    aside = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(aside, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except (OSError, RuntimeError) as error:
        cause = _os_error(error)
        if cause is None:
            raise
        raise cannot_write(path, cause) from error
    finally:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """A text file in UTF-8."""
    write_aside(path, lambda file: file.write(text.encode()))


def cannot_write(path: Path, cause: OSError) -> StorageError:
    """The error for a path that cannot be written, with its reason."""
    if cause.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageError(f"The disk is full: {path} could not be saved; free some space. What was saved before is whole.")
    return StorageError(f"{path} cannot be written ({cause.strerror or cause}); choose another place or give access to it.")


def _os_error(error: BaseException | None) -> OSError | None:
    """The system's error behind one of torch.save, which covers it with a RuntimeError of its archive writer."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__ or error.__context__
    return error
