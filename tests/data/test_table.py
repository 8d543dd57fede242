from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evenface.data.manifest import IMAGE_TYPE, Manifest, build
from evenface.data.table import read_table
from evenface.errors import DataError, LabelError


Picture = Callable[..., Path]
CSV = """file_name,label,split,subject,age
a/1.jpg,Happy,train,007,31
a/2.jpg,fear,val,008,
b/3.jpg,angry,train,007,40
b/4.jpg,FEAR,train,,20
"""


@pytest.fixture
def faces(tmp_path: Path, picture: Picture) -> Path:
    for name in ("a/1.jpg", "a/2.jpg", "b/3.jpg", "b/4.jpg"):
        picture(tmp_path / name)
    return tmp_path


def check(m: Manifest) -> None:
    assert m.ids() == ["a/1.jpg", "a/2.jpg", "b/3.jpg", "b/4.jpg"]
    assert m.table["split"].to_pylist() == ["train", "validation", "train", "train"]
    assert m.table["label"].to_pylist() == ["happiness", "fear", "anger", "fear"]
    assert m.class_names == ("happiness", "anger", "fear")
    assert m.table["age"].to_pylist() == [31, None, 40, 20]
    assert all(m.image_bytes(row) for row in range(4))


@pytest.mark.parametrize(
    "text", [CSV, CSV.replace("\n", "\r\n"), "\ufeff" + CSV, CSV.replace("file_name", "path"), CSV.replace("label,", "emotion,")]
)
def test_csv(faces: Path, text: str) -> None:
    (faces / "manifest.csv").write_bytes(text.encode())
    for given in (faces, faces / "manifest.csv"):
        m = read_table(given)
        check(m)
        assert m.table["subject"].to_pylist() == ["007", "008", "007", None]  # text stays text
        assert m.root == faces


def test_a_person_called_na_is_one(faces: Path) -> None:
    text = CSV.replace("007", "NA").replace("008", "null").replace("40", "NA")
    (faces / "manifest.csv").write_text(text)
    m = read_table(faces)
    assert m.table["subject"].to_pylist() == ["NA", "null", "NA", None]
    assert m.table["age"].to_pylist() == [31, None, None, 20]


def test_ids_and_people_are_texts_whatever_blanks_are_in_the_head(faces: Path) -> None:
    (faces / "own.csv").write_text("image, label, split, subject, id\na/1.jpg, fear, train, 01, 00\na/1.jpg, fear, test, 02, 01\n")
    m = read_table(faces / "own.csv")
    assert m.ids() == ["00", "01"]
    assert m.table["subject"].to_pylist() == ["01", "02"]


def test_a_file_of_one_split_with_rows_of_another_is_refused(faces: Path) -> None:
    columns = {"image": ["a/1.jpg", "a/2.jpg"], "label": ["fear", "fear"]}
    pq.write_table(pa.table({**columns, "split": ["train", "test"]}), faces / "train.parquet")
    with pytest.raises(DataError, match=r"train\.parquet, row 2: the column 'split' says test, and the file's name train"):
        read_table(faces)
    pq.write_table(pa.table({**columns, "split": ["Training", "fold 3"]}), faces / "train.parquet")  # the second is no split's name
    assert read_table(faces).counts("train") == {"fear": 2}


def test_columns_of_two_types_in_two_files(faces: Path) -> None:
    for split, subject in (("train", [7]), ("test", ["7"])):
        pq.write_table(
            pa.table({"image": [f"a/{1 + (split == 'test')}.jpg"], "label": ["fear"], "subject": subject}), faces / f"{split}.parquet"
        )
    with pytest.raises(DataError, match=r"do not go together .*subject.*; give a column one type in all"):
        read_table(faces)


def test_boxes_of_texts_in_lists(faces: Path) -> None:
    columns = {"image": ["a/1.jpg"], "label": ["fear"], "split": ["train"]}
    pq.write_table(pa.table({**columns, "box": [["1", "2", "3", "4"]]}), faces / "m.parquet")
    assert read_table(faces / "m.parquet").table["box"].to_pylist() == [[1.0, 2.0, 3.0, 4.0]]
    pq.write_table(pa.table({**columns, "box": [["1", "2", "3", "x"]]}), faces / "m.parquet")
    with pytest.raises(DataError, match="a box is not four numbers"):
        read_table(faces / "m.parquet")


def test_a_head_in_another_encoding(faces: Path) -> None:
    (faces / "manifest.csv").write_bytes("file_name,label,split,prénom\na/1.jpg,fear,train,x\n".encode("latin-1"))
    with pytest.raises(DataError, match="cannot be read as a table"):
        read_table(faces)


def test_ids_of_the_table_are_kept(faces: Path) -> None:
    (faces / "own.csv").write_text("id,image,label,split\n001,a/1.jpg,fear,train\n002,a/1.jpg,fear,test\n")
    assert read_table(faces / "own.csv").ids() == ["001", "002"]


def test_parquet_with_paths(faces: Path) -> None:
    columns = {"image_path": ["a/1.jpg", "a/2.jpg", "b/3.jpg", "b/4.jpg"], "split": ["train", "val", "train", "training"]}
    pq.write_table(pa.table(columns | {"label": ["happy", "fear", "anger", "fear"], "age": [31, None, 40, 20]}), faces / "manifest.parquet")
    check(read_table(faces))


def test_hugging_face_parquet(tmp_path: Path) -> None:
    features = {"info": {"features": {"label": {"names": ["Angry", "Happy"], "_type": "ClassLabel"}, "image": {"_type": "Image"}}}}
    (tmp_path / "data").mkdir()
    for name, labels in (("train-00000-of-00002", [0, 1]), ("train-00001-of-00002", [1]), ("test-00000-of-00001", [0])):
        image = pa.array(
            [{"bytes": b"x", "path": None}] * len(labels), type=pa.struct([("bytes", pa.large_binary()), ("path", pa.string())])
        )
        table = pa.table({"image": image, "label": pa.array(labels, pa.int64()), "file_name": ["same.png"] * len(labels)})
        pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(features)}), tmp_path / "data" / f"{name}.parquet")
    m = read_table(tmp_path)
    assert m.counts("train") == {"happiness": 2, "anger": 1}
    assert m.counts("test") == {"happiness": 0, "anger": 1}
    assert m.table.schema.field("image").type == IMAGE_TYPE
    assert m.ids()[0] == "test-00000-of-00001-000000"
    assert m.image_bytes(0) == b"x"


def test_pictures_as_plain_bytes(tmp_path: Path, picture: Picture) -> None:
    files = [picture(tmp_path / f"{i}.png", seed=i).read_bytes() for i in range(3)]
    rest = {"label": ["happy", "fear", "fear"], "split": ["train", "train", "test"]}
    for number, kind in enumerate((pa.binary(), pa.large_binary())):
        for name, more in (("image", {}), ("img", {}), ("image", {"file_name": ["a", "b", "c"]})):
            pq.write_table(pa.table({name: pa.array(files, kind), **rest, **more}), tmp_path / "own.parquet")
            m = read_table(tmp_path / "own.parquet")
            assert [m.image_bytes(row) for row in range(3)] == files
            assert m.ids() == ["own-000000", "own-000001", "own-000002"]
            assert m.table.schema.field("image").type == IMAGE_TYPE, number
    paths = pa.array([f"{i}.png" for i in range(3)]).cast(pa.binary())  # as some tools write text
    pq.write_table(pa.table({"image": paths, **rest}), tmp_path / "own.parquet")
    m = read_table(tmp_path / "own.parquet")
    assert [m.image_bytes(row) for row in range(3)] == files
    pq.write_table(pa.table({"image": [files[0], None, files[2]], **rest}), tmp_path / "own.parquet")
    with pytest.raises(DataError, match="neither image bytes nor a path"):
        read_table(tmp_path / "own.parquet")


@pytest.mark.parametrize("image", [[[1, 2], [3]], [{"pixels": [1]}, {"pixels": [2]}]], ids=["lists", "structs"])
def test_pictures_as_numbers_are_refused(tmp_path: Path, image: list[Any]) -> None:
    pq.write_table(pa.table({"image": image, "label": ["happy", "fear"], "split": ["train", "train"]}), tmp_path / "own.parquet")
    with pytest.raises(DataError, match=r"column 'image' holds .*; write into it paths, the bytes of|neither image bytes nor a path"):
        read_table(tmp_path / "own.parquet")


NAMELESS = [b"{", b"[]", b"5", b"null", b'{"info": 3}', b'{"info": {"features": {"label": []}}}', *(
    json.dumps({"info": {"features": {"label": {"names": names}}}}).encode() for names in ({"0": "fear"}, "fear", [1, 2], [])
)]  # fmt: skip


@pytest.mark.parametrize("meta", NAMELESS)
def test_labels_as_numbers_beside_metadata_that_do_not_name_them(faces: Path, meta: bytes) -> None:
    table = pa.table({"path": ["a/1.jpg", "b/3.jpg"], "label": [0, 1], "split": ["train", "train"]})
    pq.write_table(table.replace_schema_metadata({b"huggingface": meta}), faces / "own.parquet")
    with pytest.raises(LabelError, match="the labels are numbers, and nothing says which is which; write the class names into 'label'"):
        read_table(faces / "own.parquet")


def test_a_table_without_rows(tmp_path: Path) -> None:
    columns = {name: pa.array([], pa.string()) for name in ("file_name", "label", "split")}
    pq.write_table(pa.table(columns), tmp_path / "own.parquet")
    (tmp_path / "own.csv").write_text("file_name,label,split\n")
    build({"id": [], "split": [], "label": [], "image": []}, ("fear",), name="none").save(tmp_path / "saved.parquet")
    for name in ("own.parquet", "own.csv", "saved.parquet"):
        with pytest.raises(DataError, match=rf"{name} has no rows"):
            read_table(tmp_path / name)


def test_boxes_that_are_text(faces: Path) -> None:
    rows = zip(["box", '"[10, 10, 60, 60]"', "1 2.5 3 4", "", '"(0,0,5,6)"'], CSV.splitlines(), strict=True)
    (faces / "manifest.csv").write_text("\n".join(f"{box},{line}" for box, line in rows))
    column = read_table(faces).table["box"]
    assert column.to_pylist() == [[10, 10, 60, 60], [1, 2.5, 3, 4], None, [0, 0, 5, 6]]
    assert column.type == pa.list_(pa.float32(), 4)


@pytest.mark.parametrize("box", ["10 10 60", "10 10 60 60 1", "left top 60 60", "10", "10 10 60 nan", "{}"])
def test_a_box_that_is_none_is_named(faces: Path, box: str) -> None:
    rows = zip(["box", "", box, "", ""], CSV.splitlines(), strict=True)
    (faces / "manifest.csv").write_text("\n".join(f"{box},{line}" for box, line in rows))
    with pytest.raises(DataError, match=rf"manifest.csv, row 2: the box '{box}' is not four numbers"):
        read_table(faces)


def soft_table(faces: Path, soft: list[Any]) -> Path:
    """The rows of `CSV`, of happiness, anger and fear, as Parquet; the second is for validation."""
    columns = {"image": ["a/1.jpg", "a/2.jpg", "b/3.jpg", "b/4.jpg"], "split": ["train", "val", "train", "train"]}
    pq.write_table(pa.table(columns | {"label": ["happy", "fear", "anger", "fear"], "soft": soft}), faces / "own.parquet")
    return faces / "own.parquet"


def test_vote_distributions_of_a_table(faces: Path) -> None:
    soft = [[0.5, 0.25, 0.25], None, [0.0, 1.0, 0.0], [0.33, 0.33, 0.33]]
    m = read_table(soft_table(faces, soft))
    assert m.class_names == ("happiness", "anger", "fear")
    assert m.table["soft"].to_pylist() == soft
    targets = m.split("train").soft_targets()
    assert targets is not None
    assert targets.shape == (3, 3)


GOOD = [0.5, 0.25, 0.25]


@pytest.mark.parametrize(
    "soft",
    [
        [GOOD, GOOD, [0.5, 0.5], GOOD],
        [GOOD, GOOD, None, GOOD],
        [GOOD, GOOD, [1.5, -0.25, -0.25], GOOD],
        [GOOD, GOOD, [5.0, 3.0, 2.0], GOOD],
        [GOOD, GOOD, [float("nan"), 0.5, 0.5], GOOD],
        [GOOD, GOOD, [None, 0.5, 0.5], GOOD],
        [["1", "0", "0"]] * 4,
        ["0.5 0.25 0.25"] * 4,
    ],
)
def test_what_is_no_vote_distribution_is_refused(faces: Path, soft: list[Any]) -> None:
    row = 1 if soft[0] is not GOOD else 3
    with pytest.raises(DataError, match=rf"own.parquet, row {row}: 'soft' must be a list of 3 shares .* order happiness, anger, fear;"):
        read_table(soft_table(faces, soft))


def test_what_save_wrote_is_read_back(tmp_path: Path) -> None:
    m = build({"id": ["a"], "split": ["train"], "label": ["fear"], "image": [b"x"]}, ("happiness", "fear"), name="mine", notes=["kept"])
    m.save(tmp_path / "manifest.parquet")
    for given in (tmp_path, tmp_path / "manifest.parquet"):
        back = read_table(given)
        assert (back.class_names, back.notes, back.ids()) == (("happiness", "fear"), ("kept",), ["a"])


def test_missing_files_are_left_out_up_to_one_percent(tmp_path: Path, picture: Picture) -> None:
    lines = ["file_name,label,split"]
    for i in range(150):
        picture(tmp_path / f"{i}.png", size=(2, 2))
        lines.append(f"{i}.png,fear,train")
    (tmp_path / "manifest.csv").write_text("\n".join(lines))
    (tmp_path / "7.png").unlink()
    m = read_table(tmp_path)
    assert len(m) == 149
    assert "1 of 150 images" in m.notes[0]
    assert "7.png" in m.notes[0]
    (tmp_path / "8.png").unlink()
    with pytest.raises(DataError, match=r"2 of 150 .* more than 1%"):
        read_table(tmp_path)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (CSV.replace("fear,val", "feer,val"), LabelError, r"manifest.csv, row 2: Unknown expression label 'feer'; did you mean 'fear'"),
        (CSV.replace("Happy", "glee").replace("angry", "glee"), LabelError, r"rows 1, 3: Unknown expression label 'glee'"),
        (CSV.replace("Happy", ""), LabelError, r"row 1: the label is empty"),
        (CSV.replace("Happy", "3").replace("angry", "2"), LabelError, "labels are numbers"),
        (CSV.replace(",val,", ",later,"), DataError, r"row 2: unknown split 'later'"),
        (CSV.replace(",split,", ",part,"), DataError, "no column 'split'"),
        (CSV.replace("file_name", "where"), DataError, "no column for the image; it may be called file_name, image"),
        (CSV.replace("label", "mood"), DataError, "no column for the label"),
        (CSV.replace("a/2.jpg", ""), DataError, "row 2 names no image"),
        (CSV.replace("angry,train", "angry,test"), DataError, "No train image of anger"),
        (CSV + "x,y\n", DataError, "cannot be read as a table"),
        (CSV.replace("subject", "age"), DataError, "manifest.csv has the column 'age' twice"),
        (CSV.replace("age", "soft"), DataError, "row 1: 'soft' must be a list .* a CSV cannot"),
        (CSV.replace("age", "id").replace("008,", "008,NULL"), DataError, "row 2 has no id"),
        (
            "id," + "".join(f"{'' if i == 0 else 'same,'}{line}\n" for i, line in enumerate(CSV.splitlines())),
            DataError,
            "'same' stands on 4 rows",
        ),
    ],
)
def test_misuse(faces: Path, text: str, error: type[Exception], message: str) -> None:
    (faces / "manifest.csv").write_text(text)
    with pytest.raises(error, match=message):
        read_table(faces)


def test_no_table(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"does not exist\. Expected under it:\n  manifest.csv"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(DataError, match="no layout"):
        read_table(tmp_path)
    (tmp_path / "manifest.parquet").write_bytes(b"no table")
    with pytest.raises(DataError, match="cannot be read as a table"):
        read_table(tmp_path)
    table = {"image": pa.array([{"bytes": None, "path": None}], type=IMAGE_TYPE), "label": ["fear"], "split": ["train"]}
    pq.write_table(pa.table(table), tmp_path / "manifest.parquet")
    with pytest.raises(DataError, match="neither image bytes nor a path"):
        read_table(tmp_path)


def test_names_that_stand_in_two_files(tmp_path: Path, picture: Picture) -> None:
    """As a set that was pushed from folders: 0000.png in train and in test."""
    for split, names in (("train", ["0000.png", "0001.png"]), ("test", ["0000.png"])):
        images = [{"bytes": picture(tmp_path / name).read_bytes(), "path": name} for name in names]
        labels = ["happy", "fear"][: len(names)]
        pq.write_table(pa.table({"image": pa.array(images, IMAGE_TYPE), "label": labels}), tmp_path / f"{split}.parquet")
    m = read_table(tmp_path)
    assert sorted(m.ids()) == ["test-000000", "train-000000", "train-000001"]
    assert "ids" not in str(m.table.schema.metadata or {})


def test_paths_of_windows(faces: Path) -> None:
    (faces / "own.csv").write_text("image,label,split\na\\1.jpg,fear,train\nb\\3.jpg,happy,train\n")
    m = read_table(faces / "own.csv")
    assert m.ids() == ["a/1.jpg", "b/3.jpg"]
    assert m.image_bytes(0)
