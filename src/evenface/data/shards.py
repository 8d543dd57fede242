"""A prepared set on the disk: Parquet shards per split that evenface and Hugging Face `datasets` read.

    OUT/train-00000.parquet ... test-00000.parquet      id, split, label, image {bytes, path}, box, landmarks, ... a row per kept face
    OUT/dropped.csv                                     id, split, label, source, reason of every other picture
    OUT/prepare.json                                    settings, source, counts; `complete` says whether all shards are there

A shard holds the kept faces of a fixed slice of the rows, and in its metadata what became of the others: one file, one rename, so a
killed run leaves whole shards. It knows class names, licence, notes and alignment too, under the same key as `Manifest.save`.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from evenface.data.layout import require_every_class
from evenface.data.manifest import Manifest, require_unique
from evenface.errors import DataError
from evenface.files import write_aside


STATE = "prepare.json"
DROPPED = "dropped.csv"
ROW_GROUP = 256  # rows, some 6 MB of faces at 224 px: what a reader of single rows has to load

_META = b"evenface"
_SHARD = b"evenface_shard"


@dataclasses.dataclass(frozen=True, slots=True)
class Dropped:
    """A picture that gave no face."""

    id: str
    label: str
    source: str
    reason: str


@dataclasses.dataclass(frozen=True)
class ShardCounts:
    """What became of a shard's slice: kept faces per class, and the pictures that were dropped."""

    kept: dict[str, int]
    dropped: tuple[Dropped, ...]


Part = tuple[pa.Table, Sequence[Dropped]]  # some rows of a shard, and what was dropped between them


def shard_name(split: str, number: int) -> str:
    return f"{split}-{number:05d}.parquet"


def shard_schema(columns: pa.Schema, manifest: Manifest, digest: str) -> pa.Schema:
    """The columns with all that a reader has to know.

    Args:
        manifest: whose names, notes, licence and alignment the shards bear.
        digest: of the settings and the source; a shard of other ones is not taken for a part of this set.
    """
    meta = {
        "class_names": manifest.class_names,
        "name": manifest.name,
        "root": None,
        "notes": manifest.notes,
        "licence": manifest.licence,
        "alignment": manifest.alignment,
        "prepared": digest,
    }
    features = {field.name: feature for field in columns if (feature := _feature(field.type)) is not None}
    features["image"] = {"_type": "Image"}
    return columns.with_metadata({_META: json.dumps(meta), b"huggingface": json.dumps({"info": {"features": features}})})


def _feature(kind: pa.DataType) -> dict[str, Any] | None:
    """How Hugging Face `datasets` writes a column's type down; None for one that it is left to infer."""
    if pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind):
        inner = _feature(kind.value_type)
        size = kind.list_size if pa.types.is_fixed_size_list(kind) else -1
        return None if inner is None else {"feature": inner, "length": size, "_type": "Sequence"}  # known to old and new versions
    names = {pa.float32(): "float32", pa.float64(): "float64", pa.bool_(): "bool", pa.string(): "string", pa.large_string(): "large_string"}
    name = str(kind) if pa.types.is_integer(kind) else names.get(kind)
    return None if name is None else {"dtype": name, "_type": "Value"}


def write_shard(path: Path, schema: pa.Schema, parts: Iterable[Part]) -> None:
    """Writes a shard row group by row group, so that only one is in memory.

    Raises:
        StorageError: it cannot be written.
    """

    def write(file: IO[bytes]) -> None:
        kept: Counter[str] = Counter()
        gone: list[Dropped] = []
        waiting: list[pa.Table] = []
        plain = {"compression": "snappy", "use_dictionary": ["split", "label"], "write_statistics": False}  # a JPEG is no statistic
        with pq.ParquetWriter(file, schema, **plain) as writer:
            for table, dropped in parts:
                kept.update(table["label"].to_pylist())
                gone += dropped
                waiting.append(table)
                if sum(map(len, waiting)) >= ROW_GROUP:
                    writer.write_table(pa.concat_tables(waiting).replace_schema_metadata(schema.metadata))
                    waiting.clear()
            if sum(map(len, waiting)):
                writer.write_table(pa.concat_tables(waiting).replace_schema_metadata(schema.metadata))
            counts = {"kept": dict(kept), "dropped": [dataclasses.astuple(each) for each in gone]}
            writer.add_key_value_metadata({_SHARD: json.dumps(counts)})

    write_aside(path, write)


def shard_counts(path: Path, digest: str) -> ShardCounts | None:
    """What a finished shard says of its slice; None where there is none, or a damaged one, or one of another preparation."""
    try:
        meta = pq.read_metadata(path).metadata or {}
        if json.loads(meta[_META]).get("prepared") != digest:
            return None
        counts = json.loads(meta[_SHARD])
    except (OSError, pa.ArrowInvalid, KeyError, ValueError):
        return None
    return ShardCounts(counts["kept"], tuple(Dropped(*each) for each in counts["dropped"]))


def is_prepared(files: Sequence[Path]) -> bool:
    """Whether all of the files are shards of prepared sets."""
    return bool(files) and all(_prepared(path) is not None for path in files)


def _prepared(path: Path) -> dict[str, Any] | None:
    if path.suffix != ".parquet":
        return None
    try:
        meta = json.loads((pq.read_schema(path).metadata or {}).get(_META, b"{}"))
    except (pa.ArrowInvalid, OSError, ValueError):
        return None
    return meta if isinstance(meta, dict) and {"prepared", "class_names", "name", "notes", "licence", "alignment"} <= meta.keys() else None


def read_shards(folder: Path, files: Sequence[Path]) -> Manifest:
    """The manifest of a prepared set.

    Raises:
        DataError: the preparation has not come to its end, a shard is missing or of another preparation, or a class has no train image.
    """
    require_complete(folder)
    metas = [meta for meta in map(_prepared, files) if meta is not None]
    if any(meta["prepared"] != metas[0]["prepared"] for meta in metas):
        raise DataError(f"The shards under {folder} were prepared in different ways; give every prepared set a folder of its own.")
    notes = list(metas[0]["notes"])
    state = read_state(folder)
    if state is not None:
        missing = sorted(set(state["shards"]) - {path.name for path in files})
        if missing:
            raise DataError(f"{folder} lacks {', '.join(missing[:3])}; run the same `evenface data prepare` again, it is made anew.")
        notes += state["notes"]
    try:
        table = pa.concat_tables([pq.read_table(path) for path in files]).replace_schema_metadata(None)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{folder} cannot be read as Parquet: {str(error).splitlines()[0]}") from None
    require_unique(table, str(folder))
    first = metas[0]
    names = tuple(first["class_names"])
    return require_every_class(Manifest(table, names, first["name"], None, tuple(notes), first["licence"], first["alignment"]))


def require_complete(folder: Path) -> None:
    """Refuses a folder whose preparation has not come to its end.

    Raises:
        DataError: says how to go on.
    """
    state = read_state(folder)
    if state is not None and not state["complete"]:
        raise DataError(f"{folder} is not prepared to its end; run the same `evenface data prepare` again, it goes on from there.")


def read_state(folder: Path) -> dict[str, Any] | None:
    """What `prepare.json` says; None where there is none.

    Raises:
        DataError: it is damaged.
    """
    try:
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError:
        state = None
    if not isinstance(state, dict) or not {"settings", "source", "complete", "shards", "notes"} <= state.keys():
        raise DataError(f"{folder / STATE} is damaged; remove the folder and prepare the set again.")
    return state
