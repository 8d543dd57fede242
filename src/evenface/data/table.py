"""A manifest from elsewhere: a CSV or Parquet table with a row per face.

    file_name,label,split,subject
    a/001.jpg,happy,train,p07            ->  read_table("faces/manifest.csv")

Needed columns: the image (`file_name`, `path`, `image` ...: a path from the table's folder, or in Parquet the encoded picture or the struct
of `bytes` and `path` that Hugging Face writes), `label` (any name that `evenface.labels.canonical` knows) and `split`. A folder may be
given that holds `manifest.parquet`, `manifest.csv` or a Parquet file (or shards) per split, where the file name is the split. A `box`
may be text, such as "10 10 60 60"; `soft` is checked; all other columns are kept as they are. What `Manifest.save` or
`evenface data prepare` wrote is read back whole.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from evenface.data.folder import SPLIT_NAMES
from evenface.data.layout import fields, not_found, present, require_every_class, require_utf8
from evenface.data.manifest import IMAGE_TYPE, Manifest, require_unique, take_rows
from evenface.data.shards import is_prepared, read_shards, require_complete
from evenface.errors import DataError, LabelError
from evenface.files import printable
from evenface.labels import CLASSES, canonical


TREE = """
  manifest.csv  or  manifest.parquet       (file_name,label,split and any other columns)
or
  train.parquet  test.parquet              (image,label; or shards train-00000-of-00002.parquet)
"""
IMAGE_COLUMNS = ("file_name", "image", "path", "image_path", "filename", "file", "img")
_IDS, _OF_PICTURES = b"ids", b"of pictures"  # of a part without a column `id`
LABEL_COLUMNS = ("label", "labels", "expression", "emotion")


def read_table(root: str | Path, *, classes: int = 7) -> Manifest:
    """Reads a table of faces.

    Args:
        root: the file, or a folder that holds it under one of the names of `TREE`.
        classes: not used, the table says it; here because every reader takes it.

    Raises:
        DataError: no table, one without rows, a column or a split missing, an id or a column twice, a value that is no id, no box or no
            vote distribution, more than 1 % of the files missing, a class without a train image, a set that is not prepared to its end.
        LabelError: a label that nobody knows; the message has its rows and the nearest name.
    """
    path = Path(root)
    if not path.exists():
        raise not_found(path, "manifest", TREE, "does not exist")
    require_complete(require_utf8(path.absolute()))
    files = _files(path) if path.is_dir() else [(None, path)]
    if path.is_dir() and is_prepared([file for _, file in files]):
        return read_shards(files[0][1].parent, [file for _, file in files])
    if len(files) == 1 and _is_ours(files[0][1]):
        return _require_rows(Manifest.load(files[0][1]), path)
    parts = [_rows(file, split) for split, file in files]
    if len({name for part in parts for name in part["id"].to_pylist()}) < sum(map(len, parts)):
        parts = [_by_row(part, file) for part, (_, file) in zip(parts, files, strict=True)]
    try:
        table = pa.concat_tables(parts, promote_options="permissive").replace_schema_metadata()
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DataError(f"The tables in {path} do not go together ({str(error).splitlines()[0]}); give a column one type in all.") from None
    folder = path if path.is_dir() else path.parent
    table, notes = _with_files(table, folder)
    require_unique(table, str(path))
    found = set(table["label"].unique().to_pylist())
    names = tuple(name for name in CLASSES if name in found)
    if "soft" in table.column_names:
        for part, (_, file) in zip(parts, files, strict=True):
            _require_soft(part, names, file)
    return require_every_class(_require_rows(Manifest(table, names, printable(path.resolve().stem), folder, notes), path))


def _require_rows(manifest: Manifest, path: Path) -> Manifest:
    if not len(manifest):
        raise DataError(f"{path} has no rows; a row per face is needed.")
    return manifest


def _is_ours(path: Path) -> bool:
    if path.suffix != ".parquet":
        return False
    try:
        return b"evenface" in (pq.read_schema(path).metadata or {})
    except (pa.ArrowInvalid, OSError):
        return False  # `_load` says what is wrong with it


def _files(folder: Path) -> list[tuple[str | None, Path]]:
    for name in ("manifest.parquet", "manifest.csv"):
        if (folder / name).is_file():
            return [(None, folder / name)]
    for place in (folder, folder / "data"):
        files: list[tuple[str | None, Path]] = [
            (SPLIT_NAMES[p.stem.split("-")[0].lower()], p)
            for p in sorted(place.glob("*.parquet"))
            if p.stem.split("-")[0].lower() in SPLIT_NAMES
        ]
        if files:
            return files
    raise not_found(folder, "manifest", TREE)


def _rows(path: Path, split: str | None) -> pa.Table:
    """One file's table with our columns first: id, split, label, image."""
    table = _load(path)
    held = "image" in table.column_names and (pa.types.is_struct(table["image"].type) or _is_binary(table["image"].type))
    image_name = "image" if held else _pick(table, IMAGE_COLUMNS, path, "the image")
    label_name = _pick(table, LABEL_COLUMNS, path, "the label")
    if split is None and "split" not in table.column_names:
        raise DataError(f"{path} has no column 'split'; add one with train, validation or test on each row.")
    if split is not None and "split" in table.column_names:
        _require_split(table["split"].to_pylist(), split, path)
    splits = _splits(table["split"].to_pylist(), path) if split is None else [split] * len(table)
    labels = _labels(_label_values(table, label_name, path), path)
    image = _images(table[image_name], image_name, path)
    names: list[str | None]
    if pa.types.is_struct(image.type):
        names = pc.struct_field(image, "path").to_pylist()
    else:
        names = image.to_pylist()
        if any(name is None for name in names):
            raise DataError(f"{path}: row {names.index(None) + 1} names no image.")
        names = _from_windows(names, path.parent)
        image = pa.array([{"bytes": None, "path": name} for name in names], type=IMAGE_TYPE)
    if "id" in table.column_names:
        given = table["id"].to_pylist()
        if empty := [row for row, name in enumerate(given, 1) if name in (None, "")]:
            raise DataError(f"{path}: row {empty[0]} has no id; give it one, or leave out the column.")
        ids = [str(name) for name in given]
    else:
        whole = None not in names and len(set(names)) == len(names)
        ids = [str(name) for name in names] if whole else [f"{path.stem}-{row:06d}" for row in range(len(table))]
    rest = [c for c in table.column_names if c not in {"id", "split", "label", "image", image_name, label_name}]
    columns: dict[str, Any] = {
        "id": pa.array(ids, pa.string()),
        "split": pa.array(splits, pa.string()),
        "label": pa.array(labels, pa.string()),
        "image": image,
    }
    columns |= {name: _boxes(table[name], path) if name == "box" else table[name] for name in rest}
    found = pa.table(columns)
    return found if "id" in table.column_names else found.replace_schema_metadata({_IDS: _OF_PICTURES})


def _images(column: pa.ChunkedArray, name: str, path: Path) -> pa.ChunkedArray | pa.Array:
    """As our struct, or as text where they are paths; bytes that are no text are encoded pictures."""
    with contextlib.suppress(pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
        return column.cast(IMAGE_TYPE if pa.types.is_struct(column.type) else pa.string())
    if not _is_binary(column.type):
        raise DataError(
            f"{path}: the column '{name}' holds {column.type}; write into it paths, the bytes of a PNG or JPEG file, or structs of "
            "`bytes` and `path`."
        )
    return pa.array([{"bytes": picture, "path": None} for picture in column.to_pylist()], type=IMAGE_TYPE)


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _boxes(column: pa.ChunkedArray, path: Path) -> pa.ChunkedArray | pa.Array:
    """Boxes that are text, as a CSV has them, as numbers; lists of numbers as they are."""
    kind = column.type
    if pa.types.is_null(kind):
        return column
    if any(told(kind) for told in (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)):
        if pa.types.is_integer(kind.value_type) or pa.types.is_floating(kind.value_type):
            return column
        try:
            return column.cast(pa.list_(pa.float32()))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            raise DataError(f"{path}: a box is not four numbers: left, top, right and bottom in pixels.") from None
    boxes: list[list[float] | None] = []
    for row, text in enumerate(column.to_pylist(), 1):
        try:
            numbers = None if text in (None, "") else [float(word) for word in fields(str(text).strip(" []()"))]
        except ValueError:
            numbers = []
        if numbers is not None and not (len(numbers) == 4 and all(map(math.isfinite, numbers))):
            raise DataError(f"{path}, row {row}: the box '{text}' is not four numbers: left, top, right and bottom in pixels.")
        boxes.append(numbers)
    return pa.array(boxes, pa.list_(pa.float32(), 4))


def _require_soft(part: pa.Table, names: tuple[str, ...], path: Path) -> None:
    """Refuses what is no vote distribution; of rows that are not trained on it may be missing."""
    shares = part["soft"].to_pylist() if "soft" in part.column_names else [None] * len(part)
    for row, (split, soft) in enumerate(zip(part["split"].to_pylist(), shares, strict=True), 1):
        if soft is None and split != "train":
            continue
        numbers = isinstance(soft, list) and len(soft) == len(names) and all(isinstance(v, int | float) and v >= 0 for v in soft)
        if not numbers or not abs(sum(soft) - 1) < 0.02:
            raise DataError(
                f"{path}, row {row}: 'soft' must be a list of {len(names)} shares that sum to 1, in the order {', '.join(names)}; "
                "a Parquet file can hold it, a CSV cannot."
            )


def _from_windows(names: list[Any], folder: Path) -> list[Any]:
    """`a\\1.png` is `a/1.png` elsewhere, unless a file is called so."""
    odd = [name for name in names if "\\" in name]
    if os.sep == "\\" or not odd or any((folder / name).exists() for name in odd):
        return names
    return [name.replace("\\", "/") for name in names]


def _by_row(part: pa.Table, file: Path) -> pa.Table:
    """Where two files name their pictures alike (0000.png in train and in test) a face is called after its file and row."""
    if (part.schema.metadata or {}).get(_IDS) != _OF_PICTURES:
        return part
    return part.set_column(0, "id", pa.array([f"{file.stem}-{row:06d}" for row in range(len(part))], pa.string()))


def _load(path: Path) -> pa.Table:
    try:
        if path.suffix == ".parquet":
            return pq.read_table(path)  # of columns with one name it says so itself
        with pacsv.open_csv(path) as rows:
            as_text = {name: pa.string() for name in rows.schema.names if _bare(name) in _TEXTS}  # 007 stays 007, and a person called NA so
        table = pacsv.read_csv(path, convert_options=pacsv.ConvertOptions(strings_can_be_null=False, column_types=as_text))
        names = [_bare(name) for name in table.column_names]
    except (pa.ArrowInvalid, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as a table: {str(error).splitlines()[0]}") from None
    if twice := [name for name in names if names.count(name) > 1]:
        raise DataError(f"{path} has the column '{twice[0]}' twice; rename one, or leave it out.")
    columns = {name: _with_nulls(column, name) for name, column in zip(names, table.columns, strict=True)}
    return pa.table(columns)


_TEXTS = frozenset((*IMAGE_COLUMNS, *LABEL_COLUMNS, "id", "split", "subject"))


def _bare(name: str) -> str:
    return name.strip().lstrip("\ufeff")


def _with_nulls(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """Text that says that there is none as null: an empty one, and NA and the like except for people, one of whom may be called so."""
    if not pa.types.is_string(column.type):
        return column
    if name in _TEXTS and name not in IMAGE_COLUMNS:
        column = pc.utf8_trim_whitespace(column)
    words = [""] if name == "subject" else pacsv.ConvertOptions().null_values
    return pc.if_else(pc.is_in(column, pa.array(words)), pa.scalar(None, pa.string()), column)


def _pick(table: pa.Table, names: Iterable[str], path: Path, what: str) -> str:
    for name in names:
        if name in table.column_names:
            return name
    raise DataError(f"{path} has no column for {what}; it may be called {', '.join(names)}. It has: {', '.join(table.column_names)}.")


def _label_values(table: pa.Table, column: str, path: Path) -> list[str | None]:
    """Label names; numbers are turned into names where a Hugging Face table says which is which, and refused where not."""
    values = table[column].to_pylist()
    texts = [None if v is None else str(v) for v in values]
    if not any(text is not None and text.strip().isdecimal() for text in texts):
        return texts
    names: Any = []
    with contextlib.suppress(ValueError, LookupError, TypeError):  # without such metadata, or with others
        names = json.loads((table.schema.metadata or {})[b"huggingface"])["info"]["features"][column]["names"]
    named = isinstance(names, list) and len(names) > 0 and all(isinstance(name, str) for name in names)
    if not named or not pa.types.is_integer(table[column].type):
        raise LabelError(f"{path}: the labels are numbers, and nothing says which is which; write the class names into '{column}'.")
    return [None if v is None or not 0 <= v < len(names) else names[v] for v in values]


def _labels(values: list[str | None], path: Path) -> list[str]:
    nouns: dict[str | None, str] = {}
    for value in dict.fromkeys(values):
        rows = [i + 1 for i, v in enumerate(values) if v == value]
        where = f"{path}, row{'s' if len(rows) > 1 else ''} {', '.join(map(str, rows[:5]))}{' …' if len(rows) > 5 else ''}"
        if value is None or not value.strip():
            raise LabelError(f"{where}: the label is empty.")
        try:
            nouns[value] = canonical(value)
        except LabelError as error:
            raise LabelError(f"{where}: {error}") from None
    return [nouns[v] for v in values]


def _splits(values: list[Any], path: Path) -> list[str]:
    found = []
    for row, value in enumerate(values, 1):
        split = SPLIT_NAMES.get(str(value).strip().lower())
        if split is None:
            raise DataError(f"{path}, row {row}: unknown split '{value}'; a split is train, validation or test.")
        found.append(split)
    return found


def _require_split(values: list[Any], split: str, path: Path) -> None:
    """Refuses rows of another split than the file's name says: nobody could tell which of the two is meant."""
    for row, value in enumerate(values, 1):
        own = SPLIT_NAMES.get(str(value).strip().lower())
        if own is not None and own != split:
            raise DataError(
                f"{path}, row {row}: the column 'split' says {own}, and the file's name {split}; name the file manifest{path.suffix}, "
                "or leave out the column."
            )


def _with_files(table: pa.Table, folder: Path) -> tuple[pa.Table, tuple[str, ...]]:
    """Leaves out the rows whose image is a file that is missing."""
    held = pc.is_valid(pc.struct_field(table["image"], "bytes")).to_pylist()
    names = pc.struct_field(table["image"], "path").to_pylist()
    outside = [row for row, inside in enumerate(held) if not inside]
    if any(names[row] is None for row in outside):
        raise DataError("A row of the table has neither image bytes nor a path.")
    there, notes = present(folder, [names[row] for row in outside], "the table")
    if there.all():
        return table, notes
    gone = {row for row, ok in zip(outside, there.tolist(), strict=True) if not ok}
    return take_rows(table, [row for row in range(len(table)) if row not in gone]), notes
