"""AffectNet in each of its layouts, written here with tiny pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from evenface.data.affectnet import read_affectnet
from evenface.data.manifest import Manifest
from evenface.errors import DataError, LabelError
from evenface.labels import BASIC, CLASSES


Picture = Callable[..., Path]

# AffectNet's numbers -> names, written out once more on purpose
NUMBERS = dict(enumerate(("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt")))
HEADER = "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"
TRAIN = {f"{i}/a{i:02d}.jpg": i % 11 for i in range(22)}
VAL = {f"{i}/b{i:02d}.jpg": i for i in range(8)}


def check(m: Manifest, classes: int) -> None:
    rows = zip(m.table["image"].to_pylist(), m.table["split"].to_pylist(), m.table["label"].to_pylist(), strict=True)
    found = {(Path(image["path"]).name, split): label for image, split, label in rows}
    expected = {
        (Path(f).name, split): NUMBERS[n] for split, part in (("train", TRAIN), ("test", VAL)) for f, n in part.items() if n < classes
    }
    assert found == expected
    assert m.class_names == (BASIC if classes == 7 else CLASSES)
    assert all(m.image_bytes(row) for row in range(len(m)))


def lists(root: Path, headers: tuple[bool, bool], newline: str = "\n", extra: str = "") -> None:
    root.mkdir(parents=True, exist_ok=True)
    for name, rows, header in (("training", TRAIN, headers[0]), ("validation", VAL, headers[1])):
        lines = [HEADER] * header + [f"{f},3,4,10,20,1.5;2.5;3.5,{n},-0.25,0.5{extra}" for f, n in rows.items()]
        (root / f"{name}.csv").write_bytes(newline.join([*lines, ""]).encode())


@pytest.mark.parametrize("classes", [7, 8])
@pytest.mark.parametrize("headers", [(True, True), (True, False), (False, False)])
@pytest.mark.parametrize("place", ["Manually_Annotated_Images", "Manually_Annotated/Manually_Annotated_Images", "."])
def test_csv_lists(tmp_path: Path, picture: Picture, classes: int, headers: tuple[bool, bool], place: str) -> None:
    lists(tmp_path, headers, newline="\r\n" if classes == 8 else "\n", extra=",more" if classes == 8 else "")
    for file in TRAIN | VAL:
        picture(tmp_path / place / file)
    m = read_affectnet(tmp_path, classes=classes)
    check(m, classes)
    assert m.table["box"].to_pylist()[0] == [3, 4, 13, 24]
    assert m.table["valence"].to_pylist()[0] == -0.25
    assert m.table["arousal"].to_pylist()[0] == 0.5
    contempt = "3 contempt, " if classes == 7 else ""
    assert m.notes[1] == f"Left out: {contempt}2 no face, 2 none, 2 uncertain."


def test_csv_lists_in_their_own_folder_and_null_values(tmp_path: Path, picture: Picture) -> None:
    folder = tmp_path / "Manually_Annotated_file_lists"
    lists(folder, (True, False))
    text = (folder / "validation.csv").read_text().replace("0/b00.jpg,3,4", "0/b00.jpg,NULL,NULL").replace("-0.25", "NULL", 1)
    (folder / "validation.csv").write_text(text)
    for file in TRAIN | VAL:
        picture(tmp_path / "Manually_Annotated_Images" / file)
    m = read_affectnet(tmp_path)
    check(m, 7)
    first = m.split("test").table.slice(0, 1).to_pylist()[0]
    assert first["box"] is None
    assert first["valence"] is None


@pytest.mark.parametrize("classes", [7, 8])
def test_the_pack_of_2021(tmp_path: Path, picture: Picture, classes: int) -> None:
    for folder, rows in (("train_set", TRAIN), ("val_set", VAL)):
        (tmp_path / folder / "annotations").mkdir(parents=True)
        for i, (file, n) in enumerate(rows.items()):
            stem = Path(file).stem
            picture(tmp_path / folder / "images" / f"{stem}.jpg")
            np.save(tmp_path / folder / "annotations" / f"{stem}_exp.npy", np.array(str(n)) if i % 2 else np.int64(n))
            np.save(tmp_path / folder / "annotations" / f"{stem}_val.npy", np.array("0.5"))
    check(read_affectnet(tmp_path, classes=classes), classes)


@pytest.mark.parametrize("classes", [7, 8])
@pytest.mark.parametrize("names", [{n: str(n) for n in NUMBERS}, NUMBERS])
@pytest.mark.parametrize("second", ["val", "test"])
def test_class_folders(tmp_path: Path, picture: Picture, classes: int, names: dict[int, str], second: str) -> None:
    for split, rows in (("train", TRAIN), (second, VAL)):
        for file, n in rows.items():
            picture(tmp_path / split / names.get(n, str(n)) / Path(file).name)
    m = read_affectnet(tmp_path, classes=classes)
    check(m, classes)
    contempt = "3 contempt, " if classes == 7 else ""
    assert m.notes[1] == f"Left out: {contempt}2 no face, 2 none, 2 uncertain."
    assert ("official validation set is the test split" in m.notes[0]) == (second == "val")
    assert ("own `test`, not AffectNet's official one" in m.notes[0]) == (second == "test")


def test_a_test_split_of_its_own_is_not_the_official_one(tmp_path: Path, picture: Picture) -> None:
    for split in ("train", "val", "test"):
        picture(tmp_path / split / "3" / "a.jpg")
    m = read_affectnet(tmp_path)
    assert m.splits == ("train", "validation", "test")
    assert len(m.notes) == 1
    assert "own `test`, not AffectNet's official one" in m.notes[0]
    picture(tmp_path / "train" / "11" / "a.jpg")
    with pytest.raises(LabelError, match="Class number 11 is not one of 0 to 10"):
        read_affectnet(tmp_path)
    alone = tmp_path / "alone"
    picture(alone / "train" / "3" / "a.jpg")
    assert read_affectnet(alone).notes == ()


def test_path_and_number_lists(tmp_path: Path, picture: Picture) -> None:
    for name, rows in (("train_list.txt", TRAIN), ("val_list.txt", VAL)):
        (tmp_path / name).write_bytes("\r\n".join(f"{f} {n}" for f, n in rows.items()).encode())
    for file in TRAIN | VAL:
        picture(tmp_path / "Manually_Annotated_Images" / file)
    m = read_affectnet(tmp_path)
    check(m, 7)
    assert "official validation set is the test split" in m.notes[0]
    (tmp_path / "val_list.txt").rename(tmp_path / "test_list.txt")
    assert "own `test`" in read_affectnet(tmp_path).notes[0]
    (tmp_path / "training_old.txt").touch()
    with pytest.raises(DataError, match="Several lists"):
        read_affectnet(tmp_path)


def test_missing_images(tmp_path: Path, picture: Picture) -> None:
    lists(tmp_path, (True, False))
    with pytest.raises(DataError, match=r"none of their images, such as 0/a00\.jpg"):
        read_affectnet(tmp_path)
    for file in list(TRAIN | VAL)[1:]:
        picture(tmp_path / "Manually_Annotated_Images" / file)
    with pytest.raises(DataError, match=r"1 of 21 images .* more than 1%"):
        read_affectnet(tmp_path)
    many = {f"{i % 7}/{i:04d}.jpg": i % 7 for i in range(200)}
    (tmp_path / "training.csv").write_text("".join(f"{f},,,,,,{n},,\n" for f, n in many.items()))
    for file in list(many)[:-1]:
        picture(tmp_path / "Manually_Annotated_Images" / file, size=(2, 2))
    m = read_affectnet(tmp_path)
    assert len(m.split("train")) == 199
    assert "1 of 207 images" in m.notes[-1]


def test_misuse(tmp_path: Path, picture: Picture) -> None:
    with pytest.raises(DataError, match=r"training.csv  validation.csv"):
        read_affectnet(tmp_path)
    (tmp_path / "train").mkdir()
    with pytest.raises(DataError, match="no layout"):
        read_affectnet(tmp_path)
    with pytest.raises(LabelError, match="7 or 8"):
        read_affectnet(tmp_path, classes=9)
    for file in TRAIN | VAL:
        picture(tmp_path / "Manually_Annotated_Images" / file)
    lists(tmp_path, (False, False))
    good = (tmp_path / "training.csv").read_text()
    (tmp_path / "training.csv").write_text(good + "a,b\n")
    with pytest.raises(DataError, match="line 23: the seventh column"):
        read_affectnet(tmp_path)
    (tmp_path / "training.csv").write_text(good.replace(",10,-0.25", ",12,-0.25"))
    with pytest.raises(DataError, match="hold 12"):
        read_affectnet(tmp_path)


def test_a_broken_annotation_is_named(tmp_path: Path, picture: Picture) -> None:
    (tmp_path / "train_set" / "annotations").mkdir(parents=True)
    picture(tmp_path / "train_set" / "images" / "7.jpg")
    (tmp_path / "train_set" / "annotations" / "7_exp.npy").write_bytes(b"")
    with pytest.raises(DataError, match=r"7_exp.npy does not hold one class number"):
        read_affectnet(tmp_path)


def test_no_face_with_an_expression(tmp_path: Path) -> None:
    (tmp_path / "training.csv").write_text("a.jpg,,,,,,8,,\n")
    (tmp_path / "validation.csv").write_text("a.jpg,,,,,,9,,\n")
    (tmp_path / "a.jpg").touch()
    with pytest.raises(DataError, match="no image with an expression"):
        read_affectnet(tmp_path)
