"""`evenface data`: the numbers it prints, the files it writes, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from evenface.data import load_dataset
from evenface.data.imbalance import imbalanced
from evenface.data.sheet import GAP


@pytest.fixture
def own(faces: Path, home: Path) -> Path:
    """A copy of the faces that a test may spoil."""
    return Path(shutil.copytree(faces, home / "own"))


def opened(path: str | Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def stats(cli: Any, folder: Path, *words: object) -> Any:
    answer = cli("data", "stats", "--dataset", "folder", "--data-dir", folder, *words, "--format", "json")
    assert (answer.code, answer.err) == (0, "")
    return json.loads(answer.out)


# -------------------- stats


def test_stats(cli: Any, own: Path) -> None:
    for i in (0, 1):
        (own / f"train/fear/{i}.png").unlink()
    (own / "test/fear/0.png").write_bytes((own / "train/happy/3.png").read_bytes())
    (own / "val/fear/2.png").write_bytes(b"")
    found = stats(cli, own, "--beta", 0.9)
    assert found["counts"]["train"] == {"happiness": 7, "anger": 7, "fear": 5}
    assert found["duplicates_of_train"] == {"validation": 0, "test": 1}
    assert found["unreadable"] == ["val/fear/2.png"]
    assert found["sizes"] == {"width": [16, 16, 16], "height": [16, 16, 16]}
    b = {name: 0.1 / (1 - 0.9**n) for name, n in found["counts"]["train"].items()}
    assert found["weights"] == pytest.approx({name: 3 * v / sum(b.values()) for name, v in b.items()})

    text = cli("data", "stats", "--dataset", "folder", "--data-dir", own, "--beta", 0.9).out
    row = next(line for line in text.splitlines() if line.split()[:1] == ["fear"])
    assert row.split() == ["fear", "5", "3", "3", f"{found['weights']['fear']:.4f}"]
    assert next(line for line in text.splitlines() if line.split()[:1] == ["all"]).split() == ["all", "19", "9", "9"]
    flat = " ".join(text.split())
    assert "own: 37 faces" in flat
    assert "Imbalance factor of train (largest / smallest class): 1.40." in flat
    assert f"max B / min B = {(1 - 0.9**7) / (1 - 0.9**5):.2f}." in flat
    assert "Unreadable images: 1 (val/fear/2.png)." in flat
    assert "Images that stand in train pixel for pixel: validation 0, test 1." in flat
    assert "Image sizes in pixels: width 16; height 16." in flat
    assert "Licence of the images: unknown." in flat
    assert "Warning" not in flat
    assert "| fear | 5 | 3 | 3 |" in cli("data", "stats", "--dataset", "folder", "--data-dir", own, "--format", "markdown").out


def test_stats_warn_of_weights_that_do_nothing(cli: Any, own: Path) -> None:
    found = stats(cli, own, "--beta", 0)
    assert found["weight_ratio"] == 1
    assert found["warning"] is not None
    text = cli("data", "stats", "--dataset", "folder", "--data-dir", own, "--beta", 0).out
    assert "Warning: " in text


def test_stats_name_ten_broken_images(cli: Any, own: Path) -> None:
    for i in range(7):
        (own / f"train/happy/{i}.png").write_bytes(b"x")
        (own / f"train/fear/{i}.png").write_bytes(b"x")
    text = " ".join(cli("data", "stats", "--dataset", "folder", "--data-dir", own).out.split())
    named = ", ".join([f"train/fear/{i}.png" for i in range(7)] + [f"train/happy/{i}.png" for i in range(3)])
    assert f"Unreadable images: 14 ({named} and 4 more)." in text


def test_stats_without_a_train_split(cli: Any, own: Path) -> None:
    shutil.rmtree(own / "train")
    found = stats(cli, own)
    assert (found["weights"], found["imbalance_factor"]) == ({}, None)
    text = cli("data", "stats", "--dataset", "folder", "--data-dir", own).out
    assert "B:" not in text
    assert "pixel for pixel" not in text


@pytest.mark.slow
def test_stats_of_the_real_set(cli: Any, shared: Path) -> None:
    text = " ".join(cli("data", "stats", "--dataset", "ferplus", "--data-dir", shared / "data" / "ferplus").out.split())
    assert "Images that stand in train pixel for pixel: validation 248, test 257." in text
    assert "all 24,941 3,186 3,137" in text
    assert "max B / min B = 8.91" in text


# -------------------- subset


def test_subset(cli: Any, own: Path) -> None:
    for i in range(4):
        (own / f"train/anger/{i}.png").unlink()
    words = ("data", "subset", "--dataset", "folder", "--data-dir", own, "--imbalance", 7, "--label-noise", 0.2, "--data-seed", 3)
    answer = cli(*words, "-o", "new/thin.parquet")
    assert answer.code == 0
    written = load_dataset("manifest", "new/thin.parquet")
    expected = imbalanced(load_dataset("folder", own), 7, "A", 3)
    assert written.ids() == expected.ids()
    assert len(written) == 7 + 4 + 1 + 18  # mu = (7 / 3 / 7) ** (1 / 2): floor(7), floor(7 mu), floor(3 mu mu)
    flipped = [a != b for a, b in zip(written.table["label"].to_pylist(), expected.table["label"].to_pylist(), strict=True)]
    assert sum(flipped) == round(0.2 * 12)
    assert "thinned to imbalance factor 7 (reading A, seed 3): 12 of 17" in answer.out
    assert "written   new/thin.parquet: train 12, validation 9, test 9" in answer.out
    assert "--dataset manifest --data-dir new/thin.parquet" in answer.out
    assert "real people" not in answer.out  # it holds paths, no pixels
    assert written.image_bytes(0) == (own / written.ids()[0]).read_bytes()
    again = cli(*words, "-o", "again.parquet")
    assert again.code == 0
    assert load_dataset("manifest", "again.parquet").table.equals(written.table)


def test_subsets_that_cannot_be(cli: Any, faces: Path) -> None:
    base = ("data", "subset", "--dataset", "folder", "--data-dir", faces, "-o")
    cli(*base, "x.parquet").refused(2, "--imbalance or --label-noise")
    cli(*base, "x.csv", "--imbalance", 2).refused(2, "x.parquet")
    Path("there.parquet").write_text("mine")
    cli(*base, "there.parquet", "--imbalance", 2).refused(2, "there.parquet exists already")
    assert Path("there.parquet").read_text() == "mine"
    cli(*base, "x.parquet", "--imbalance", 0.5).refused(2, "at least 1")
    cli(*base, "x.parquet", "--imbalance", 70).refused(2, "leaves no face of")
    cli(*base, "x.parquet", "--label-noise", 2).refused(2, "between 0 and 1")
    cli(*base, "x.parquet", "--imbalance", 2, "--imbalance-reading", "C").refused(2, "invalid choice: 'C'")
    cli(*base[:-1], "--imbalance", 2).refused(2, "required: -o/--output")
    Path("file").write_text("")
    cli(*base, "file/x.parquet", "--imbalance", 2).refused(1, "file")
    assert not Path("x.parquet").exists()


# -------------------- sheet


def test_sheet_of_a_folder(cli: Any, faces: Path) -> None:
    answer = cli("data", "sheet", "--dataset", "folder", "--data-dir", faces, "--per-class", 4, "--size", 16, "-o", "new/sheet.png")
    assert answer.code == 0
    sheet = opened("new/sheet.png")
    width = 4 * (16 + GAP) + GAP
    assert sheet.shape[0] == 3 * (16 + GAP) + GAP
    assert f"written   new/sheet.png ({sheet.shape[1]} x {sheet.shape[0]})" in answer.out
    assert "keep it out of your repository" in answer.out
    left = sheet.shape[1] - width
    assert left > 20
    for row, (label, channel) in enumerate((("happy", 0), ("anger", 2), ("fear", 1))):
        top = GAP + row * (16 + GAP)
        assert (sheet[top : top + 16, :left].min(axis=(1, 2)) < 128).any()  # a name
        known = {opened(file).tobytes() for file in (faces / "train" / label).iterdir()}
        shown = [sheet[top : top + 16, left + GAP + c * (16 + GAP) :][:, :16] for c in range(4)]
        assert len({face.tobytes() for face in shown} & known) == 4, channel
    assert list(Path("new").iterdir()) == [Path("new/sheet.png")]


def test_sheet_leaves_places_white_and_passes_broken_images_over(cli: Any, own: Path) -> None:
    for i in range(3):
        (own / f"test/fear/{i}.png").write_bytes(b"")
    words = (
        "data",
        "sheet",
        "--dataset",
        "folder",
        "--data-dir",
        own,
        "--split",
        "test",
        "--per-class",
        5,
        "--size",
        16,
        "-o",
        "sheet.png",
    )
    assert cli(*words).code == 0
    sheet = opened("sheet.png")
    grid = sheet[:, sheet.shape[1] - (5 * (16 + GAP) + GAP) :]
    coloured = [[bool((grid[GAP + r * 18 :, GAP + c * 18 :][:16, :16] < 255).any()) for c in range(5)] for r in range(3)]
    assert coloured == [[True] * 3 + [False] * 2, [True] * 3 + [False] * 2, [False] * 5]


def test_sheet_of_drawn_faces(cli: Any) -> None:
    answer = cli("data", "sheet", "--dataset", "synthetic", "--classes", 8, "--per-class", 2, "--size", 24, "-o", "sheet.png")
    assert answer.code == 0
    assert "repository" not in answer.out
    first = Path("sheet.png").read_bytes()
    assert opened("sheet.png").shape[0] == 8 * 26 + 2
    cli("data", "sheet", "--dataset", "synthetic", "--classes", 8, "--per-class", 2, "--size", 24, "-o", "sheet.png")
    assert Path("sheet.png").read_bytes() == first


def test_sheets_that_cannot_be(cli: Any, faces: Path) -> None:
    base = ("data", "sheet", "--dataset", "folder", "--data-dir", faces, "-o")
    cli(*base, "x.jpg").refused(2, "x.png")
    cli(*base, "x.png", "--per-class", 0).refused(2, "--per-class is 1 to 100")
    cli(*base, "x.png", "--size", 5).refused(2, "--size 16 to 512")
    shutil.copytree(faces / "train", "only/train")
    cli("data", "sheet", "--dataset", "folder", "--data-dir", "only", "--split", "test", "-o", "x.png").refused(1, "no test split")


# -------------------- what all three refuse


def test_wrong_sources(cli: Any, faces: Path) -> None:
    cli("data", "stats", "--dataset", "foldr", "--data-dir", faces).refused(2, "did you mean 'folder'?")
    cli("data", "stats", "--dataset", "folder").refused(2, "--data-dir DIR")
    cli("data", "stats").refused(2, "required: --dataset")
    cli("data", "stats", "--dataset", "folder", "--data-dir", faces, "--beta", 1).refused(2, "--beta is in [0, 1)")
    cli("data", "stats", "--dataset", "folder", "--data-dir", faces, "--beta", "nan").refused(2, "--beta is in [0, 1)")
    cli("data", "stats", "--dataset", "folder", "--data-dir", faces, "-j", 0).refused(2, "--workers")
    cli("data", "stats", "--dataset", "folder", "--data-dir", faces, "--labels", "max").refused(2, "has no votes")
