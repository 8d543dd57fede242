"""From the words on the command line to pictures, films and cameras.

    inputs = find_inputs(["photos/", "clip.mp4", "*.png", "webcam"])
    inputs.pictures, inputs.films, inputs.cameras

A folder is searched with its subfolders, in the order of the names; hidden files are left out. A pattern that the shell left alone is
resolved here.
"""

from __future__ import annotations

import dataclasses
import glob
import itertools
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from evenface.data.layout import files_below, is_image
from evenface.errors import ConfigError, DataError
from evenface.files import require_no_address
from evenface.video.reading import is_video


_CAMERA_DIGITS = 2  # a longer number is a file or folder that is not there


@dataclasses.dataclass(frozen=True, slots=True)
class Inputs:
    """What is to be looked at.

    Attributes:
        pictures, films: files, in order, each once.
        cameras: their numbers.
        root: the folder that all files stand under; names of annotated copies are relative to it.
        single: the input is just one picture, named by itself.
        twins: the files and cameras whose copies need the whole name to be told from those of another one.
        unreadable: subfolders that could not be searched, each with the reason.
        left_out: folders of results that stand among what was searched.
    """

    pictures: tuple[Path, ...]
    films: tuple[Path, ...]
    cameras: tuple[int, ...]
    root: Path
    single: bool
    twins: frozenset[Path] = frozenset()
    unreadable: tuple[tuple[Path, str], ...] = ()
    left_out: tuple[Path, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """The pictures, then the films."""
        return self.pictures + self.films

    def place(self, path: Path, folder: Path, suffix: str) -> Path:
        """Where something made of `path` goes below `folder`: in the same subfolder, under its name with another suffix, or with one more
        where two inputs would share that one. No two inputs have the same place.
        """
        name = _whole(path).relative_to(self.root)
        return folder / (name.with_name(name.name + suffix) if path in self.twins else name.with_suffix(suffix))


def find_inputs(words: Sequence[str], results: Iterable[Path | None] = ()) -> Inputs:
    """Resolves paths, folders, patterns, `webcam` and camera numbers.

    Args:
        results: folders that copies and crops go to; what a search or a pattern finds in them was made by an earlier run, and is left out.

    Raises:
        ConfigError: nothing was named, an address, or a path that does not exist.
        DataError: a folder or pattern without any picture or film, or a file of another kind.
    """
    if not words:
        raise ConfigError("Say what to look at: pictures, folders, films, or webcam.")
    files: list[Path] = []
    cameras: list[int] = []
    search = _Search(results)
    for word in words:
        require_no_address(word)
        path = _named(word)
        if word == "webcam" or (word.isdecimal() and len(word) <= _CAMERA_DIGITS and not path.exists()):
            cameras.append(0 if word == "webcam" else int(word))
        elif path.is_dir():
            files += search.below(path, word)
        elif path.exists():
            files.append(_one(path))
        elif glob.has_magic(word):
            files += search.matches(word)
        else:
            raise ConfigError(f"There is no file or folder {word}.")
    once: dict[Path, Path] = {}
    for path in files:
        once.setdefault(_whole(path), path)
    files = list(once.values())
    folders = [str(_whole(path).parent) for path in files]
    root = Path(os.path.commonpath(folders)) if folders else Path.cwd()
    films = tuple(path for path in files if is_video(path))
    pictures = tuple(path for path in files if not is_video(path))
    single = len(words) == 1 and len(pictures) == 1 and not films and _named(words[0]).is_file()
    left_out = tuple(sorted(search.left_out))
    numbers = tuple(dict.fromkeys(cameras))
    twins = _twins([*files, *(root / f"camera{number}" for number in numbers)]) | _like_frames(pictures, films)
    return Inputs(pictures, films, numbers, root, single, twins, tuple(search.unreadable), left_out)


def _twins(paths: Sequence[Path]) -> frozenset[Path]:
    """Those that their names without the suffix do not tell apart: of a.jpg, a.png and a.jpg.jpg all, for the first has become `a.jpg`."""
    whole = {path: _whole(path) for path in paths}
    stems = {path: each.with_suffix("") for path, each in whole.items()}
    found: set[Path] = set()
    while True:  # whole names differ, so this ends when every path has its own
        count = Counter(whole[path] if path in found else stem for path, stem in stems.items())
        more = {path for path, stem in stems.items() if path not in found and count[stem] > 1}
        if not more:
            return frozenset(found)
        found |= more


def _like_frames(pictures: Sequence[Path], films: Sequence[Path]) -> frozenset[Path]:
    """Pictures that are called as a frame of a film beside them would be: `a-frame000000.png` beside `a.mp4`."""
    stems = {_whole(film).with_suffix("") for film in films}
    found = {path: re.fullmatch(r"(.+)-frame\d{6,}", _whole(path).with_suffix("").name) for path in pictures} if films else {}
    return frozenset(path for path, name in found.items() if name is not None and _whole(path).with_name(name[1]) in stems)


def _named(word: str) -> Path:
    """What a word names; `~` is the home folder unless a file is called so."""
    try:
        return Path(word) if Path(word).exists() else Path(word).expanduser()
    except (OSError, RuntimeError):  # a link to itself; a home folder of nobody
        return Path(word)


def _whole(path: Path) -> Path:
    """The path from the root, links left as they are: a copy has the name that its picture was given."""
    return Path(os.path.abspath(path))


def _one(path: Path) -> Path:
    """A file that was named itself: a picture may have any suffix, for its content tells."""
    if path.suffix.lower() in {".parquet", ".csv", ".json", ".jsonl", ".txt", ".pdf", ".zip", ".tar", ".gz"}:
        raise DataError(f"{path} is no picture or film; pictures, films, folders of them and webcam can be looked at.")
    return path


class _Search:
    """Looks through folders and patterns.

    Attributes:
        unreadable, left_out: as of `Inputs`.
    """

    def __init__(self, results: Iterable[Path | None]) -> None:
        self.unreadable: list[tuple[Path, str]] = []
        self.left_out: list[Path] = []
        self._results = {os.path.realpath(folder) for folder in results if folder is not None}

    def below(self, folder: Path, word: str) -> list[Path]:
        found = list(self._walk(folder))
        if not found:
            raise DataError(f"The folder {word} holds no picture or film.")
        return found

    def matches(self, pattern: str) -> list[Path]:
        found: dict[tuple[str, str], Path] = {}  # `**` goes through a link to a folder above for ever and ever
        pattern = os.path.expanduser(pattern)
        base = Path(*itertools.takewhile(lambda part: not glob.has_magic(part), Path(pattern).parts))
        for path in map(Path, sorted(glob.glob(pattern, recursive=True), key=lambda name: (name.count(os.sep), name))):
            below = itertools.takewhile(lambda folder: folder != base, (path, *path.parents))
            if any(self._is_result(folder) for folder in below):
                continue
            for file in self._walk(path) if path.is_dir() else [path] if is_image(path) or is_video(path) else []:
                found.setdefault((os.path.realpath(file.parent), file.name), file)
        if not found:
            raise DataError(f"No picture or film matches {pattern}.")
        return sorted(found.values())

    def _walk(self, folder: Path) -> Iterator[Path]:
        """The files below a folder, and below what is linked there from elsewhere; each folder once."""

        def failed(error: OSError) -> None:
            self.unreadable.append((Path(error.filename), error.strerror or str(error)))

        for path in files_below(folder, skip=self._is_result, failed=failed):
            if not is_image(path) and (path.name.startswith(".") or not is_video(path)):
                continue
            if path.exists() and not path.is_file():  # a pipe, whose reader would wait for ever
                self.unreadable.append((path, "it is no file"))
                continue
            yield path

    def _is_result(self, folder: Path) -> bool:
        if not self._results or os.path.realpath(folder) not in self._results:
            return False
        if folder not in self.left_out:
            self.left_out.append(folder)
        return True
