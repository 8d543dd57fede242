"""A tiny model with a calibration, and its ONNX file by the older exporter, which takes a second; the slow tests try the new one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from evenface.calibration import Calibration
from evenface.export import graph
from evenface.labels import BASIC
from evenface.model_folder import load_model, save_model
from evenface.models.classifier import Classifier, build_classifier
from evenface.runtimes.metadata import to_metadata
from evenface.runtimes.openvino_runtime import silence
from evenface.zoo import sha256_of


SIZE = 32
TEMPERATURE = 1.7
COUNTS = {"happiness": 60, "neutral": 50, "sadness": 20, "surprise": 20, "disgust": 2, "anger": 15, "fear": 5}


def noise(n: int, seed: int = 0) -> np.ndarray:
    """Faces (n, SIZE, SIZE, 3), uint8, of random blocks, so that their classes differ."""
    rng = np.random.default_rng(seed)
    return np.kron(rng.integers(0, 256, (n, 4, 4, 3)), np.ones((1, 8, 8, 1))).astype(np.uint8)


def by_hand(model: Classifier, faces: np.ndarray) -> list[np.ndarray]:
    """Logits and maps of each face, one at a time, in torch."""
    with torch.inference_mode():
        found = [model(torch.tensor(face).permute(2, 0, 1)[None] / 255) for face in faces]
    return [np.concatenate([getattr(each, name).numpy() for each in found]) for name in ("logits", "maps")]


@pytest.fixture(scope="session", autouse=True)
def silent() -> None:
    """No test that looks whether openvino is there reports so to its makers."""
    silence()


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with random weights, classes that differ clearly, and a calibration."""
    torch.manual_seed(0)
    model = build_classifier("test_resnet", BASIC, SIZE)
    torch.nn.init.normal_(model.head.weight, std=3.0)
    shares = {name: count / sum(COUNTS.values()) for name, count in COUNTS.items()}
    fitted = Calibration(1.2, dict.fromkeys(BASIC, 0.0), TEMPERATURE, shares, "validation", 172, (1.0, 0.9, 0.8), (0.1, 0.1, 0.1))
    folder = tmp_path_factory.mktemp("models") / "warm"
    config = {"train_counts": COUNTS, "alignment": {"template": "box"}, "calibration": fitted.to_dict(), "data_licence": "CC0-1.0"}
    save_model(folder, model, {**config, "epoch": 3}, card="# warm")
    return folder


@pytest.fixture(scope="session")
def plain_onnx(warm: Path) -> bytes:
    """The ONNX file without metadata."""
    pytest.importorskip("onnx", reason="needs the extra onnx")
    pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    return graph._by_tracer(load_model(warm)[0], TEMPERATURE, SIZE)


@pytest.fixture(scope="session")
def whole_onnx(warm: Path, plain_onnx: bytes) -> bytes:
    """The ONNX file with its metadata, as `evenface export` writes it."""
    config = load_model(warm)[1]
    texts = to_metadata(config, name="warm", precision="fp32", weights_sha256=sha256_of(warm / "model.safetensors"))
    return graph.with_metadata(plain_onnx, texts)
