"""RAF-DB in every layout that people have, written here with tiny pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from evenface.data.rafdb import read_rafdb
from evenface.errors import ConfigError, DataError, LabelError
from evenface.labels import BASIC


Picture = Callable[..., Path]

# 1-based numbers of the file -> names, written out once more on purpose
NUMBERS = {1: "surprise", 2: "fear", 3: "disgust", 4: "happiness", 5: "sadness", 6: "anger", 7: "neutral"}
TRAIN = {f"train_{i:05d}": 1 + i % 7 for i in range(1, 22)}
TEST = {f"test_{i:04d}": 1 + i % 7 for i in range(1, 8)}
ALL = TRAIN | TEST


def check(root: Path) -> None:
    m = read_rafdb(root)
    rows = zip(m.ids(), m.table["split"].to_pylist(), m.table["label"].to_pylist(), strict=True)
    assert {i: (s, label) for i, s, label in rows} == {i: (i.split("_")[0], NUMBERS[n]) for i, n in ALL.items()}
    assert m.class_names == BASIC
    assert m.name == "rafdb"
    for row in range(len(m)):
        assert m.image_bytes(row)


def partition(root: Path, *, newline: str = "\n", extra: str = "", header: str = "", folder: str = "EmoLabel") -> None:
    (root / folder).mkdir(parents=True, exist_ok=True)
    lines = [*([header] if header else []), *(f"{stem}.jpg {n}{extra}" for stem, n in ALL.items()), ""]
    (root / folder / "list_patition_label.txt").write_bytes(newline.join(lines).encode())


def images(root: Path, picture: Picture, place: str) -> None:
    for seed, stem in enumerate(ALL):
        picture(root / place.format(stem=stem, split=stem.split("_")[0]), seed)


@pytest.mark.parametrize("name", ["raf-basic", "basic", "RAFDB", "anything at all"])
def test_the_original(tmp_path: Path, picture: Picture, name: str) -> None:
    partition(tmp_path / name)
    images(tmp_path / name, picture, "Image/aligned/{stem}_aligned.jpg")
    check(tmp_path / name)
    check(tmp_path)  # one folder higher


@pytest.mark.parametrize(
    "options",
    [{"newline": "\r\n"}, {"extra": " 0.93 x"}, {"extra": " "}, {"header": "name label"}, {"newline": "\r\n\r\n"}, {"folder": "."}],
    ids=["crlf", "extra columns", "trailing blank", "header", "empty lines", "list at the top"],
)
def test_the_list_as_people_have_it(tmp_path: Path, picture: Picture, options: dict[str, str]) -> None:
    partition(tmp_path, **options)
    images(tmp_path, picture, "Image/aligned/{stem}_aligned.jpg")
    check(tmp_path)


@pytest.mark.parametrize(
    "place",
    [
        "Image/original/{stem}.jpg",
        "Image/aligned/{stem}.jpg",
        "aligned/{stem}_aligned.jpg",
        "original/{stem}.jpg",
        "{stem}.jpg",
        "{stem}_aligned.jpg",
        "{split}/{stem}_aligned.jpg",
        "Image/{stem}.jpg",
    ],
)
def test_where_the_images_lie(tmp_path: Path, picture: Picture, place: str) -> None:
    partition(tmp_path)
    images(tmp_path, picture, place)
    check(tmp_path)
    assert place in read_rafdb(tmp_path).notes[0]


def test_aligned_faces_are_preferred(tmp_path: Path, picture: Picture) -> None:
    partition(tmp_path)
    images(tmp_path, picture, "Image/original/{stem}.jpg")
    images(tmp_path, picture, "Image/aligned/{stem}_aligned.jpg")
    assert all("aligned" in image["path"] for image in read_rafdb(tmp_path).table["image"].to_pylist())


@pytest.mark.parametrize("place", ["Annotation/boundingbox", "boundingbox"])
def test_originals_on_request_with_their_boxes(tmp_path: Path, picture: Picture, place: str) -> None:
    partition(tmp_path)
    images(tmp_path, picture, "Image/original/{stem}.jpg")
    images(tmp_path, picture, "Image/aligned/{stem}_aligned.jpg")
    (tmp_path / place).mkdir(parents=True)
    for i, stem in enumerate(ALL):
        if stem != "train_00002":
            (tmp_path / place / f"{stem}_boundingbox.txt").write_text(f"{i}.5 2.000000 {i + 3} 5.25\n")
    found = read_rafdb(tmp_path, original=True)
    assert all(image["path"].startswith("Image/original/") for image in found.table["image"].to_pylist())
    assert "Image/original" in found.notes[0]
    boxes = dict(zip(found.ids(), found.table["box"].to_pylist(), strict=True))
    assert boxes == {stem: None if stem == "train_00002" else [i + 0.5, 2, i + 3, 5.25] for i, stem in enumerate(ALL)}
    assert "box" not in read_rafdb(tmp_path).table.column_names
    broken = tmp_path / place / "test_0003_boundingbox.txt"
    for text in ("1 2 3", "1 2 3 x", ""):
        broken.write_text(text)
        with pytest.raises(DataError, match=r"test_0003_boundingbox\.txt does not hold the four numbers"):
            read_rafdb(tmp_path, original=True)


def test_without_originals_the_aligned_faces_serve(tmp_path: Path, picture: Picture) -> None:
    partition(tmp_path)
    images(tmp_path, picture, "Image/aligned/{stem}_aligned.jpg")
    (tmp_path / "boundingbox").mkdir()
    (tmp_path / "boundingbox" / "train_00001_boundingbox.txt").write_text("1 2 3 4")
    found = read_rafdb(tmp_path, original=True)
    assert "Image/aligned" in found.notes[0]
    assert "box" not in found.table.column_names  # it is one of the original's


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("folder", ["EmoLabel", "."])
@pytest.mark.parametrize(("suffix", "separator"), [("label.txt", " "), ("labels.csv", ",")])
def test_two_lists(tmp_path: Path, picture: Picture, first: int, folder: str, suffix: str, separator: str) -> None:
    (tmp_path / folder).mkdir(exist_ok=True)
    for split, rows in (("train", TRAIN), ("test", TEST)):
        lines = [f"{stem}_aligned.jpg{separator}{n - 1 + first}" for stem, n in rows.items()]
        if suffix.endswith("csv"):
            lines.insert(0, "image,label")
        (tmp_path / folder / f"{split}_{suffix}").write_text("\n".join(lines))
    images(tmp_path, picture, "Image/aligned/{stem}_aligned.jpg")
    check(tmp_path)


@pytest.mark.parametrize(
    "names", [{n: str(n) for n in NUMBERS}, {n: str(n - 1) for n in NUMBERS}, NUMBERS, {**NUMBERS, 4: "Happy", 6: "Angry"}]
)
@pytest.mark.parametrize("second", ["test", "valid", "val"])
def test_class_folders(tmp_path: Path, picture: Picture, names: dict[int, str], second: str) -> None:
    for seed, (stem, n) in enumerate(ALL.items()):
        split = "train" if stem.startswith("train") else second
        picture(tmp_path / split / names[n] / f"{stem}_aligned.jpg", seed)
    check(tmp_path)
    assert any("official test split" in note for note in read_rafdb(tmp_path).notes) == (second != "test")


def test_the_kaggle_copy(tmp_path: Path, picture: Picture) -> None:
    for seed, (stem, n) in enumerate(ALL.items()):
        picture(tmp_path / "DATASET" / stem.split("_")[0] / str(n) / f"{stem}_aligned.jpg", seed)
    for split, rows in (("train", TRAIN), ("test", TEST)):
        (tmp_path / f"{split}_labels.csv").write_text("image,label\n" + "\n".join(f"{s}_aligned.jpg,{n}" for s, n in rows.items()))
    check(tmp_path / "DATASET")
    check(tmp_path)


def test_renamed_files_keep_distinct_ids(tmp_path: Path, picture: Picture) -> None:
    for split in ("train", "test"):
        for n in NUMBERS:
            picture(tmp_path / split / str(n) / "1.jpg", n)
    assert "train/3/1.jpg" in read_rafdb(tmp_path).ids()


def test_missing_images(tmp_path: Path, picture: Picture) -> None:
    many = {f"train_{i:05d}": 1 + i % 7 for i in range(300)}
    (tmp_path / "EmoLabel").mkdir()
    (tmp_path / "EmoLabel" / "list_patition_label.txt").write_text("\n".join(f"{s}.jpg {n}" for s, n in many.items()))
    for stem in many:
        picture(tmp_path / "Image" / "aligned" / f"{stem}_aligned.jpg", size=(2, 2))
    for i in range(3):
        (tmp_path / "Image" / "aligned" / f"train_{i:05d}_aligned.jpg").unlink()
    m = read_rafdb(tmp_path)
    assert len(m) == 297
    assert any("3 of 300 images" in n and "train_00001_aligned.jpg" in n and "left out" in n for n in m.notes)
    (tmp_path / "Image" / "aligned" / "train_00007_aligned.jpg").unlink()
    with pytest.raises(DataError, match=r"4 of 300 images .* more than 1%"):
        read_rafdb(tmp_path)


def test_misuse(tmp_path: Path, picture: Picture) -> None:
    with pytest.raises(ConfigError, match="no contempt"):
        read_rafdb(tmp_path, classes=8)
    with pytest.raises(DataError, match=r"list_patition_label\.txt"):
        read_rafdb(tmp_path / "nowhere")
    (tmp_path / "sub").mkdir()
    with pytest.raises(DataError, match="no layout"):
        read_rafdb(tmp_path)
    partition(tmp_path)
    with pytest.raises(DataError, match="none of its 28 images"):
        read_rafdb(tmp_path)
    images(tmp_path, picture, "{stem}.jpg")
    listed = tmp_path / "EmoLabel" / "list_patition_label.txt"
    good = listed.read_text()
    listed.write_text(good + "val_0001.jpg 3\n")
    with pytest.raises(DataError, match="neither train_ nor test_"):
        read_rafdb(tmp_path)
    listed.write_text(good + "test_0099.jpg\n")
    with pytest.raises(DataError, match="line 29: an image name and a class number"):
        read_rafdb(tmp_path)
    listed.write_text(good + "test_0099.jpg 8\n")
    with pytest.raises(LabelError, match="Class number 8 is not one of 1 to 7"):
        read_rafdb(tmp_path)
    listed.write_text("\n")
    with pytest.raises(DataError, match="lists no image"):
        read_rafdb(tmp_path)
    listed.write_text(good + "test_0001.jpg 3\n")
    with pytest.raises(DataError, match="'test_0001' stands on 2 rows"):
        read_rafdb(tmp_path)
