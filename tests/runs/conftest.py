"""A tiny run, trained once, to score and to compare."""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest
from PIL import Image

from evenface.data.manifest import Manifest, build
from evenface.labels import BASIC
from evenface.training.config import TrainConfig
from evenface.training.run import train


CLASSES = BASIC[:3]


def faces(classes: tuple[str, ...]) -> Manifest:
    """24 faces to train on, 9 for validation, 12 to test on, of which two stand in train."""
    random = np.random.default_rng(0)
    columns: dict[str, list[Any]] = {"id": [], "split": [], "label": [], "image": []}
    for split, count in {"train": 24, "validation": 9, "test": 12}.items():
        for i in range(count):
            file = io.BytesIO()
            Image.fromarray(random.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(file, "PNG")
            columns["id"].append(f"{split}-{i}")
            columns["split"].append(split)
            columns["label"].append(classes[i % 3])
            columns["image"].append(columns["image"][i] if split == "test" and i in (3, 7) else file.getvalue())
    return build(columns, classes, name="tiny")


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    faces(CLASSES).save(folder / "tiny.parquet")
    train(
        TrainConfig(
            dataset="manifest", data_dir=str(folder / "tiny.parquet"), model="test_resnet", img_size=32, epochs=1, batch_size=8,
            device="cpu", precision="fp32", workers=1, store="memory", output=str(folder / "run"), seed=3,
        )
    )  # fmt: skip
    return folder / "run"


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy to write into."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


def probabilities(file: Path) -> npt.NDArray[np.float64]:
    table = pq.read_table(file)
    return np.stack([table[f"p_{name}"].to_numpy() for name in CLASSES], axis=1).astype(np.float64)
