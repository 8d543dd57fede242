"""The manifest: one table with a row per face, which every reader yields and everything after it takes.

    from evenface.data import load_dataset
    manifest = load_dataset("ferplus", "path/to/ferplus")
    manifest.counts("train")             # {"happiness": 7287, ...}
    manifest.save("faces.parquet")

Columns: `id` (text, unique), `split` (train, validation or test), `label` (canonical name), `image` (a struct of `bytes` and
`path`, the layout of Hugging Face datasets; one of the two is enough), and where the source has them `soft` (the vote
distribution over `class_names`, float32), `votes_<name>` (one column per choice), `clean_label` (before noise), `box` (xyxy, pixels),
`landmarks`, `subject`; other columns are kept as they are.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from evenface.errors import DataError, LabelError
from evenface.files import printable, write_aside


SPLITS = ("train", "validation", "test")
_AT_ONCE = 4096  # rows gathered in one go

IMAGE_TYPE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_META_KEY = b"evenface"


def take_rows(table: pa.Table, rows: Sequence[int] | np.ndarray) -> pa.Table:
    """The given rows of a table, in the given order.

    `pa.Table.take` puts all chunks of a column into one array first, which cannot hold more than 2 GB of pictures; a filter does not.
    """
    wanted = np.asarray(rows, dtype=np.int64)
    if (np.diff(wanted) > 0).all():
        return table.filter(_mask(wanted, len(table)))
    parts = []
    for start in range(0, len(wanted), _AT_ONCE):
        here, order = np.unique(wanted[start : start + _AT_ONCE], return_inverse=True)
        parts.append(table.filter(_mask(here, len(table))).take(pa.array(order)))
    return pa.concat_tables(parts)


def _mask(rows: np.ndarray, length: int) -> pa.Array:
    if len(rows) and not 0 <= rows[0] <= rows[-1] < length:
        raise IndexError(f"There are no rows {rows[0]} to {rows[-1]} in a table of {length}.")
    mask = np.zeros(length, dtype=bool)
    mask[rows] = True
    return pa.array(mask)


@dataclasses.dataclass(frozen=True, eq=False)
class Manifest:
    """A table of faces and the names that its labels may take.

    Attributes:
        table: a row per face, with the columns described above.
        class_names: canonical names; position = index used in training. `soft` rows follow this order.
        name: the data set's name, for reports.
        root: folder that relative image paths start from.
        notes: what the reader dropped or decided, one sentence each; a training shows those that say "left out".
        licence: of the images, for the model card.
        alignment: how the faces were cut out, the fields of `evenface.faces.alignment.Alignment`; None where that is not known.
    """

    table: pa.Table
    class_names: tuple[str, ...]
    name: str = ""
    root: Path | None = None
    notes: tuple[str, ...] = ()
    licence: str = "unknown"
    alignment: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        missing = {"id", "split", "label", "image"} - set(self.table.column_names)
        if missing:
            raise DataError(f"A manifest needs the columns id, split, label and image; missing: {', '.join(sorted(missing))}.")
        labels = set(self.table["label"].unique().to_pylist())
        strange = sorted(str(label) for label in labels - set(self.class_names))
        if strange:
            raise LabelError(f"Labels {', '.join(strange)} are not among the classes {', '.join(self.class_names)}.")
        splits = sorted(str(s) for s in set(self.table["split"].unique().to_pylist()) - set(SPLITS))
        if splits:
            raise DataError(f"Unknown split {', '.join(splits)}; a split is train, validation or test.")

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that have rows, in the order train, validation, test."""
        present = set(self.table["split"].unique().to_pylist())
        return tuple(s for s in SPLITS if s in present)

    def split(self, name: str) -> Manifest:
        """The rows of one split, in their order.

        Raises:
            DataError: no row has that split.
        """
        if name not in self.splits:
            raise DataError(f"The data set '{self.name}' has no {name} split; it has: {', '.join(self.splits) or 'no rows'}.")
        return self.replace(self.table.filter(pc.equal(self.table["split"], name)))

    def take(self, rows: Sequence[int] | np.ndarray) -> Manifest:
        """The given rows, in the given order."""
        return self.replace(take_rows(self.table, rows))

    def replace(self, table: pa.Table, **changes: Any) -> Manifest:
        """The same manifest with another table (and other attributes)."""
        return dataclasses.replace(self, table=table, **changes)

    def targets(self) -> np.ndarray:
        """Class index of each row, int64 (n,), positions in `class_names`."""
        index = {name: i for i, name in enumerate(self.class_names)}
        return np.array([index[label] for label in self.table["label"].to_pylist()], dtype=np.int64)

    def soft_targets(self) -> np.ndarray | None:
        """Vote distributions, float32 (n, L) with rows that sum to 1, or None where the source has none."""
        if "soft" not in self.table.column_names:
            return None
        return np.array(self.table["soft"].to_pylist(), dtype=np.float32)

    def ids(self) -> list[str]:
        return list(self.table["id"].to_pylist())

    def counts(self, split: str | None = None) -> dict[str, int]:
        """Faces per class (all classes named, zero included), of one split or of all rows."""
        table = self.table if split is None else self.table.filter(pc.equal(self.table["split"], split))
        found = {row["values"]: row["counts"] for row in table["label"].value_counts().to_pylist()}
        return {name: int(found.get(name, 0)) for name in self.class_names}

    def image_bytes(self, row: int) -> bytes:
        """The encoded image of a row, from the table or from its file.

        Raises:
            OSError: the file cannot be read.
        """
        image = self.table["image"][row].as_py()
        if image["bytes"] is not None:
            return bytes(image["bytes"])
        return self.resolve(image["path"]).read_bytes()

    def resolve(self, path: str) -> Path:
        """An image path of the table as a path on this machine."""
        return Path(path) if self.root is None else self.root / path

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the table as Parquet, names and notes in its metadata.

        Raises:
            StorageError: the file cannot be written.
        """
        meta = {
            "class_names": self.class_names,
            "name": self.name,
            "root": str(self.root.resolve()) if self.root else None,
            "notes": self.notes,
            "licence": self.licence,
            "alignment": self.alignment,
        }
        table = self.table.replace_schema_metadata({_META_KEY: json.dumps(meta).encode()})
        write_aside(path, lambda file: pq.write_table(table, file))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Manifest:
        """Reads back what `save` wrote. For Parquet or CSV from elsewhere see `evenface.data.table`.

        Raises:
            DataError: no such file, one whose metadata are damaged, or two such files put together, with faces that stand twice.
        """
        try:
            table = pq.read_table(path)
        except (pa.ArrowInvalid, OSError) as error:
            raise DataError(f"{path} cannot be read as Parquet: {str(error).splitlines()[0]}") from None
        meta = (table.schema.metadata or {}).get(_META_KEY)
        if meta is None:
            raise DataError(f"{path} was not written by evenface; read it as a data set: --dataset manifest --data-dir {path}")
        try:
            fields = json.loads(meta)
            found = cls(
                table.replace_schema_metadata(None),
                tuple(fields["class_names"]),
                fields["name"],
                Path(fields["root"]) if fields["root"] else None,
                tuple(fields["notes"]),
                fields["licence"],
                fields.get("alignment"),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{path} has damaged metadata of evenface ({type(error).__name__}); write it anew.") from error
        require_unique(found.table, str(path))
        return found


def build(
    rows: dict[str, Any],
    class_names: Sequence[str],
    *,
    name: str,
    root: Path | None = None,
    notes: Sequence[str] = (),
    licence: str = "unknown",
    alignment: dict[str, Any] | None = None,
) -> Manifest:
    """A manifest from columns (lists or Arrow arrays). `image` may be a list of paths, of bytes, or the struct itself.

    Raises:
        DataError: an id stands on more than one row, a file name that is not UTF-8, or what `Manifest` refuses.
    """
    columns = dict(rows)
    image = columns["image"]
    if isinstance(image, list):
        for path in image:
            if not isinstance(path, bytes) and printable(path) != str(path):
                raise DataError(f"The name of {printable(path if root is None else root / path)} is not UTF-8; rename it.")
        columns["image"] = pa.array(
            [{"bytes": i, "path": None} if isinstance(i, bytes) else {"bytes": None, "path": str(i)} for i in image], type=IMAGE_TYPE
        )
    for text in ("id", "split", "label"):
        if isinstance(columns[text], list):
            columns[text] = pa.array(columns[text], type=pa.string())
    table = pa.table(columns)
    require_unique(table, name)
    return Manifest(table, tuple(class_names), name, root, tuple(notes), licence, alignment)


def require_unique(table: pa.Table, name: str) -> None:
    """Refuses a table in which an id stands twice, for predictions are joined by id.

    Raises:
        DataError: names the first such id.
    """
    if pc.count_distinct(table["id"], mode="all").as_py() < len(table):
        counted = table["id"].value_counts().to_pylist()
        twice = next(row for row in counted if row["counts"] > 1)
        raise DataError(f"The id '{twice['values']}' stands on {twice['counts']} rows of '{name}'; every face needs its own.")
