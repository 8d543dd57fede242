"""AffectNet: web faces with one of eight expressions (Mollahosseini et al., IEEE TAC 2019).

    read_affectnet("path/to/AffectNet", classes=7).counts("test")      # 500 of each

Read as they come, in this order (see `TREE`): the first release's CSV lists, the 2021 pack with one .npy per annotation, lists of
`path number` lines, and class folders. Numbers follow AffectNet's order: neutral happiness sadness surprise fear disgust anger contempt;
8 (none), 9 (uncertain) and 10 (no face) are dropped, and contempt for 7 classes.

The official test set was never published: papers report on the official validation set. So it is the `test` split here, and a
validation split is a part of train (`evenface.data.splits`). Counts differ between copies; none is expected. From the CSV lists `box`
(xyxy, pixels), `valence` and `arousal` are kept, the 68 landmarks are not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from evenface.data.folder import class_folders, numbered, split_folders, walk
from evenface.data.layout import csv_lines, is_image, not_found, present, read_list, require_folder
from evenface.data.manifest import Manifest, build
from evenface.errors import DataError
from evenface.labels import ORDERS, class_set


TREE = """
  training.csv  validation.csv  Manually_Annotated_Images/<n>/<hash>.jpg
or
  train_set/images/N.jpg  train_set/annotations/N_exp.npy  and val_set/ likewise      (the pack of 2021)
or
  train/0 ... train/7  val/0 ... val/7                                                (class folders, by number or by name)
or
  train*.txt  val*.txt  with a line `path number` per image
"""
LICENCE = "AffectNet images: research use only, on request from the authors"

ORDER = ORDERS["affectnet"]
NO_EXPRESSION = {8: "none", 9: "uncertain", 10: "no face"}
IMAGE_FOLDERS = ("Manually_Annotated_Images", "Manually_Annotated/Manually_Annotated_Images", "images", ".")
LIST_FOLDERS = (".", "Manually_Annotated_file_lists", "Manually_Annotated/Manually_Annotated_file_lists")

_OFFICIAL = "AffectNet's official validation set is the test split here, as in every paper."
_OWN = "The test split is this copy's own `test`, not AffectNet's official one, which was never published; papers report on validation."

Row = tuple[str, str, int, dict[str, Any]]  # split, file under root, class number, further columns


def read_affectnet(root: str | Path, *, classes: int = 7) -> Manifest:
    """Reads AffectNet from any of its layouts; ids are the image paths.

    Raises:
        DataError: no layout found, more than 1 % of the images missing, a class number that does not exist, or a broken list.
    """
    path = require_folder(root, "AffectNet", TREE)
    class_names = class_set(classes)
    for folder in LIST_FOLDERS:
        if (path / folder / "training.csv").is_file() and (path / folder / "validation.csv").is_file():
            return _manifest(path, _from_csv(path, path / folder), class_names, "the CSV lists")
    packs = [
        (split, path / name) for split, name in (("train", "train_set"), ("test", "val_set")) if (path / name / "annotations").is_dir()
    ]
    if packs:
        return _manifest(path, _from_pack(path, packs), class_names, "the annotations")
    lists = [(split, _one_list(path, starts)) for split, starts in (("train", ("train",)), ("test", ("val", "test")))]
    if all(file for _, file in lists):
        rows = [row for split, file in lists if file for row in _from_list(path, split, file)]
        own = any(file.name.lower().startswith("test") for _, file in lists if file)
        return _manifest(path, rows, class_names, "the lists", _OWN if own else _OFFICIAL)
    splits = [(split, folder) for split, folder in split_folders(path) if class_folder_names(folder)]
    if splits:
        note = _OWN if "test" in dict(splits) else _OFFICIAL
        return _manifest(path, _from_folders(path, splits), class_names, "the folders", note)
    raise not_found(path, "AffectNet", TREE)


def class_folder_names(folder: Path) -> list[str]:
    return [p.name for p in sorted(folder.iterdir()) if p.is_dir() and not p.name.startswith(".")]


def _manifest(root: Path, rows: list[Row], class_names: tuple[str, ...], what: str, of_test: str = _OFFICIAL) -> Manifest:
    """Drops what has no expression of the set and what has no file, and says so."""
    bad = sorted({number for _, _, number, _ in rows} - set(range(11)))
    if bad:
        raise DataError(f"AffectNet's class numbers are 0 to 10, but {what} hold {', '.join(map(str, bad))}; this is another list.")
    dropped = Counter(NO_EXPRESSION.get(number, "contempt") for _, _, number, _ in rows if not _kept(number, class_names))
    rows = [row for row in rows if _kept(row[2], class_names)]
    if not rows:
        raise not_found(root, "AffectNet", TREE, "has no image with an expression")
    there, missing = present(root, [file for _, file, _, _ in rows], what)
    rows = [row for row, ok in zip(rows, there.tolist(), strict=True) if ok]
    notes = [of_test] if any(split == "test" for split, _, _, _ in rows) else []
    if dropped:
        notes.append("Left out: " + ", ".join(f"{count} {name}" for name, count in sorted(dropped.items())) + ".")
    columns: dict[str, Any] = {
        "id": [file for _, file, _, _ in rows],
        "split": [split for split, _, _, _ in rows],
        "label": [ORDER[number] for _, _, number, _ in rows],
        "image": [file for _, file, _, _ in rows],
    }
    for name in ("box", "valence", "arousal"):
        if any(name in extra for _, _, _, extra in rows):
            kind = pa.list_(pa.float32(), 4) if name == "box" else pa.float32()
            columns[name] = pa.array([extra.get(name) for _, _, _, extra in rows], type=kind)
    return build(columns, class_names, name="affectnet", root=root, notes=(*notes, *missing), licence=LICENCE)


def _kept(number: int, class_names: tuple[str, ...]) -> bool:
    return number < len(ORDER) and ORDER[number] in class_names


def _from_csv(root: Path, folder: Path) -> list[Row]:
    """Columns: path, x, y, width, height, landmarks, expression, valence, arousal; with or without a header line."""
    rows: list[Row] = []
    for split, name in (("train", "training.csv"), ("test", "validation.csv")):
        for line in _csv_rows(folder / name):
            extra: dict[str, Any] = {}
            x, y, width, height = (_number(v) for v in line[1:5])
            if None not in (x, y, width, height):
                extra["box"] = [x, y, x + width, y + height]  # type: ignore[operator]
            if len(line) > 8:
                extra |= {"valence": _number(line[7]), "arousal": _number(line[8])}
            rows.append((split, line[0].replace("\\", "/"), int(line[6]), extra))
    place = _image_folder(root, [file for _, file, _, _ in rows])
    return [(split, f"{place}{file}", number, extra) for split, file, number, extra in rows]


def _csv_rows(path: Path) -> Iterator[list[str]]:
    for number, line in enumerate(csv_lines(path), 1):
        if not line or (number == 1 and len(line) > 6 and not line[6].strip().isdecimal()):
            continue  # the header
        if len(line) < 7 or not line[6].strip().isdecimal():
            raise DataError(f"{path}, line {number}: the seventh column should be the expression's number; found {len(line)} columns.")
        yield line


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None  # NULL in the unlabelled rows


def _image_folder(root: Path, files: list[str]) -> str:
    """The folder that the listed paths start from, by the first of them that are there."""
    for name in IMAGE_FOLDERS:
        place = "" if name == "." else f"{name}/"
        if any((root / f"{place}{file}").is_file() for file in files[:200]):
            return place
    raise not_found(root, "AffectNet", TREE, f"has the lists but none of their images, such as {files[0] if files else 'any'}")


def _from_pack(root: Path, packs: list[tuple[str, Path]]) -> list[Row]:
    """One small .npy per image, which holds the number as text or as a number."""
    rows: list[Row] = []
    for split, folder in packs:
        suffixes = {p.stem: p.name for p in sorted((folder / "images").glob("*")) if is_image(p)}
        for file in sorted((folder / "annotations").glob("*_exp.npy"), key=lambda p: (len(p.name), p.name)):
            stem = file.name.removesuffix("_exp.npy")
            try:
                number = int(float(np.load(file, allow_pickle=False).item()))
            except (ValueError, EOFError, OSError) as error:
                raise DataError(f"{file} does not hold one class number ({error}).") from None
            rows.append((split, f"{folder.name}/images/{suffixes.get(stem, stem + '.jpg')}", number, {}))
    return rows


def _one_list(root: Path, starts: tuple[str, ...]) -> Path | None:
    files = [p for p in sorted(root.glob("*.txt")) if p.name.lower().startswith(starts)]
    if len(files) > 1:
        raise DataError(f"Several lists for one split under {root}: {', '.join(p.name for p in files)}; leave one of them.")
    return files[0] if files else None


def _from_list(root: Path, split: str, path: Path) -> list[Row]:
    rows = [(name.replace("\\", "/"), number) for name, number in read_list(path)]
    place = _image_folder(root, [file for file, _ in rows])
    return [(split, f"{place}{file}", number, {}) for file, number in rows]


def _from_folders(root: Path, splits: list[tuple[str, Path]]) -> list[Row]:
    if "test" not in dict(splits):
        splits = [("test" if split == "validation" else split, folder) for split, folder in splits]
    rows: list[Row] = []
    names = (*ORDER, *NO_EXPRESSION.values())
    for split, folder in splits:
        for file, label in walk(root, class_folders(folder, numbered(names, 0))):
            rows.append((split, file, names.index(label), {}))
    return rows
