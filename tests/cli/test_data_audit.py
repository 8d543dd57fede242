"""`evenface data audit` as a user runs it: on a folder of faces, with wrong words, stopped, and its verdicts in a training."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image


FEW = ("--checks", "unreadable,tiny,blank,duplicates", "-j", 1)


@pytest.fixture
def faulty(faces: Path, tmp_path: Path) -> Path:
    """The folder of 39 faces, 16 px each, with a copy of a train face in test, a second one in train, a black, and a broken picture."""
    root = tmp_path / "faces"
    shutil.copytree(faces, root)
    train = root / "train" / "happy"
    shutil.copy(train / "0.png", root / "test" / "happy" / "copy.png")
    shutil.copy(train / "1.png", root / "train" / "fear" / "twin.png")
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(train / "black.png")
    (root / "train" / "anger" / "cut.png").write_bytes((train / "2.png").read_bytes()[:200])
    return root


def ids(path: Path) -> set[str]:
    with path.open(newline="") as file:
        return {line["id"] for line in csv.DictReader(file)}


def test_counts_files_and_words(cli: Any, faulty: Path, home: Path) -> None:
    answer = cli("data", "audit", "--dataset", "folder", "--data-dir", faulty, "-o", "out", *FEW)
    assert answer.code == 0, answer.err
    rows = {words[0]: words[1:] for line in answer.out.splitlines() if (words := line.split())}
    assert rows["unreadable"] == ["1", "0", "0", "1"]  # train, validation, test, to exclude
    assert rows["tiny"] == ["22", "9", "10", "0"]
    assert rows["blank"] == ["1", "0", "0", "1"]
    assert rows["duplicates"] == ["3", "0", "1", "1"]
    assert "47 findings, 3 training faces to leave out" in answer.out
    assert "--exclude out/verdicts.csv" in answer.out
    assert sorted(path.name for path in (home / "out").iterdir()) == ["audit.html", "audit.json", "checks", "parts", "verdicts.csv"]


def test_a_choice_of_checks_decides_what_leaves(cli: Any, faulty: Path, home: Path) -> None:
    words = ("data", "audit", "--dataset", "folder", "--data-dir", faulty, "-o", "out", *FEW)
    answer = cli(*words, "--exclude-checks", "duplicates,unreadable")
    assert "exclude.txt: 3 training faces, by unreadable, duplicates" in answer.out
    assert ids(home / "out" / "exclude.txt") == {"train/anger/cut.png", "train/happy/0.png", "train/happy/1.png"}
    clean = cli(*words[:-4], "--checks", "subjects", "--exclude-checks", "subjects")
    assert "no training face leaves by subjects" in clean.out
    assert not (home / "out" / "exclude.txt").exists()  # not that of the call before
    cli(*words, "--exclude-checks", "duplicates")
    before = (home / "out" / "exclude.txt").read_bytes()
    assert "out/exclude.txt is of an earlier call" in cli(*words).out
    assert (home / "out" / "exclude.txt").read_bytes() == before  # a training may name it


def test_what_a_person_keeps_stays_whatever_check_is_chosen(cli: Any, faulty: Path, home: Path) -> None:
    words = ("data", "audit", "--dataset", "folder", "--data-dir", faulty, "-o", "out", *FEW)
    cli(*words)
    table = home / "out" / "verdicts.csv"
    lines = table.read_text(encoding="utf-8").splitlines()
    table.write_text("\n".join(line.replace("exclude", "keep") if "unreadable" in line else line for line in lines) + "\n")
    answer = cli(*words, "--exclude-checks", "duplicates,unreadable")
    assert "exclude.txt: 2 training faces, by unreadable, duplicates" in answer.out
    assert ids(home / "out" / "exclude.txt") == {"train/happy/0.png", "train/happy/1.png"}


@pytest.mark.parametrize("file", ["verdicts.csv", "exclude.txt"])
def test_a_training_leaves_out_what_it_says(cli: Any, faulty: Path, home: Path, file: str) -> None:
    cli("data", "audit", "--dataset", "folder", "--data-dir", faulty, "-o", "out", *FEW, "--exclude-checks", "unreadable,blank,duplicates")
    tiny = ("--model", "test_resnet", "--img-size", 32, "--device", "cpu", "--precision", "fp32", "-j", 1, "--method", "ce", "--epochs", 1)
    answer = cli("train", "--dataset", "folder", "--data-dir", faulty, *tiny, "-b", 5, "-o", "run", "--exclude", f"out/{file}")
    assert answer.code == 0, answer.err
    assert f"train {24 - {'verdicts.csv': 3, 'exclude.txt': 4}[file]}, validation 9" in answer.out  # the list takes the twin in train too
    scored = cli("evaluate", "run", "--device", "cpu")
    assert scored.code == 0, scored.err


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["--data-dir", "{faces}", "--checks", "duplicate"], 2, "did you mean 'duplicates'"),
        (["--data-dir", "{faces}", "--checks", "tiny", "--exclude-checks", "blank"], 2, "--checks leaves out"),
        (["--data-dir", "{faces}", "--folds", "1"], 2, "at least 2"),
        (["--data-dir", "{faces}", "--model", "nobody"], 1, "nobody"),
        (["--data-dir", "{faces}", "--detector", "mtcn"], 2, "mtcn"),
        (["--data-dir", "{faces}", "--device", "cuda:99"], 2, "cuda"),
        (["--data-dir", "{faces}", "-o", "full"], 2, "holds other files"),
    ],
)
def test_wrong_words_get_one_sentence(cli: Any, faces: Path, home: Path, words: list[str], code: int, told: str) -> None:
    (home / "full").mkdir()
    (home / "full" / "mine.txt").write_text("mine")
    given = [word.replace("{faces}", str(faces)) for word in words]
    out = [] if "-o" in given else ["-o", "out"]
    cli("data", "audit", "--dataset", "folder", *given, *out).refused(code, told)
    assert not (home / "out").exists()


@pytest.mark.parametrize("where", ["nowhere", "empty"])
def test_a_folder_without_faces_is_refused_with_the_tree_that_is_wanted(cli: Any, home: Path, where: str) -> None:
    (home / "empty").mkdir()
    answer = cli("data", "audit", "--dataset", "folder", "--data-dir", where, "-o", "out")
    assert answer.code == 1
    assert answer.err.startswith(f"evenface data: No image folder data: {where}")
    assert "train/happiness/*.jpg" in answer.err
    assert not (home / "out").exists()


@pytest.mark.slow
def test_ctrl_c_leaves_what_is_finished_and_the_next_call_goes_on(cli: Any, home: Path) -> None:
    """1,140 pictures are two parts of a pass: stopped after the first, the second alone is looked at."""
    rng = np.random.default_rng(0)
    for split, kind in (("train", "happy"), ("train", "fear"), ("test", "happy"), ("test", "fear")):
        folder = home / "faces" / split / kind
        folder.mkdir(parents=True)
        for i in range(1050 if split == "train" and kind == "happy" else 30):
            Image.fromarray(rng.integers(0, 256, (40, 40), dtype=np.uint8)).resize((120, 120)).save(folder / f"{i}.png")
    words = ["data", "audit", "--dataset", "folder", "--data-dir", "faces", "-o", "out", "--checks", "unreadable,blank", "-j", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "evenface", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    until = time.monotonic() + 120
    while not list(home.glob("out/parts/scan*/*.npz")) and time.monotonic() < until and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 1
    assert told.count("\n") == 1, told
    assert "Stopped; what is finished stays in out, and the same command goes on from there." in told
    (part,) = home.glob("out/parts/scan*/*.npz")
    before = part.stat().st_mtime_ns
    answer = cli(*words)
    assert answer.code == 0, answer.err
    assert part.stat().st_mtime_ns == before
    assert len(list(home.glob("out/parts/scan*/*.npz"))) == 2
