"""Writing files so that a kill or a full disk at any moment leaves the old one or the whole new one, never a part under its name.

write_text("log.csv", "a,b")          # by way of .log.csv.1f2e3d4c.part, a name that no other process has
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import os
import re
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from evenface.errors import ConfigError, DataError, StorageError


_ABANDONED = 24 * 3600  # seconds after which a half-written file belongs to a process that was killed
_ASIDE = f".*.{'[0-9a-f]' * 8}.part"
_LONGEST = 255  # bytes of a name that every disk takes


def write_aside(path: str | os.PathLike[str], write: Callable[[IO[bytes]], object]) -> None:
    """Calls `write` with a file beside `path`, flushes it to the disk, then renames it. Missing folders are made.

    Two processes may write the same path: the last one to finish stands, whole. What killed ones left in the folder is removed a day later.

    Raises:
        StorageError: it cannot be written, such as on a full disk; what stood under `path` before is untouched.
        DataError: the name is too long.
    """
    path = Path(path)
    aside = aside_of(path, secrets.token_hex(4))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        clear_abandoned(path.parent.absolute())
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


def aside_of(path: Path, mark: str = "") -> Path:
    """Where a file is written until it is whole: beside `path`, hidden, by its name and `mark`, or a short one where that gets too long."""
    name = ".".join(["", path.name, *([mark] if mark else []), "part"])
    if len(os.fsencode(name)) > _LONGEST:
        name = f".long-name.{mark or hashlib.blake2b(os.fsencode(path.name), digest_size=4).hexdigest()}.part"  # `_ASIDE` finds it, too
    return path.with_name(name)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """A text file in UTF-8."""
    write_aside(path, lambda file: file.write(text.encode()))


def printable(path: str | os.PathLike[str]) -> str:
    """A path as text that any file can hold: bytes that are no UTF-8 stand as `\\xe9`."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def require_no_address(given: object) -> None:
    """Tells that nothing is fetched, by the address as it was typed: a path made of it has lost a slash.

    Raises:
        ConfigError: it is text such as https://example.org/a.jpg.
    """
    if isinstance(given, str) and re.match(r"[a-z][a-z0-9+.-]*://", given, re.IGNORECASE):
        raise ConfigError(f"{given} is an address, and nothing is fetched from the net; download it first and give the file's path.")


def require_writable(folder: Path) -> None:
    """Tells before long work that its result could not be kept.

    Raises:
        StorageError: nothing can be written in the folder, or it cannot be made.
    """
    folder = folder.absolute()
    place = next(each for each in (folder, *folder.parents) if each.exists())
    if not place.is_dir():
        raise cannot_write(folder, NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)))
    if not os.access(place, os.W_OK):
        raise cannot_write(folder, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))


def clear_aside(folder: Path, older: float = 0.0) -> None:
    """Removes what killed processes left half-written in a folder, `older` seconds ago at least: 0 only where nobody else writes there."""
    with contextlib.suppress(OSError):
        for part in list(folder.glob(_ASIDE)):
            with contextlib.suppress(OSError):
                if part.is_file() and time.time() - part.stat().st_mtime >= older:
                    part.unlink()


@functools.cache  # once per process: a folder may hold many thousand pictures
def clear_abandoned(folder: Path) -> None:
    """Removes what processes that were killed a day ago or longer left half-written in a folder."""
    clear_aside(folder, _ABANDONED)


def cannot_write(path: Path, cause: OSError) -> StorageError | DataError:
    """The error for a path that cannot be written, with its reason; a DataError where it is the name's fault, not the disk's."""
    if cause.errno == errno.ENAMETOOLONG:
        return DataError(f"{path} cannot be written, for its name is too long; choose a shorter one.")
    if cause.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageError(f"The disk is full: {path} could not be saved; free some space. What was saved before is whole.")
    return StorageError(f"{path} cannot be written ({cause.strerror or cause}); choose another place or give access to it.")


def _os_error(error: BaseException | None) -> OSError | None:
    """The system's error behind one of torch.save, which covers it with a RuntimeError of its archive writer."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__ or error.__context__
    return error
