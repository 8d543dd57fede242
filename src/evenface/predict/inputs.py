"""From the words on the command line to pictures, films and cameras.

    inputs = find_inputs(["photos/", "clip.mp4", "*.png", "webcam"])
    inputs.pictures, inputs.films, inputs.cameras

A folder is searched with its subfolders, in the order of the names; hidden files are left out. A pattern that the shell left alone is
resolved here.
"""

from __future__ import annotations

import dataclasses
import glob
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from evenface.data.layout import is_image
from evenface.errors import ConfigError, DataError
from evenface.video.reading import is_video


@dataclasses.dataclass(frozen=True, slots=True)
class Inputs:
    """What is to be looked at.

    Attributes:
        pictures, films: files, in order, each once.
        cameras: their numbers.
        root: the folder that all files stand under; names of annotated copies are relative to it.
        single: the input is just one picture, named by itself.
        twins: the files that differ from another one in nothing but the suffix.
    """

    pictures: tuple[Path, ...]
    films: tuple[Path, ...]
    cameras: tuple[int, ...]
    root: Path
    single: bool
    twins: frozenset[Path] = frozenset()

    def place(self, path: Path, folder: Path, suffix: str) -> Path:
        """Where something made of `path` goes below `folder`: in the same subfolder, under its name with another suffix, or with one more
        where two inputs differ in nothing but theirs.
        """
        name = path.resolve().relative_to(self.root)
        return folder / (name.with_name(name.name + suffix) if path in self.twins else name.with_suffix(suffix))


def find_inputs(words: Sequence[str]) -> Inputs:
    """Resolves paths, folders, patterns, `webcam` and camera numbers.

    Raises:
        ConfigError: nothing was named, or a path that does not exist.
        DataError: a folder or pattern without any picture or film, or a file of another kind.
    """
    if not words:
        raise ConfigError("Say what to look at: pictures, folders, films, or webcam.")
    files: list[Path] = []
    cameras: list[int] = []
    for word in words:
        path = Path(word).expanduser()
        if word == "webcam" or (word.isdecimal() and not path.exists()):
            cameras.append(0 if word == "webcam" else int(word))
        elif path.is_dir():
            files += _below(path, word)
        elif path.exists():
            files.append(_one(path))
        elif glob.has_magic(word):
            files += _matches(word)
        else:
            raise ConfigError(f"There is no file or folder {word}.")
    files = list(dict.fromkeys(files))
    folders = [str(path.resolve().parent) for path in files]
    root = Path(os.path.commonpath(folders)) if folders else Path.cwd().resolve()
    films = tuple(path for path in files if is_video(path))
    pictures = tuple(path for path in files if not is_video(path))
    single = len(words) == 1 and len(pictures) == 1 and not films and Path(words[0]).expanduser().is_file()
    stems = Counter(path.with_suffix("") for path in files)
    twins = frozenset(path for path in files if stems[path.with_suffix("")] > 1)
    return Inputs(pictures, films, tuple(dict.fromkeys(cameras)), root, single, twins)


def _one(path: Path) -> Path:
    """A file that was named itself: a picture may have any suffix, for its content tells."""
    if path.suffix.lower() in {".parquet", ".csv", ".json", ".jsonl", ".txt", ".pdf", ".zip", ".tar", ".gz"}:
        raise DataError(f"{path} is no picture or film; pictures, films, folders of them and webcam can be looked at.")
    return path


def _below(folder: Path, word: str) -> list[Path]:
    found = list(_walk(folder))
    if not found:
        raise DataError(f"The folder {word} holds no picture or film.")
    return found


def _walk(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(place) / name
            if is_image(path) or (is_video(path) and not name.startswith(".")):
                yield path


def _matches(pattern: str) -> list[Path]:
    found = []
    for path in map(Path, sorted(glob.glob(os.path.expanduser(pattern), recursive=True))):
        found += list(_walk(path)) if path.is_dir() else [path] if is_image(path) or is_video(path) else []
    if not found:
        raise DataError(f"No picture or film matches {pattern}.")
    return found
