"""The faces as the model is given them, and the folder of pictures: the names of its files, and those that an earlier call wrote."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from evenface.errors import ConfigError
from evenface.explain import run
from evenface.explain.figures import Seen
from evenface.explain.run import Model, cuts_of, part_of, require_own_place, store_of, write_folder
from evenface.labels import BASIC
from evenface.model_folder import load_model
from evenface.recognizer import Recognizer
from evenface.training.config import TrainConfig

from .conftest import PX
from .test_figures import seen


TABLES = {"faces.csv", "maps.npz"}


def faces(*names: str) -> Iterator[Seen]:
    return (seen(i, classes=BASIC[:2], label=None, name=name) for i, name in enumerate(names))


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_faces_of_other_data_are_given_the_look_that_the_model_has_learned(wide: Path, tmp_path: Path) -> None:
    """A model of grey faces of 8 pixels: faces of 16 pixels in colour, each 2 x 2 of them alike, and their means by hand."""
    random, expected = np.random.default_rng(0), {}
    for label in BASIC:
        for split in ("train", "val"):
            (tmp_path / "faces" / split / label).mkdir(parents=True)
            small = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            whole = Image.fromarray(small.repeat(2, axis=0).repeat(2, axis=1))
            whole.save(tmp_path / "faces" / split / label / "0.png")
            grey = Image.fromarray(np.rint(small @ [0.299, 0.587, 0.114]).astype(np.uint8))
            expected[f"{split}/{label}/0.png"] = [each.resize((PX, PX), Image.Resampling.BICUBIC) for each in (whole, grey)]
    network, about = load_model(wide)
    about = dataclasses.replace(about, alignment={"template": "box", "resolution": 8, "grey": True})
    recognizer = Recognizer(network, about, detector="none", device="cpu")
    settings = TrainConfig(dataset="folder", data_dir=str(tmp_path / "faces"))
    for config, data, which in ((settings, (None, None), 0), (None, ("folder", str(tmp_path / "faces")), 1)):
        model = Model(recognizer, config, tmp_path)
        part, look = part_of(model, "validation", *data)
        cuts = cuts_of(store_of(model, part, look, 1))
        assert len(cuts) == 7
        for cut in cuts:
            shown = np.asarray(expected[cut.name][which].convert("RGB"))
            np.testing.assert_allclose(cut.crop.astype(int), shown, atol=1)


def test_a_second_call_takes_the_place_of_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "PER_SHEET", 2)
    write_folder(tmp_path, faces("a.png", "A.jpg", "x/1"), svg=True)
    pictures = {"face-a", "face-A-2", "face-x-1", "sheet-01", "sheet-02"}
    assert names_in(tmp_path) == {f"{name}.{suffix}" for name in pictures for suffix in ("png", "svg")} | TABLES
    mine = {"face-mine.png", "sheet-03.png", "sheet.jpg", "epochs.png"}
    for name in mine:
        (tmp_path / name).touch()
    write_folder(tmp_path, faces("a.png", "new"))
    assert names_in(tmp_path) == {"face-a.png", "face-new.png", "sheet.png"} | TABLES | mine
    assert [row["name"] for row in csv.DictReader((tmp_path / "faces.csv").read_text().splitlines())] == ["a.png", "new"]


def test_stopped_the_first_ones_go_with_their_table(tmp_path: Path) -> None:
    """Before the first face nothing is touched; after it the table names the new faces, and no later call could tell the others as ours."""

    def stopped(*names: str) -> Iterator[Seen]:
        yield from faces(*names)
        raise KeyboardInterrupt

    write_folder(tmp_path, faces("a"))
    for names, there in (((), {"face-a.png"}), (("b",), {"face-b.png"})):
        with pytest.raises(KeyboardInterrupt):
            write_folder(tmp_path, stopped(*names))
        assert names_in(tmp_path) == there | {"sheet.png"} | TABLES
    write_folder(tmp_path, faces("c"))
    assert names_in(tmp_path) == {"face-c.png", "sheet.png"} | TABLES


def test_a_picture_that_is_stopped_half_way_is_found_by_the_next_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = run.write_aside

    def stopped(path: Path, write: Any) -> None:
        if path.name == "face-b.svg":
            raise KeyboardInterrupt
        original(path, write)

    with monkeypatch.context() as patch:
        patch.setattr(run, "write_aside", stopped)
        with pytest.raises(KeyboardInterrupt):
            write_folder(tmp_path, faces("a", "b"), svg=True)
    assert "face-b.png" in names_in(tmp_path)
    write_folder(tmp_path, faces("c"))
    assert names_in(tmp_path) == {"face-c.png", "sheet.png"} | TABLES


@pytest.mark.parametrize("content", [b"", b"name,age\na,30\n", b"\xff\xfe\x00", b'name,label\n"a'])
def test_a_table_of_somebody_else_is_left_alone(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "faces.csv").write_bytes(content)
    (tmp_path / "face-a.png").write_bytes(b"mine")
    for call in (lambda: write_folder(tmp_path, faces("b")), lambda: require_own_place(tmp_path, [])):
        with pytest.raises(ConfigError, match=r"faces\.csv is no table of `evenface explain`"):
            call()
    assert names_in(tmp_path) == {"face-a.png", "faces.csv"}
    assert (tmp_path / "faces.csv").read_bytes() == content


def test_photos_that_could_be_written_over_are_refused(tmp_path: Path) -> None:
    """Whatever names the pictures get: those of two photos `x.png` and `face-x.png` are `face-x.png` and `face-face-x.png`."""
    (tmp_path / "link.png").symlink_to(tmp_path / "out" / "face-1.png")
    for name in ("out/face-x.png", "out/FACE-x-2.PNG", "out/../out/sheet.png", "out/sheet-01.svg", "link.png"):
        with pytest.raises(ConfigError, match="name another folder"):
            require_own_place(tmp_path / "out", [tmp_path / "other.png", tmp_path / name])
    require_own_place(tmp_path / "out", [tmp_path / name for name in ("face-x.png", "out/x.png", "out/face-x.jpg", "out/in/sheet.png")])


def test_long_names_are_cut_by_their_bytes(tmp_path: Path) -> None:
    longest = "\u4e2d" * 83 + ".png"  # 253 bytes, which a file may have: 255
    write_folder(tmp_path, faces(longest, longest, "a" * 251 + ".png"))
    kept = "\u4e2d" * 26  # 78 bytes of 80
    assert names_in(tmp_path) == {f"face-{kept}.png", f"face-{kept}-2.png", f"face-{'a' * 80}.png", "sheet.png"} | TABLES
