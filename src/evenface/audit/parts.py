"""A long pass over the rows, saved part by part: stopped or killed, the next call goes on behind the last whole part.

    arrays = in_parts(folder, "scan-1f3a", len(rows), look, listener)     # look(range) -> {"name": (k, ...) array}

A part is an `.npz` under `folder/<name>/`; parts of the same pass with another key (other pictures or settings) are removed.
"""

from __future__ import annotations

import io
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from evenface.files import write_aside


ROWS = 1024  # per part

Arrays = dict[str, np.ndarray]


def in_parts(
    folder: Path, name: str, total: int, look: Callable[[range], Arrays], reach: Callable[[int], None], rows: int = ROWS
) -> Arrays:
    """What `look` gives for all rows, its arrays joined along their first axis.

    Args:
        folder: where the parts of this pass and others lie.
        name: `<pass>-<key>`.
        total: rows, at least 1.
        look: gives arrays of one length per row for a range of rows; no objects.
        reach: told how many rows are done.

    Raises:
        StorageError: a part cannot be written.
    """
    here = folder / name
    _remove_others(folder, name)
    done: list[Arrays] = []
    for start in range(0, total, rows):
        part = range(start, min(start + rows, total))
        path = here / f"{start:09d}.npz"
        found = _read(path, len(part))
        if found is None:
            found = look(part)
            write_aside(path, lambda file, arrays=found: file.write(_packed(arrays)))  # type: ignore[misc]
        done.append(found)
        reach(part.stop)
    return {key: np.concatenate([each[key] for each in done]) for key in done[0]}


def _packed(arrays: Arrays) -> bytes:
    out = io.BytesIO()
    np.savez(out, **arrays)  # type: ignore[arg-type]
    return out.getvalue()


def _read(path: Path, count: int) -> Arrays | None:
    """A whole part; None where it is not there, damaged or of another length."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as opened:
            arrays = {key: opened[key] for key in opened.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
        return None
    return arrays if arrays and all(len(values) == count for values in arrays.values()) else None


def _remove_others(folder: Path, name: str) -> None:
    kind = name.rpartition("-")[0]
    for other in folder.glob(f"{kind}-*") if folder.is_dir() else ():
        if other.name != name and re.fullmatch(rf"{re.escape(kind)}-[0-9a-f]+", other.name):
            shutil.rmtree(other, ignore_errors=True)
