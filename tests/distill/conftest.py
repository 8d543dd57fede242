"""A teacher with random weights in place of dlib's, small models as teachers, and settings of runs that take seconds."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from evenface.data.manifest import build
from evenface.distill.config import DistillOptions, make_config
from evenface.labels import BASIC
from evenface.model_folder import save_model
from evenface.models.classifier import build_classifier
from evenface.models.dlib_face import DlibFaceResNet
from evenface.training.config import TrainConfig


COUNTS = {"train": 32, "validation": 16, "test": 12}


@pytest.fixture(scope="session")
def dlib_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file like dlib's, with random numbers."""
    torch.manual_seed(1)
    state = {**DlibFaceResNet().state_dict(), "fc.weight": torch.randn(128, 256), "mean": torch.zeros(3)}
    path = tmp_path_factory.mktemp("weights") / "face.safetensors"
    save_file(state, path)
    return path


@pytest.fixture(autouse=True)
def _teacher(dlib_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENFACE_DLIB_FACE", str(dlib_file))


@pytest.fixture(scope="session")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of blobs, 32 px: where and how large the blob is, and its colour, are what tells them apart."""
    random = np.random.default_rng(0)
    columns: dict[str, list[Any]] = {"id": [], "split": [], "label": [], "image": []}
    y, x = np.mgrid[0:32, 0:32]
    for split, count in COUNTS.items():
        for i in range(count):
            centre, width, colour = random.uniform(6, 26, 2), random.uniform(3, 10), random.uniform(60, 250, 3)
            blob = np.exp(-((y - centre[0]) ** 2 + (x - centre[1]) ** 2) / (2 * width**2))
            file = io.BytesIO()
            Image.fromarray((blob[..., None] * colour).astype(np.uint8)).save(file, "PNG")
            for name, value in (("id", f"{split}-{i}"), ("split", split), ("label", BASIC[i % 7]), ("image", file.getvalue())):
                columns[name].append(value)
    path = tmp_path_factory.mktemp("set") / "blobs.parquet"
    build(columns, BASIC, name="blobs").save(path)
    return path


def model_folder(path: Path, seed: int, classes: tuple[str, ...] = BASIC, size: int = 32) -> Path:
    """A model folder with random weights and decided answers."""
    torch.manual_seed(seed)
    model = build_classifier("test_resnet", classes, size).eval()
    with torch.no_grad():
        model.head.weight.mul_(8)
    save_model(path, model, {"train_counts": dict.fromkeys(classes, 10 + seed)}, "# a teacher\n")
    return path


@pytest.fixture
def models(tmp_path: Path) -> list[str]:
    return [str(model_folder(tmp_path / f"teacher{seed}", seed)) for seed in (1, 2)]


@pytest.fixture
def settings(faces: Path, tmp_path: Path) -> Callable[..., TrainConfig]:
    """`settings(("dlib-face",), epochs=3, output="x", map_weight=0)`: what is an option of the distillation goes there."""

    def make(teacher: tuple[str, ...] = ("dlib-face",), *, output: str = "run", **changes: Any) -> TrainConfig:
        own = {name: changes.pop(name) for name in list(changes) if name in DistillOptions.__dataclass_fields__}
        if teacher == ("dlib-face",):
            own.setdefault("teacher_size", 103)
        values: dict[str, Any] = {
            "dataset": "manifest", "data_dir": str(faces), "model": "test_resnet", "img_size": 32, "epochs": 2, "batch_size": 8,
            "device": "cpu", "precision": "fp32", "workers": 1, "store": "memory", "erase": 0.0, "rotate": 0.0,
        }  # fmt: skip
        if "unlabelled" in changes:
            values = {name: value for name, value in values.items() if name not in ("dataset", "data_dir")}
        return make_config({**values, **changes, "output": str(tmp_path / output)}, DistillOptions(teacher, **own))

    return make
