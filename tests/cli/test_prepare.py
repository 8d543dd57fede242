"""`evenface data prepare`: what it writes and tells, that it goes on after a stop, and what is refused."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from evenface.data import load_dataset
from evenface.faces.cropped import whole_picture
from evenface.faces.detectors import DETECTORS


PACK = ("--detector", "none", "-j", 1)


def table(text: str) -> dict[str, list[str]]:
    """The lines of the printed table by their first word."""
    return {
        words[0]: words[1:] for line in text.splitlines() if (words := line.split()) and words[0] in ("anger", "fear", "happiness", "all")
    }


def test_prepare_and_read_back(cli: Any, faces: Path) -> None:
    answer = cli("data", "prepare", faces, "out", *PACK, "--size", 16, "--quality", "lossless")
    assert (answer.code, answer.err) == (0, "")
    assert table(answer.out)["fear"] == ["7", "0", "3", "0", "3", "0"]
    assert table(answer.out)["all"] == ["21", "0", "9", "0", "9", "0"]
    assert "written   out: 3 shards\n" in answer.out
    assert "next      evenface train --dataset manifest --data-dir out ..." in answer.out
    assert "keep it out of your repository" in answer.out
    assert "say so" not in answer.out
    found = load_dataset("manifest", "out")
    assert sorted(found.ids()) == sorted(load_dataset("folder", faces).ids())
    shown = cli("data", "stats", "--dataset", "manifest", "--data-dir", "out").out
    assert table(shown)["all"][:3] == ["21", "9", "9"]
    again = cli("data", "prepare", faces, "out", *PACK, "--size", 16, "--quality", "lossless")
    assert "3 shards, 0 of them now" in again.out


def test_dropped_pictures_are_told(cli: Any, tmp_path: Path) -> None:
    for split, n in (("train", 4), ("test", 3)):
        for i in range(n):
            file = Path(f"raw/{split}/fear/{i}.png")
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((20, 20, 3), 40 * i, np.uint8)).save(file)
    Path("raw/test/fear/1.png").write_bytes(b"")
    answer = cli("data", "prepare", "raw", "out", *PACK)
    flat = " ".join(answer.out.split())
    assert table(answer.out)["fear"] == ["4", "0", "2", "1"]
    assert "1 of the 3 pictures of test gave no face (1 unreadable); they are left out." in flat
    assert "Which ones: out/dropped.csv." in flat
    assert "Scores on a split that lost pictures are not those on the whole split" in flat
    assert "test/fear/1.png,test,fear,test/fear/1.png,unreadable" in Path("out/dropped.csv").read_text()


def test_a_prepared_set_can_be_trained_on(cli: Any, faces: Path) -> None:
    assert cli("data", "prepare", faces, "out", *PACK, "--size", 32).code == 0
    words = ("--model", "test_resnet", "--img-size", 32, "--device", "cpu", "--precision", "fp32", "-j", 1, "--epochs", 1, "-b", 5, "-q")
    answer = cli("train", "--dataset", "manifest", "--data-dir", "out", *words, "-o", "run")
    assert answer.code == 0, answer.err


def test_options_reach_the_settings(cli: Any, faces: Path) -> None:
    words = ("--size", 20, "--margin", -0.1, "--quality", 80, "--shard-rows", 4, "--several", "centre", "--missing", "whole")
    assert cli("data", "prepare", faces, "out", *PACK, *words, "--min-face", 12, "--min-score", 0.5).code == 0
    found = json.loads(Path("out/prepare.json").read_text())
    assert found["settings"] == {
        "detector": "none", "size": 20, "min_face": 12, "min_score": 0.5, "several": "centre", "missing": "whole", "quality": 80,
        "shard_rows": 4, "alignment": {"template": "box", "margin": -0.1, "resolution": None, "grey": False},
    }  # fmt: skip
    assert len(found["shards"]) == 6 + 3 + 3


def test_originals_of_rafdb_are_searched_and_aligned_faces_are_packed(cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DETECTORS, "mtcnn", lambda *given: whole_picture)
    Path("raw/EmoLabel").mkdir(parents=True)
    names = {f"{split}_{i:05d}": i for split in ("train", "test") for i in range(1, 8)}
    Path("raw/EmoLabel/list_patition_label.txt").write_text("".join(f"{name}.jpg {i}\n" for name, i in names.items()))
    for place, side in (("Image/aligned/{}_aligned.jpg", 20), ("Image/original/{}.jpg", 30)):
        for name in names:
            file = Path("raw", place.format(name))
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((side, side, 3), 99, np.uint8)).save(file)
    packed = cli("data", "prepare", "raw", "packed", "--dataset", "rafdb", *PACK)
    assert "RAF-DB's images are those of Image/aligned/{stem}_aligned.jpg." in packed.out
    searched = cli("data", "prepare", "raw", "searched", "--dataset", "rafdb", "-j", 1)
    assert searched.code == 1
    assert "RAF-DB's images are those of Image/original/{stem}.jpg." in searched.out
    assert "None of the 14 pictures gave a face" in searched.err
    assert Path("searched/dropped.csv").read_text().count(".jpg,too small") == 14


def test_what_cannot_be(cli: Any, faces: Path) -> None:
    base = ("data", "prepare", faces, "out")
    cli(*base, *PACK, "--template", "arcface").refused(2, "--detector none finds none; take --template box")
    cli(*base, "--detector", "mtcn").refused(2, "did you mean 'mtcnn'?")
    cli(*base, "--template", "arcfase").refused(2, "did you mean 'arcface'?")
    cli(*base, *PACK, "--size", 4).refused(2, "--size is 16 to 1024")
    cli(*base, *PACK, "--quality", "best").refused(2, "neither a whole number nor 'lossless'")
    cli(*base, *PACK, "--quality", 101).refused(2, "--quality is 1 to 100")
    cli(*base, *PACK, "--margin", 3).refused(2, "--margin")
    cli(*base, *PACK, "--several", "all").refused(2, "--several")
    cli(*base, *PACK, "--dataset", "synthetic").refused(2, "invalid choice: 'synthetic'")
    cli(*base, *PACK, "--labels", "max").refused(2, "has no votes")
    cli(*base, "--detector", "none", "-j", 0).refused(2, "--workers")
    cli("data", "prepare", faces).refused(2, "required: OUT")
    assert cli("data", "prepare", "nowhere", "out").err.startswith("evenface data: No image folder data: nowhere does not exist.")
    assert not Path("out").exists()
    Path("file").write_text("mine")
    cli("data", "prepare", faces, "file", *PACK).refused(1, "file")
    assert cli(*base, *PACK).code == 0
    cli(*base, *PACK, "--size", 32).refused(2, "begun with other settings (size 224, not 32)")


def raw_set(root: Path, n: int) -> Path:
    """Pictures that take some time to store."""
    rng = np.random.default_rng(0)
    (root / "train/fear").mkdir(parents=True)
    for i in range(n):
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(root / "train/fear" / f"{i:03d}.png")
    return root


def start(raw: Path, out: Path, workers: int) -> subprocess.Popen[str]:
    words = ["data", "prepare", raw, out, "--detector", "none", "--size", 512, "--quality", "lossless", "--shard-rows", 4, "-j", workers]
    command = [sys.executable, "-m", "evenface", *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def wait_for(found: Any, seconds: float = 120) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if result := found():
            return result
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")


def in_session(leader: int) -> list[int]:
    """The processes of the session that a process leads."""
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            state, _, _, session = (folder / "stat").read_text().rpartition(") ")[2].split()[:4]
            if int(session) == leader and state != "Z":
                found.append(int(folder.name))
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
@pytest.mark.parametrize("name", ["SIGINT", "SIGKILL"])
def test_stopped_or_killed_it_leaves_no_process_and_goes_on(cli: Any, tmp_path: Path, name: str) -> None:
    raw, out = raw_set(tmp_path / "raw", 64), tmp_path / "out"
    process = start(raw, out, 2)
    try:
        wait_for(lambda: len(list(out.glob("*.parquet"))) >= 2)
        number = getattr(signal, name)
        if name == "SIGINT":
            os.killpg(process.pid, number)  # as a terminal does: to all of them
        else:
            os.kill(process.pid, number)
        told = process.communicate(timeout=120)[1]
        wait_for(lambda: not in_session(process.pid))
    finally:
        for left in in_session(process.pid):
            os.kill(left, signal.SIGKILL)
    if name == "SIGINT":
        assert (process.returncode, told.count("\n")) == (1, 1), told
        assert "Stopped; what is finished stays in" in told
    whole = len(list(out.glob("*.parquet")))
    assert 2 <= whole < 16
    answer = cli("data", "prepare", raw, out, "--size", 512, "--quality", "lossless", "--shard-rows", 4, *PACK)
    assert f"16 shards, {16 - whole} of them now" in answer.out
    assert not list(out.glob(".*"))
    assert len(load_dataset("manifest", out)) == 64
