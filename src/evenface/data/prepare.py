"""A raw set of pictures -> a set of cut-out faces in Parquet shards: `evenface data prepare`.

    manifest = load_dataset("folder", "raw")
    prepared = prepare(manifest, Path("faces"), detector="mtcnn", workers=8)
    prepared.kept["train"], prepared.reasons["train"]     # {"happiness": 4701, ...}, {"no face": 61}
    load_dataset("manifest", "faces")                     # knows the alignment, the class names, the licence and what was dropped

The rows of each split are cut into slices of `shard_rows`; each gives a shard (`evenface.data.shards`). Whole shards stay when a run is
stopped or killed, and the same call goes on with the others. The files have the same bytes with any number of workers and of stops.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import hashlib
import io
import itertools
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL
import pyarrow as pa
import pyarrow.compute as pc
import torch

from evenface._version import __version__
from evenface.data.cutting import Cutting, Picture, Stored
from evenface.data.manifest import IMAGE_TYPE, Manifest, take_rows
from evenface.data.shards import (
    DROPPED,
    STATE,
    Dropped,
    Part,
    ShardCounts,
    read_state,
    shard_counts,
    shard_name,
    shard_schema,
    write_shard,
)
from evenface.data.workers import Faces, Workers
from evenface.errors import ConfigError, DataError
from evenface.faces.alignment import Alignment
from evenface.faces.detection import Search
from evenface.files import clear_aside, write_text
from evenface.locks import alone_in


CHUNK = 8  # pictures that a worker is given at a time
_DIGESTED = 4096  # rows

FOUND = {
    "box": pa.list_(pa.float32(), 4),
    "landmarks": pa.list_(pa.list_(pa.float32())),
    "detection_score": pa.float32(),
    "source": pa.string(),
}
"""The columns that are added: where in the picture the face was, and which picture; pixels of the upright picture."""


@dataclasses.dataclass(frozen=True)
class Prepared:
    """What became of a set.

    Attributes:
        out: the folder.
        name: the data set's name.
        class_names: canonical names.
        kept: split -> class -> faces.
        dropped: split -> class -> pictures that gave none.
        reasons: split -> reason -> pictures.
        shards: how many there are.
        made: how many of them this call made; the others were there.
    """

    out: Path
    name: str
    class_names: tuple[str, ...]
    kept: dict[str, dict[str, int]]
    dropped: dict[str, dict[str, int]]
    reasons: dict[str, dict[str, int]]
    shards: int
    made: int

    def notes(self) -> list[str]:
        """A sentence per split that lost pictures."""
        found = []
        for split, reasons in self.reasons.items():
            gone, stay = sum(reasons.values()), sum(self.kept[split].values())
            if gone:
                why = ", ".join(f"{count:,} {reason}" for reason, count in reasons.items())
                found.append(f"{gone:,} of the {gone + stay:,} pictures of {split} gave no face ({why}); they are left out.")
        return found


@dataclasses.dataclass(frozen=True)
class _Slice:
    """The rows that make one shard."""

    path: Path
    split: str
    table: pa.Table

    def chunks(self) -> Iterator[pa.Table]:
        yield from (self.table.slice(start, CHUNK) for start in range(0, len(self.table), CHUNK))


def prepare(
    manifest: Manifest,
    out: str | os.PathLike[str],
    *,
    detector: str | Search = "mtcnn",
    alignment: Alignment | None = None,
    size: int = 224,
    min_face: int = 40,
    min_score: float | None = None,
    several: str = "largest",
    missing: str = "skip",
    quality: int | None = 95,
    workers: int = 1,
    shard_rows: int = 2000,
    progress: Callable[[int, int], None] | None = None,
) -> Prepared:
    """Finds, cuts out and packs the faces of a set; see `evenface.data.cutting.Cutting` for what the options mean.

    Args:
        manifest: any set. Where it has the column `box`, the face there is taken.
        out: a new folder, or one that the same call was stopped in.
        detector: a name of `evenface.faces.detectors.DETECTORS`, or a search of one's own (with several workers, one that can be pickled).
        alignment: by default the template arcface; `box` where the detector is none.
        workers: processes; 1 works in this one.
        shard_rows: pictures per shard.
        progress: called with (done, all) pictures.

    Raises:
        ConfigError: a value out of range; a folder that holds something else, was begun with other settings or data, or is worked in by
            another process.
        DataError: no row, or not one face.
        ModelError: the detector's weights are missing.
        TrainingError: a worker died; what is finished stays.
        StorageError: a file cannot be written.
    """
    if workers < 1 or shard_rows < 1:
        raise ConfigError("--workers and --shard-rows are at least 1.")
    if len(manifest) == 0:
        raise DataError(f"The data set '{manifest.name}' has no pictures to prepare.")
    searched = detector != "none"
    alignment = alignment or Alignment("arcface" if searched else "box")
    if not searched and alignment.template != "box":
        raise ConfigError(f"--template {alignment.template} needs a face's landmarks, and --detector none finds none; take --template box.")
    cutting = Cutting(alignment, size, min_face, min_score, several, missing, quality)
    name = detector if isinstance(detector, str) else getattr(detector, "__qualname__", type(detector).__qualname__)
    state = _state(manifest, {"detector": name, **cutting.to_dict(), "shard_rows": shard_rows})
    digest = hashlib.blake2b(json.dumps([state["settings"], state["source"]]).encode(), digest_size=16).hexdigest()
    folder = Path(out)
    with Workers(detector, cutting, workers) as pool, _mine(folder, state):
        schema = shard_schema(_columns(manifest.table.schema), _as_prepared(manifest, name, cutting), digest)
        slices = list(_slices(manifest, folder, shard_rows))
        counts = {each.path: shard_counts(each.path, digest) for each in slices}
        todo = [each for each in slices if counts[each.path] is None]
        if todo:
            write_text(folder / STATE, _json(state))
        done, total = len(manifest) - sum(len(each.table) for each in todo), len(manifest)
        pictures = (list(_pictures(manifest, chunk)) for each in todo for chunk in each.chunks())
        faces = pool.run(pictures)
        for each in todo:

            def parts(each: _Slice = each) -> Iterator[Part]:
                nonlocal done
                for chunk in each.chunks():
                    if progress is not None:
                        progress(done, total)
                    yield _part(schema, chunk, next(faces))
                    done += len(chunk)

            write_shard(each.path, schema, parts())
            counts[each.path] = shard_counts(each.path, digest)
        if progress is not None:
            progress(total, total)
        found = [(each.split, each.path, shard) for each in slices if (shard := counts[each.path]) is not None]
        assert len(found) == len(slices), "each was there or has been made"
        prepared = _summary(manifest, folder, found, len(todo))
        _finish(folder, state, prepared, found)
    if not any(sum(per.values()) for per in prepared.kept.values()):
        raise DataError(f"None of the {total:,} pictures gave a face; {folder / DROPPED} says why of each.")
    return prepared


# -------------------- the rows


def _slices(manifest: Manifest, folder: Path, rows: int) -> Iterator[_Slice]:
    splits = manifest.table["split"]
    for split in manifest.splits:
        here = np.flatnonzero(pc.equal(splits, split).to_numpy())
        whole = here[-1] - here[0] + 1 == len(here)  # then nothing is copied
        table = manifest.table.slice(here[0], len(here)) if whole else take_rows(manifest.table, here)
        for number, start in enumerate(range(0, len(table), rows)):
            yield _Slice(folder / shard_name(split, number), split, table.slice(start, rows))


def _pictures(manifest: Manifest, chunk: pa.Table) -> Iterator[Picture]:
    boxes = chunk["box"].to_pylist() if "box" in chunk.column_names else itertools.repeat(None, len(chunk))
    for image, box in zip(chunk["image"].to_pylist(), boxes, strict=True):
        source = image["bytes"] if image["bytes"] is not None else str(manifest.resolve(image["path"]))
        yield Picture(source, tuple(box) if isinstance(box, list) else None)


def _columns(given: pa.Schema) -> pa.Schema:
    """id, split, label and image first, then where the face was found, then what else the set has."""
    first = [pa.field(name, pa.string()) for name in ("id", "split", "label")] + [pa.field("image", IMAGE_TYPE)]
    found = [pa.field(name, kind) for name, kind in FOUND.items()]
    names = {field.name for field in (*first, *found)}
    return pa.schema([*first, *found, *(field for field in given if field.name not in names)])


def _part(schema: pa.Schema, chunk: pa.Table, faces: Faces) -> Part:
    """The kept rows of a chunk with their faces, and the others."""
    sources = _sources(chunk)
    kept = [i for i, face in enumerate(faces) if isinstance(face, Stored)]
    stored = [face for face in faces if isinstance(face, Stored)]
    columns: dict[str, Any] = {
        "image": [{"bytes": face.data, "path": None} for face in stored],
        "box": [face.box for face in stored],
        "landmarks": [face.landmarks for face in stored],
        "detection_score": [face.score for face in stored],
        "source": [sources[i] for i in kept],
    }
    rows = chunk.take(pa.array(kept, pa.int64()))
    table = pa.table(
        [pa.array(columns[f.name], f.type) if f.name in columns else rows[f.name].cast(f.type) for f in schema],
        schema=schema,
    )
    ids, labels = chunk["id"].to_pylist(), chunk["label"].to_pylist()
    dropped = [Dropped(ids[i], labels[i], sources[i] or "", face) for i, face in enumerate(faces) if isinstance(face, str)]
    return table, dropped


def _sources(chunk: pa.Table) -> list[str | None]:
    """The pictures' files; where the set holds the pictures itself, what it says of where they came from."""
    before = chunk["source"].to_pylist() if "source" in chunk.column_names else [None] * len(chunk)
    return [image["path"] or (None if old is None else str(old)) for image, old in zip(chunk["image"].to_pylist(), before, strict=True)]


# -------------------- the folder


@contextlib.contextmanager
def _mine(folder: Path, state: dict[str, Any]) -> Iterator[None]:
    """The folder for this process alone, after a look whether it is this set's.

    Raises:
        ConfigError: it is not.
    """
    folder.mkdir(parents=True, exist_ok=True)
    busy = ConfigError(f"Another process is preparing {folder}; wait for it, or choose another folder.")
    with alone_in(folder, busy) as alone:
        _require_same(folder, state)
        if alone:  # else another process may be writing here
            clear_aside(folder)
        yield


def _require_same(folder: Path, state: dict[str, Any]) -> None:
    before = read_state(folder)
    if before is None:
        if any(not path.name.endswith(".part") for path in folder.iterdir()):
            raise ConfigError(f"{folder} holds other files; choose a new or empty folder.")
        return
    other = [
        f"{key} {json.dumps(before['settings'].get(key))}, not {json.dumps(value)}"
        for key, value in state["settings"].items()
        if before["settings"].get(key) != value
    ]
    if other:
        raise ConfigError(f"{folder} was begun with other settings ({'; '.join(other)}); give the same, or choose another folder.")
    if before["source"] != state["source"]:
        raise ConfigError(f"{folder} was begun with other data ({before['source'].get('rows')} rows); choose another folder.")


def _state(manifest: Manifest, settings: dict[str, Any]) -> dict[str, Any]:
    """`prepare.json` of a set that is not finished; equal for equal calls on equal data."""
    packages = {module.__name__: module.__version__ for module in (cv2, np, PIL, pa, torch)}
    source = {"name": manifest.name, "class_names": manifest.class_names, "rows": len(manifest), "digest": _digest(manifest.table)}
    state = {
        "schema_version": 1,
        "settings": settings,
        "source": {**source, "licence": manifest.licence},
        "versions": {"evenface": __version__, **packages},
        "complete": False,
        "shards": [],
        "notes": [],
    }
    plain: dict[str, Any] = json.loads(json.dumps(state))
    return plain


def _digest(table: pa.Table) -> str:
    """Of all that the table says, pictures by their file's name or by their length in bytes; files that changed are not noticed."""
    image = table["image"]
    known = table.drop_columns("image").append_column("path", pc.struct_field(image, "path"))
    known = known.append_column("length", pc.binary_length(pc.struct_field(image, "bytes")))
    digest = hashlib.blake2b(str([(field.name, str(field.type)) for field in known.schema]).encode(), digest_size=16)
    for start in range(0, len(known), _DIGESTED):
        digest.update(repr(known.slice(start, _DIGESTED).to_pydict()).encode())
    return digest.hexdigest()


def _as_prepared(manifest: Manifest, detector: str, cutting: Cutting) -> Manifest:
    """The manifest as the shards will describe it. Faces that were cut out before keep what is known of that."""
    if detector == "none":
        how = f"Pictures taken whole as faces, stored at {cutting.size} px."
    else:
        how = f"Faces found by {detector}, cut out with the template {cutting.alignment.template}, stored at {cutting.size} px."
    before = manifest.alignment if detector == "none" and not cutting.alignment.margin else None
    return manifest.replace(manifest.table, notes=(*manifest.notes, how), alignment=before or cutting.alignment.to_dict())


Found = Sequence[tuple[str, Path, ShardCounts]]


def _summary(manifest: Manifest, folder: Path, found: Found, made: int) -> Prepared:
    kept = {split: dict.fromkeys(manifest.class_names, 0) for split in manifest.splits}
    dropped = {split: dict.fromkeys(manifest.class_names, 0) for split in manifest.splits}
    reasons: dict[str, Counter[str]] = {split: Counter() for split in manifest.splits}
    for split, _, shard in found:
        for label, count in shard.kept.items():
            kept[split][label] += count
        for each in shard.dropped:
            dropped[split][each.label] += 1
            reasons[split][each.reason] += 1
    ordered = {split: dict(sorted(why.items())) for split, why in reasons.items()}
    return Prepared(folder, manifest.name, manifest.class_names, kept, dropped, ordered, len(found), made)


def _finish(folder: Path, state: dict[str, Any], prepared: Prepared, found: Found) -> None:
    """Writes the list of what was dropped and, last, that all is there."""
    rows = io.StringIO()
    writer = csv.writer(rows, lineterminator="\n")
    writer.writerow(("id", "split", "label", "source", "reason"))
    for split, _, shard in found:
        writer.writerows((each.id, split, each.label, each.source, each.reason) for each in shard.dropped)
    write_text(folder / DROPPED, rows.getvalue())
    counts = {
        split: {label: {"kept": prepared.kept[split][label], "dropped": prepared.dropped[split][label]} for label in prepared.class_names}
        for split in prepared.kept
    }
    ended = {"complete": True, "shards": [path.name for _, path, _ in found], "notes": prepared.notes()}
    write_text(folder / STATE, _json({**state, **ended, "counts": counts, "reasons": prepared.reasons}))


def _json(state: dict[str, Any]) -> str:
    return json.dumps(state, indent=1) + "\n"
