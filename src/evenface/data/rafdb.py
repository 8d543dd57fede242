"""RAF-DB basic: 12,271 train and 3,068 test faces with one of seven expressions (Li et al., CVPR 2017).

    read_rafdb("path/to/RAFDB").counts("train")     # {"happiness": 4772, ..., "fear": 281}

The folder may have any name, or hold the set one folder deeper (`basic/`, `DATASET/`). Read as they come, in this order:

1. `EmoLabel/list_patition_label.txt` (that spelling), the original: the name says the split, classes count from 1;
2. class folders `train/1 ... 7` and `test` or `valid` (POSTER++, EfficientFace, the Kaggle copy), called by number or by name;
3. `train_label.txt` and `test_label.txt` (or Kaggle's `train_labels.csv` and `test_labels.csv`), in `EmoLabel/` or at the top.

Numbers follow RAF-DB's own order (surprise fear disgust happiness sadness anger neutral), from 1 unless a 0 occurs. Of the listed images
the aligned ones are taken where they are there, else the originals; with `original=True` the other way round, with the column `box` (xyxy,
pixels) from `Annotation/boundingbox/train_00001_boundingbox.txt` where those files are there. The set has no validation split; a
folder `valid` without a `test` beside it is the official test split. A part of train for validation: `evenface.data.splits`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa

from evenface.data.folder import class_folders, numbered, split_folders, walk
from evenface.data.layout import MISSING_LIMIT, not_found, present, read_list, require_folder
from evenface.data.manifest import Manifest, build
from evenface.errors import ConfigError, DataError
from evenface.labels import BASIC, ORDERS


TREE = """
  EmoLabel/list_patition_label.txt
  Image/aligned/train_00001_aligned.jpg ...            (or Image/original/train_00001.jpg, or all images in one folder)
or
  train/1/*.jpg ... train/7/*.jpg  test/1/*.jpg ...    (1 surprise, 2 fear, 3 disgust, 4 happiness, 5 sadness, 6 anger, 7 neutral)
or
  train_label.txt  test_label.txt                      (image name and class number per line) with the images as above
"""
LICENCE = "RAF-DB images: non-commercial research use only, on request from the authors"

ORDER = ORDERS["rafdb"]
PARTITION = ("list_patition_label.txt", "list_partition_label.txt")
LISTS = (("train_label.txt", "test_label.txt"), ("train_labels.csv", "test_labels.csv"), ("train_labels.txt", "test_labels.txt"))
PLACES = (
    "Image/aligned/{stem}_aligned.jpg",
    "aligned/{stem}_aligned.jpg",
    "Image/aligned/{stem}.jpg",
    "aligned/{stem}.jpg",
    "Image/{stem}_aligned.jpg",
    "{stem}_aligned.jpg",
    "Image/{split}/{stem}_aligned.jpg",
    "{split}/{stem}_aligned.jpg",
    "Image/original/{stem}.jpg",
    "original/{stem}.jpg",
    "Image/{split}/{stem}.jpg",
    "{split}/{stem}.jpg",
    "Image/{stem}.jpg",
    "{stem}.jpg",
)
"""Where the image of a listed name may lie, aligned faces first."""

BOXES = ("Annotation/boundingbox/{stem}_boundingbox.txt", "boundingbox/{stem}_boundingbox.txt")
"""Where the face's box in an original may be written: left, top, right, bottom."""

Face = tuple[str, str, int]  # split, stem, class number


def read_rafdb(root: str | Path, *, classes: int = 7, original: bool = False) -> Manifest:
    """Reads RAF-DB basic from any of its layouts; ids are the original names without suffix (`train_00001`).

    Args:
        original: the original pictures in place of the aligned faces, where the list's layout has both.

    Raises:
        ConfigError: 8 classes; RAF-DB has no contempt.
        DataError: no layout found, more than 1 % of the images missing, or a broken list.
    """
    if classes != 7:
        raise ConfigError("RAF-DB has no contempt; use 7 classes.")
    top = require_folder(root, "RAF-DB", TREE)
    folders = [top, *sorted(p for p in top.iterdir() if p.is_dir() and not p.name.startswith("."))]
    for path in folders:
        partition = _first(path, PARTITION)
        if partition:
            return _from_lists(path, [("", partition)], original)
    for path in folders:  # before the lists: the Kaggle copy has both, and its lists lie above its folders
        if _has_class_folders(path):
            return _from_folders(path)
    for path in folders:
        for names in LISTS:
            train, test = _first(path, names[:1]), _first(path, names[1:])
            if train and test:
                return _from_lists(path, [("train", train), ("test", test)], original)
    raise not_found(top, "RAF-DB", TREE)


def _first(root: Path, names: Iterable[str]) -> Path | None:
    return next((f for name in names for f in (root / "EmoLabel" / name, root / name) if f.is_file()), None)


def _from_lists(root: Path, lists: list[tuple[str, Path]], original: bool) -> Manifest:
    faces: list[Face] = []
    for split, path in lists:
        for name, number in read_list(path):
            stem = Path(name.replace("\\", "/")).stem.removesuffix("_aligned")
            faces.append((split or _split_of(stem, path), stem, number))
    name_of = numbered(ORDER, 0 if any(number == 0 for _, _, number in faces) else 1)
    labels = [name_of(str(number)) for _, _, number in faces]
    files, place = _locate(root, faces, original)
    there, notes = present(root, files, " and ".join(path.name for _, path in lists))
    kept = [i for i, ok in enumerate(there.tolist()) if ok]
    rows: dict[str, Any] = {
        "id": [faces[i][1] for i in kept],
        "split": [faces[i][0] for i in kept],
        "label": [labels[i] for i in kept],
        "image": [files[i] for i in kept],
    }
    boxes = [_box(root, faces[i][1]) for i in kept] if original and "original" in place else []
    if any(box is not None for box in boxes):
        rows["box"] = pa.array(boxes, pa.list_(pa.float32(), 4))
    notes = (f"RAF-DB's images are those of {place}.", *notes)
    return build(rows, BASIC, name="rafdb", root=root, notes=notes, licence=LICENCE)


def _split_of(stem: str, path: Path) -> str:
    split = stem.split("_")[0].lower()
    if split not in ("train", "test"):
        raise DataError(f"{path} lists '{stem}', which starts with neither train_ nor test_, so its split is unknown.")
    return split


def _box(root: Path, stem: str) -> list[float] | None:
    """The box in an original, from its own small file; None where there is none."""
    for place in BOXES:
        path = root / place.format(stem=stem)
        try:
            numbers = [float(word) for word in path.read_text(encoding="utf-8-sig").replace(",", " ").split()]
        except FileNotFoundError:
            continue
        except ValueError:
            numbers = []
        if len(numbers) != 4:
            raise DataError(f"{path} does not hold the four numbers of a box; unpack the annotations again.")
        return numbers
    return None


def _locate(root: Path, faces: list[Face], original: bool) -> tuple[list[str], str]:
    """The first place that holds nearly all listed images, else the one that holds the most (whose gaps are then reported)."""
    best: tuple[int, list[str], str] = (-1, [], "")
    for place in sorted(PLACES, key=lambda place: original and "original/" not in place):
        files = [place.format(split=split, stem=stem) for split, stem, _ in faces]
        if not (root / files[0]).parent.is_dir():
            continue
        hits = sum((root / file).is_file() for file in files)
        if hits >= (1 - MISSING_LIMIT) * len(files):
            return files, place
        if hits > best[0]:
            best = (hits, files, place)
    if best[0] <= 0:
        raise not_found(root, "RAF-DB", TREE, f"has the label list but none of its {len(faces)} images")
    return best[1], best[2]


def _has_class_folders(root: Path) -> bool:
    splits = dict(split_folders(root))
    return "train" in splits and len(splits) > 1 and any(p.is_dir() and not p.name.startswith(".") for p in splits["train"].iterdir())


def _from_folders(root: Path) -> Manifest:
    splits = split_folders(root)
    if "test" not in dict(splits):
        splits = [("test" if split == "validation" else split, folder) for split, folder in splits]
    folders = [sub.name for _, folder in splits for sub in folder.iterdir() if sub.is_dir()]
    name_of = numbered(ORDER, 0 if "0" in folders else 1)
    faces = [(split, file, label) for split, folder in splits for file, label in walk(root, class_folders(folder, name_of))]
    if not faces:
        raise not_found(root, "RAF-DB", TREE, "has class folders but no image in them")
    stems = [Path(file).stem.removesuffix("_aligned") for _, file, _ in faces]
    rows = {
        "id": stems if len(set(stems)) == len(stems) else [file for _, file, _ in faces],  # renamed copies number within each folder
        "split": [split for split, _, _ in faces],
        "label": [label for _, _, label in faces],
        "image": [file for _, file, _ in faces],
    }
    notes = []
    if any(name.isdecimal() for name in folders):
        notes.append(
            f"Class folders are numbers; they were read from {'0' if '0' in folders else '1'} in RAF-DB's order: {', '.join(ORDER)}."
        )
    if any(folder.name.lower() in ("val", "valid", "validation") for split, folder in splits if split == "test"):
        notes.append("The folder for validation is the only one beside train, so it was taken for RAF-DB's official test split.")
    return build(rows, BASIC, name="rafdb", root=root, notes=notes, licence=LICENCE)
