"""What all readers share: finding the folder, saying what was looked for, and counting the image files that are missing.

require_folder("path/to/ferplus", "FERPlus", TREE)      # DataError with the expected tree where nothing is there
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from evenface.data.manifest import Manifest
from evenface.errors import DataError
from evenface.files import printable


MISSING_LIMIT = 0.01
"""Above this share of missing files a data set counts as broken, not as worn."""

IMAGE_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".avif", ".heic", ".heif")
)


def not_found(root: Path, what: str, tree: str, reason: str = "holds no layout that the reader knows") -> DataError:
    """The error for a folder that does not fit: one sentence, then the tree that was looked for."""
    return DataError(f"No {what} data: {root} {reason}. Expected under it:\n{tree.strip(chr(10))}")


def require_folder(root: str | Path, what: str, tree: str) -> Path:
    """The folder as a path.

    Raises:
        DataError: it does not exist, is no folder, or is empty; the message ends with the expected tree.
    """
    path = Path(root)
    if not path.exists():
        raise not_found(path, what, tree, "does not exist")
    if not path.is_dir():
        raise not_found(path, what, tree, "is not a folder")
    if not any(path.iterdir()):
        raise not_found(path, what, tree, "is empty")
    return path


def require_utf8(path: Path) -> Path:
    """The path, if tables can be read there.

    Raises:
        DataError: it holds bytes that are no UTF-8, which pyarrow cannot open.
    """
    if printable(path) != str(path):
        raise DataError(f"Tables cannot be read from {printable(path)}, for that name is no UTF-8; rename the folder or the file.")
    return path


def is_image(path: Path) -> bool:
    """An image file by its suffix; hidden files (and macOS's `._` twins) are none."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def present(root: Path, paths: Sequence[str], what: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Which of the listed image files exist under `root`.

    Returns:
        A bool array (n,) and the notes (none, or one sentence that counts and names the missing ones).

    Raises:
        DataError: more than `MISSING_LIMIT` of the files are missing, or all.
    """
    there = np.fromiter(((root / p).is_file() for p in paths), dtype=bool, count=len(paths))
    missing = [p for p, ok in zip(paths, there, strict=True) if not ok]
    if not missing:
        return there, ()
    named = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
    sentence = f"{len(missing)} of {len(paths)} images that {what} lists are missing under {root}: {named}"
    if len(missing) > MISSING_LIMIT * len(paths):
        raise DataError(f"{sentence}; more than {MISSING_LIMIT:.0%} means that the copy is broken, unpack it again.")
    return there, (f"{sentence}; they were left out.",)


def require_every_class(manifest: Manifest) -> Manifest:
    """The manifest itself, if every class has a train image (or there is no train split, as in a set for tests only).

    Raises:
        DataError: names the classes without one.
    """
    if "train" in manifest.splits:
        empty = [name for name, count in manifest.counts("train").items() if not count]
        if empty:
            raise DataError(f"No train image of {', '.join(empty)} in '{manifest.name}'; add some or leave the class out of every split.")
    return manifest


def csv_lines(path: Path) -> Iterator[list[str]]:
    """The lines of a CSV without a header of its own, as lists of texts.

    Raises:
        DataError: it cannot be read.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            yield from csv.reader(file)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as a table ({error}); it must be text in UTF-8.") from error


def files_below(
    folder: Path, *, skip: Callable[[Path], bool] = lambda path: False, failed: Callable[[OSError], object] | None = None
) -> Iterator[Path]:
    """The files below a folder, and below what is linked there from elsewhere; each folder once, hidden ones not at all.

    Args:
        skip: folders that are passed over.
        failed: told of a folder that cannot be searched; without it that is an error.

    Raises:
        DataError: a folder cannot be searched.
    """

    def refused(error: OSError) -> None:
        raise DataError(f"{error.filename} cannot be searched ({error.strerror}); give access to it, or take it out.") from error

    root = os.path.realpath(folder)
    seen = {root}
    for place, folders, names in os.walk(folder, followlinks=True, onerror=failed or refused):
        kept = []
        for name in sorted(name for name in folders if not name.startswith(".")):
            path = Path(place) / name
            real = os.path.realpath(path)
            inside = real == root or real.startswith(os.path.join(root, ""))  # a link to it: it is come by under its own name
            if real in seen or (inside and path.is_symlink()) or skip(path):
                continue
            seen.add(real)
            kept.append(name)
        folders[:] = kept
        yield from (Path(place) / name for name in sorted(names))


def fields(line: str) -> list[str]:
    """The columns of a line in a label list: separated by commas or white space, whatever the line ending."""
    return line.replace(",", " ").split()


def read_list(path: Path) -> list[tuple[str, int]]:
    """Name and class number of every line `name number [more columns]`; a header line and empty lines are passed over.

    Raises:
        DataError: a line that has no number in its second column.
    """
    rows = []
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as a list of images ({error}); it must be text in UTF-8.") from error
    for number, line in enumerate(text.splitlines(), 1):
        columns = fields(line)
        if not columns:
            continue
        if len(columns) > 1 and columns[1].isdecimal():
            rows.append((columns[0], int(columns[1])))
        elif rows or number > 1:
            raise DataError(f"{path}, line {number}: an image name and a class number are needed, found '{line.strip()[:60]}'.")
    if not rows:
        raise DataError(f"{path} lists no image.")
    return rows
