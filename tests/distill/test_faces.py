"""Which faces a student sees: never those of test, unless it is asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evenface.data import load_dataset
from evenface.distill.config import DistillOptions, make_config, options_of
from evenface.distill.faces import read_faces
from evenface.errors import ConfigError, DataError
from evenface.labels import BASIC
from evenface.training.config import TrainConfig
from evenface.training.data import load_manifest


Settings = Callable[..., TrainConfig]


def test_train_to_learn_from_and_validation_to_be_judged_on(settings: Settings) -> None:
    config = settings()
    manifest = read_faces(config, options_of(config), BASIC)
    assert [len(manifest.split(name)) for name in ("train", "validation")] == [32, 16]
    assert all(name.startswith("train-") for name in manifest.split("train").ids())


def test_all_splits_on_request(settings: Settings) -> None:
    config = settings(all_splits=True, val_fraction=0.25)
    manifest = read_faces(config, options_of(config), BASIC)
    assert manifest.splits == ("train", "validation")
    assert len(manifest) == 32 + 16 + 12
    assert len(manifest.split("validation")) == pytest.approx(15, abs=3)
    assert {name.partition("-")[0] for name in manifest.split("train").ids()} == {"train", "validation", "test"}


def test_a_folder_of_images(settings: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    for i in range(20):
        Image.fromarray(np.full((16, 16, 3), i, np.uint8)).save(folder / "deep" / f"{i}.png")
    config = settings(unlabelled=str(folder), val_fraction=0.2)
    manifest = read_faces(config, options_of(config), BASIC)
    assert [len(manifest.split(name)) for name in ("train", "validation")] == [16, 4]
    listed = tmp_path / "out.txt"
    listed.write_text("deep/0.png\ndeep/1.png\n")
    config = settings(unlabelled=str(folder), exclude=str(listed), val_fraction=0.2)
    assert not {"deep/0.png", "deep/1.png"} & set(read_faces(config, options_of(config), BASIC).ids())


def test_a_set_without_contempt_for_a_teacher_that_knows_it(settings: Settings, tmp_path: Path) -> None:
    for split in ("train", "test"):
        for number in range(1, 8):
            (tmp_path / "raf" / split / str(number)).mkdir(parents=True)
            for i in range(5):
                pixels = np.full((16, 16, 3), 10 * number + i, np.uint8)
                Image.fromarray(pixels).save(tmp_path / "raf" / split / str(number) / f"{split}_{number}{i}_aligned.jpg")
    config = settings(dataset="rafdb", data_dir=str(tmp_path / "raf"), val_fraction=0.2)
    manifest = read_faces(config, options_of(config), (*BASIC, "contempt"))
    assert [len(manifest.split(name)) for name in ("train", "validation")] == [28, 7]


def test_a_students_list_may_be_of_faces_that_its_labels_leave_out(settings: Settings, tmp_path: Path) -> None:
    listed = tmp_path / "out.txt"
    listed.write_text("a-face-without-a-majority\n")
    config = settings(exclude=str(listed))
    assert len(load_manifest(config)) == 32 + 16 + 12
    with pytest.raises(ConfigError, match="No face of 'blobs' has an id"):
        load_manifest(dataclasses.replace(config, method="ce", method_options={}))


@pytest.mark.parametrize(("teacher", "option"), [("dlib-face", "temperature"), ("runs/x", "descriptor_weight")])
def test_an_option_of_the_other_kind_of_teacher_is_refused(teacher: str, option: str) -> None:
    with pytest.raises(ConfigError, match=f"--{option.replace('_', '-')} is for .* as the teacher, and would do nothing here"):
        make_config({}, DistillOptions((teacher,), **{option: 7.0}))


def test_no_faces(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    config = settings(unlabelled=str(tmp_path / "empty"))
    with pytest.raises(DataError, match="is empty"):
        read_faces(config, options_of(config), BASIC)
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(tmp_path / "empty" / "one.png")
    with pytest.raises(DataError, match="two faces or more"):
        read_faces(config, options_of(config), BASIC)


def test_ferplus_gives_the_faces_that_its_labels_cannot_decide(shared: Path) -> None:
    root = str(shared / "data" / "ferplus")
    config = make_config({"dataset": "ferplus", "data_dir": root}, DistillOptions(("dlib-face",)))
    manifest = read_faces(config, options_of(config), BASIC)
    decided = load_dataset("ferplus", root)
    train = set(manifest.split("train").ids())
    assert set(decided.split("train").ids()) < train
    assert len(train) == 28_559  # of 28,709, less those that FERPlus gives no name or most votes for "not a face"
    assert not train & set(decided.split("test").ids())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"teacher": ()}, "needs --teacher"),
        ({"teacher": ("dlib-face", "runs/a")}, "one kind at a time"),
        ({"teacher": ("dlib-face",), "descriptor_weight": 0.0, "map_weight": 0.0}, "nothing to learn"),
        ({"teacher": ("runs/a",), "temperature": 0.0}, "--temperature"),
        ({"teacher": ("dlib-face",), "map_weight": float("nan")}, "--map-weight"),
        ({"teacher": ("dlib-face",), "teacher_size": 8}, "--teacher-size"),
    ],
)
def test_options_that_cannot_work(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DistillOptions(**options)  # type: ignore[arg-type]


def test_settings_that_mean_something_with_labels_only() -> None:
    with pytest.raises(ConfigError, match="'label_noise' means nothing"):
        make_config({"label_noise": 0.1}, DistillOptions(("dlib-face",)))
    with pytest.raises(ConfigError, match="in place of a data set"):
        make_config({"dataset": "ferplus", "unlabelled": "x"}, DistillOptions(("dlib-face",)))
    assert make_config({"unlabelled": "x"}, DistillOptions(("dlib-face",))).dataset == "folder"
