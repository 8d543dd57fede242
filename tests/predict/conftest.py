"""A tiny model, pictures with drawn faces, and a search that finds the bright square of a picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from evenface.faces.detection import Detection
from evenface.faces.detectors import Detector
from evenface.labels import BASIC
from evenface.model_folder import load_model, save_model
from evenface.models.classifier import build_classifier
from evenface.recognizer import Recognizer


SIDE = 24  # of the square that stands for a face


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with random weights."""
    torch.manual_seed(0)
    model = build_classifier("test_resnet", BASIC, 32)
    torch.nn.init.normal_(model.head.weight, std=3.0)  # so that faces differ clearly
    counts = {"happiness": 60, "neutral": 50, "sadness": 20, "surprise": 20, "disgust": 2, "anger": 15, "fear": 5}
    folder = tmp_path_factory.mktemp("models") / "tiny"
    save_model(folder, model, {"train_counts": counts, "alignment": {"template": "box"}}, card="# tiny")
    return folder


class Squares:
    """Finds each patch of SIDE pixels whose corners are marked by pure white."""

    def __call__(self, images: Sequence[np.ndarray]) -> list[list[Detection]]:
        found = []
        for image in images:
            tops = np.argwhere((image == 255).all(axis=2))
            found.append([Detection((float(x), float(y), float(x + SIDE), float(y + SIDE)), 0.9) for y, x in tops])
        return found


def with_faces(seed: int, places: Sequence[tuple[int, int]], size: tuple[int, int] = (96, 128)) -> np.ndarray:
    """A dark picture (H, W, 3) with a textured patch at each place (x, y)."""
    rng = np.random.default_rng(seed)
    image = np.full((*size, 3), 20, dtype=np.uint8)
    for x, y in places:
        image[y : y + SIDE, x : x + SIDE] = np.kron(rng.integers(30, 250, (4, 4, 3)), np.ones((6, 6, 1))).astype(np.uint8)
        image[y, x] = 255
    return image


@pytest.fixture
def recognizer(tiny: Path) -> Recognizer:
    model, config = load_model(tiny)
    return Recognizer(model, config, name="tiny", detector=Detector("squares", Squares()), device="cpu")


@pytest.fixture
def photo(tmp_path: Path) -> Callable[..., Path]:
    """Writes a picture with faces at the given places."""

    def write(name: str, places: Sequence[tuple[int, int]] = ((10, 10),), seed: int = 0) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(with_faces(seed, places)).save(path)
        return path

    return write
