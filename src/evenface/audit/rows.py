"""The rows that an audit looks at: those of the manifest, then those that its reader leaves out.

rows = Rows(manifest, load_left_out("ferplus", folder))
rows.ids[0], rows.splits[0], rows.labels[0]            # label is None for a row that is left out
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from evenface.data.decode import UNREADABLE
from evenface.data.manifest import IMAGE_TYPE, Manifest
from evenface.errors import DataError


class Rows:
    """Rows by position.

    Args:
        manifest: the set as training sees it.
        left_out: id, split, reason and image of the other rows of the source, or None.

    Attributes:
        ids, splits: per row.
        labels: per row; None where the reader gives none.
        reasons: why the reader leaves the row out; None where it does not.
        kept: the number of the manifest's rows, which come first.

    Raises:
        DataError: a set without a row, or a row left out with the id of another.
    """

    def __init__(self, manifest: Manifest, left_out: pa.Table | None = None) -> None:
        self.manifest = manifest
        self.kept = len(manifest)
        if not self.kept:
            raise DataError(f"The data set '{manifest.name}' has no row to look at.")
        more: dict[str, list[str]] = {"id": [], "split": [], "reason": []}
        image = manifest.table["image"].cast(IMAGE_TYPE)
        if left_out is not None and len(left_out):
            more = {name: left_out[name].to_pylist() for name in more}
            image = pa.chunked_array([*image.chunks, *left_out["image"].cast(IMAGE_TYPE).chunks])
        self._image = image
        self.ids: list[str] = [*manifest.ids(), *more["id"]]
        if len(set(self.ids)) < len(self.ids):
            raise DataError(f"A row that the reader of '{manifest.name}' leaves out has the id of another row.")
        self.splits: list[str] = [*manifest.table["split"].to_pylist(), *more["split"]]
        self.labels: list[str | None] = [*manifest.table["label"].to_pylist(), *([None] * len(more["id"]))]
        self.reasons: list[str | None] = [*([None] * self.kept), *more["reason"]]

    def __len__(self) -> int:
        return len(self.ids)

    def in_train(self, row: int) -> bool:
        """Whether a training would see the row."""
        return row < self.kept and self.splits[row] == "train"

    def image_bytes(self, row: int) -> bytes:
        """The encoded picture.

        Raises:
            OSError: its file cannot be read.
        """
        image = self._image[row].as_py()
        return bytes(image["bytes"]) if image["bytes"] is not None else self.manifest.resolve(image["path"]).read_bytes()

    def pictures_key(self) -> str:
        """A hash of the pictures in their order: of their bytes, or of their files' names, sizes and times."""
        digest = hashlib.blake2b(digest_size=8)
        for value in self._image:
            image = value.as_py()
            if image["bytes"] is not None:
                digest.update(hashlib.blake2b(image["bytes"], digest_size=16).digest())
                continue
            path = self.manifest.resolve(image["path"])
            try:
                stat = path.stat()
                digest.update(f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode())
            except UNREADABLE:
                digest.update(f"{path}\0missing\0".encode())
        return digest.hexdigest()

    def key(self) -> str:
        """A hash of all that the checks look at besides the pictures."""
        known = [name for name in self.manifest.table.column_names if name == "subject" or name.startswith("votes_")]
        more = {name: self.manifest.table[name].to_pylist() for name in known}
        told = json.dumps([self.ids, self.splits, self.labels, self.reasons, more], default=str)
        return hashlib.blake2b(told.encode(), digest_size=8).hexdigest()

    def by_split(self, rows: Sequence[int] | np.ndarray) -> dict[str, int]:
        """How many of the rows each split has; splits without one are left out."""
        counts = dict.fromkeys(("train", "validation", "test"), 0)
        for row in rows:
            counts[self.splits[int(row)]] += 1
        return {split: count for split, count in counts.items() if count}
