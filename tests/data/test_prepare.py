"""A set from raw pictures: what the shards hold, that stops and processes change no byte, and what is refused.

The pictures are synthetic faces on a black ground, so that `blob_search` finds them and each place is known.
"""

from __future__ import annotations

import csv
import fcntl
import importlib
import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from evenface.data import load_dataset
from evenface.data.manifest import IMAGE_TYPE, Manifest, build
from evenface.data.prepare import prepare
from evenface.data.synthetic import synthetic_face
from evenface.errors import ConfigError, DataError, TrainingError
from evenface.faces.alignment import Alignment


SIDE = 48
CLASSES = ("happiness", "anger", "fear")
OPTIONS: dict[str, Any] = {"alignment": Alignment("box"), "size": SIDE, "quality": None, "shard_rows": 10}

Faces = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def search() -> Any:
    """`blobs`, under a name that other processes can import."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parent))
        yield importlib.import_module("blob_search")


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Faces]:
    """A folder of 36 pictures with one face each, and 5 odd ones; the faces by id."""
    root = tmp_path_factory.mktemp("raw")
    faces: Faces = {}
    for split, n in (("train", 8), ("test", 4)):
        for label in CLASSES:
            for i in range(n):
                name = f"{split}/{label}/{i}.png"
                face = faces[name] = np.maximum(np.asarray(synthetic_face(label, size=SIDE, seed=i)), 1)
                paint(root / name, (7 + i, 5, face))
    small = faces["train/fear/0.png"]
    paint(root / "train/fear/90.png")
    paint(root / "train/fear/91.png", (2, 3, small), (60, 20, small))
    paint(root / "train/fear/92.png", (2, 3, small[:20, :20]))
    (root / "test/anger/93.png").write_bytes(b"no picture")
    Image.fromarray(small[:30, :30]).save(root / "test/anger/94.png")
    return root, faces


def paint(path: Path, *patches: tuple[int, int, np.ndarray]) -> None:
    """A black picture, 120 x 80, with pixels at (left, top)."""
    ground = np.zeros((80, 120, 3), np.uint8)
    for left, top, pixels in patches:
        ground[top : top + len(pixels), left : left + pixels.shape[1]] = pixels
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(ground).save(path)


ODD = {
    "train/fear/90.png": "no face",
    "train/fear/91.png": "several faces",
    "train/fear/92.png": "too small",
    "test/anger/93.png": "unreadable",
    "test/anger/94.png": "too small",
}


def manifest_of(root: Path) -> Manifest:
    found = load_dataset("folder", root)
    subjects = pa.array([f"p{len(name) % 3}" for name in found.ids()])
    return found.replace(found.table.append_column("subject", subjects), licence="ours", notes=("One note.",))


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def done(raw: tuple[Path, Faces], search: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The set, prepared in one go in this process."""
    out = tmp_path_factory.mktemp("done") / "out"
    prepare(manifest_of(raw[0]), out, detector=search.blobs, several="skip", **OPTIONS)
    return out


# -------------------- what is written


def test_a_prepared_set_is_read_back_whole(raw: tuple[Path, Faces], done: Path) -> None:
    root, faces = raw
    found = load_dataset("manifest", done)
    assert sorted(found.ids()) == sorted(faces)
    for row, each in enumerate(found.table.to_pylist()):
        name = each["id"]
        with Image.open(io.BytesIO(each["image"]["bytes"])) as image:
            assert np.array_equal(np.asarray(image), faces[name]), name
        i = int(Path(name).stem)
        assert each["box"] == [7 + i, 5, 7 + i + SIDE, 5 + SIDE]
        assert each["landmarks"][0] == pytest.approx([7 + i + 38.2946 / 112 * SIDE, 5 + 51.6963 / 112 * SIDE])
        assert len(each["landmarks"]) == 5
        assert each["detection_score"] == 1
        assert each["source"] == name
        assert [each["split"], each["label"]] == name.split("/")[:2]
        assert each["subject"] == f"p{len(name) % 3}"
        assert found.image_bytes(row) == each["image"]["bytes"]
    assert found.alignment == {"template": "box", "margin": 0.0, "resolution": None, "grey": False}
    assert (found.class_names, found.licence, found.name) == (CLASSES, "ours", root.name)
    assert found.notes == (
        "One note.",
        "Faces found by blobs, cut out with the template box, stored at 48 px.",
        "3 of the 27 pictures of train gave no face (1 no face, 1 several faces, 1 too small); they are left out.",
        "2 of the 14 pictures of test gave no face (1 too small, 1 unreadable); they are left out.",
    )
    assert Manifest.load(done / "train-00000.parquet").alignment == found.alignment


def test_the_order_of_the_rows_is_kept(raw: tuple[Path, Faces], done: Path) -> None:
    before = load_dataset("folder", raw[0])
    for split in ("train", "test"):
        expected = [name for name in before.split(split).ids() if name not in ODD]
        assert load_dataset("manifest", done).split(split).ids() == expected


def test_the_list_of_what_was_dropped(done: Path) -> None:
    with (done / "dropped.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["id"]: row["reason"] for row in rows} == ODD
    assert all([row["split"], row["label"]] == row["id"].split("/")[:2] and row["source"] == row["id"] for row in rows)


def test_the_state_tells_settings_and_counts(done: Path) -> None:
    state = json.loads((done / "prepare.json").read_text())
    assert state["complete"] is True
    assert state["settings"]["alignment"]["template"] == "box"
    assert state["settings"]["several"] == "skip"
    assert state["counts"]["train"]["fear"] == {"kept": 8, "dropped": 3}
    assert state["counts"]["test"]["anger"] == {"kept": 4, "dropped": 2}
    assert state["reasons"]["test"] == {"too small": 1, "unreadable": 1}
    assert state["shards"] == [
        "train-00000.parquet",
        "train-00001.parquet",
        "train-00002.parquet",
        "test-00000.parquet",
        "test-00001.parquet",
    ]
    assert {"evenface", "cv2", "PIL", "torch"} <= state["versions"].keys()


def test_shards_are_slices_of_the_rows(done: Path) -> None:
    assert [pq.read_metadata(done / f"train-{i:05d}.parquet").num_rows for i in range(3)] == [
        10,
        7,
        7,
    ]  # anger 8, fear 8 and 3 odd, happiness 8
    assert [pq.read_metadata(done / f"test-{i:05d}.parquet").num_rows for i in range(2)] == [8, 4]


def test_hugging_face_metadata(done: Path) -> None:
    schema = pq.read_schema(done / "train-00000.parquet")
    features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    assert features["image"] == {"_type": "Image"}
    assert features["label"] == {"dtype": "string", "_type": "Value"}
    assert features["box"] == {"feature": {"dtype": "float32", "_type": "Value"}, "length": 4, "_type": "Sequence"}
    assert features["landmarks"]["feature"]["feature"] == {"dtype": "float32", "_type": "Value"}
    assert set(features) == set(schema.names)
    assert schema.field("image").type == pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def test_pictures_that_the_table_holds(search: Any, raw: tuple[Path, Faces], tmp_path: Path) -> None:
    root, faces = raw
    names = ["train/fear/3.png", "test/fear/1.png", "train/fear/4.png"]  # the splits mixed
    rows = {
        "id": names, "split": [n.split("/")[0] for n in names], "label": ["fear"] * 3, "image": [(root / n).read_bytes() for n in names],
        "source": ["a", "b", None], "votes_fear": [3, 4, 5], "soft": pa.array([[1.0]] * 3, pa.list_(pa.float32())),
    }  # fmt: skip
    prepare(build(rows, ("fear",), name="held"), tmp_path / "out", detector=search.blobs, **OPTIONS)
    found = load_dataset("manifest", tmp_path / "out").table.sort_by("votes_fear").to_pylist()
    assert [(r["id"], r["source"], r["votes_fear"], r["soft"]) for r in found] == [
        (names[0], "a", 3, [1]),
        (names[1], "b", 4, [1]),
        (names[2], None, 5, [1]),
    ]
    with Image.open(io.BytesIO(found[1]["image"]["bytes"])) as image:
        assert np.array_equal(np.asarray(image), faces[names[1]])


def test_the_given_box_chooses_the_face(search: Any, tmp_path: Path) -> None:
    small, large = np.full((42, 42, 3), 90, np.uint8), np.full((SIDE, SIDE, 3), 200, np.uint8)
    paint(tmp_path / "a.png", (2, 10, small), (60, 10, large))
    boxes = pa.array([[0, 8, 40, 50], None, [0, 0, 5, 5]], pa.list_(pa.float32(), 4))
    rows = {"id": ["given", "none", "far"], "split": ["train"] * 3, "label": ["fear"] * 3, "image": ["a.png"] * 3, "box": boxes}
    manifest = build(rows, ("fear",), name="boxes", root=tmp_path)
    found = prepare(manifest, tmp_path / "out", detector=search.blobs, **OPTIONS)
    table = load_dataset("manifest", tmp_path / "out").table
    assert dict(zip(table["id"].to_pylist(), table["box"].to_pylist(), strict=True)) == {
        "given": [2, 10, 44, 52],
        "none": [60, 10, 108, 58],
    }
    assert found.reasons == {"train": {"no face at the given box": 1}}


def test_faces_that_were_cut_out_before_keep_what_is_known_of_it(done: Path, tmp_path: Path) -> None:
    known = load_dataset("manifest", done)
    known = known.replace(known.table, alignment={"template": "fer2013", "margin": 0.1, "resolution": None, "grey": True})
    prepare(known, tmp_path / "out", detector="none", size=SIDE, quality=None)
    again = load_dataset("manifest", tmp_path / "out")
    assert again.alignment == known.alignment
    assert again.table["source"].equals(known.table["source"])
    assert [again.image_bytes(i) for i in range(5)] == [known.image_bytes(i) for i in range(5)]


# -------------------- stops and processes


class Stop:
    """Ctrl-C as soon as so many pictures are done."""

    def __init__(self, after: int) -> None:
        self.after = after
        self.told: list[tuple[int, int]] = []

    def __call__(self, done: int, total: int) -> None:
        self.told.append((done, total))
        if done >= self.after:
            raise KeyboardInterrupt


def test_a_stopped_run_goes_on_and_gives_the_same_bytes(raw: tuple[Path, Faces], done: Path, search: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    call = {"detector": search.blobs, "several": "skip", **OPTIONS}
    for after, whole in ((3, 0), (14, 1), (18, 1), (28, 3)):
        with pytest.raises(KeyboardInterrupt):
            prepare(manifest_of(raw[0]), out, progress=Stop(after), **call)
        assert len(list(out.glob("*.parquet"))) == whole
        assert not (out / "dropped.csv").exists()
        with pytest.raises(DataError, match="not prepared to its end; run the same"):
            load_dataset("manifest", out)
    last = Stop(10**6)
    found = prepare(manifest_of(raw[0]), out, progress=last, **call)
    assert files(out) == files(done)
    assert (found.made, found.shards) == (2, 5)
    assert last.told[0] == (27, 41)
    assert last.told[-1] == (41, 41)
    again = prepare(manifest_of(raw[0]), out, **call)
    assert (again.made, again.kept, again.reasons) == (0, found.kept, found.reasons)
    assert files(out) == files(done)


def test_a_lost_or_damaged_shard_is_made_anew(raw: tuple[Path, Faces], done: Path, search: Any, tmp_path: Path) -> None:
    out = Path(shutil.copytree(done, tmp_path / "out"))
    (out / "train-00001.parquet").unlink()
    with pytest.raises(DataError, match=r"lacks train-00001\.parquet; run the same"):
        load_dataset("manifest", out)
    whole = (out / "test-00000.parquet").read_bytes()
    (out / "test-00000.parquet").write_bytes(whole[: len(whole) // 2])
    (out / ".test-00001.parquet.0123abcd.part").write_bytes(b"of a killed run")
    found = prepare(manifest_of(raw[0]), out, detector=search.blobs, several="skip", **OPTIONS)
    assert found.made == 2
    assert files(out) == files(done)


def test_two_processes_give_the_same_bytes(raw: tuple[Path, Faces], done: Path, search: Any, tmp_path: Path) -> None:
    prepare(manifest_of(raw[0]), tmp_path / "out", detector=search.blobs, several="skip", workers=2, **OPTIONS)
    assert files(tmp_path / "out") == files(done)


@pytest.mark.slow
def test_a_killed_worker_is_an_error_and_what_is_done_stays(
    raw: tuple[Path, Faces], search: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Path(shutil.copytree(raw[0], tmp_path / "raw"))
    last = load_dataset("folder", root).split("test").ids()[-1]
    with Image.open(root / last) as image:
        pixels = np.array(image)
    pixels[0, 0] = (255, 0, 0)
    Image.fromarray(pixels).save(root / last)
    fuse = tmp_path / "fuse"
    monkeypatch.setenv("BLOB_FUSE", str(fuse))
    call = {"detector": search.deadly, "several": "skip", "workers": 2, **OPTIONS, "shard_rows": 2}
    prepare(manifest_of(root), tmp_path / "whole", **call)
    fuse.write_text("")
    with pytest.raises(TrainingError, match="A worker process died"):
        prepare(manifest_of(root), tmp_path / "out", **call)
    assert not fuse.exists()
    made = len(list((tmp_path / "out").glob("*.parquet")))
    assert 1 <= made < 21
    found = prepare(manifest_of(root), tmp_path / "out", **call)
    assert found.made == 21 - made
    assert files(tmp_path / "out") == files(tmp_path / "whole")


# -------------------- what is refused


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"size": 32}, "size 48, not 32"),
        ({"alignment": Alignment("box", 0.1)}, "alignment"),
        ({"several": "largest"}, 'several "skip", not "largest"'),
        ({"shard_rows": 11}, "shard_rows 10, not 11"),
        ({"detector": "none"}, 'detector "blobs", not "none"'),
    ],
)
def test_other_settings(raw: tuple[Path, Faces], done: Path, search: Any, change: dict[str, Any], words: str) -> None:
    before = files(done)
    call = {"detector": search.blobs, "several": "skip", **OPTIONS} | change
    with pytest.raises(ConfigError, match="begun with other settings") as error:
        prepare(manifest_of(raw[0]), done, **call)
    assert words in str(error.value)
    assert files(done) == before


def test_other_data(raw: tuple[Path, Faces], done: Path, search: Any) -> None:
    manifest = manifest_of(raw[0])
    relabelled = ["fear", *manifest.table["label"].to_pylist()[1:]]
    column = manifest.table.column_names.index("label")
    for other in (manifest.take(range(40)), manifest.replace(manifest.table.set_column(column, "label", pa.array(relabelled)))):
        with pytest.raises(ConfigError, match="begun with other data"):
            prepare(other, done, detector=search.blobs, several="skip", **OPTIONS)


def test_folders_that_are_taken(raw: tuple[Path, Faces], search: Any, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="holds other files"):
        prepare(manifest_of(raw[0]), tmp_path, detector="none")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    busy = tmp_path / "busy"
    busy.mkdir()
    handle = os.open(busy, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        with pytest.raises(ConfigError, match="Another process is preparing"):
            prepare(manifest_of(raw[0]), busy, detector="none")
    finally:
        os.close(handle)
    (busy / "prepare.json").write_text("{")
    with pytest.raises(DataError, match="damaged"):
        prepare(manifest_of(raw[0]), busy, detector="none")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"workers": 0}, "--workers"),
        ({"shard_rows": 0}, "--shard-rows"),
        ({"detector": "mtcn"}, "did you mean 'mtcnn'"),
        ({"detector": "none", "alignment": Alignment("arcface")}, "take --template box"),
        ({"detector": "none", "size": 3}, "--size"),
    ],
)
def test_settings_that_cannot_be(raw: tuple[Path, Faces], tmp_path: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        prepare(manifest_of(raw[0]), tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_sets_without_a_face(search: Any, tmp_path: Path, make: Callable[..., Manifest]) -> None:
    empty = make({"train": {"fear": 2}})
    broken = pa.array([{"bytes": b"no picture", "path": name} for name in empty.ids()], IMAGE_TYPE)
    with pytest.raises(DataError, match=r"face000000\.png cannot be opened .* the same call goes on"):
        prepare(empty, tmp_path / "gone", detector="none")
    empty = empty.replace(empty.table.set_column(empty.table.column_names.index("image"), "image", broken))
    with pytest.raises(DataError, match="no pictures"):
        prepare(empty.take([]), tmp_path / "none", detector="none")
    with pytest.raises(DataError, match=r"None of the 2 pictures gave a face; .*dropped\.csv says why"):
        prepare(empty, tmp_path / "out", detector="none")
    assert (tmp_path / "out" / "dropped.csv").read_text().count("unreadable") == 2


def test_shards_of_two_sets_are_not_read_as_one(raw: tuple[Path, Faces], done: Path, search: Any, tmp_path: Path) -> None:
    prepare(manifest_of(raw[0]), tmp_path / "out", detector=search.blobs, **OPTIONS)
    shutil.copy(done / "test-00000.parquet", tmp_path / "out" / "test-00000.parquet")
    with pytest.raises(DataError, match="prepared in different ways"):
        load_dataset("manifest", tmp_path / "out")
