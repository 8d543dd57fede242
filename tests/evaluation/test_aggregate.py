"""Weights of experts by their agreement on two views: the top of the climb, what they do not depend on, and the way through `evaluate`."""

from __future__ import annotations

import io
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from evenface.data.manifest import build
from evenface.data.store import FaceStore
from evenface.errors import ConfigError
from evenface.evaluation.aggregate import expert_weights, weighted
from evenface.evaluation.evaluate import predict, predict_experts
from evenface.labels import BASIC
from evenface.model_folder import save_model
from evenface.models.classifier import build_classifier
from evenface.models.experts import Experts
from evenface.runs.evaluate import evaluate


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(1, keepdims=True))
    return np.asarray(e / e.sum(1, keepdims=True))


def agreement(weights: Any, face: np.ndarray, mirror: np.ndarray) -> float:
    p, q = (softmax(sum(w * z for w, z in zip(weights, view, strict=True))) for view in (face, mirror))
    return float((p * q).sum(1).mean())


def views(noise: tuple[float, ...], scale: tuple[float, ...] | None = None, n: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Experts that say the same of both views but for noise of that size, each."""
    random = np.random.default_rng(seed)
    scale = scale or (1.0,) * len(noise)
    z = [s * random.normal(size=(n, 5)) for s in scale]
    return tuple(np.stack([a + e * random.normal(size=(n, 5)) for a, e in zip(z, noise, strict=True)]).astype(np.float32) for _ in range(2))  # type: ignore[return-value]


@pytest.mark.parametrize("noise", [(0.1, 2.0, 2.0), (2.0, 0.5, 0.1), (0.5, 0.6, 3.0)])
def test_no_other_weights_agree_more(noise: tuple[float, ...]) -> None:
    face, mirror = views(noise)
    found = expert_weights(face, mirror)
    assert found.sum() == pytest.approx(1)
    assert found.min() >= 0.05 - 1e-3
    grid = [(a / 40, b / 40, 1 - (a + b) / 40) for a, b in itertools.product(range(2, 37), repeat=2) if a + b <= 38]
    best = max(agreement(w, face, mirror) for w in grid)
    assert agreement(found, face, mirror) >= best - 1e-5
    assert agreement(found, face, mirror) > agreement([1 / 3] * 3, face, mirror) + 1e-3


def test_the_steady_expert_is_believed() -> None:
    assert expert_weights(*views((3.0, 0.1, 3.0), (1.0, 3.0, 1.0))).argmax() == 1
    assert expert_weights(*views((0.1, 3.0), (3.0, 1.0)))[0] == pytest.approx(0.95)


def test_order_and_last_bits_leave_no_trace() -> None:
    face, mirror = views((0.5, 0.6, 3.0))
    found = expert_weights(face, mirror)
    order = np.random.default_rng(1).permutation(face.shape[1])
    np.testing.assert_array_equal(expert_weights(face[:, order], mirror[:, order]), found)
    np.testing.assert_array_equal(expert_weights(mirror, face), found)
    np.testing.assert_array_equal(expert_weights(face * np.float32(1 + 2e-7), mirror), found)


def test_one_expert_equal_experts_and_no_face() -> None:
    face, mirror = views((0.5,))
    assert expert_weights(face, mirror).tolist() == [1.0]
    np.testing.assert_allclose(expert_weights(face.repeat(3, 0), mirror.repeat(3, 0)), 1 / 3, atol=1e-3)
    np.testing.assert_allclose(expert_weights(np.zeros((4, 0, 5)), np.zeros((4, 0, 5))), 0.25)


def test_weighted_is_the_softmax_of_the_weighted_logits() -> None:
    face, _ = views((0.5, 0.6, 3.0), n=4)
    found = weighted(face, [0.2, 0.3, 0.5])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, softmax(0.2 * face[0] + 0.3 * face[1] + 0.5 * face[2]), rtol=1e-5)


def network() -> Experts:
    torch.manual_seed(0)
    found = Experts.of(build_classifier("test_resnet", BASIC[:3], 32, dropout=0.5))
    for _ in range(3):
        found(torch.rand(16, 3, 32, 32))
    return found.train()


def test_logits_of_experts_face_by_face() -> None:
    faces = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (9, 3, 32, 32), dtype=np.uint8))
    columns = {"id": [str(i) for i in range(9)], "split": ["test"] * 9, "label": [BASIC[0]] * 9, "image": [b"x"] * 9}
    store, model = FaceStore(build(columns, BASIC[:3], name="random"), 32, 3, [], "memory", faces), network()
    seen: list[tuple[int, int]] = []
    face, mirror = predict_experts(model, store, batch_size=4, progress=lambda done, total: seen.append((done, total)))
    assert model.training
    assert seen[-1] == (9, 9)
    assert face.shape == mirror.shape == (3, 9, 3)
    model.eval()
    with torch.no_grad():
        for i, x in enumerate(faces.float() / 255):
            np.testing.assert_allclose(face[:, i], model.experts(x[None]).logits[:, 0].numpy(), atol=1e-5)
            np.testing.assert_allclose(mirror[:, i], model.experts(x[None].flip(-1)).logits[:, 0].numpy(), atol=1e-5)
    np.testing.assert_allclose(weighted(face, [1 / 3] * 3), predict(model, store), atol=1e-5)  # equal weights: the network's own answer


@pytest.fixture
def data(tmp_path: Path) -> Path:
    random, columns = np.random.default_rng(0), {"id": [], "split": [], "label": [], "image": []}  # type: ignore[var-annotated]
    for i in range(18):
        file = io.BytesIO()
        Image.fromarray(random.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(file, "PNG")
        columns["id"].append(str(i))
        columns["split"].append(("train", "validation", "test")[i // 6])
        columns["label"].append(BASIC[i % 3])
        columns["image"].append(file.getvalue())
    build(columns, BASIC[:3], name="tiny").save(tmp_path / "tiny.parquet")
    return tmp_path / "tiny.parquet"


def test_evaluate_writes_files_of_its_own_with_the_weights(data: Path, tmp_path: Path) -> None:
    save_model(tmp_path / "m", network(), {}, card="")
    how: dict[str, Any] = {"dataset": "manifest", "data_dir": str(data), "device": "cpu", "tta": "experts", "workers": 1}
    found = evaluate(tmp_path / "m", output=tmp_path / "a", **how)
    assert {path.name for path in (tmp_path / "a").iterdir()} == {"metrics-test-experts.json", "predictions-test-experts.parquet"}
    metrics = json.loads(found.metrics_file.read_text())
    assert metrics["tta"] == "experts"
    assert sum(metrics["expert_weights"]) == pytest.approx(1)
    again = evaluate(tmp_path / "m", output=tmp_path / "b", batch_size=5, **how)
    assert again.metrics["expert_weights"] == metrics["expert_weights"]
    assert again.metrics["confusion"] == metrics["confusion"]


def test_a_network_without_experts_is_refused(data: Path, tmp_path: Path) -> None:
    save_model(tmp_path / "m", build_classifier("test_resnet", BASIC[:3], 32), {}, card="")
    with pytest.raises(ConfigError, match=r"--method ride or sade\); that of .*m is of the kind 'linear'"):
        evaluate(tmp_path / "m", output=tmp_path / "out", dataset="manifest", data_dir=str(data), device="cpu", tta="experts")
