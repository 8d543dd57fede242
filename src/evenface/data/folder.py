"""An image folder `split/class/file`, the layout of torchvision's ImageFolder and of Hugging Face.

    faces/train/happy/a.jpg
    faces/train/fear/b.png
    faces/test/happy/c.jpg           ->  read_folder("faces")

Splits may be called train, val, valid, validation or test; class folders by any name that `evenface.labels.canonical` knows. The class
set is what the folders name, in canonical order. Hidden files and files that are no images are passed over; a class folder may have
subfolders.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from evenface.data.layout import files_below, is_image, not_found, require_every_class, require_folder
from evenface.data.manifest import Manifest, build
from evenface.errors import DataError, LabelError
from evenface.files import printable
from evenface.labels import CLASSES, canonical


TREE = """
  train/happiness/*.jpg  train/fear/*.jpg  ...
  validation/<class>/*.jpg                     (optional; also val or valid)
  test/<class>/*.jpg                           (optional)
"""

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
"""The split names found in the wild -> ours."""


def read_folder(root: str | Path, *, classes: int = 7) -> Manifest:
    """Reads an image folder; ids are the paths under `root`, in sorted order.

    Args:
        root: the folder that holds the split folders.
        classes: not used, the folders say it; here because every reader takes it.

    Raises:
        DataError: no split folder, no image, or a class without a train image.
        LabelError: a class folder with a name that nobody knows; the message has the nearest.
    """
    path = require_folder(root, "image folder", TREE)
    splits = split_folders(path)
    if not splits:
        raise not_found(path, "image folder", TREE)
    faces: list[tuple[str, str, str]] = []
    named: set[str] = set()
    for split, folder in splits:
        names = class_folders(folder)
        named |= set(names.values())
        faces += [(split, file, label) for file, label in walk(path, names)]
    if not faces:
        raise not_found(path, "image folder", TREE, "has split folders but not one image in a class folder")
    class_names = tuple(name for name in CLASSES if name in named)
    files = [file for _, file, _ in faces]
    rows = {"id": files, "split": [s for s, _, _ in faces], "label": [label for _, _, label in faces], "image": files}
    return require_every_class(build(rows, class_names, name=printable(path.resolve().name), root=path))


def split_folders(root: Path) -> list[tuple[str, Path]]:
    """The split folders under `root` with our name for each.

    Raises:
        DataError: two folders stand for the same split.
    """
    found: dict[str, Path] = {}
    for folder in sorted(p for p in root.iterdir() if p.is_dir()):
        split = SPLIT_NAMES.get(folder.name.lower())
        if split is None:
            continue
        if split in found:
            raise DataError(f"{folder} and {found[split].name} are both the {split} split; leave one of them.")
        found[split] = folder
    return list(found.items())


def class_folders(folder: Path, name_of: Callable[[str], str] = canonical) -> dict[Path, str]:
    """The class folders in a split folder, sorted, with their labels.

    Raises:
        LabelError: a name that `name_of` refuses; the message names the folder too.
    """
    names = {}
    for sub in sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")):
        try:
            names[sub] = name_of(sub.name)
        except LabelError as error:
            raise LabelError(f"{error} (class folder {sub})") from None
    return names


def walk(root: Path, names: dict[Path, str]) -> list[tuple[str, str]]:
    """Path under `root` and label of every image in the class folders, sorted."""
    faces = []
    for folder, label in names.items():
        faces += [(file.relative_to(root).as_posix(), label) for file in sorted(files_below(folder)) if is_image(file) and file.is_file()]
    return faces


def numbered(order: tuple[str, ...], first: int) -> Callable[[str], str]:
    """A namer for class folders called by number, counted from `first` in the given order; names work as well."""

    def name_of(folder: str) -> str:
        if not folder.isdecimal():
            return canonical(folder)
        position = int(folder) - first
        if not 0 <= position < len(order):
            raise LabelError(f"Class number {folder} is not one of {first} to {first + len(order) - 1}.")
        return order[position]

    return name_of
