from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evenface.data.manifest import IMAGE_TYPE, Manifest, build, take_rows
from evenface.data.table import read_table
from evenface.errors import DataError, LabelError, StorageError


def small() -> Manifest:
    rows = {
        "id": ["a", "b", "c", "d"],
        "split": ["test", "train", "train", "validation"],
        "label": ["fear", "fear", "happiness", "neutral"],
        "image": [b"1", b"2", "sub/c.png", "d.png"],
        "subject": ["p1", "p2", "p2", "p3"],
    }
    return build(rows, ("happiness", "neutral", "fear"), name="small", root=Path("/faces"), notes=["one"], licence="CC0")


def test_splits_counts_targets() -> None:
    m = small()
    assert len(m) == 4
    assert m.splits == ("train", "validation", "test")
    assert m.split("train").ids() == ["b", "c"]
    assert m.counts() == {"happiness": 1, "neutral": 1, "fear": 2}
    assert m.counts("train") == {"happiness": 1, "neutral": 0, "fear": 1}
    assert m.targets().tolist() == [2, 2, 0, 1]
    assert m.targets().dtype == np.int64
    assert m.take([3, 0]).ids() == ["d", "a"]
    assert m.soft_targets() is None


def test_soft_targets_follow_the_class_names() -> None:
    m = small()
    shares = pa.array([[0.5, 0.25, 0.25]] * 4, type=pa.list_(pa.float32()))
    soft = m.replace(m.table.append_column("soft", shares)).soft_targets()
    assert soft is not None
    assert soft.dtype == np.float32
    np.testing.assert_array_equal(soft, [[0.5, 0.25, 0.25]] * 4)


def test_an_absent_split_says_which_there_are() -> None:
    with pytest.raises(DataError, match="no test split; it has: train, validation"):
        small().take([1, 2, 3]).split("test")


@pytest.mark.parametrize(
    ("column", "values", "error", "message"),
    [
        ("label", ["fear", "fear", "anger", "neutral"], LabelError, "anger"),
        ("label", ["fear", "fear", None, "neutral"], LabelError, "None"),
        ("split", ["test", "train", "dev", "train"], DataError, "Unknown split dev"),
        ("id", ["a", "b", "a", "c"], DataError, "'a' stands on 2 rows"),
    ],
)
def test_bad_columns_are_refused(column: str, values: list[str], error: type[Exception], message: str) -> None:
    rows = {name: small().table[name].to_pylist() for name in ("id", "split", "label")} | {"image": ["x"] * 4, column: values}
    with pytest.raises(error, match=message):
        build(rows, ("happiness", "neutral", "fear"), name="bad")


def test_a_needed_column_is_named() -> None:
    with pytest.raises(DataError, match="missing: image, split"):
        Manifest(pa.table({"id": ["a"], "label": ["fear"]}), ("fear",))


def test_save_and_load_give_back_everything(tmp_path: Path) -> None:
    m = small()
    file = tmp_path / "deep" / "faces.parquet"
    m.save(file)
    back = Manifest.load(file)
    assert back.table.equals(m.table)
    assert back.table.schema.field("image").type == IMAGE_TYPE
    assert (back.class_names, back.name, back.root, back.notes, back.licence) == (m.class_names, "small", Path("/faces"), ("one",), "CC0")
    assert [p.name for p in file.parent.iterdir()] == ["faces.parquet"]


def test_two_files_put_together_are_refused_where_a_face_stands_twice(tmp_path: Path) -> None:
    manifest = small()
    manifest.save(tmp_path / "one.parquet")
    table = pq.read_table(tmp_path / "one.parquet")
    pq.write_table(pa.concat_tables([table, table.slice(0, 1)]), tmp_path / "two.parquet")
    with pytest.raises(DataError, match=r"stands on 2 rows of '.*two\.parquet'"):
        Manifest.load(tmp_path / "two.parquet")


def test_a_failed_save_leaves_the_old_file_and_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "faces.parquet"
    small().save(file)
    before = file.read_bytes()

    def full(table: pa.Table, handle: IO[bytes]) -> None:
        handle.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("evenface.data.manifest.pq.write_table", full)
    with pytest.raises(StorageError, match="disk is full"):
        small().save(file)
    assert file.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["faces.parquet"]


def test_foreign_and_broken_files_are_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    with pytest.raises(DataError, match="not written by evenface"):
        Manifest.load(tmp_path / "other.parquet")
    (tmp_path / "broken.parquet").write_bytes(b"nothing")
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        Manifest.load(tmp_path / "broken.parquet")


WHOLE = {"class_names": ["fear"], "name": "x", "root": None, "notes": [], "licence": "unknown", "alignment": None}


@pytest.mark.parametrize(
    "meta",
    [
        "{",
        "[]",
        "5",
        "null",
        *(json.dumps({k: v for k, v in WHOLE.items() if k != key}) for key in ("class_names", "name", "root", "notes")),
    ]
    + [json.dumps({**WHOLE, **other}) for other in ({"class_names": 3}, {"root": 3}, {"notes": None}, {"class_names": [["fear"]]})],
)
@pytest.mark.parametrize("read", [Manifest.load, read_table])
def test_damaged_metadata_are_told(tmp_path: Path, make: Callable[..., Manifest], meta: str, read: Callable[..., Manifest]) -> None:
    path = tmp_path / "faces.parquet"
    table = make({"train": {"fear": 2}}).table
    pq.write_table(table.replace_schema_metadata({b"evenface": meta.encode()}), path)
    with pytest.raises(DataError, match=r"faces.parquet has damaged metadata of evenface \(\w+\); write it anew"):
        read(path)
    pq.write_table(table.drop_columns("id").replace_schema_metadata({b"evenface": json.dumps(WHOLE).encode()}), path)
    with pytest.raises(DataError, match="missing: id"):
        read(path)


@pytest.mark.parametrize("meta", ["5", '{"prepared": "0", "class_names": ["fear"]}'])
def test_damaged_metadata_of_a_shard_are_told(tmp_path: Path, make: Callable[..., Manifest], meta: str) -> None:
    table = make({"train": {"fear": 2}}).table.replace_schema_metadata({b"evenface": meta.encode()})
    pq.write_table(table, tmp_path / "train-00000.parquet")
    with pytest.raises(DataError, match="damaged metadata of evenface"):
        read_table(tmp_path)


def test_image_bytes_from_table_and_file(tmp_path: Path, make: Callable[..., Manifest]) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "c.png").write_bytes(b"file")
    m = small()
    m = m.replace(m.table, root=tmp_path)
    assert m.image_bytes(1) == b"2"
    assert m.image_bytes(2) == b"file"
    with pytest.raises(OSError, match=r"d\.png"):
        m.image_bytes(3)
    absolute = build({"id": ["a"], "split": ["test"], "label": ["fear"], "image": [str(tmp_path / "sub" / "c.png")]}, ("fear",), name="abs")
    assert absolute.image_bytes(0) == b"file"


def test_rows_are_taken_in_their_order_and_some_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evenface.data.manifest._AT_ONCE", 3)
    part = pa.table({"n": pa.chunked_array([[0, 1, 2], [3], [4, 5, 6, 7]]), "t": list("abcdefgh")})
    for rows in ([], [2], [0, 3, 7], [7, 3, 0], [5, 5, 1, 0, 7, 7, 2], np.array([6, 4])):
        found = take_rows(part, rows)
        assert found["n"].to_pylist() == list(rows)
        assert found["t"].to_pylist() == ["abcdefgh"[row] for row in rows]
    for wrong in ([8], [-1, 2]):
        with pytest.raises(IndexError):
            take_rows(part, wrong)


@pytest.mark.slow  # 2.2 GB of memory, though of zeros
def test_more_than_two_gigabytes_of_pictures() -> None:
    """One array of pyarrow's `binary` ends at 2 GB; `pa.Table.take` makes one of all chunks."""
    size, count = 1 << 26, 33
    chunk = pa.Array.from_buffers(pa.binary(), 1, [None, pa.py_buffer(np.array([0, size], np.int32)), pa.py_buffer(bytes(size))])
    image = pa.chunked_array([pa.StructArray.from_arrays([chunk, pa.array(["x"])], fields=list(IMAGE_TYPE))] * count)
    columns = {"id": [f"{i}" for i in range(count)], "split": ["train"] * count, "label": ["fear"] * count}
    whole = Manifest(pa.table({**columns, "image": image}), ("fear", "anger"), "large")
    assert image.nbytes > 1 << 31
    assert whole.take(range(1, count)).ids() == columns["id"][1:]
    assert whole.take([7, 3]).ids() == ["7", "3"]
