"""The command line in this process, a tiny set of faces as a folder, and a run trained on it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evenface.cli.main import main


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a command left."""

    code: int
    out: str
    err: str

    def refused(self, code: int, *words: str) -> None:
        """It left with `code` and told why in one line that holds the words."""
        assert self.code == code, self.err
        assert "Traceback" not in self.err
        assert self.err.count("\n") == 1, self.err
        assert self.err.startswith("evenface")
        for word in words:
            assert word in self.err, self.err


Cli = Callable[..., Answer]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, a cache of the test's own, and no width that the person's shell or the test runner sets."""
    monkeypatch.setenv("EVENFACE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("COLUMNS", raising=False)
    folder = tmp_path / "cwd"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str]) -> Cli:
    """`cli("train", "--epochs", 3)`: runs the words."""

    def call(*words: object) -> Answer:
        capfd.readouterr()
        code = main([str(word) for word in words])
        out, err = capfd.readouterr()
        return Answer(code, out, err)

    return call


def write_faces(root: Path, counts: dict[str, int], classes: Sequence[str] = ("happy", "fear", "anger")) -> Path:
    """`split/class/i.png`, 16 px, each class with a colour of its own."""
    rng = np.random.default_rng(0)
    for split, n in counts.items():
        for channel, name in enumerate(classes):
            (root / split / name).mkdir(parents=True)
            for i in range(n):
                pixels = rng.integers(0, 120, (16, 16, 3))
                pixels[..., channel] += 120
                Image.fromarray(pixels.astype(np.uint8)).save(root / split / name / f"{i}.png")
    return root


@pytest.fixture(scope="session")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three classes of 7, 3 and 3 faces."""
    return write_faces(tmp_path_factory.mktemp("data") / "faces", {"train": 7, "val": 3, "test": 3})


TINY = ("--model", "test_resnet", "--img-size", "32", "--device", "cpu", "--precision", "fp32", "-j", "1")


@pytest.fixture(scope="session")
def trained(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two epochs in odd batches: 21 faces in batches of 5, the last of one left out."""
    folder = tmp_path_factory.mktemp("runs") / "rbcf"
    words = ["train", "--dataset", "folder", "--data-dir", faces, *TINY, "--method", "rbcf", "--epochs", 2, "-b", 5, "-q", "-o", folder]
    assert main([str(word) for word in words]) == 0
    return folder
